//! `/proc/PID/stat`, by hand: it is read for every process that executes something.

/// What is taken from the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub state: u8,
    pub parent_tgid: u32,
    pub flags: u32,
    pub threads: u32,
    /// Field 22, modulo 2^32 as in `ProcessKey::start_ticks`.
    pub start_ticks: u32,
}

/// Flag of a kernel thread (`PF_KTHREAD`).
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Flag of a thread that is ending (`PF_EXITING`).
const EXITING: u32 = 0x0000_0004;

impl Stat {
    /// Parses the line. The command name may hold spaces and parentheses: fields count from the last `)`.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent_tgid = fields.next()?.parse().ok()?;
        let flags = fields.nth(4)?.parse().ok()?;
        let threads = fields.nth(10)?.parse().ok()?;
        let start: u64 = fields.nth(1)?.parse().ok()?;
        Some(Self { state, parent_tgid, flags, threads, start_ticks: start as u32 })
    }

    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// The leader is ending or has ended. Its memory and its place in v1 hierarchies may be gone, so
    /// `exe` and `cgroup` must not be believed.
    pub fn is_exiting(&self) -> bool {
        self.flags & EXITING != 0
    }

    /// Ended, and nobody has asked for its exit code yet. A leader that ended before its threads is
    /// shown as a zombie as well, but its process lives.
    pub fn is_over(&self) -> bool {
        matches!(self.state, b'X' | b'x') || (self.state == b'Z' && self.threads <= 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 \
                        4294967396 1000 200 18446744073709551615 1 1 0 0 0\n";

    #[test]
    fn fields_count_from_the_last_parenthesis() {
        let expected =
            Stat { state: b'S', parent_tgid: 17, flags: 4_194_560, threads: 9, start_ticks: 100 };
        assert_eq!(Stat::parse(LINE.as_bytes()), Some(expected));
    }

    #[test]
    fn own_process() {
        let line = std::fs::read("/proc/self/stat").unwrap();
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(stat.parent_tgid, std::os::unix::process::parent_id());
        assert!(stat.threads >= 1 && !stat.is_kernel_thread() && !stat.is_over());
    }

    #[test]
    fn cut_lines_are_refused() {
        let end = LINE.find("4294967396").unwrap();
        for length in 0..end {
            assert_eq!(Stat::parse(&LINE.as_bytes()[..length]), None, "{length}");
        }
        for length in end..LINE.len() {
            let _ = Stat::parse(&LINE.as_bytes()[..length]);
        }
    }

    #[test]
    fn a_zombie_leader_with_threads_lives() {
        let stat =
            |state, threads| Stat { state, parent_tgid: 1, flags: 0, threads, start_ticks: 1 };
        assert!(stat(b'Z', 1).is_over());
        assert!(!stat(b'Z', 2).is_over());
        assert!(stat(b'X', 0).is_over());
        assert!(!stat(b'S', 1).is_over());
    }
}
