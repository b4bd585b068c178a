//! What can be learned about a process.

use std::sync::Arc;

#[cfg(doc)]
use super::EXIT_CODE_UNKNOWN;
use super::ProcessKey;
use crate::time::Mono;

/// Something that was learned about a process. Facts may arrive late and out of order.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The process exists: seen at start-up or on demand.
    Seen(ProcessInfo),
    /// The process replaced its image.
    Exec(ProcessInfo),
    /// A child came to be; until it executes something it is its parent with another pid.
    Fork { at: Mono, parent: ProcessKey, child: ProcessKey },
    /// The last thread ended. `exit_code` is what `wait(2)` gives: status in bits 8 to 15, signal in
    /// bits 0 to 6; or [`EXIT_CODE_UNKNOWN`].
    Exit { at: Mono, process: ProcessKey, exit_code: i32 },
}

/// What is known of a process. Absent means not known, never guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessInfo {
    pub key: ProcessKey,
    pub at: Mono,
    pub parent_tgid: Option<u32>,
    /// Path of the executable as its own mount namespace names it. From a short-lived process only
    /// what `execve` was given may be known, which can be relative.
    pub executable: Option<Arc<str>>,
    /// First argument, cut at 255 bytes. Never the others: they may hold secrets.
    pub argv0: Option<Arc<str>>,
    pub cgroup: CgroupRef,
    /// Real user id in the initial user namespace.
    pub uid: Option<u32>,
    /// Inode of the process id namespace.
    pub pid_namespace: Option<u32>,
}

impl ProcessInfo {
    /// A process of which nothing is known but that it exists.
    pub fn new(key: ProcessKey, at: Mono) -> Self {
        Self {
            key,
            at,
            parent_tgid: None,
            executable: None,
            argv0: None,
            cgroup: CgroupRef::default(),
            uid: None,
            pid_namespace: None,
        }
    }
}

/// Where a process sits in the cgroup hierarchy, as far as the giver of the fact could see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CgroupRef {
    /// Inode of the cgroup directory in the hierarchy that carries containers here.
    pub id: Option<u64>,
    /// The whole path, when it could be read.
    pub path: Option<Arc<str>>,
    /// Last components of the path (leaf first), when only the kernel could tell.
    pub leaf_names: Vec<Arc<str>>,
}

impl CgroupRef {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        let Self { id, path, leaf_names } = self;
        id.is_none() && path.is_none() && leaf_names.is_empty()
    }
}
