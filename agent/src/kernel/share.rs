//! Maps that several objects share, without a trace in the file system.
//!
//! aya shares maps between objects through pins. Pins in `/sys/fs/bpf` outlive a killed agent, so ours
//! live in a bpffs instance that is mounted nowhere: it exists as long as this file descriptor.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Names of the maps that are shared between objects. A map with such a name is created by the first
/// object that has it and reused by the others; its declarations must agree.
pub const SHARED: &[&str] = &["SOCKETS"];

/// The place where shared maps meet while objects are loaded. Drop it when all are loaded.
pub struct SharedMaps {
    mount: OwnedFd,
}

impl SharedMaps {
    /// Makes the detached file system. Needs CAP_SYS_ADMIN.
    pub fn new() -> std::io::Result<Self> {
        let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        Ok(Self { mount })
    }

    /// Path under which a shared map is found.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.mount.as_raw_fd()))
    }
}
