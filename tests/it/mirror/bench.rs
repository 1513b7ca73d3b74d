//! A mirror beside a lab: made, admitted, run, asked how it is.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use lab::{Child, Lab, attempt, run, wait_for};
use serde_json::Value;

/// A mirror of a lab's deployment.
pub(crate) struct Mirror {
    pub(crate) id: String,
    pub(crate) directory: PathBuf,
    pub(crate) store: PathBuf,
    process: Option<Child>,
}

impl Mirror {
    /// Makes and admits a mirror; does not start it.
    pub(crate) fn admitted(lab: &Lab, id: &str, more: &[&str]) -> Result<Self> {
        let mirror = Self::made(lab, id, more)?;
        run(lab.exhibit().args(["mirror", "admit"]).arg(mirror.directory.join("admission.json")))?;
        Ok(mirror)
    }

    /// Makes a mirror that nobody admitted.
    pub(crate) fn made(lab: &Lab, id: &str, more: &[&str]) -> Result<Self> {
        let (directory, store) = (lab.path(id), lab.path(format!("{id}-store")));
        let mut init = lab.tool("exhibit-server");
        init.args(["mirror", "init"])
            .arg(&directory)
            .args(["--id", id, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .arg("--card")
            .arg(lab.path("server/deployment.json"))
            .arg("--authority")
            .arg(lab.path("admin/authority"))
            .arg("--store")
            .arg(&store)
            .args(more);
        run(&mut init)?;
        Ok(Self { id: id.to_owned(), directory, store, process: None })
    }

    pub(crate) fn start(&mut self, lab: &Lab) -> Result<()> {
        let mut command = lab.tool("exhibit-server");
        command.args(["mirror", "run"]).arg(&self.directory);
        self.process = Some(Child::start(command, &lab.path(format!("{}.log", self.id)))?);
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Ends it by SIGTERM.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take()
            && !process.terminate()?.success()
        {
            bail!("the mirror did not end well");
        }
        Ok(())
    }

    pub(crate) fn log(&self, lab: &Lab) -> String {
        fs_err::read_to_string(lab.path(format!("{}.log", self.id))).unwrap_or_default()
    }

    /// What `status --json` says, and its exit code.
    pub(crate) fn status(&self, lab: &Lab) -> Result<(Value, i32)> {
        let mut command = lab.tool("exhibit-server");
        let output = attempt(command.args(["mirror", "status", "--json"]).arg(&self.directory))?;
        Ok((serde_json::from_slice(&output.stdout)?, output.status.code().unwrap_or(-1)))
    }

    pub(crate) fn number(&self, lab: &Lab, name: &str) -> Result<u64> {
        Ok(self.status(lab)?.0.get(name).and_then(Value::as_u64).unwrap_or(0))
    }

    /// Waits until the mirror holds at least what the collector has published now.
    pub(crate) fn caught_up(&self, lab: &Lab) -> Result<u64> {
        let wanted = size(lab)?;
        wait_for("the mirror holding the ledger", || {
            let held = self.number(lab, "held")?;
            Ok((held >= wanted).then_some(held))
        })
        .map_err(|cause| cause.context(self.log(lab)))
    }

    /// An address of the running mirror, by name.
    pub(crate) fn address(&self, name: &str) -> Result<String> {
        let path = self.directory.join("run/addresses.json");
        let text = wait_for("the mirror's addresses", || Ok(fs_err::read(&path).ok()))?;
        let addresses: Value = serde_json::from_slice(&text)?;
        match addresses.get(name).and_then(Value::as_str) {
            Some(address) => Ok(address.to_owned()),
            None => bail!("no address {name}"),
        }
    }
}

/// Size of the collector's published checkpoint.
pub(crate) fn size(lab: &Lab) -> Result<u64> {
    let note = fs_err::read_to_string(lab.path("store-a/ledger/checkpoint"))?;
    match note.lines().nth(1).and_then(|line| line.parse().ok()) {
        Some(size) => Ok(size),
        None => bail!("no checkpoint: {note}"),
    }
}

/// `curl`, without curl: one HTTP request on loopback.
pub(crate) fn http(address: &str, method: &str, path: &str, body: &[u8]) -> Result<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => bail!("no HTTP answer: {answer}"),
    }
}

/// Collects a small folder; returns incident and collection.
pub(crate) fn collected(lab: &mut Lab, endpoint: &str) -> Result<(String, Value)> {
    let folder = lab.path("fixture");
    if !folder.exists() {
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join("small.txt"), b"hello mirror\n")?;
        let big: Vec<u8> = (0..5_000_000_u32)
            .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes())
            .collect();
        fs_err::write(folder.join("big.bin"), big)?;
    }
    let profile = lab.files_profile("fixture", &[&format!("{}/**", folder.display())])?;
    let incident = lab.incident()?;
    let collection = lab.collect(&incident, endpoint, &profile).map_err(|cause| cause.context(lab.logs()))?;
    Ok((incident, collection))
}

/// Runs a command that must fail with this code; returns what it said.
pub(crate) fn refused(command: &mut Command, code: i32) -> Result<String> {
    let output = attempt(command)?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(code) {
        Ok(said)
    } else {
        bail!("exit code {:?} instead of {code}: {said}", output.status.code())
    }
}
