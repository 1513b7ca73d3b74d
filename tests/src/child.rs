//! A process of ours that ends with its owner, and whose words are kept for the failure message.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use testkit::wait::wait_for;

/// A running process.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a command with stdout and stderr appended to a log file.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let out = fs_err::OpenOptions::new().create(true).append(true).open(log)?.into_parts().0;
        let process = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self { process, log: log.to_path_buf() })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs_err::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let ended = wait_for("the process ending after SIGTERM", || Ok(self.process.try_wait()?));
        if ended.is_err() {
            self.kill()?;
        }
        ended
    }

    /// SIGKILL, and reaps it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(pid, signal).context("signal")?;
        Ok(())
    }

    /// Process ids of its children whose command line contains `word`, such as `__sealer`.
    pub fn children(&self, word: &str) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // A process may end between listing and reading: that is no error.
            let Ok(status) = fs_err::read_to_string(format!("/proc/{pid}/status")) else {
                continue;
            };
            let Ok(line) = fs_err::read(format!("/proc/{pid}/cmdline")) else {
                continue;
            };
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))
                .and_then(|text| text.trim().parse::<u32>().ok());
            if parent == Some(self.process.id()) && String::from_utf8_lossy(&line).contains(word) {
                found.push(pid);
            }
        }
        Ok(found)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            // Ending: nothing is left to tell anyone.
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}
