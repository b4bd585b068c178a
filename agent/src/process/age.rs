//! How old a process is, by its key alone.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::ProcessKey;

/// Ticks of `/proc/PID/stat`: the same on every architecture that the agent runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Time since the process started; `None` where the kernel did not tell when that was. Right for processes
/// of up to 497 days, when the ticks in the key begin anew.
pub fn age(key: &ProcessKey) -> Option<Duration> {
    if key.start_ticks == 0 {
        return None;
    }
    // Start times count from the boot, and go on while the machine is suspended.
    let now = clock_gettime(ClockId::Boottime);
    let nanos = u64::try_from(now.tv_nsec).ok()?;
    let now = u64::try_from(now.tv_sec).ok()? * TICKS_PER_SECOND
        + nanos * TICKS_PER_SECOND / 1_000_000_000;
    let ticks = (now as u32).wrapping_sub(key.start_ticks);
    // One that has just started may be ahead of the clock by a rounding.
    let ticks = if ticks > u32::MAX - 10 { 0 } else { u64::from(ticks) };
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_process_is_young() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let key = super::super::see(child.id()).unwrap().key;
        let young = age(&key);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(young.unwrap() < Duration::from_secs(30), "{young:?}");
        let first = super::super::see(1).unwrap().key;
        assert!(age(&first).unwrap() > young.unwrap());
        assert_eq!(age(&ProcessKey { tgid: 1, start_ticks: 0 }), None);
    }
}
