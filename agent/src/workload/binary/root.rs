//! Files as another process names them.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags},
    io::Errno,
};

/// What tells a file, in this state, from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    device: (u32, u32),
    inode: u64,
    pub length: u64,
    modified: (i64, u32),
    born: (i64, u32),
    mode: u16,
}

impl FileKey {
    /// Of the file behind a descriptor, or of a path, which is followed. Takes what is known of a file
    /// on the network, without asking its server.
    pub fn of(at: BorrowedFd<'_>, path: &str) -> Option<Self> {
        let mut flags = AtFlags::STATX_DONT_SYNC;
        if path.is_empty() {
            flags |= AtFlags::EMPTY_PATH;
        }
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let stat = rustix::fs::statx(at, path, flags, wanted).ok()?;
        Some(Self {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            length: stat.stx_size,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            born: (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
            mode: stat.stx_mode,
        })
    }

    /// Whether it is an ordinary file, which opening or reading does nothing to.
    pub fn is_regular(&self) -> bool {
        FileType::from_raw_mode(self.mode.into()) == FileType::RegularFile
    }

    /// Whether it is the same file, unless it was copied up within a container's file system.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, self.length, self.modified)
            == (other.device, other.inode, other.length, other.modified)
    }

    /// Files of one image in several containers have all but the device in common.
    pub fn without_device(mut self) -> Self {
        self.device = (0, 0);
        self
    }
}

/// The root directory of a process. Paths are resolved below it as the process would, links included:
/// what a container puts into its own file system never leads out of it.
pub struct Root(OwnedFd);

impl Root {
    /// Of a living process.
    pub fn of(tgid: u32) -> Option<Self> {
        Self::open(&format!("/proc/{tgid}/root"))
    }

    /// At a path of our own.
    pub fn open(path: &str) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).ok().map(Self)
    }

    /// A file or directory, not opened for anything.
    fn find(&self, path: &Path) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Some(fd),
            // Before Linux 5.6, and where a filter of system calls does not know this one.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path),
            Err(_) => None,
        }
    }

    /// As [`Self::find`], for paths without links only.
    fn walk(&self, path: &Path) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = self.0.try_clone().ok()?;
        for part in path.components() {
            match part {
                Component::Normal(name) => {
                    at = rustix::fs::openat(&at, name, flags, Mode::empty()).ok()?;
                    let stat = rustix::fs::fstat(&at).ok()?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                        return None;
                    }
                }
                Component::ParentDir => return None,
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Some(at)
    }

    /// What is at a path now.
    pub fn key(&self, path: impl AsRef<Path>) -> Option<FileKey> {
        use std::os::fd::AsFd as _;
        FileKey::of(self.find(path.as_ref())?.as_fd(), "")
    }

    /// An ordinary file, opened for reading. Nothing else is ever opened: opening a device or a pipe
    /// can wait, or do something.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<(File, FileKey)> {
        use std::os::fd::AsFd as _;
        let found = self.find(path.as_ref())?;
        let key = FileKey::of(found.as_fd(), "").filter(FileKey::is_regular)?;
        let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
        Some((file, key))
    }

    /// The first bytes of an ordinary file, at most `most`.
    pub fn head(&self, path: impl AsRef<Path>, most: usize) -> Option<Vec<u8>> {
        let (file, key) = self.file(path)?;
        let most = most.min(usize::try_from(key.length).unwrap_or(most));
        super::bytes::head(&file, most)
    }

    /// Names in a directory, at most `most` of those that `keep` accepts.
    pub fn list(
        &self,
        path: impl AsRef<Path>,
        most: usize,
        keep: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let Some(found) = self.find(path.as_ref()) else { return Vec::new() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(opened) = rustix::fs::openat(&found, ".", flags, Mode::empty()) else {
            return Vec::new();
        };
        let Ok(entries) = Dir::new(opened) else { return Vec::new() };
        entries
            .map_while(Result::ok)
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name != "." && name != ".." && keep(name))
            .take(most)
            .collect()
    }
}

/// An absolute path without `.` and `..`, so far as the text tells; `path` starts at `directory` unless
/// it is absolute itself.
pub fn absolute(directory: &Path, path: &str) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain.is_absolute().then_some(plain)
}
