//! When to tick and when to report: four ticks a second of the wall clock, reports on multiples of the
//! interval, the first one a second after start.

use std::time::Duration;

use crate::{engine::Due, time::Wall};

const SECOND_NS: u64 = 1_000_000_000;
/// Late labels and unknown processes wait for the next tick.
const TICK_NS: u64 = SECOND_NS / 4;

/// From the start of the agent to its first report.
const FIRST: Duration = Duration::from_secs(1);
/// What collectors get to find something before the first report.
const FIRST_LOOK: Duration = Duration::from_millis(300);

/// How long until the first report, for an agent that has spent `spent` on starting up.
pub fn first(spent: Duration) -> Duration {
    FIRST.saturating_sub(spent).max(FIRST_LOOK)
}

/// Decides which ticks bring a report.
pub struct Schedule {
    interval_ns: u64,
    /// Which interval of the wall clock the last report was in.
    last: Option<u64>,
}

impl Schedule {
    /// Reports are at least one second apart.
    pub fn new(interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(SECOND_NS);
        Self { interval_ns, last: None }
    }

    /// What the tick at `now` brings. A step of the clock brings a report early, never late by more than
    /// one interval.
    pub fn due(&mut self, now: Wall) -> Due {
        let interval = now.0 / self.interval_ns;
        if self.last.replace(interval) == Some(interval) { Due::Nothing } else { Due::Report }
    }

    /// How long until the next tick. Some of them fall on whole seconds.
    pub fn pause(now: Wall) -> Duration {
        Duration::from_nanos(TICK_NS - now.0 % TICK_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of the wall clock at which ticks come, and those that bring a report.
    #[track_caller]
    fn check(interval: u64, ticks: &[u64], reports: &[u64]) {
        let mut schedule = Schedule::new(Duration::from_secs(interval));
        let due = |at: &&u64| schedule.due(Wall(**at * SECOND_NS)) == Due::Report;
        let found: Vec<u64> = ticks.iter().filter(due).copied().collect();
        assert_eq!(found, reports);
    }

    #[test]
    fn first_at_once_then_aligned() {
        check(10, &[1003, 1004, 1009, 1010, 1011, 1019, 1020, 1021], &[1003, 1010, 1020]);
        check(1, &[5, 6, 7], &[5, 6, 7]);
        check(0, &[5, 6], &[5, 6]);
    }

    #[test]
    fn missed_ticks_and_clock_steps() {
        check(10, &[1003, 1045, 1046, 1050], &[1003, 1045, 1050]);
        check(10, &[1003, 1010, 503, 504, 510], &[1003, 1010, 503, 510]);
    }

    #[test]
    fn ticks_come_on_quarters_of_a_second() {
        assert_eq!(Schedule::pause(Wall(7_850_000_000)), Duration::from_millis(150));
        assert_eq!(Schedule::pause(Wall(7_000_000_000)), Duration::from_millis(250));
    }
}
