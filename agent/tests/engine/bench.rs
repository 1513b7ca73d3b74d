//! One collection from plan to verified container, reader and sealer on two threads.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use agent::collect::plan;
use agent::platform::{self, SystemClock};
use agent::reader;
use agent::sealer::intake::{self, SegmentSink, Summary};
use evidence::container::{SealedSegment, SeekTable, read_item};
use evidence::item::{AtimeMethod, ItemRecord};
use evidence::order::{Limits, Step};
use testkit::containers::lab::verify_parts;
pub use testkit::containers::lab::{params, signer};
use testkit::orders;
pub use testkit::orders::files;

/// Everything a test wants to know of a collection.
pub struct Run {
    pub summary: Summary,
    pub records: Vec<ItemRecord>,
    pub container: Vec<u8>,
    table: SeekTable,
}

/// How to collect.
pub struct Plan {
    pub root: PathBuf,
    pub steps: Vec<Step>,
    pub limits: Limits,
    pub deny: Vec<String>,
    pub state: Vec<PathBuf>,
    pub processes: Vec<i32>,
    /// Use a read-only view of the root.
    pub is_viewed: bool,
}

/// Sparse files are longer than other items.
pub const LIMITS: Limits = Limits { item_bytes: 1 << 40, ..orders::LIMITS };

impl Plan {
    pub fn of(root: &Path, steps: Vec<Step>) -> Self {
        let (deny, state, processes) = (Vec::new(), Vec::new(), Vec::new());
        Self { root: root.to_owned(), steps, limits: LIMITS, deny, state, processes, is_viewed: false }
    }

    pub fn files(root: &Path, globs: &[&str]) -> Self {
        Self::of(root, vec![files(globs)])
    }

    pub fn run(self) -> Run {
        self.run_with(&mut Kept::default())
    }

    pub fn run_with(self, sink: &mut Kept) -> Run {
        let (reader_end, sealer_end) = agent::ipc::pair().unwrap();
        let (check_end, ask_end) = cage::datagram::pair().unwrap();
        let view = if self.is_viewed {
            platform::root_view(&self.root).unwrap()
        } else {
            let directory: OwnedFd = fs_err::File::open(&self.root).unwrap().into_file().into();
            platform::RootView { directory, method: AtimeMethod::None, refused: None }
        };
        let scope = reader::Scope {
            limits: self.limits,
            view: view.method,
            deny: self.deny,
            processes: self.processes,
        };
        let plan_params = plan::Params { steps: self.steps.clone(), scope };
        let handles = reader::Handles {
            root: view.directory,
            proc: platform::proc_view().unwrap().0,
            sealer: reader_end,
            check: check_end,
            state: self
                .state
                .iter()
                .map(|path| fs_err::File::open(path).unwrap().into_file().into())
                .collect(),
        };
        let collectors = self.steps.iter().map(|step| step.collector().to_owned()).collect();
        let sealer_params = intake::Params { container: params(2), collectors, limits: self.limits };
        let sockets = intake::Sockets { reader: sealer_end, check: ask_end };
        let summary = std::thread::scope(|scope| {
            let reading = scope.spawn(move || plan::run(&plan_params, handles, None, &SystemClock));
            let summary = intake::run(sockets, sealer_params, signer(), sink, &SystemClock).unwrap();
            let read = reading.join().unwrap();
            assert!(read.is_ok() || summary.limit.is_some(), "{read:?}");
            summary
        });
        Run::verified(summary, &sink.segments)
    }
}

/// A sink that keeps everything, and can do something when a segment comes.
#[derive(Default)]
pub struct Kept {
    pub segments: Vec<SealedSegment>,
}

impl SegmentSink for Kept {
    fn segment(&mut self, segment: SealedSegment) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.segments.push(segment);
        Ok(())
    }
}

impl Run {
    /// Verifies the container as a stranger would, and takes its records.
    pub fn verified(summary: Summary, segments: &[SealedSegment]) -> Self {
        let parts = segments.iter().map(|segment| (segment.seal.as_slice(), segment.bytes.as_slice()));
        let (container, records) = verify_parts(parts).unwrap();
        assert_eq!(container, summary.container);
        let bytes = segments.iter().flat_map(|segment| segment.bytes.iter().copied()).collect::<Vec<_>>();
        let len = SeekTable::table_len(&bytes[bytes.len() - 9..]).unwrap();
        let table = SeekTable::parse(&bytes[bytes.len() - len..]).unwrap();
        Self { summary, records, container: bytes, table }
    }

    /// All records of one path.
    pub fn all(&self, path: &[u8]) -> Vec<&ItemRecord> {
        self.records.iter().filter(|record| record.path.0 == path).collect()
    }

    /// The one record of a path.
    #[track_caller]
    pub fn one(&self, path: &str) -> &ItemRecord {
        self.one_raw(path.as_bytes())
    }

    #[track_caller]
    pub fn one_raw(&self, path: &[u8]) -> &ItemRecord {
        let all = self.all(path);
        assert_eq!(all.len(), 1, "{} has {all:#?}", String::from_utf8_lossy(path));
        all[0]
    }

    #[track_caller]
    pub fn outcome(&self, path: &str) -> String {
        self.one(path).outcome.to_string()
    }

    /// The content of a record.
    #[track_caller]
    pub fn content(&self, record: &ItemRecord) -> Vec<u8> {
        let mut content = Vec::new();
        let fetch = |range: std::ops::Range<u64>| {
            let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
            Ok::<_, std::convert::Infallible>(self.container[start..end].to_vec())
        };
        let sink = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        read_item(record, &self.table, fetch, sink).unwrap();
        content
    }

    /// The rows of a collector.
    pub fn rows(&self, collector: &str) -> Vec<serde_json::Value> {
        let path = format!("live/{collector}.jsonl");
        let parts = self.all(path.as_bytes());
        let bytes: Vec<u8> = parts.into_iter().flat_map(|record| self.content(record)).collect();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        self.summary
            .container
            .counts_by_outcome
            .iter()
            .map(|(outcome, n)| (outcome.to_string(), *n))
            .collect()
    }
}

/// Whether this test runs as root; says by name that it is skipped otherwise.
pub fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(std::env::var_os("CI").is_none(), "{test} needs root, and CI has it");
        println!("SKIPPED {test}: needs root");
    }
    is_root
}

/// Runs a command that has to succeed.
#[track_caller]
pub fn must(command: &str) {
    let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A child that ends with the test.
pub struct Sleeper(pub std::process::Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
