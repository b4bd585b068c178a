//! Two clocks, two types: what the kernel stamps on records, and what leaves the host.

use std::time::Duration;

/// `CLOCK_BOOTTIME` in nanoseconds is not available to every probe, so records carry
/// `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), and this is that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Mono {
    /// Now, on `CLOCK_MONOTONIC`.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self(nanoseconds(now.tv_sec, now.tv_nsec))
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    /// Now, on `CLOCK_REALTIME`.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Self(nanoseconds(now.tv_sec, now.tv_nsec))
    }

    /// To the second, as people write it: `2024-01-31T10:20:30Z`. `None` beyond the year 9999.
    pub fn rfc3339(self) -> Option<String> {
        crate::workload::text::rfc3339(i64::try_from(self.0 / 1_000_000_000).ok()?)
    }
}

/// Ties the two clocks together at one moment. Taken anew on every tick, so that a step of the wall
/// clock moves new timestamps and never the durations.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    pub mono: Mono,
    pub wall: Wall,
}

impl Anchor {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self { mono: Mono::now(), wall: Wall::now() }
    }

    /// The wall-clock time of a monotonic moment, as seen from this anchor.
    pub fn wall(&self, at: Mono) -> Wall {
        if at >= self.mono {
            Wall(self.wall.0.saturating_add(at.0 - self.mono.0))
        } else {
            Wall(self.wall.0.saturating_sub(self.mono.0 - at.0))
        }
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::try_from(nanos).unwrap_or(0)
}
