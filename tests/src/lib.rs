//! `Lab`: a whole deployment in a temporary folder, made and driven by the programs that users run, as they run them.
//! Guarantee: every process it starts ends with it. Not here: any knowledge of server or agent internals.

mod child;
pub mod proxy;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

pub use child::Child;
pub use testkit::wait::{PATIENCE, wait_for};

/// Folders of the two time-stamping authorities of a lab.
const TSAS: [&str; 2] = ["tsa", "tsa-2"];

/// A deployment: admin, collector, responder alice, endpoints.
#[derive(Debug)]
pub struct Lab {
    // Dropped first: processes end before their folder goes.
    server: Option<Child>,
    agents: Vec<(String, Child)>,
    tsas: Vec<Child>,
    dir: tempfile::TempDir,
}

/// How a lab differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More arguments for `exhibit authority init`.
    pub authority: Vec<String>,
    /// More arguments for `exhibit-server init`.
    pub server: Vec<String>,
    /// Let both listeners speak IPv6; otherwise only the one for enrolment does.
    pub ipv6: bool,
    /// Start two time-stamping authorities and use both.
    pub tsa: bool,
    /// Folders of the two stores, when they shall not lie in the lab.
    pub stores: Option<(PathBuf, PathBuf)>,
}

/// The folder with our programs.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("EXHIBIT_BIN_DIR") {
        return dir.into();
    }
    // target/<profile>/deps/it-… → target/<profile>
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.parent()?.to_path_buf()))
        .unwrap_or_else(|| PathBuf::from("target/debug"))
}

/// The checkout.
pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// The same in IPv6, on a machine that has it.
fn free_address_6() -> Result<String> {
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(listener) => Ok(listener.local_addr()?.to_string()),
        Err(_) => free_address(),
    }
}

/// The time zone of a program's machine: people, collectors and endpoints rarely share one, and none of them is UTC here.
fn time_zone(program: &str) -> &'static str {
    match program {
        "exhibit" => "Pacific/Kiritimati",
        "exhibit-server" => "America/St_Johns",
        _ => "Asia/Kathmandu",
    }
}

impl Lab {
    /// A lab with a running collector and alice logged in.
    ///
    /// # Errors
    /// When any of the commands fails; the message holds what it printed.
    pub fn new() -> Result<Self> {
        Self::with(&Options::default())
    }

