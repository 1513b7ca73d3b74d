//! Opens and looks at objects, so that the look and the bytes belong to the same object.
//!
//! Guarantee: a name is one component, opened with `O_PATH | O_NOFOLLOW` (so no FIFO blocks, no device wakes,
//! no automount triggers). Reading starts from that descriptor, never again from the name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use evidence::item::{AtimeMethod, Device, Kind, Stat};
use evidence::time::FileTime;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags, StatxFlags, fstatfs, fstatvfs, major,
    minor, openat, openat2, readlinkat, statat, statx,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{CallError, SelfFds};

/// Identifies an object: which inode of which device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Major device number.
    pub major: u32,
    /// Minor device number.
    pub minor: u32,
    /// Inode number.
    pub ino: u64,
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self { major: stat.dev.major, minor: stat.dev.minor, ino: stat.ino }
    }
}

/// Whether a step may pass a mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossDevice {
    /// It may.
    Allowed,
    /// It may not: `one_filesystem`.
    Refused,
}

/// One look at an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The kind of object.
    pub kind: Kind,
    /// Everything that `statx` reports.
    pub stat: Stat,
    /// Set on the root of an automount that has not been triggered yet, if the kernel reports that.
    pub is_automount: bool,
}

impl Look {
    /// Device and inode.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::from(&self.stat)
    }
}

/// `STATX_ATTR_AUTOMOUNT`.
const ATTR_AUTOMOUNT: u64 = 0x1000;

/// Set once `openat2` has answered ENOSYS (Linux < 5.6) or EPERM (a container's filter that is older than the
/// call).
static OPENAT2_IS_MISSING: AtomicBool = AtomicBool::new(false);

/// Opens the object `name` of `directory` as a place, not for reading. `name` is one component.
///
/// # Errors
/// EINVAL for anything but one component, EXDEV for a refused mount point, otherwise the kernel's answer.
pub fn open_beneath(
    directory: BorrowedFd<'_>,
    name: &[u8],
    cross: CrossDevice,
) -> Result<OwnedFd, CallError> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
        return Err(CallError { op: "openat2", errno: Errno::INVAL });
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !OPENAT2_IS_MISSING.load(Ordering::Relaxed) {
        // NO_SYMLINKS would also refuse the last component, even with NOFOLLOW and PATH. There is no other
        // component.
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if cross == CrossDevice::Refused {
            resolve |= ResolveFlags::NO_XDEV;
        }
        match openat2(directory, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS) => OPENAT2_IS_MISSING.store(true, Ordering::Relaxed),
            // A filter that does not know the call may say EPERM. `openat` below tells the two apart.
            Err(Errno::PERM) => {}
            answer => return answer.map_err(CallError::of("openat2")),
        }
    }
    let fd = openat(directory, name, flags, Mode::empty()).map_err(CallError::of("openat"))?;
    if cross == CrossDevice::Refused && look(fd.as_fd())?.stat.dev != look(directory)?.stat.dev {
        return Err(CallError { op: "openat", errno: Errno::XDEV });
    }
    Ok(fd)
}

/// Looks at an open object.
pub fn look(fd: BorrowedFd<'_>) -> Result<Look, CallError> {
    look_from(fd, b"", AtFlags::EMPTY_PATH)
}

