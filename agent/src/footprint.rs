//! Counts what a collection changed, or may have changed, on the endpoint: the manifest's `footprint`.
//! Guarantee: it counts every access time that the reader could not protect. Not here: judging whether it matters.

use std::collections::BTreeMap;

use evidence::item::{AtimeMethod, Kind};

/// Counts what was read, by how its access time was protected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    unprotected: BTreeMap<&'static str, u64>,
    noatime: u64,
}

impl Footprint {
    /// Counts one object that was read.
    pub fn count(&mut self, kind: Kind, method: AtimeMethod) {
        match method {
            AtimeMethod::RoView => {}
            AtimeMethod::Noatime => self.noatime += 1,
            AtimeMethod::None => *self.unprotected.entry(name(kind)).or_default() += 1,
        }
    }

    /// Sentences for the manifest. `view_refused` says why there was no read-only view of the mounts, if
    /// there was none.
    #[must_use]
    pub fn lines(&self, view_refused: Option<&str>) -> Vec<String> {
        let mut lines = vec![
            "processes of the agent ran: memory, CPU time, page cache and process ids were used".to_owned(),
            "the agent's state directory was written".to_owned(),
            "the agent's own program, its libraries, /etc/passwd and policy.toml were read as any program reads them".to_owned(),
        ];
        if let Some(why) = view_refused {
            lines.push(format!("no read-only view of the mounts ({why}): directories listed and links read may have new access times"));
        }
        if self.noatime > 0 {
            lines.push(format!("{} files were opened with O_NOATIME on mounts as they are", self.noatime));
        }
        for (kind, count) in &self.unprotected {
            lines.push(format!("access times of {count} {kind} could not be protected"));
        }
        lines
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dir => "directories",
        Kind::Symlink => "symbolic links",
        _ => "files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unprotected_read_is_told() {
        let mut footprint = Footprint::default();
        assert_eq!(footprint.lines(None).len(), 3);
        footprint.count(Kind::File, AtimeMethod::RoView);
        footprint.count(Kind::File, AtimeMethod::None);
        footprint.count(Kind::Symlink, AtimeMethod::None);
        footprint.count(Kind::File, AtimeMethod::Noatime);
        let lines = footprint.lines(Some("open_tree failed")).join("\n");
        assert!(
            lines.contains("1 files could")
                && lines.contains("1 symbolic links")
                && lines.contains("open_tree")
        );
    }
}
