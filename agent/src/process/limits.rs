//! How much the process table may remember.

use std::time::Duration;

/// Bounds of a [`super::ProcessTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a dead process stays known, so that what was measured of it finds its owner.
    pub keep_dead: Duration,
    /// Most processes known at once, dead ones included. The longest dead go first.
    pub processes: usize,
    /// Most dead processes known at once.
    pub dead: usize,
}

impl Default for Limits {
    /// One minute, and three times the 10,000 live processes of a big host: about 10 MB when full.
    fn default() -> Self {
        Self { keep_dead: Duration::from_secs(60), processes: 32_768, dead: 32_768 }
    }
}
