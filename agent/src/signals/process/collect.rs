//! The user half: fetches records, looks at `/proc` while the process may still live, gives facts.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::CWD;
use shipwake_ebpf::process::{Exec, ProcessKey};

use super::{
    EXECUTIONS, EXITS, STARTS,
    decode::{Record, decode},
    exits::{ExitLabels, JustEnded},
};
use crate::{
    kernel::{Drops, Loaded, Ring},
    metric::{LabelSet, Metric, Value},
    process::{self, BUFFER, CgroupRef, Directory, Fact, ProcessInfo},
    signals::{Batch, Collector, Loss, Measurement, Subject},
    time::Mono,
};

/// Pause while processes come and go: short, so that most are still alive when looked at.
const BUSY: Duration = Duration::from_millis(5);
/// Pause on a quiet host.
const QUIET: Duration = Duration::from_millis(50);
/// Pause when a visit left something behind.
const FULL: Duration = Duration::from_millis(1);
/// Most records per visit, so that nothing else of the agent waits long.
const VISIT: usize = 4096;
/// Most looks at `/proc` per visit, at about 50 µs each. In a burst beyond that the kernel's own words must
/// do: most of such processes are gone anyway.
const LOOKS: usize = 256;
/// Distinct strings that are shared between processes.
const SHARED_STRINGS: usize = 4096;

/// Collector of the signal `process`.
pub struct ProcessCollector {
    ring: Ring,
    drops: Drops,
    lookup: Lookup,
    labels: ExitLabels,
    unlabelled: LabelSet,
    ended: JustEnded,
    pause: Duration,
}

/// What turns an exec record into all that can be known.
struct Lookup {
    proc: OwnedFd,
    buffer: Box<[u8; BUFFER]>,
    strings: Strings,
    /// What a path turned out to be behind its links, by cgroup: containers have files of their own.
    resolved: FxHashMap<(Option<u64>, Arc<str>), Arc<str>>,
    /// What is left of [`LOOKS`] in this visit.
    looks: usize,
}

impl ProcessCollector {
    /// Takes over the ring and the drop counters of the object.
    ///
    /// # Errors
    /// The object has no such maps, or there is no `/proc`.
    pub fn new(loaded: &mut Loaded) -> anyhow::Result<Self> {
        Ok(Self {
            ring: Ring::take(loaded, "LIFECYCLE")?,
            drops: Drops::of(loaded, "process")?,
            lookup: Lookup {
                proc: process::open_dir(CWD, Path::new("/proc"))?,
                buffer: Box::new([0; BUFFER]),
                strings: Strings::default(),
                resolved: FxHashMap::default(),
                looks: LOOKS,
            },
            labels: ExitLabels::default(),
            unlabelled: LabelSet::empty(),
            ended: JustEnded::default(),
            pause: BUSY,
        })
    }

    fn fetch(&mut self, limit: usize, out: &mut Batch) -> usize {
        let Self { ring, lookup, labels, unlabelled, ended, .. } = self;
        lookup.looks = LOOKS;
        let mut malformed = 0;
        let count = ring.drain(limit, |bytes| match decode(bytes) {
            Some(Record::Exec { head, executable, argv0, cgroup_names }) => {
                let info = lookup.exec(&head, executable, argv0, cgroup_names);
                out.measurements.push(one(&EXECUTIONS, info.key, unlabelled.clone()));
                out.facts.push(Fact::Exec(info));
            }
            Some(Record::Fork(fork)) => {
                ended.born(fork.child);
                out.facts.push(Fact::Fork {
                    at: Mono(fork.at_ns),
                    parent: fork.parent,
                    child: fork.child,
                });
                out.measurements.push(one(&STARTS, fork.child, unlabelled.clone()));
            }
            Some(Record::Exit(exit)) if ended.first(exit.process) => {
                let (process, exit_code) = (exit.process, exit.exit_code);
                out.facts.push(Fact::Exit { at: Mono(exit.at_ns), process, exit_code });
                out.measurements.push(one(&EXITS, process, labels.get(exit_code)));
            }
            Some(Record::Exit(_)) => {}
            None => malformed += 1,
        });
        if malformed > 0 {
            out.losses.push(Loss { signal: "process", cause: "malformed", count: malformed });
        }
        count
    }
}

impl Collector for ProcessCollector {
    fn pause(&self) -> Duration {
        self.pause
    }

    fn collect(&mut self, now: Mono, out: &mut Batch) {
        let count = self.fetch(VISIT, out);
        self.pause = match count {
            VISIT => FULL,
            0 => (self.pause * 2).min(QUIET),
            _ => BUSY,
        };
        self.drops.collect(now, &mut out.losses);
    }

    fn finish(&mut self, _now: Mono, out: &mut Batch) {
        while self.fetch(VISIT, out) == VISIT {}
        self.drops.finish(&mut out.losses);
    }
}

