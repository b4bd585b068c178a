//! Maps that several objects share.
//!
//! aya shares maps between objects through pins. Pins in a mounted bpffs outlive a killed agent, so ours
//! live in one that is mounted nowhere: it exists as long as its file descriptor. Where making it is not
//! allowed, a folder in `/sys/fs/bpf` serves while objects are loaded, and is removed then.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::statfs,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

/// Names of the maps that are shared between objects. A map with such a name is created by the first
/// object that has it and reused by the others; its declarations must agree.
pub const SHARED: &[&str] = &["SOCKETS"];

/// Where a mounted bpffs is expected.
const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC`.
const BPFFS_MAGIC: u32 = 0xcafe_4a11;
/// Folders are called this and the pid of their agent.
const FOLDER: &str = "shipwake-";

/// The place where shared maps meet while objects are loaded. Drop it when all are loaded.
pub struct SharedMaps {
    place: Place,
}

enum Place {
    Detached(OwnedFd),
    Folder(Folder),
}

/// Removed with everything in it when dropped.
struct Folder(PathBuf);

impl SharedMaps {
    /// Makes the place. A detached file system needs CAP_SYS_ADMIN; a folder needs a bpffs in
    /// `/sys/fs/bpf` that may be written.
    ///
    /// # Errors
    /// Neither is possible; the error names both reasons.
    pub fn new() -> io::Result<Self> {
        let detached = match detached() {
            Ok(mount) => return Ok(Self { place: Place::Detached(mount) }),
            Err(error) => error,
        };
        match Self::in_bpffs() {
            Ok(shared) => Ok(shared),
            Err(folder) => Err(io::Error::new(
                folder.kind(),
                format!("no detached bpffs ({detached}), and none in {BPFFS} ({folder})"),
            )),
        }
    }

    /// Makes a folder in the bpffs that is mounted at `/sys/fs/bpf`.
    ///
    /// # Errors
    /// No bpffs is mounted there, or it may not be written.
    pub fn in_bpffs() -> io::Result<Self> {
        if u32::try_from(statfs(BPFFS)?.f_type) != Ok(BPFFS_MAGIC) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is not mounted"));
        }
        let bpffs = Path::new(BPFFS);
        remove_left_behind(bpffs, |pid| !Path::new("/proc").join(pid).exists());
        let folder = Folder::create(bpffs, std::process::id())?;
        Ok(Self { place: Place::Folder(folder) })
    }

    /// Where it is, for people.
    pub fn shown(&self) -> &'static str {
        match &self.place {
            Place::Detached(_) => "through a detached bpffs",
            Place::Folder(_) => "through /sys/fs/bpf",
        }
    }

    /// Path under which a shared map is found.
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::Detached(mount) => {
                PathBuf::from(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd()))
            }
            Place::Folder(Folder(path)) => path.join(name),
        }
    }
}

fn detached() -> io::Result<OwnedFd> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

impl Folder {
    fn create(parent: &Path, pid: u32) -> io::Result<Self> {
        let path = parent.join(format!("{FOLDER}{pid}"));
        // One of the same name is of an agent that had this pid before.
        remove(&path)?;
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// Removes what agents left that were killed while they loaded.
fn remove_left_behind(parent: &Path, gone: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if pid.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && gone(pid)) {
            // Whoever may remove it will; it does no harm.
            let _ = remove(&entry.path());
        }
    }
}

/// Removes a folder of shared maps, if it is there. Unlinks only the names that are ours.
fn remove(folder: &Path) -> io::Result<()> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    for name in SHARED {
        match fs::remove_file(folder.join(name)) {
            Err(error) if !absent(&error) => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if !absent(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("shipwake-share-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_folder_goes_with_its_owner() {
        let parent = scratch("owner");
        let folder = Folder::create(&parent, 7).unwrap();
        fs::write(folder.0.join("SOCKETS"), "").unwrap();
        // A second start with the same pid takes the place of what was left.
        let again = Folder::create(&parent, 7).unwrap();
        assert_eq!(fs::read_dir(&again.0).unwrap().count(), 0);
        drop((folder, again));
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
        fs::remove_dir(parent).unwrap();
    }

    #[test]
    fn only_folders_of_agents_that_are_gone_are_removed() {
        let parent = scratch("gone");
        for name in ["shipwake-1", "shipwake-2", "shipwake-x", "other"] {
            fs::create_dir(parent.join(name)).unwrap();
        }
        remove_left_behind(&parent, |pid| pid != "2");
        let mut left: Vec<_> =
            fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["other", "shipwake-2", "shipwake-x"]);
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn foreign_files_are_never_removed() {
        let parent = scratch("foreign");
        let folder = parent.join("shipwake-1");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("foreign"), "").unwrap();
        remove(&folder).unwrap_err();
        assert!(folder.join("foreign").exists());
        fs::remove_dir_all(parent).unwrap();
    }
}
