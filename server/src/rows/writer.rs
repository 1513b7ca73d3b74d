//! The one connection that writes, and the thread that owns it.
//! Guarantee: writes run in the order in which they were submitted. A failed write undoes only itself. Each is answered after the
//! commit that contains it. While one commit is being flushed, the next writes gather: under load, batches form on their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::DbError;

/// Most jobs that may wait: 1024. With more, `submit` blocks and so slows the senders down.
const QUEUE_JOBS: usize = 1024;
/// Most jobs in one commit: 256, so that the first job does not wait for the thousandth.
const COMMIT_JOBS: usize = 256;

/// What a job must still do once its commit is known.
type Answer = Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>;
type Write = Box<dyn FnOnce(Result<&Connection, Arc<rusqlite::Error>>) -> Option<Answer> + Send>;

pub(super) struct Writer {
    sender: Option<SyncSender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, DbError> {
        let (sender, receiver) = sync_channel(QUEUE_JOBS);
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || run(&connection, &receiver));
        let thread = thread.map_err(|source| DbError::File { source })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Queues a job. `done` receives its result after the commit.
    pub(super) fn submit<T, E>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        done: impl FnOnce(Result<T, E>) + Send + 'static,
    ) -> Result<(), DbError>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let job: Write = Box::new(move |transaction| {
            let failed = |error| E::from(DbError::Commit(error));
            let result = match transaction {
                Ok(connection) => in_savepoint(connection, act),
                Err(error) => Err(failed(error)),
            };
            match result {
                Ok(value) => {
                    Some(Box::new(move |commit: Result<(), _>| done(commit.map(|()| value).map_err(failed))))
                }
                Err(error) => {
                    // Nothing of this job will be committed, so it need not wait.
                    done(Err(error));
                    None
                }
            }
        });
        let sender = self.sender.as_ref().ok_or(DbError::Closed)?;
        sender.send(job).or(Err(DbError::Closed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue lets the thread finish the jobs in it.
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(connection: &Connection, jobs: &Receiver<Write>) {
    while let Ok(first) = jobs.recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            first(Err(Arc::new(error)));
            continue;
        }
        let mut answers: Vec<Answer> = first(Ok(connection)).into_iter().collect();
        for job in jobs.try_iter().take(COMMIT_JOBS - 1) {
            answers.extend(job(Ok(connection)));
        }
        let commit = connection.execute_batch("COMMIT").map_err(Arc::new);
        if commit.is_err() && !connection.is_autocommit() {
            drop(connection.execute_batch("ROLLBACK"));
        }
        for answer in answers {
            answer(commit.clone());
        }
    }
}

fn in_savepoint<T, E: From<DbError>>(
    connection: &Connection,
    act: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let sql = |text: &str| connection.execute_batch(text).map_err(|source| E::from(DbError::Sqlite(source)));
    sql("SAVEPOINT job")?;
    match act(connection) {
        Ok(value) => {
            sql("RELEASE job")?;
            Ok(value)
        }
        Err(error) => {
            sql("ROLLBACK TO job; RELEASE job")?;
            Err(error)
        }
    }
}
