//! Several writers of one file, and what stands beside it afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_created_once_and_replaced_whole() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    durable::create(&path, b"first", 0o600).unwrap();
    let refused = durable::create(&path, b"second", 0o600).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    assert_eq!(durable::read_at_most(&path, 5).unwrap().unwrap(), b"first");
    durable::replace(&path, b"third", 0o640).unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), b"third");
    assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(names(place.path()), ["file"]);
    let refused = durable::read_at_most(&path, 4).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData);
    durable::rename(&path, &place.path().join("other")).unwrap();
    assert_eq!(names(place.path()), ["other"]);
    durable::remove(&place.path().join("other")).unwrap();
    durable::remove(&place.path().join("other")).unwrap();
    assert!(durable::read_at_most(&path, 4).unwrap().is_none());
}

#[test]
fn a_file_of_a_new_folder_is_written_once_and_never_through_a_link() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    durable::write_in_new_folder(&path, b"first", 0o640).unwrap();
    assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(names(place.path()), ["file"], "nothing beside it");
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.path().join("elsewhere"), &link).unwrap();
    for taken in [&path, &link] {
        let refused = durable::write_in_new_folder(taken, b"second", 0o640).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(refused.to_string().contains(taken.to_str().unwrap()), "{refused}");
    }
    assert_eq!(fs_err::read(&path).unwrap(), b"first");
    assert!(!place.path().join("elsewhere").exists());
}

#[test]
fn what_a_dead_writer_left_is_used_up() {
    let place = tempfile::tempdir().unwrap();
    let left = place.path().join(".file.next");
    type Act = fn(&Path, &[u8], u32) -> std::io::Result<()>;
    for (name, act) in [("create", durable::create as Act), ("replace", durable::replace)] {
        fs_err::write(&left, "much longer than what comes now").unwrap();
        let path = place.path().join("file");
        act(&path, name.as_bytes(), 0o600).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), name.as_bytes());
        assert_eq!(names(place.path()), ["file"]);
    }
    // A crash between `link` and `unlink`: the second name must not be written through.
    fs_err::hard_link(place.path().join("file"), &left).unwrap();
    assert!(durable::create(&place.path().join("file"), b"other", 0o600).is_err());
    assert_eq!(fs_err::read(place.path().join("file")).unwrap(), b"replace");
    // A link under the name would lead the bytes elsewhere.
    let elsewhere = place.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &left).unwrap();
    assert!(durable::replace(&place.path().join("file"), b"secret", 0o600).is_err());
    assert!(!elsewhere.exists());
}

#[test]
fn a_left_over_that_others_may_read_never_gets_the_new_content() {
    let place = tempfile::tempdir().unwrap();
    let (path, left) = (place.path().join("key"), place.path().join(".key.next"));
    type Act = fn(&Path, &[u8], u32) -> std::io::Result<()>;
    for act in [durable::create as Act, durable::replace] {
        fs_err::write(&left, "left").unwrap();
        fs_err::set_permissions(&left, std::fs::Permissions::from_mode(0o666)).unwrap();
        let held_open = fs_err::File::open(&left).unwrap();
        act(&path, b"secret", 0o600).unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::io::read_to_string(held_open).unwrap(), "left", "who held it open reads the secret");
        assert_eq!(names(place.path()), ["key"]);
    }
}

#[test]
fn writers_of_one_file_take_turns_and_no_reader_sees_a_piece() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let bytes = |writer: u8| vec![writer; 3000];
    durable::create(&path, &bytes(0), 0o600).unwrap();
    std::thread::scope(|scope| {
        for writer in 1..=4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..25 {
                    durable::replace(path, &bytes(writer), 0o600).unwrap();
                    let seen = fs_err::read(path).unwrap();
                    assert!(seen.len() == 3000 && seen.iter().all(|byte| *byte == seen[0]));
                }
            });
        }
    });
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let new = place.path().join("new");
        let creators: Vec<_> = (0..4)
            .map(|writer| {
                let new = new.clone();
                scope.spawn(move || durable::create(&new, &bytes(writer), 0o600).is_ok())
            })
            .collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|created| **created).count(), 1, "one of them made it");
    let mut names = names(place.path());
    names.sort();
    assert_eq!(names, ["file", "new"]);
}
