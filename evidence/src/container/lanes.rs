//! Ordered compression on several threads. Frames leave in the order in which they came, whichever thread was faster.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::frames::{Compressor, FrameError};
use crate::length::to_u64;

/// A compressed frame, and the buffer of its plain bytes for reuse.
pub(super) struct Done {
    pub(super) frame: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

struct Job {
    sequence: u64,
    plain: Vec<u8>,
    frame: Vec<u8>,
}

type Answer = (u64, Result<Done, FrameError>);

enum Pool {
    /// No thread: a frame is compressed when it is submitted.
    Inline(Compressor),
    Threads {
        jobs: Option<SyncSender<Job>>,
        answers: Receiver<Answer>,
        workers: Vec<JoinHandle<()>>,
    },
}

/// The threads. At most `2 × lanes` frames are under way, which bounds the memory at about 2 MiB for each frame.
pub(super) struct Lanes {
    pool: Pool,
    submitted: u64,
    taken: u64,
    under_way_max: u64,
    early: BTreeMap<u64, Done>,
    ready: VecDeque<Done>,
    spare: Vec<Vec<u8>>,
}

impl Lanes {
    /// `lanes` threads; 0 or 1 compresses on the caller's thread.
    pub(super) fn new(lanes: usize, level: i32) -> Result<Self, LanesError> {
        let pool = if lanes <= 1 {
            Pool::Inline(Compressor::new(level).map_err(LanesError::Frame)?)
        } else {
            let (jobs, queue) = sync_channel::<Job>(lanes);
            let (answer, answers) = channel();
            let queue = Arc::new(Mutex::new(queue));
            let mut workers = Vec::new();
            for lane in 0..lanes {
                let compressor = Compressor::new(level).map_err(LanesError::Frame)?;
                let (queue, answer) = (Arc::clone(&queue), answer.clone());
                let thread = std::thread::Builder::new().name(format!("frame-lane-{lane}"));
                let work = move || work(&queue, &answer, compressor);
                workers.push(thread.spawn(work).map_err(LanesError::Thread)?);
            }
            Pool::Threads { jobs: Some(jobs), answers, workers }
        };
        let under_way_max = to_u64(lanes.max(1)) * 2;
        let (early, ready, spare) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        Ok(Self { pool, submitted: 0, taken: 0, under_way_max, early, ready, spare })
    }

    /// Hands over the next frame's plain bytes. Waits while too many frames are under way.
    pub(super) fn submit(&mut self, plain: Vec<u8>) -> Result<(), LanesError> {
        while self.under_way() >= self.under_way_max {
            self.wait()?;
        }
        // Without a spare buffer a new one begins empty.
        let frame = self.spare.pop().unwrap_or_default();
        let job = Job { sequence: self.submitted, plain, frame };
        self.submitted += 1;
        match &mut self.pool {
            Pool::Inline(compressor) => {
                let done = compress(compressor, job.plain, job.frame).map_err(LanesError::Frame)?;
                self.taken += 1;
                self.ready.push_back(done);
            }
            Pool::Threads { jobs, .. } => {
                let sent = jobs.as_ref().map(|jobs| jobs.send(job));
                if !matches!(sent, Some(Ok(()))) {
                    return Err(LanesError::Gone);
                }
            }
        }
        Ok(())
    }

    /// The next frame in order that is ready, without waiting.
    pub(super) fn next_done(&mut self) -> Result<Option<Done>, LanesError> {
        loop {
            if let Some(done) = self.ready.pop_front() {
                return Ok(Some(done));
            }
            let Pool::Threads { answers, .. } = &self.pool else {
                return Ok(None);
            };
            let Ok(answer) = answers.try_recv() else {
                return Ok(None);
            };
            self.sort(answer)?;
        }
    }

    /// The next frame in order. Waits for it; `None` if nothing is under way.
    pub(super) fn take_all(&mut self) -> Result<Option<Done>, LanesError> {
        while self.ready.is_empty() && self.under_way() > 0 {
            self.wait()?;
        }
        Ok(self.ready.pop_front())
    }

    /// Gives a frame's buffer back.
    pub(super) fn reuse(&mut self, frame: Vec<u8>) {
        self.spare.push(frame);
    }

    fn under_way(&self) -> u64 {
        self.submitted - self.taken
    }

    fn wait(&mut self) -> Result<(), LanesError> {
        let Pool::Threads { answers, .. } = &self.pool else {
            return Ok(());
        };
        match answers.recv() {
            Ok(answer) => self.sort(answer),
            Err(std::sync::mpsc::RecvError) => Err(LanesError::Gone),
        }
    }

    fn sort(&mut self, (sequence, done): Answer) -> Result<(), LanesError> {
        self.early.insert(sequence, done.map_err(LanesError::Frame)?);
        while let Some(done) = self.early.remove(&self.taken) {
            self.taken += 1;
            self.ready.push_back(done);
        }
        Ok(())
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if let Pool::Threads { jobs, workers, .. } = &mut self.pool {
            // Closing the queue ends the workers.
            drop(jobs.take());
            for worker in workers.drain(..) {
                // A worker that panicked has already failed the writer. Nobody is left to tell.
                drop(worker.join());
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, answer: &Sender<Answer>, mut compressor: Compressor) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_poisoned) => return,
        };
        let Ok(job) = job else { return };
        let done = compress(&mut compressor, job.plain, job.frame);
        if answer.send((job.sequence, done)).is_err() {
            return;
        }
    }
}

fn compress(compressor: &mut Compressor, plain: Vec<u8>, mut frame: Vec<u8>) -> Result<Done, FrameError> {
    compressor.compress(&plain, &mut frame)?;
    Ok(Done { frame, plain })
}

/// Why the lanes stand.
#[derive(Debug, thiserror::Error)]
pub(super) enum LanesError {
    #[error("compress frame")]
    Frame(#[source] FrameError),
    #[error("start compression thread")]
    Thread(#[source] std::io::Error),
    #[error("compression thread is gone")]
    Gone,
}
