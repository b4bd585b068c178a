//! How processes end: once each, by code or by signal.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::process::{EXIT_CODE_UNKNOWN, ProcessKey};

use super::{EXIT_CODE, EXIT_SIGNAL};
use crate::{labels, metric::LabelSet};

/// Names of signals 1 to 31, the same on every architecture that is supported.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The labels of each way to end, built once. There are at most 256 codes and 64 signals.
#[derive(Default)]
pub struct ExitLabels {
    known: FxHashMap<i32, LabelSet>,
}

impl ExitLabels {
    /// Labels for an exit code as `wait(2)` gives it.
    pub fn get(&mut self, exit_code: i32) -> LabelSet {
        if exit_code == EXIT_CODE_UNKNOWN {
            return self.known.entry(exit_code).or_insert_with(LabelSet::empty).clone();
        }
        // Bit 7 says whether a core was dumped, which is not told apart.
        let code = exit_code & 0xff7f;
        self.known.entry(code).or_insert_with(|| labels(code)).clone()
    }
}

fn labels(code: i32) -> LabelSet {
    match code & 0x7f {
        0 => labels! { EXIT_CODE => i64::from(code >> 8) },
        signal => {
            let name = usize::try_from(signal - 1).ok().and_then(|index| SIGNALS.get(index));
            labels! { EXIT_SIGNAL => name.copied().unwrap_or("SIGRT") }
        }
    }
}

/// Who ended a moment ago. When the last two threads of a process end at the same time on two CPUs, each
/// may say that it was the last; both records are in the ring within microseconds.
#[derive(Default)]
pub struct JustEnded {
    newer: FxHashSet<ProcessKey>,
    older: FxHashSet<ProcessKey>,
}

/// Ends that are remembered at least.
const REMEMBERED: usize = 1024;

impl JustEnded {
    /// Whether this is the first word of the end of `process`.
    pub fn first(&mut self, process: ProcessKey) -> bool {
        if self.older.contains(&process) || !self.newer.insert(process) {
            return false;
        }
        if self.newer.len() >= REMEMBERED {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        true
    }

    /// A process came to be: without start times its key may be that of one that ended.
    pub fn born(&mut self, process: ProcessKey) {
        if process.start_ticks == 0 {
            self.newer.remove(&process);
            self.older.remove(&process);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::LabelValue;

    #[test]
    fn codes_and_signals() {
        let mut labels = ExitLabels::default();
        let mut check = |exit_code: i32, code: Option<i64>, signal: Option<&'static str>| {
            let set = labels.get(exit_code);
            assert_eq!(set.get(EXIT_CODE), code.map(LabelValue::Int).as_ref(), "{exit_code}");
            assert_eq!(set.get(EXIT_SIGNAL), signal.map(LabelValue::Static).as_ref());
        };
        check(0, Some(0), None);
        check(1 << 8, Some(1), None);
        check(255 << 8, Some(255), None);
        check(libc::SIGKILL, None, Some("SIGKILL"));
        check(libc::SIGSEGV | 0x80, None, Some("SIGSEGV"));
        check(libc::SIGTERM, None, Some("SIGTERM"));
        check(libc::SIGSYS, None, Some("SIGSYS"));
        check(34, None, Some("SIGRT"));
        check(EXIT_CODE_UNKNOWN, None, None);
        check(-1, None, Some("SIGRT"));
    }

    #[test]
    fn an_end_is_told_once() {
        let key = |tgid| ProcessKey { tgid, start_ticks: 5 };
        let mut ended = JustEnded::default();
        for tgid in 0..10_000 {
            assert!(ended.first(key(tgid)));
            assert!(!ended.first(key(tgid)));
            assert!(!ended.first(key(tgid.saturating_sub(1000))));
        }
        assert!(ended.newer.len() + ended.older.len() <= 2 * REMEMBERED);
    }

    #[test]
    fn without_start_times_a_pid_may_end_again_after_it_was_born_again() {
        let bare = ProcessKey { tgid: 1, start_ticks: 0 };
        let mut ended = JustEnded::default();
        assert!(ended.first(bare));
        ended.born(bare);
        assert!(ended.first(bare));
    }
}
