//! Who a process identifier meant at the time an event happened.

use std::sync::Arc;

pub use shipwake_ebpf::process::ProcessKey;

use crate::time::Mono;

/// Something that was learned about a process. Facts may arrive late and out of order.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The process exists: seen at start-up, at fork or on demand.
    Seen(ProcessInfo),
    /// The process replaced its image.
    Exec(ProcessInfo),
    /// A child came to be; until it executes something it is its parent with another pid.
    Fork { at: Mono, parent: ProcessKey, child: ProcessKey },
    /// The last thread ended.
    Exit { at: Mono, process: ProcessKey, exit_code: i32 },
}

/// What is known of a process. Absent means not known, never guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessInfo {
    pub key: ProcessKey,
    pub at: Mono,
    pub parent_tgid: Option<u32>,
    /// Path of the executable as its own mount namespace names it.
    pub executable: Option<Arc<str>>,
    /// First argument, cut at 255 bytes. Never the others: they may hold secrets.
    pub argv0: Option<Arc<str>>,
    pub cgroup: CgroupRef,
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
