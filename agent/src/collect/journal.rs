//! The systemd journal, as raw files: `journalctl --file` and every forensic tool read them, and a live copy of an
//! online file verifies.

use evidence::order::JournalStep;

use crate::ipc::StepEnd;
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

pub(super) fn run(reader: &mut Reader<'_>, step: JournalStep) -> Flow<StepEnd> {
    if step.rows {
        reader.limitation("journal: this version collects the raw journal files and decodes no rows");
    }
    super::fixed(reader, FILES)
}