    /// As [`Lab::new`], with differences.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn with(options: &Options) -> Result<Self> {
        let mut lab = Self {
            server: None,
            agents: Vec::new(),
            tsas: Vec::new(),
            // A blank in every path: no program and no script may split there.
            dir: tempfile::Builder::new().prefix("exhibit lab ").tempdir()?,
        };
        let admin = lab.path("admin");
        let mut init = lab.tool("exhibit");
        init.args(["authority", "init"]).arg(&admin).args(["--deployment", "lab"]);
        init.args(["--person", "alice=responder,endpoint-admin,auditor", "--person", "bob=approver,analyst"])
            .args(&options.authority);
        run(&mut init)?;
        let mut init = lab.tool("exhibit-server");
        let (store_a, store_b) =
            options.stores.clone().unwrap_or_else(|| (lab.path("store-a"), lab.path("store-b")));
        init.arg("init")
            .arg(lab.path("server"))
            .arg("--authority")
            .arg(admin.join("authority"))
            .arg("--roster")
            .arg(admin.join("roster-1.signed"));
        init.arg("--store").arg(store_a).arg("--store").arg(store_b);
        // Fixed ports: endpoints keep the addresses over a restart of the collector.
        let main = if options.ipv6 { free_address_6()? } else { free_address()? };
        let enrol = free_address_6()?;
        init.args(["--listen", &main, "--enrol-listen", &enrol, "--metrics-listen", "127.0.0.1:0"]);
        if options.tsa {
            for tsa in TSAS {
                lab.start_tsa(tsa)?;
                let address = fs_err::read_to_string(lab.path(tsa).join("address"))?;
                init.arg("--tsa").arg(format!("http://{}/", address.trim()));
            }
        }
        run(init.args(&options.server))?;
        lab.start_server()?;
        let mut setup = lab.exhibit();
        setup
            .arg("setup")
            .arg("--card")
            .arg(lab.path("server/deployment.json"))
            .arg("--authority")
            .arg(admin.join("authority"));
        setup.args(["--person", "alice"]).arg("--key").arg(admin.join("keys/alice"));
        if options.tsa {
            let mut pinned = Vec::new();
            for tsa in TSAS {
                pinned.extend(fs_err::read(lab.path(tsa).join("ca.pem"))?);
            }
            fs_err::write(lab.path("tsas.pem"), pinned)?;
            setup.arg("--tsa-ca").arg(lab.path("tsas.pem"));
        }
        run(&mut setup)?;
        run(lab.exhibit().arg("login"))?;
        Ok(lab)
    }

    /// A place in the lab's folder.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// One of our programs.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(bin_dir().join(name));
        command.env("RUST_BACKTRACE", "0").env_remove("EXHIBIT_HOME").env("TZ", time_zone(name));
        command
    }

    /// `exhibit` as alice.
    pub fn exhibit(&self) -> Command {
        self.exhibit_as("responder")
    }

    /// `exhibit` with another home folder in the lab.
    pub fn exhibit_as(&self, home: &str) -> Command {
        let mut command = self.tool("exhibit");
        command.arg("--home").arg(self.path(home));
        command
    }

    /// Sets up and logs in a second person of the roster, with a home of that name.
    pub fn log_in(&self, person: &str) -> Result<()> {
        let mut setup = self.exhibit_as(person);
        setup
            .arg("setup")
            .arg("--card")
            .arg(self.path("server/deployment.json"))
            .arg("--authority")
            .arg(self.path("admin/authority"));
        run(setup.args(["--person", person]).arg("--key").arg(self.path(format!("admin/keys/{person}"))))?;
        run(self.exhibit_as(person).arg("login"))?;
        Ok(())
    }

    /// Runs `exhibit --json …` as alice and reads its answer.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let output = run(self.exhibit().arg("--json").args(args))?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("exhibit {args:?} printed {:?}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Starts the collector and waits until it listens.
    pub fn start_server(&mut self) -> Result<()> {
        let addresses = self.path("server/run/addresses.json");
        if addresses.exists() {
            fs_err::remove_file(&addresses)?;
        }
        let mut command = self.tool("exhibit-server");
        command
            .arg("run")
            .arg(self.path("server"))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()));
        let mut child = Child::start(command, &self.path("server.log"))?;
        wait_for("the collector listening", || {
            if let Some(status) = child.ended()? {
                bail!("exhibit-server ended with {status}: {}", child.log());
            }
            Ok(addresses.exists().then_some(()))
        })?;
        self.server = Some(child);
        Ok(())
    }

    /// The collector, when it runs.
    pub fn server(&mut self) -> Option<&mut Child> {
        self.server.as_mut()
    }

    /// Ends the collector by SIGTERM and returns whether it drained and said 0.
    pub fn stop_server(&mut self) -> Result<bool> {
        let Some(mut server) = self.server.take() else {
            return Ok(true);
        };
        Ok(server.terminate()?.success())
    }

    /// Ends the collector by SIGKILL.
    pub fn kill_server(&mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.kill(),
            None => Ok(()),
        }
    }

    /// Starts a real time-stamping authority on loopback, in a folder of that name.
    fn start_tsa(&mut self, name: &str) -> Result<()> {
        let mut command = Command::new("python3");
        command.arg(checkout().join("packaging/test-tsa/tsa.py")).arg(self.path(name));
        self.tsas.push(Child::start(command, &self.path(format!("{name}.log")))?);
        let address = self.path(name).join("address");
        wait_for("the time-stamping authority", || {
            Ok(fs_err::metadata(&address).is_ok_and(|meta| meta.len() > 0).then_some(()))
        })
    }

    /// A token for an endpoint, made by alice.
    pub fn token(&self, endpoint: &str, more: &[&str]) -> Result<String> {
        let output = run(self.exhibit().args(["endpoint", "token", endpoint, "--quiet"]).args(more))?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The state folder of an endpoint.
    pub fn state(&self, endpoint: &str) -> PathBuf {
        self.path(format!("endpoint-{endpoint}"))
    }

    /// Enrols an endpoint on this host.
    pub fn enrol(&self, endpoint: &str) -> Result<()> {
        let token = self.token(endpoint, &[])?;
        run(self
            .tool("exhibit-agent")
            .args(["enrol", "--token", &token, "--state"])
            .arg(self.state(endpoint)))?;
        Ok(())
    }

    /// Starts the agent of an enrolled endpoint and waits until the collector sees it.
    pub fn start_agent(&mut self, endpoint: &str, more: &[&str]) -> Result<()> {
        let mut command = self.tool("exhibit-agent");
        command.arg("run").arg("--state").arg(self.state(endpoint)).args(more);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()));
        // Reconnects at once: tests cut the line often.
        command.env("EXHIBIT_RECONNECT_MIN_MS", "50").env("EXHIBIT_RECONNECT_MAX_MS", "500");
        let child = Child::start(command, &self.path(format!("agent-{endpoint}.log")))?;
        self.agents.push((endpoint.to_owned(), child));
        self.wait_connected(endpoint)
    }

    /// Waits until the collector sees the endpoint.
    pub fn wait_connected(&self, endpoint: &str) -> Result<()> {
        wait_for(&format!("{endpoint} connected"), || {
            let list = self.json(&["endpoint", "list"])?;
            let connected = rows(&list).iter().any(|row| {
                row.get("endpoint") == Some(&Value::from(endpoint))
                    && row.get("connected") == Some(&Value::Bool(true))
            });
            Ok(connected.then_some(()))
        })
    }

    /// The agent of an endpoint, when it runs.
    pub fn agent(&mut self, endpoint: &str) -> Option<&mut Child> {
        self.agents.iter_mut().find(|(name, _)| name == endpoint).map(|(_, child)| child)
    }

    /// Ends an agent by SIGTERM.
    pub fn stop_agent(&mut self, endpoint: &str) -> Result<()> {
        if let Some(at) = self.agents.iter().position(|(name, _)| name == endpoint) {
            self.agents.swap_remove(at).1.terminate()?;
        }
        Ok(())
    }

    /// Opens an incident and returns its id.
    pub fn incident(&self) -> Result<String> {
        let opened = self.json(&[
            "incident",
            "open",
            "--title",
            "Odd logins",
            "--severity",
            "high",
            "--tlp",
            "amber",
            "--class",
            "intrusions",
        ])?;
        text(&opened, "incident")
    }

    /// Writes a profile that collects files and returns its path.
    pub fn files_profile(&self, name: &str, globs: &[&str]) -> Result<PathBuf> {
        let paths: Vec<String> = globs.iter().map(|glob| format!("{glob:?}")).collect();
        let text = format!(
            "schema = 1\nname = \"{name}\"\nversion = \"1\"\nos = \"linux\"\ndescription = \"test\"\n\n[limits]\nwall = \"10m\"\nstored = \"8GiB\"\nplain = \"64GiB\"\n\
             item = \"8GiB\"\nitems = 2_000_000\ncpu_pct = 100\n\n[[step]]\ncollector = \"files\"\nitem = \"8GiB\"\none_filesystem = false\non_larger = \"skip\"\n\
             paths = [{}]\nexclude = []\n",
            paths.join(", ")
        );
        let path = self.path(format!("{name}.toml"));
        fs_err::write(&path, text)?;
        Ok(path)
    }

    /// Collects from one endpoint and waits for the end; returns the collection's row.
    ///
    /// # Errors
    /// When the order fails or nothing was stored.
    pub fn collect(&self, incident: &str, endpoint: &str, profile: &Path) -> Result<Value> {
        run(self
            .exhibit()
            .args([
                "collect",
                "--incident",
                incident,
                "--on",
                endpoint,
                "--purpose",
                "test",
                "--wait",
                "--profile",
            ])
            .arg(profile))?;
        self.last_collection(incident)
    }

    /// The newest collection of an incident.
    ///
    /// # Errors
    /// When there is none.
    pub fn last_collection(&self, incident: &str) -> Result<Value> {
        let list = self.json(&["collection", "list", "--incident", incident])?;
        rows(&list).last().cloned().context("the incident has no collection")
    }

    /// Exports an incident and returns the bundle's folder.
    pub fn export(&self, incident: &str) -> Result<PathBuf> {
        let out = self.path(format!("{incident}.bundle"));
        run(self.exhibit().args(["bundle", "export", incident, "--purpose", "test", "--out"]).arg(&out))?;
        Ok(out)
    }

    /// Writes the responder's pins as a trust directory.
    pub fn trust(&self) -> Result<PathBuf> {
        let dir = self.path("trust");
        if !dir.exists() {
            run(self.exhibit().args(["trust", "export"]).arg(&dir))?;
        }
        Ok(dir)
    }

    /// Verifies a bundle in process.
    pub fn verify(&self, bundle: &Path) -> Result<exhibit_verify::Report> {
        let trust = exhibit_verify::Trust::load(&self.trust()?)?;
        Ok(exhibit_verify::verify(bundle, &trust, &mut |_| {})?)
    }

    /// Everything the collector and the agents said, for failure messages.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for (name, child) in self
            .server
            .iter()
            .map(|child| ("server", child))
            .chain(self.agents.iter().map(|(name, child)| (name.as_str(), child)))
        {
            text.push_str(&format!("--- {name}\n{}\n", child.log()));
        }
        text
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or fails; the message holds all it printed.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = attempt(command)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// Runs a command that may fail.
pub fn attempt(command: &mut Command) -> Result<Output> {
    command.stdin(std::process::Stdio::null()).output().with_context(|| format!("start {command:?}"))
}

/// The rows of an answer: a list, or an object with one list in it.
pub fn rows(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(rows) => rows.clone(),
        Value::Object(fields) => fields.values().find_map(Value::as_array).cloned().unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// A text field of an answer.
pub fn text(value: &Value, field: &str) -> Result<String> {
    value
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no {field} in {value}"))
}

/// A number field of an answer.
pub fn number(value: &Value, field: &str) -> Result<u64> {
    value.get(field).and_then(Value::as_u64).with_context(|| format!("no {field} in {value}"))
}

/// True as root; otherwise prints that the test is skipped, by name.
pub fn is_root(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    println!("SKIPPED {test}: needs root");
    false
}
