//! How much the process table may remember.

use std::time::Duration;

/// Bounds of a [`super::ProcessTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long everything known of a dead process is kept: for facts that are still on their way, and for the
    /// image that children forked by it started with. Whose a measurement is, is known for longer elsewhere.
    pub keep_dead: Duration,
    /// Most processes known at once, dead ones included. The longest dead go first.
    pub processes: usize,
    /// Most dead processes known at once.
    pub dead: usize,
}

impl Default for Limits {
    /// Three times the 10,000 live processes of a big host, about 15 MB when full; and of the dead what 1,600
    /// ends a second leave, about 4 MB.
    fn default() -> Self {
        Self { keep_dead: Duration::from_secs(5), processes: 32_768, dead: 8_192 }
    }
}
