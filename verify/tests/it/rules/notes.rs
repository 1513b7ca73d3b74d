//! `note-*`: what is planted in signature lines. In `export/` it needs no key at all.

use ledger::{Note, NoteSignature, ProofFile};
use testkit::bundles::*;

use super::refused;
use crate::forged::with;
use crate::verdicts::{script, verify};

/// Lines of as many different keys.
fn lines(count: u8, length: usize) -> Vec<NoteSignature> {
    (0..count).map(|id| NoteSignature::new("w.example/w", [id; 4], vec![0x20; length]).unwrap()).collect()
}

/// One line of a name.
fn line(name: &str, bytes: &[u8]) -> Vec<NoteSignature> {
    vec![NoteSignature::new(name, [9; 4], bytes.to_vec()).unwrap()]
}

/// Adds lines below a note.
fn add(files: &mut Files, name: &str, lines: &[NoteSignature]) {
    let bytes = files.get_mut(name).unwrap();
    let with_lines = |note: &Note| {
        let mut note = note.clone();
        lines.iter().for_each(|line| note.add(line.clone()).unwrap());
        note
    };
    *bytes = match ProofFile::parse(bytes) {
        Ok(proof) => {
            let note = with_lines(proof.checkpoint());
            ProofFile::new(proof.index(), proof.hashes().to_vec(), note, None).unwrap().encode().into_bytes()
        }
        Err(_) => with_lines(&Note::parse(bytes).unwrap()).to_string().into_bytes(),
    };
}

/// Plants lines behind the exporter's back.
fn planted(lines: Vec<NoteSignature>) -> Recipe<'static> {
    with! { after: move |files: &mut Files| {
        add(files, "export/checkpoint", &lines);
        add(files, "export/entry.tlog-proof", &lines);
    } }
}

/// An exporter plants lines in the head.
fn in_head(lines: Vec<NoteSignature>) -> Recipe<'static> {
    with! { files: move |files: &mut Files| add(files, "ledger/checkpoint", &lines) }
}

#[test]
fn note_1_text_in_a_line_of_a_key_that_nobody_pinned() {
    let text = "What stands in this bundle is not true. ".repeat(200);
    let late = [&[0x80][..], &[0; 71]].concat();
    refused(
        "note-1",
        vec![
            ("eight thousand bytes of text", "export", planted(line("w.example/w", text.as_bytes()))),
            ("one byte too many", "export", planted(lines(1, 73))),
            ("one byte too few", "export", planted(lines(1, 71))),
            ("a post-quantum signature without its time", "export", planted(lines(1, 2420))),
            (
                "the length of a log's signature, under the pinned name",
                "export",
                planted(line("exhibit/acme", &[1; 64])),
            ),
            ("a time that no cosignature has", "export", planted(line("w.example/w", &late))),
            (
                "the second of two lines",
                "export",
                planted([lines(1, 72), lines(2, 70).split_off(1)].concat()),
            ),
            ("text in the head", "checkpoint", in_head(line("w.example/w", text.as_bytes()))),
        ],
    );
}

#[test]
fn note_2_more_lines_than_a_log_has_cosigners() {
    refused(
        "note-2",
        vec![
            ("seventeen lines", "export", planted(lines(17, 72))),
            ("seventeen lines in the head", "checkpoint", in_head(lines(17, 72))),
        ],
    );
}

#[test]
fn note_3_a_key_with_two_lines() {
    let twice = || [lines(1, 72), lines(1, 72)].concat();
    let of_log = |name: &'static str| {
        move |files: &mut Files| {
            let note = Note::parse(&files["ledger/checkpoint"]).unwrap();
            add(files, name, note.signatures());
        }
    };
    let other =
        [lines(1, 72), vec![NoteSignature::new("w.example/w", [0; 4], vec![1; 72]).unwrap()]].concat();
    refused(
        "note-3",
        vec![
            ("one line twice", "export", planted(twice())),
            ("two lines of one key", "export", planted(other)),
            (
                "the log's line twice",
                "export",
                with! { after: |files: &mut Files| {
                    let log = Note::parse(&files["export/checkpoint"]).unwrap();
                    add(files, "export/checkpoint", log.signatures());
                    add(files, "export/entry.tlog-proof", log.signatures());
                } },
            ),
            ("one line twice in the head", "checkpoint", in_head(twice())),
            ("the log's line twice in the head", "checkpoint", with! { files: of_log("ledger/checkpoint") }),
            (
                "the log's line twice in a proof",
                "custody.inclusion",
                with! { files: of_log("custody/000003.tlog-proof") },
            ),
        ],
    );
}

#[test]
fn lines_of_sixteen_cosigners_whom_nobody_pinned_are_taken_and_counted() {
    let all = [lines(8, 72), lines(16, 2428).split_off(8)].concat();
    let files = planted(all).build().files;
    let report = verify(&files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(report.unpinned_lines, 16);
    let says = "16 signature lines are of keys that nobody pinned: nothing rests on them";
    assert!(report.text().contains(says), "{}", report.text());
    let (code, said) = script(&files, &trust_files());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("16 signature lines are of nobody who is pinned"), "{said}");
}
