//! A disk that forgets: [`FaultDisk::crash`] drops what was not flushed, and any operation can be made to fail. Tests only.
//! Why: `kill -9` proves nothing about fsync, because the page cache survives it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::directory::disk::{Disk, DiskFile};

/// How the chosen operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing.
    Failed,
    /// It reports a failure but takes effect.
    FailedButTookEffect,
    /// The power fails before it: this operation and every later one fail.
    PowerCut,
    /// There is no room.
    Full,
}

/// What happens to unflushed bytes and names at a crash. Real disks lie between the two cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unflushed {
    /// They happened to reach the disk.
    Kept,
    /// They are gone.
    Lost,
}

/// A file system in memory with a durable and a volatile half. Clones share it.
#[derive(Clone)]
pub struct FaultDisk(Arc<Mutex<State>>);

struct State {
    nodes: Vec<Node>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    dead: bool,
    log: Vec<String>,
    device: String,
}

enum Node {
    Directory { live: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
    File { live: Vec<u8>, durable: Vec<u8> },
}

impl Default for FaultDisk {
    fn default() -> Self {
        Self::new("device 1:1")
    }
}

impl FaultDisk {
    /// An empty disk on the device with that name.
    pub fn new(device: &str) -> Self {
        let root = Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() };
        Self(Arc::new(Mutex::new(State {
            nodes: vec![root],
            operations: 0,
            fault: None,
            dead: false,
            log: Vec::new(),
            device: device.to_owned(),
        })))
    }

    /// Makes a later writing operation fail: the one that is `n` writes away (0 is the next). Reads do not
    /// count.
    pub fn fail_after(&self, operations: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.operations + operations, fault));
    }

    /// Disarms any fault.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Number of writing operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The writing operations so far, with name and path.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Cuts the power and restores it. Only flushed bytes and names remain; open files are dead.
    pub fn crash(&self, unflushed: Unflushed) {
        let mut state = self.state();
        for node in &mut state.nodes {
            match (node, unflushed) {
                (Node::Directory { live, durable }, Unflushed::Lost) => live.clone_from(durable),
                (Node::Directory { live, durable }, Unflushed::Kept) => durable.clone_from(live),
                (Node::File { live, durable }, Unflushed::Lost) => live.clone_from(durable),
                (Node::File { live, durable }, Unflushed::Kept) => durable.clone_from(live),
            }
        }
        state.dead = false;
        state.fault = None;
    }

    /// Overwrites a file's bytes without the store's knowledge: silent damage.
    pub fn damage(&self, path: &str, bytes: &[u8]) {
        let mut state = self.state();
        if let Ok(at) = state.find(path)
            && let Some(Node::File { live, durable }) = state.nodes.get_mut(at)
        {
            *live = bytes.to_vec();
            *durable = bytes.to_vec();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a writing operation, unless it is the one that must fail.
    fn operate<T>(
        &self,
        name: &str,
        path: &str,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.dead {
            return Err(io::Error::other("no power"));
        }
        let number = state.operations;
        state.operations += 1;
        let shown = if path.starts_with("tmp/") { "tmp/*" } else { path };
        let line = format!("{name} {shown}");
        state.log.push(line);
        match state.fault {
            Some((at, fault)) if at == number => {
                state.fault = None;
                match fault {
                    Fault::Failed => Err(io::Error::other("injected failure")),
                    Fault::Full => Err(io::ErrorKind::StorageFull.into()),
                    Fault::FailedButTookEffect => {
                        act(&mut state)?;
                        Err(io::Error::other("injected failure, but it took effect"))
                    }
                    Fault::PowerCut => {
                        state.dead = true;
                        Err(io::Error::other("no power"))
                    }
                }
            }
            _ => act(&mut state),
        }
    }
}

impl State {
    fn find(&self, path: &str) -> io::Result<usize> {
        let mut at = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.nodes.get(at) {
                Some(Node::Directory { live, .. }) => {
                    at = *live.get(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                }
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
        }
        Ok(at)
    }

    fn names(&mut self, path: &str) -> io::Result<&mut BTreeMap<String, usize>> {
        let at = self.find(path)?;
        match self.nodes.get_mut(at) {
            Some(Node::Directory { live, .. }) => Ok(live),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Adds a name for a node. Fails if the name exists.
    fn name(&mut self, path: &str, node: usize) -> io::Result<()> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = self.names(parent)?;
        if names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name.to_owned(), node);
        Ok(())
    }

    fn take_name(&mut self, path: &str) -> io::Result<usize> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.names(parent)?.remove(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<usize> {
        let at = self.nodes.len();
        self.name(path, at)?;
        self.nodes.push(node);
        Ok(at)
    }
}

impl Disk for FaultDisk {
    type File = FaultFile;

    fn create_new(&self, path: &str) -> io::Result<FaultFile> {
        let node = self.operate("create", path, |state| {
            state.add(path, Node::File { live: Vec::new(), durable: Vec::new() })
        })?;
        Ok(FaultFile { disk: self.clone(), node })
    }

    fn open(&self, path: &str) -> io::Result<FaultFile> {
        let node = self.state().find(path)?;
        Ok(FaultFile { disk: self.clone(), node })
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        self.operate("mkdir", path, |state| {
            state.add(path, Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() }).map(drop)
        })
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.operate("fsync-directory", path, |state| {
            let at = state.find(path)?;
            match state.nodes.get_mut(at) {
                Some(Node::Directory { live, durable }) => durable.clone_from(live),
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate("link", to, |state| {
            let node = state.find(from)?;
            state.name(to, node)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate("rename", to, |state| {
            let node = state.take_name(from)?;
            drop(state.take_name(to));
            state.name(to, node)
        })
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        self.operate("unlink", path, |state| state.take_name(path).map(drop))
    }

    fn list(&self, path: &str) -> io::Result<Vec<(String, bool)>> {
        let mut state = self.state();
        let names = state.names(path)?.clone();
        let is_directory = |at: &usize| matches!(state.nodes.get(*at), Some(Node::Directory { .. }));
        Ok(names.iter().map(|(name, at)| (name.clone(), is_directory(at))).collect())
    }

    fn device(&self) -> String {
        self.state().device.clone()
    }
}

/// An open file of a [`FaultDisk`].
pub struct FaultFile {
    disk: FaultDisk,
    node: usize,
}

impl DiskFile for FaultFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.operate("write", "", |state| match state.nodes.get_mut(self.node) {
            Some(Node::File { live, .. }) => {
                live.extend(bytes);
                Ok(())
            }
            _ => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.operate("fsync-file", "", |state| match state.nodes.get_mut(self.node) {
            Some(Node::File { live, durable }) => {
                durable.clone_from(live);
                Ok(())
            }
            _ => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let Some(Node::File { live, .. }) = state.nodes.get(self.node) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let rest = usize::try_from(offset).ok().and_then(|from| live.get(from..));
        let rest = rest.unwrap_or_default(); // nothing lies behind the end
        let length = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(length)
    }

    fn length(&self) -> io::Result<u64> {
        match self.disk.state().nodes.get(self.node) {
            Some(Node::File { live, .. }) => u64::try_from(live.len()).map_err(io::Error::other),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}
