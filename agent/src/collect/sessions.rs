//! Past and present logins: the utmp family, systemd's sessions, failed logins, and the databases that replace
//! utmp since Debian 13.

use crate::ipc::{CollectorEnd, Use};
use crate::reader::{Flow, Reader};

const FILES: &[&str] = &[
    "/run/utmp",
    "/var/run/utmp",
    "/var/log/wtmp*",
    "/var/log/btmp*",
    "/var/log/lastlog",
    "/var/log/faillog",
    "/run/systemd/sessions/*",
    "/run/systemd/users/*",
    "/run/systemd/seats/*",
    "/run/faillock/*",
    "/var/lib/wtmpdb/*",
    "/var/lib/lastlog/*",
];

pub(super) fn run(reader: &mut Reader<'_>) -> Flow<CollectorEnd> {
    super::fixed(reader, FILES, Use::Member)
}
