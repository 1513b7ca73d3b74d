//! Folders to collect.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::run;

use crate::field::Random;

/// Bytes of one unit of text: what repeats in it and what does not decide that zstd level 1 makes about 1/15 of it.
const UNIT: usize = 1024;
const NOISE: usize = 46;

/// `len` bytes of what logs are like.
pub fn text(len: usize, random: &mut Random) -> Vec<u8> {
    let line = b"2026-11-21T10:00:00.000Z web-03 sshd[4711]: Accepted publickey for alice from 192.0.2.7 port 50022 ssh2\n";
    let pattern: Vec<u8> = line.iter().copied().cycle().take(UNIT).collect();
    let mut bytes = Vec::with_capacity(len + UNIT);
    while bytes.len() < len {
        let at = bytes.len();
        bytes.extend_from_slice(&pattern);
        random.fill(&mut bytes[at..at + NOISE]);
    }
    bytes.truncate(len);
    bytes
}

/// One large file, many small ones, and what else a folder may hold; about `mib` MiB. Returns plain bytes.
pub fn mixed(dir: &Path, mib: usize, random: &mut Random) -> u64 {
    fs_err::create_dir_all(dir).unwrap();
    let mut plain = 0;
    let chunk = text(4 << 20, random);
    let large = fs_err::File::create(dir.join("large.log")).unwrap();
    let large_len = mib * 7 / 10 / 4;
    for number in 0..large_len {
        let at = u64::try_from(number * chunk.len()).unwrap();
        // Rotated, so that no two chunks are the same.
        let (behind, before) = chunk.split_at((number * 4099) % chunk.len());
        large.file().write_all_at(before, at).unwrap();
        large.file().write_all_at(behind, at + u64::try_from(before.len()).unwrap()).unwrap();
        plain += u64::try_from(chunk.len()).unwrap();
    }
    let small = mib * 3 / 10 * (1 << 20) / 2000;
    for number in 0..2000 {
        let folder = dir.join(format!("small/{:02}", number % 40));
        if number < 40 {
            fs_err::create_dir_all(&folder).unwrap();
        }
        let len = usize::try_from(random.below(u64::try_from(2 * small).unwrap())).unwrap();
        let at = usize::try_from(random.below(u64::try_from(chunk.len() - len).unwrap())).unwrap();
        fs_err::write(folder.join(format!("{number}.log")), &chunk[at..at + len]).unwrap();
        plain += u64::try_from(len).unwrap();
    }
    let sparse = fs_err::File::create(dir.join("sparse.img")).unwrap();
    sparse.set_len(256 << 20).unwrap();
    sparse.file().write_all_at(b"islands", 100 << 20).unwrap();
    fs_err::hard_link(dir.join("large.log"), dir.join("small/hard.log")).unwrap();
    std::os::unix::fs::symlink("large.log", dir.join("link")).unwrap();
    run(Command::new("mkfifo").arg(dir.join("fifo"))).unwrap();
    plain
}

/// One file of `mib` MiB that does not compress: about `mib / 8` segments.
pub fn noise(dir: &Path, mib: usize, random: &mut Random) -> PathBuf {
    fs_err::create_dir_all(dir).unwrap();
    let path = dir.join("noise.bin");
    let mut bytes = vec![0; mib << 20];
    random.fill(&mut bytes);
    fs_err::write(&path, &bytes).unwrap();
    path
}
