//! Who a process identifier meant at the time an event happened.

mod age;
pub mod cgroup;
mod fact;
mod limits;
mod namespace;
mod scan;
pub(crate) mod stat;
mod table;

pub use age::age;
pub use fact::{CgroupRef, Fact, ProcessInfo};
pub use limits::Limits;
pub use namespace::{Namespace, host_root, reachable};
pub(crate) use scan::{BUFFER, Directory, open_dir};
pub use scan::{Scan, scan, see};
pub use shipwake_ebpf::process::{EXIT_CODE_UNKNOWN, ProcessKey};
pub(crate) use table::shrink;
pub use table::{End, Process, ProcessTable, Update};
