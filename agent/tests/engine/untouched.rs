//! The source is not touched: no access time of file, directory or link moves, on mounts where every read moves it.

use fs_err as fs;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use evidence::item::AtimeMethod;
use tempfile::TempDir;

use crate::bench::{Plan, is_root, must};

type Times = BTreeMap<String, (i64, i64, i64, i64, i64, i64)>;

/// All times of a tree. Looking moves none, but listing would: the names are known.
fn times(root: &Path, names: &[&str]) -> Times {
    let of = |name: &&str| {
        let stat = fs::symlink_metadata(root.join(name)).unwrap();
        let times = (
            stat.atime(),
            stat.atime_nsec(),
            stat.mtime(),
            stat.mtime_nsec(),
            stat.ctime(),
            stat.ctime_nsec(),
        );
        ((*name).to_owned(), times)
    };
    names.iter().map(of).collect()
}

fn on_mount(options: &str) {
    let mount = TempDir::new().unwrap();
    must(&format!("mount {options} '{}'", mount.path().display()));
    let names = ["", "dir", "dir/file", "dir/link", "dir/pipe"];
    let tried = std::panic::catch_unwind(|| {
        fs::create_dir(mount.path().join("dir")).unwrap();
        fs::write(mount.path().join("dir/file"), vec![7_u8; 2 << 20]).unwrap();
        symlink("file", mount.path().join("dir/link")).unwrap();
        must(&format!("mkfifo '{}'", mount.path().join("dir/pipe").display()));
        must(&format!(
            "find '{0}' -exec touch -h -d 2020-01-01 {{}} +; find '{0}' -exec touch -h -d 2020-01-01 {{}} +; sync",
            mount.path().display()
        ));
        // `find` itself listed: set the directories once more, without listing.
        must(&format!("touch -d 2020-01-01 '{0}' '{0}/dir'", mount.path().display()));
        let before = times(mount.path(), &names);
        let run = Plan { is_viewed: true, ..Plan::files(mount.path(), &["/**"]) }.run();
        let after = times(mount.path(), &names);
        assert_eq!(run.one("/dir/file").atime_method, Some(AtimeMethod::RoView));
        assert_eq!(run.one("/dir/link").atime_method, Some(AtimeMethod::RoView));
        assert_eq!(run.content(run.one("/dir/file")).len(), 2 << 20);
        assert_eq!(before, after, "the collection moved a time");
        // Control: the same reads by ordinary tools are seen by this test.
        must(&format!(
            "cat '{0}/dir/file' > /dev/null; ls '{0}/dir'; readlink '{0}/dir/link'",
            mount.path().display()
        ));
        let naive = times(mount.path(), &names);
        for name in ["dir", "dir/file", "dir/link"] {
            assert_ne!(
                before[name], naive[name],
                "{name}: this mount does not show reads, so it proves nothing"
            );
        }
    });
    must(&format!("umount '{}'", mount.path().display()));
    tried.unwrap();
}

#[test]
fn no_access_time_moves_on_a_strictatime_tmpfs() {
    if is_root("no_access_time_moves_on_a_strictatime_tmpfs") {
        on_mount("-t tmpfs -o strictatime none");
    }
}

#[test]
fn no_access_time_moves_on_a_strictatime_ext4() {
    if !is_root("no_access_time_moves_on_a_strictatime_ext4") {
        return;
    }
    let image = tempfile::NamedTempFile::new().unwrap();
    must(&format!("truncate -s 32M '{0}' && mkfs.ext4 -q '{0}'", image.path().display()));
    on_mount(&format!("-o loop,strictatime '{}'", image.path().display()));
}

#[test]
fn without_a_view_files_are_opened_with_noatime_and_links_are_told() {
    if !is_root("without_a_view_files_are_opened_with_noatime_and_links_are_told") {
        return;
    }
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "x").unwrap();
    symlink("file", root.path().join("link")).unwrap();
    let run = Plan::files(root.path(), &["/**"]).run();
    assert_eq!(run.one("/file").atime_method, Some(AtimeMethod::Noatime));
    assert_eq!(run.one("/link").atime_method, Some(AtimeMethod::None));
    let lines = run.summary.footprint.lines(Some("open_tree failed: EPERM")).join("\n");
    assert!(
        lines.contains("1 files were opened with O_NOATIME") && lines.contains("1 symbolic links"),
        "{lines}"
    );
}
