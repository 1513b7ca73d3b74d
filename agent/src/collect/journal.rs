//! The systemd journal, as raw files. `journalctl --file` and every forensic tool read them, and a copy of a
//! file that is being written still verifies. Its entries become rows when the plan asks for them
//! ([`crate::rows`]).

use evidence::order::JournalStep;

use crate::ipc::{CollectorEnd, Use};
use crate::reader::{Flow, Reader};

const FILES: &[&str] = &[
    "/var/log/journal/*/*.journal",
    "/var/log/journal/*/*.journal~",
    "/run/log/journal/*/*.journal",
    "/run/log/journal/*/*.journal~",
    "/var/log/journal/remote/*",
    "/etc/systemd/journald.conf",
    "/etc/systemd/journald.conf.d/*",
];

pub(super) fn run(reader: &mut Reader<'_>, step: JournalStep) -> Flow<CollectorEnd> {
    let use_as = if step.rows { Use::Journal } else { Use::Member };
    super::fixed(reader, FILES, use_as)
}