impl Lookup {
    /// Everything known of an exec: the kernel's word, and `/proc` while it shows the same process.
    fn exec(
        &mut self,
        head: &Exec,
        executable: &[u8],
        argv0: &[u8],
        cgroup_names: [&[u8]; 3],
    ) -> ProcessInfo {
        let mut info = ProcessInfo::new(head.process, Mono(head.at_ns));
        info.parent_tgid = Some(head.parent_tgid).filter(|parent| *parent != 0);
        info.uid = Some(head.uid);
        info.pid_namespace = Some(head.pid_namespace).filter(|inode| *inode != 0);
        info.executable = self.strings.share(executable);
        info.argv0 = self.strings.share(argv0);
        // The v1 hierarchy counts where it tells something, as in the kernel half.
        info.cgroup.id = [head.cgroup_v1, head.cgroup_v2].into_iter().find(|id| *id > 1);
        info.cgroup.leaf_names =
            cgroup_names.iter().map_while(|name| self.strings.share(name)).collect();
        if info.cgroup.leaf_names.is_empty() && head.cgroup_v2 != 0 {
            // The root has no name.
            info.cgroup.path = self.strings.share(b"/");
        }
        let written = info.executable.clone();
        let looked = match self.looks.checked_sub(1) {
            Some(left) => {
                self.looks = left;
                self.look(&mut info).is_some()
            }
            None => false,
        };
        self.resolve(written, looked, &mut info);
        info
    }

    /// A program that ends before anybody looks is the one that the same path led to before: `/bin/true` and
    /// `/usr/bin/true` are not two services.
    fn resolve(&mut self, written: Option<Arc<str>>, looked: bool, info: &mut ProcessInfo) {
        let Some(written) = written.filter(|path| path.starts_with('/')) else { return };
        let key = (info.cgroup.id, written);
        if !looked {
            if let Some(known) = self.resolved.get(&key) {
                info.executable = Some(Arc::clone(known));
            }
            return;
        }
        let Some(found) = info.executable.as_ref().filter(|found| **found != key.1) else { return };
        if self.resolved.len() >= SHARED_STRINGS {
            self.resolved.clear();
        }
        self.resolved.insert(key, Arc::clone(found));
    }

    /// Adds what `/proc` says, if the process still lives and is the same. `stat` comes last: a process
    /// that was not ending then was not ending when the rest was read, and told the truth.
    fn look(&mut self, info: &mut ProcessInfo) -> Option<()> {
        let directory = Directory::open(self.proc.as_fd(), info.key.tgid)?;
        let cgroup = directory.cgroup(&mut self.buffer);
        let executable = directory.executable().ok();
        let argv0 = match info.argv0 {
            None => directory.argv0(&mut self.buffer),
            Some(_) => None,
        };
        let stat = directory.stat(&mut self.buffer)?;
        let same = [stat.start_ticks, 0].contains(&info.key.start_ticks);
        if !same || stat.is_exiting() {
            return None;
        }
        info.key.start_ticks = stat.start_ticks;
        info.parent_tgid = info.parent_tgid.or(Some(stat.parent_tgid));
        if info.argv0.is_none() {
            info.argv0 = argv0.and_then(|argv0| self.strings.share(argv0.as_bytes()));
        }
        if let Some(path) = cgroup {
            let path = self.strings.share(path.as_bytes());
            info.cgroup = CgroupRef { id: info.cgroup.id, path, leaf_names: Vec::new() };
        }
        // An absolute path without links, where the kernel has only what the caller wrote.
        if let Some(path) = executable {
            info.executable = self.strings.share(path.as_bytes());
        }
        Some(())
    }
}

/// Gives equal strings the same memory: hosts run the same few programs over and over.
#[derive(Default)]
struct Strings(FxHashSet<Arc<str>>);

impl Strings {
    fn share(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        if bytes.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(bytes);
        if let Some(known) = self.0.get(&*text) {
            return Some(Arc::clone(known));
        }
        if self.0.len() >= SHARED_STRINGS {
            self.0.clear();
        }
        let new: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&new));
        Some(new)
    }
}

fn one(metric: &'static Metric, process: ProcessKey, labels: LabelSet) -> Measurement {
    Measurement { metric, subject: Subject::Process(process), labels, value: Value::Add(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_shared_and_bounded() {
        let mut strings = Strings::default();
        let first = strings.share(b"/bin/ls").unwrap();
        assert!(Arc::ptr_eq(&first, &strings.share(b"/bin/ls").unwrap()));
        assert_eq!(strings.share(b""), None);
        assert_eq!(strings.share(b"\xff").as_deref(), Some("\u{fffd}"));
        for number in 0..3 * SHARED_STRINGS {
            strings.share(number.to_string().as_bytes());
        }
        assert!(strings.0.len() <= SHARED_STRINGS);
    }
}
