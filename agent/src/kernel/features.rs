//! What the running kernel can do, found by trying rather than by reading its version.

use std::path::Path;

/// Answers of the running kernel. A value, so that a test can make one up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `/sys/kernel/btf/vmlinux` is there and readable.
    pub btf: bool,
    pub ring_buffer: bool,
    pub task_storage: bool,
    /// Index into [`crate::process::cgroup::CARRIERS`] of the v1 controller that carries containers; `None` where
    /// cgroup v2 is alone.
    pub cgroup_v1: Option<usize>,
}

impl Features {
    /// Asks the kernel. Needs the privileges of the agent.
    pub fn probe() -> Self {
        use aya::maps::MapType;
        let supported = |kind| aya::sys::is_map_supported(kind).unwrap_or(false);
        Self {
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            ring_buffer: supported(MapType::RingBuf),
            task_storage: supported(MapType::TaskStorage),
            cgroup_v1: std::fs::read_to_string("/proc/self/cgroup")
                .ok()
                .and_then(|text| crate::process::cgroup::carrier(&text)),
        }
    }
}