/// Looks at the object that `name` of `directory` means now, without opening it or following a link.
pub fn look_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Look, CallError> {
    look_from(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn look_from(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Look, CallError> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match statx(directory, name, flags | AtFlags::NO_AUTOMOUNT, wanted) {
        Ok(found) => {
            let time =
                |time: rustix::fs::StatxTimestamp| file_time("statx", time.tv_sec, time.tv_nsec.into());
            let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
            let attrs = found.stx_attributes.bits();
            let stat = Stat {
                dev: Device { major: found.stx_dev_major, minor: found.stx_dev_minor },
                ino: found.stx_ino,
                mode: u32::from(found.stx_mode),
                nlink: u64::from(found.stx_nlink),
                uid: found.stx_uid,
                gid: found.stx_gid,
                size: found.stx_size,
                blocks: found.stx_blocks,
                atime: time(found.stx_atime)?,
                mtime: time(found.stx_mtime)?,
                ctime: time(found.stx_ctime)?,
                btime: has_birth.then(|| time(found.stx_btime)).transpose()?,
                attrs,
            };
            Ok(Look { kind: kind_of(stat.mode), stat, is_automount: attrs & ATTR_AUTOMOUNT != 0 })
        }
        Err(Errno::NOSYS) => look_without_statx(directory, name, flags),
        Err(errno) => Err(CallError { op: "statx", errno }),
    }
}

/// A count of `stat`. Its type depends on the architecture, and some types can be negative.
fn count(field: impl TryInto<u64>) -> Result<u64, CallError> {
    field.try_into().or(Err(CallError { op: "newfstatat", errno: Errno::OVERFLOW }))
}

/// The point in time that a file system reports.
///
/// A damaged or forged file system can report a second or more of nanoseconds (ext4 keeps 30 bits, and only
/// newer kernels check them). That is still one point in time, and it must not cost the file: the whole seconds
/// are carried over.
///
/// # Errors
/// EOVERFLOW, as the kernel says it, for a time that no `FileTime` can hold.
fn file_time(op: &'static str, seconds: i64, nanos: u64) -> Result<FileTime, CallError> {
    const NANOS_PER_S: u64 = 1_000_000_000;
    let whole = i64::try_from(nanos / NANOS_PER_S).ok();
    let rest = u32::try_from(nanos % NANOS_PER_S).ok();
    whole
        .and_then(|whole| seconds.checked_add(whole))
        .zip(rest)
        .and_then(|(seconds, rest)| FileTime::new(seconds, rest))
        .ok_or(CallError { op, errno: Errno::OVERFLOW })
}

/// For Linux < 4.11: no birth time, no attributes.
fn look_without_statx(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Look, CallError> {
    let found = statat(directory, name, flags).map_err(CallError::of("newfstatat"))?;
    let time = |seconds: i64, nanos: u64| file_time("newfstatat", seconds, nanos);
    let stat = Stat {
        dev: Device { major: major(found.st_dev), minor: minor(found.st_dev) },
        ino: found.st_ino,
        mode: found.st_mode,
        nlink: count(found.st_nlink)?,
        uid: found.st_uid,
        gid: found.st_gid,
        size: count(found.st_size)?,
        blocks: count(found.st_blocks)?,
        atime: time(found.st_atime, found.st_atime_nsec)?,
        mtime: time(found.st_mtime, found.st_mtime_nsec)?,
        ctime: time(found.st_ctime, found.st_ctime_nsec)?,
        btime: None,
        attrs: 0,
    };
    Ok(Look { kind: kind_of(stat.mode), stat, is_automount: false })
}

/// The kind of object, from the type bits of a mode.
#[must_use]
pub fn kind_of(mode: u32) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Unknown => Kind::Other,
    }
}

/// Opens the object behind an `O_PATH` descriptor for reading, and says how its access time is protected. The
/// caller has looked at the object and passes only regular files and directories, so the open neither blocks
/// nor wakes anything.
///
/// `view` is [`AtimeMethod::RoView`] if the descriptor came from a read-only, noatime view of the mounts. The
/// reopened file inherits that mount and needs no flag of its own.
pub fn reopen(
    fds: &SelfFds,
    object: BorrowedFd<'_>,
    view: AtimeMethod,
    is_directory: bool,
) -> Result<(OwnedFd, AtimeMethod), CallError> {
    let name = SelfFds::name(object);
    let name = name.as_c_str();
    // NONBLOCK and NOCTTY: if the object is ever not the one that was looked at, the open does not wait and
    // acquires no terminal.
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if is_directory {
        flags |= OFlags::DIRECTORY;
    }
    let plain = || openat(fds.directory(), name, flags, Mode::empty()).map_err(CallError::of("openat"));
    if view == AtimeMethod::RoView {
        return Ok((plain()?, AtimeMethod::RoView));
    }
    match openat(fds.directory(), name, flags | OFlags::NOATIME, Mode::empty()) {
        Ok(fd) => Ok((fd, AtimeMethod::Noatime)),
        // O_NOATIME is only for owners and CAP_FOWNER. The read is worth more than the access time, and the
        // change is recorded.
        Err(Errno::PERM) => {
            let fd = plain()?;
            let method = if is_read_only(fd.as_fd()) { AtimeMethod::RoView } else { AtimeMethod::None };
            Ok((fd, method))
        }
        Err(errno) => Err(CallError { op: "openat", errno }),
    }
}

/// Whether the mount that an object was opened on is read-only, as it is under the service's unit. Access
/// times then stay, as in a view of our own.
fn is_read_only(fd: BorrowedFd<'_>) -> bool {
    fstatvfs(fd).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Opens the object behind a magic link of `/proc/PID` (`exe`) as a place. It follows exactly that link.
pub fn open_magic(process: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, CallError> {
    openat(process, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(CallError::of("openat"))
}

/// Opens the object that [`open_magic`] holds for reading. The object lives on the process's own mounts, not
/// on our view, so only `O_NOATIME` can protect it.
pub fn reopen_magic(fds: &SelfFds, object: BorrowedFd<'_>) -> Result<(OwnedFd, AtimeMethod), CallError> {
    reopen(fds, object, AtimeMethod::None, false)
}

/// The text of the symbolic link behind an `O_PATH` descriptor.
pub fn read_link(link: BorrowedFd<'_>) -> Result<Vec<u8>, CallError> {
    read_link_at(link, b"")
}

/// The text of the symbolic link `name` in `directory`.
pub fn read_link_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, CallError> {
    let text = readlinkat(directory, name, Vec::new()).map_err(CallError::of("readlinkat"))?;
    Ok(text.into_bytes())
}

/// The kind of file system that an object lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsKind {
    /// Bytes on this machine's media or memory.
    Local,
    /// The kernel makes up the bytes from live state, and lengths are wrong: proc, sysfs and similar.
    Pseudo(&'static str),
    /// Another machine or another process supplies the bytes, and may never answer.
    Remote(&'static str),
}

/// Magic numbers of `statfs(2)` that are not [`FsKind::Local`].
const FOREIGN: &[(u64, FsKind)] = &[
    (0x9fa0, FsKind::Pseudo("proc")),
    (0x6265_6572, FsKind::Pseudo("sysfs")),
    (0x6462_6720, FsKind::Pseudo("debugfs")),
    (0x7472_6163, FsKind::Pseudo("tracefs")),
    (0x7363_6673, FsKind::Pseudo("securityfs")),
    (0x6265_6570, FsKind::Pseudo("configfs")),
    (0x0027_e0eb, FsKind::Pseudo("cgroup")),
    (0x6367_7270, FsKind::Pseudo("cgroup2")),
    (0xcafe_4a11, FsKind::Pseudo("bpf")),
    (0x1980_0202, FsKind::Pseudo("mqueue")),
    (0xde5e_81e4, FsKind::Pseudo("efivarfs")),
    (0xf97c_ff8c, FsKind::Pseudo("selinuxfs")),
    (0x4249_4e4d, FsKind::Pseudo("binfmt_misc")),
    (0x6165_676c, FsKind::Pseudo("pstore")),
    (0x1cd1, FsKind::Pseudo("devpts")),
    (0x6e73_6673, FsKind::Pseudo("nsfs")),
    (0x6759_6969, FsKind::Pseudo("rpc_pipefs")),
    (0x0187, FsKind::Remote("autofs")),
    (0x6969, FsKind::Remote("nfs")),
    (0x517b, FsKind::Remote("smb")),
    (0xff53_4d42, FsKind::Remote("cifs")),
    (0xfe53_4d42, FsKind::Remote("smb2")),
    (0x6573_5546, FsKind::Remote("fuse")),
    (0x5346_414f, FsKind::Remote("afs")),
    (0x00c3_6400, FsKind::Remote("ceph")),
    (0x0102_1997, FsKind::Remote("9p")),
    (0x7375_7245, FsKind::Remote("coda")),
    (0x564c, FsKind::Remote("ncp")),
    (0x0bd0_0bd0, FsKind::Remote("lustre")),
    (0x0116_1970, FsKind::Remote("gfs2")),
    (0x7461_636f, FsKind::Remote("ocfs2")),
];

/// The kind of file system behind an open object. An unknown number counts as local: a file system that is
/// not in the table is read like a disk, under the item's deadline.
pub fn fs_kind(fd: BorrowedFd<'_>) -> Result<FsKind, CallError> {
    let found = fstatfs(fd).map_err(CallError::of("fstatfs"))?;
    Ok(kind_of_fs(found.f_type.into()))
}

/// The magic is the low 32 bits of a word. Its sign depends on the architecture, and 128 bits hold either.
fn kind_of_fs(word: i128) -> FsKind {
    let magic = word & 0xffff_ffff;
    let known = FOREIGN.iter().find(|(number, _)| i128::from(*number) == magic);
    known.map_or(FsKind::Local, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_too_many_nanoseconds_is_carried_over_and_one_without_an_end_is_an_error() {
        let time = |seconds, nanos| file_time("statx", seconds, nanos);
        assert_eq!(time(-2, 500_000_000).unwrap(), FileTime::new(-2, 500_000_000).unwrap());
        // The most that the 30 bits of ext4 hold.
        assert_eq!(time(5, (1 << 30) - 1).unwrap(), FileTime::new(6, 73_741_823).unwrap());
        assert_eq!(time(-1, 1_000_000_000).unwrap(), FileTime::new(0, 0).unwrap());
        for (seconds, nanos) in [(i64::MAX, 1_000_000_000), (i64::MAX - 1, 2_000_000_000)] {
            let error = time(seconds, nanos).unwrap_err();
            assert_eq!((error.op, error.errno), ("statx", Errno::OVERFLOW));
        }
    }

    #[test]
    fn a_negative_count_of_the_kernel_is_an_error_and_no_zero() {
        assert_eq!(count(7_i64).unwrap(), 7);
        assert_eq!(count(-1_i64).unwrap_err().errno, Errno::OVERFLOW);
    }

    #[test]
    fn the_kind_of_a_file_system_does_not_depend_on_the_sign_of_its_number() {
        let cifs = 0xff53_4d42_u32;
        for word in [i128::from(cifs), i128::from(cifs.cast_signed())] {
            assert_eq!(kind_of_fs(word), FsKind::Remote("cifs"));
        }
        assert_eq!(kind_of_fs(0xef53), FsKind::Local);
    }

    #[test]
    fn both_ways_to_look_at_an_object_say_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let new = look(file.as_file().as_fd()).unwrap().stat;
        let old = look_without_statx(file.as_file().as_fd(), b"", AtFlags::EMPTY_PATH).unwrap().stat;
        assert_eq!(Stat { btime: None, attrs: 0, ..new }, old);
    }
}
