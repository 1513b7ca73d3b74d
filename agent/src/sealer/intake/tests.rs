//! The sealer against a reader that breaks the order of messages: nothing that the reader announced is lost.

use std::os::fd::AsFd as _;

use evidence::container::SealedSegment;
use evidence::item::ItemError;
use testkit::containers::lab;
use testkit::orders::LIMITS;

use super::*;
use crate::platform::SystemClock;

struct Counted(u64);

impl SegmentSink for Counted {
    fn segment(&mut self, _segment: SealedSegment) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0 += 1;
        Ok(())
    }
}

/// Runs an intake over messages of a reader that is gone afterwards.
fn run_with(plan: &[&str], act: impl FnOnce(&OwnedFd)) -> Summary {
    let (reader_end, reader) = ipc::pair().unwrap();
    let (check_end, check) = ipc::pair().unwrap();
    act(&reader_end);
    drop((reader_end, check_end));
    let params = Params {
        container: lab::params(1),
        collectors: plan.iter().map(|name| (*name).to_owned()).collect(),
        limits: LIMITS,
    };
    let mut sink = Counted(0);
    let sockets = Sockets { reader, check };
    let summary = run(sockets, params, lab::signer(), &mut sink, &SystemClock).unwrap();
    assert_eq!(sink.0, summary.container.segments);
    summary
}

fn send(reader: &OwnedFd, message: Message) {
    ipc::send(reader.as_fd(), &message, None).unwrap();
}

fn seen(path: &str) -> Box<Seen> {
    Box::new(Seen::new(path.as_bytes(), Kind::Stream, FileTime::default()))
}

fn begin(step: u32, collector: &str) -> Message {
    Message::StepBegin { step, collector: collector.to_owned() }
}

fn skipped(path: &str) -> Message {
    let mut seen = seen(path);
    seen.outcome = Outcome::Denied;
    seen.error = Some(ItemError { op: "openat".to_owned(), errno: 13 });
    Message::Item { seen, use_as: Use::Member }
}

fn outcomes(summary: &Summary, outcome: &Outcome) -> u64 {
    summary.container.counts_by_outcome.get(outcome).copied().unwrap_or(0)
}

#[test]
fn a_source_whose_end_never_comes_is_recorded_before_what_follows_it() {
    for after in [
        Message::DataBegin { seen: seen("live/second") },
        begin(1, "files"),
        skipped("/x"),
        Message::StepEnd { end: CollectorEnd::Done, limitations: Vec::new() },
        Message::End,
    ] {
        let shown = format!("{after:?}");
        let summary = run_with(&["files", "files"], |reader| {
            send(reader, begin(0, "files"));
            send(reader, Message::DataBegin { seen: seen("live/first") });
            ipc::send_data(reader.as_fd(), b"half").unwrap();
            send(reader, after);
        });
        assert!(
            outcomes(&summary, &Outcome::Interrupted) >= 1,
            "{shown}: {:?}",
            summary.container.counts_by_outcome
        );
        assert!(!summary.is_complete(), "{shown}");
    }
}

#[test]
fn a_step_that_is_not_ended_counts_its_own_items_and_failed() {
    let summary = run_with(&["files", "sockets", "journal"], |reader| {
        send(reader, begin(0, "files"));
        send(reader, skipped("/a"));
        send(reader, skipped("/b"));
        send(reader, begin(1, "sockets"));
        send(reader, skipped("/c"));
        send(reader, Message::End);
    });
    let steps: Vec<_> =
        summary.steps.iter().map(|step| (step.collector.as_str(), step.items, step.result)).collect();
    assert_eq!(
        steps,
        [("files", 2, StepEnd::Failed), ("sockets", 1, StepEnd::Failed), ("journal", 0, StepEnd::NotRun)]
    );
}

#[test]
fn bytes_of_no_item_and_limitations_past_the_bound_are_said_once() {
    let summary = run_with(&["files"], |reader| {
        send(reader, begin(0, "files"));
        ipc::send_data(reader.as_fd(), b"stray").unwrap();
        ipc::send_data(reader.as_fd(), b"stray").unwrap();
        for part in 0..4 {
            let limitations = (0..100).map(|number| format!("limitation {part} {number}")).collect();
            send(reader, Message::StepEnd { end: CollectorEnd::Done, limitations });
        }
        send(reader, Message::End);
    });
    assert_eq!(summary.limitations.len(), LIMITATIONS_MAX);
    assert!(summary.limitations[0].contains("belong to no item"), "{}", summary.limitations[0]);
    assert_eq!(summary.limitations.last().unwrap(), "further limitations are left out");
}

#[test]
fn a_question_that_could_not_be_asked_is_a_limitation_and_no_unchanged_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let summary = run_with(&["files"], |reader| {
        send(reader, begin(0, "files"));
        let look = platform::look(file.as_file().as_fd()).unwrap();
        let mut seen = Seen::new(b"/x".as_slice(), Kind::File, SystemClock.wall());
        seen.before = Some(look.stat);
        seen.key = Some(0);
        let item = Message::Item { seen: Box::new(seen), use_as: Use::Member };
        ipc::send(reader.as_fd(), &item, Some(file.as_file().as_fd())).unwrap();
        send(reader, Message::StepEnd { end: CollectorEnd::Done, limitations: Vec::new() });
        send(reader, Message::End);
    });
    assert!(summary.limitations.iter().any(|text| text.contains("`replaced` may be missing")), "{summary:?}");
}
