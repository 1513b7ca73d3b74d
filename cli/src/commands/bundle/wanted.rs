//! The items that a person wants to hand over, and the check that the collector sent exactly these.
//! Guarantee: a wrong selector fails before the collector is asked. An item that no selector chose is never signed.
//! Not here: whether the items are true (`exhibit-verify` judges the whole folder).

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use evidence::bundle::Sums;
use evidence::bundle::production::{ITEMS_MAX, ItemFile, SELECTORS_MAX, Selection, Selector};
use evidence::item::{ItemRecord, Stage};

use super::ExportArgs;
use crate::failure::{because, could_not, failed, usage};
use crate::output::shown;

/// The selectors, as typed and as parsed. Without any, the whole incident is meant.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// As typed.
    pub texts: Vec<Vec<u8>>,
    selectors: Vec<Selector>,
}

impl Wanted {
    /// The selectors of the command line and of the list.
    pub(super) fn of(args: &ExportArgs) -> anyhow::Result<Self> {
        let mut texts: Vec<Vec<u8>> = args.only.iter().map(|text| text.as_bytes().to_vec()).collect();
        if let Some(path) = &args.from_file {
            let list = fs_err::read(path)
                .map_err(|cause| could_not(cause.to_string(), "give a file with one selector a line"))?;
            let lines = list.split(|byte| *byte == b'\n');
            texts
                .extend(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec));
            if texts.is_empty() {
                return Err(usage(
                    format!("{} has no selector", path.display()),
                    "write one a line, or leave --from-file out to export the whole incident",
                ));
            }
        }
        Self::parse(texts)
    }

    fn parse(texts: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        if texts.len() > SELECTORS_MAX {
            return Err(usage(
                format!("{} selectors are more than {SELECTORS_MAX}", texts.len()),
                "use patterns such as '/var/log/**', or export the whole incident",
            ));
        }
        let parse = |text: &Vec<u8>| {
            Selector::parse(text).map_err(|cause| {
                usage(
                    format!("{}: {}", shown(&String::from_utf8_lossy(text)), because(&cause)),
                    "write COLLECTION:NUMBER, COLLECTION:/path or /path; * ? and ** are wildcards",
                )
            })
        };
        let selectors = texts.iter().map(parse).collect::<anyhow::Result<_>>()?;
        Ok(Self { texts, selectors })
    }

    /// Compares the items that came with the selectors.
    pub(super) fn check(&self, dir: &Path, sums: &Sums) -> anyhow::Result<Selection> {
        let odd = |why: String| failed(why, "nothing was signed; tell the operator");
        let mut selection = Selection::new();
        let mut used = vec![false; self.selectors.len()];
        for (name, _) in sums.iter().filter(|(name, _)| name.starts_with("evidence/")) {
            if !self.selectors.is_empty() && (name.contains("/seals/") || name.ends_with(".zst")) {
                return Err(odd(format!(
                    "the collector sent {name}, which shows items that were not chosen"
                )));
            }
            let Some((folder, file)) = name.split_once("/items/") else {
                continue;
            };
            let Some(digits) = file.strip_suffix(".record") else {
                continue;
            };
            let line = fs_err::read(dir.join(name))?;
            let record = ItemRecord::parse_line(&line, Stage::Final)
                .map_err(|cause| odd(format!("{name}: {}", because(&cause))))?;
            let collection = folder.trim_start_matches("evidence/").parse();
            let collection = collection.map_err(|cause| odd(format!("{name}: {}", because(&cause))))?;
            if digits.parse() != Ok(record.n) || ItemFile::Record.name(&collection, record.n) != name {
                return Err(odd(format!("{name} is the record of item {}", record.n)));
            }
            let mut is_wanted = false;
            for (selector, used) in self.selectors.iter().zip(&mut used) {
                if selector.chooses(&collection, record.n, &record.path.0) {
                    (is_wanted, *used) = (true, true);
                }
            }
            if !is_wanted {
                return Err(odd(format!("the collector sent item {}, which was not chosen", record.n)));
            }
            selection.insert(collection, record.n);
        }
        if selection.len() > ITEMS_MAX {
            return Err(odd(format!("the collector sent more than {ITEMS_MAX} items")));
        }
        let unused = self.texts.iter().zip(used).find(|(_, used)| !used);
        if let Some((text, _)) = unused {
            return Err(odd(format!(
                "the collector sent no item for {}",
                shown(&String::from_utf8_lossy(text))
            )));
        }
        Ok(selection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::digest::Digest;
    use evidence::item::Kind;
    use evidence::item::outcome::Outcome;
    use evidence::time::FileTime;

    fn wanted(texts: &[&[u8]]) -> anyhow::Result<Wanted> {
        Wanted::parse(texts.iter().map(|text| text.to_vec()).collect())
    }

    fn sent(dir: &Path, items: &[(u64, &[u8])]) -> Sums {
        let mut sums = Sums::new();
        for (n, path) in items {
            let mut record = ItemRecord::new("files", Kind::File, *path, FileTime::new(0, 0).unwrap());
            record.n = *n;
            record.outcome = Outcome::Denied;
            let name = ItemFile::Record.name(&Digest([0xab; 32]), *n);
            fs_err::create_dir_all(dir.join(&name).parent().unwrap()).unwrap();
            let line = record.to_line().unwrap();
            fs_err::write(dir.join(&name), &line).unwrap();
            sums.insert(&name, Digest::of(&line)).unwrap();
        }
        sums
    }

    #[test]
    fn only_what_was_chosen_is_taken_and_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let sums = sent(dir.path(), &[(1, b"/etc/a"), (7, b"/tmp/caf\xe9")]);
        let taken = |texts: &[&[u8]]| wanted(texts).unwrap().check(dir.path(), &sums);
        assert_eq!(taken(&[b"/etc/*", b"/tmp/caf\xe9"]).unwrap().len(), 2);
        assert_eq!(taken(&[b"abababab:1", b"abababab:#7"]).unwrap().len(), 2);
        for texts in [
            &[b"/etc/*".as_slice()][..],
            &[b"/etc/*", b"cdcdcdcd:/tmp/**"],
            &[b"/etc/*", b"/tmp/*", b"/usr/*"],
            &[],
        ] {
            assert!(taken(texts).is_err(), "{texts:?}");
        }
        let none = wanted(&[]).unwrap().check(dir.path(), &sent(dir.path(), &[]));
        assert!(none.unwrap().is_empty());
    }

    #[test]
    fn a_mistake_in_a_selector_is_said_before_anything_is_asked() {
        for texts in [&[b"etc".as_slice()][..], &[b"/etc", b"abab:1"], &[b"/[ab]"], &[b""]] {
            let failure = wanted(texts).unwrap_err().downcast::<crate::failure::Failure>().unwrap();
            assert_eq!(failure.exit, crate::failure::Exit::Usage);
            assert!(!failure.next.is_empty());
        }
        assert!(Wanted::parse(vec![b"/x".to_vec(); SELECTORS_MAX + 1]).is_err());
    }
}
