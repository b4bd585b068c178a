//! The object `process` against what this program itself did.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::HashSet,
    fs,
    os::unix::{
        fs::MetadataExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use shipwake::{
    config::Config,
    kernel::{self, Loaded, btf::Btf, features::Features},
    process::{EXIT_CODE_UNKNOWN, Fact, Limits, ProcessInfo, ProcessKey, ProcessTable},
    signals::{Batch, Collector, Object, Setup, Subject, process as signal},
    time::Mono,
};

use super::raw;

// First arguments end in the name of the program, because busybox goes by them.

const DEADLINE: Duration = Duration::from_secs(20);

/// A running signal, and everything it has said.
struct Running {
    collector: Box<dyn Collector>,
    said: Batch,
    /// Attached while it lives.
    _loaded: Loaded,
}

/// Which programs serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    /// Those that the kernel types: the usual case.
    Typed,
    /// The raw ones, with the offsets of fields.
    Raw,
    /// The raw ones on a kernel that says nothing about its fields.
    Blind,
}

impl Running {
    fn start() -> Option<Self> {
        Self::start_as(Twin::Typed)
    }

    /// Loads and attaches the object; `None`, with the reason printed, where that is not allowed.
    fn start_as(twin: Twin) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            println!("SKIPPED: needs root");
            return None;
        }
        let Object::Own(object) = signal::SIGNAL.object else { panic!("owns its object") };
        let features = Features { btf: twin == Twin::Typed, ..Features::probe() };
        let btf = Btf::of_kernel().ok().filter(|_| twin != Twin::Blind);
        let offsets = btf.as_ref().map_or(shipwake_ebpf::offsets::Offsets::ABSENT, Btf::offsets);
        let config = Config::default();
        let setup = Setup {
            config: &config,
            features: &features,
            btf: btf.as_ref(),
            offsets: &offsets,
            cpus: std::thread::available_parallelism().unwrap().get().try_into().unwrap(),
            own_tgid: 0,
        };
        let types = kernel::kernel_btf().ok().filter(|_| twin == Twin::Typed);
        let mut loaded = kernel::load(&signal::SIGNAL, object, &setup, types.as_ref(), None)
            .unwrap_or_else(|(error, health)| panic!("{error:?}\n{health:#?}"));
        let collector = (signal::SIGNAL.collector)(&mut loaded, &setup).unwrap();
        for probe in &loaded.health {
            let expected = if twin == Twin::Typed { "_btf" } else { "_raw" };
            assert!(probe.serving.is_some_and(|name| name.ends_with(expected)), "{probe:?}");
        }
        Some(Self { collector, said: Batch::default(), _loaded: loaded })
    }

    fn collect(&mut self) {
        self.collector.collect(Mono::now(), &mut self.said);
    }

    /// Collects until `done`, or fails.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Batch) -> bool) {
        let start = Instant::now();
        while !done(&self.said) {
            assert!(start.elapsed() < DEADLINE, "{what}: {:#?}", self.said.facts);
            std::thread::sleep(Duration::from_millis(2));
            self.collect();
        }
    }

    fn until_exit(&mut self, tgid: u32) {
        self.until(&format!("exit of {tgid}"), |said| exit_of(said, tgid).is_some());
    }

    fn losses(&mut self) -> u64 {
        self.collector.finish(Mono::now(), &mut self.said);
        self.said.losses.iter().map(|loss| loss.count).sum()
    }
}

fn exit_of(said: &Batch, tgid: u32) -> Option<(ProcessKey, i32)> {
    exits(said).find(|(process, _)| process.tgid == tgid)
}

fn exits(said: &Batch) -> impl Iterator<Item = (ProcessKey, i32)> {
    said.facts.iter().filter_map(|fact| match fact {
        Fact::Exit { process, exit_code, .. } => Some((*process, *exit_code)),
        _ => None,
    })
}

fn execs(said: &Batch) -> impl Iterator<Item = &ProcessInfo> {
    said.facts.iter().filter_map(|fact| match fact {
        Fact::Exec(info) => Some(info),
        _ => None,
    })
}

fn forks(said: &Batch) -> impl Iterator<Item = (ProcessKey, ProcessKey)> {
    said.facts.iter().filter_map(|fact| match fact {
        Fact::Fork { parent, child, .. } => Some((*parent, *child)),
        _ => None,
    })
}

/// Sum of a metric over the processes of `of`.
fn total(said: &Batch, metric: &str, of: impl Fn(u32) -> bool) -> f64 {
    said.measurements
        .iter()
        .filter(|one| one.metric.name == metric)
        .filter(|one| matches!(one.subject, Subject::Process(process) if of(process.tgid)))
        .map(|one| match one.value {
            shipwake::metric::Value::Add(value) => value,
            _ => panic!("a counter only adds"),
        })
        .sum()
}

/// What `/proc` says: the independent witness of a key.
fn start_ticks(pid: u32) -> u32 {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = line.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(19).unwrap().parse::<u64>().unwrap() as u32
}

fn own_key() -> ProcessKey {
    let tgid = std::process::id();
    ProcessKey { tgid, start_ticks: start_ticks(tgid) }
}

/// Everything known about the processes of this test.
/// Everything that was said, joined; nobody is forgotten.
fn table(said: &Batch) -> ProcessTable {
    let many = usize::MAX;
    let limits = Limits { keep_dead: Duration::from_secs(3600), processes: many, dead: many };
    let mut table = ProcessTable::new(limits);
    for fact in shipwake::process::scan().unwrap().facts.into_iter().chain(said.facts.clone()) {
        table.apply(fact);
    }
    table
}

#[test]
fn an_exec_is_described_as_proc_describes_it() {
    for twin in [Twin::Typed, Twin::Raw] {
        check_exec(twin);
    }
}

fn check_exec(twin: Twin) {
    let Some(mut running) = Running::start_as(twin) else { return };
    let mut child = Command::new("/bin/sleep").arg0("a name/sleep").arg("60").spawn().unwrap();
    let pid = child.id();
    let expected = ProcessInfo {
        key: ProcessKey { tgid: pid, start_ticks: start_ticks(pid) },
        parent_tgid: Some(std::process::id()),
        executable: fs::canonicalize("/bin/sleep").unwrap().to_str().map(Into::into),
        argv0: Some("a name/sleep".into()),
        uid: Some(0),
        ..ProcessInfo::new(own_key(), Mono(0))
    };
    running.until("exec", |said| execs(said).any(|info| info.key.tgid == pid));
    let info = execs(&running.said).find(|info| info.key.tgid == pid).unwrap().clone();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();

    assert_eq!(
        ProcessInfo {
            at: Mono(0),
            cgroup: Default::default(),
            pid_namespace: None,
            ..info.clone()
        },
        expected
    );
    assert_eq!(format!("pid:[{}]", info.pid_namespace.unwrap()), namespace.to_str().unwrap());
    let path = info.cgroup.path.unwrap();
    assert!(cgroups.lines().any(|line| line.ends_with(&format!(":{path}"))), "{path} in {cgroups}");
    let fork = forks(&running.said).find(|(_, child)| child.tgid == pid).unwrap();
    assert_eq!(fork, (own_key(), info.key));
    running.until_exit(pid);
    assert_eq!(exit_of(&running.said, pid), Some((info.key, status.into_raw())));
    assert_eq!(running.losses(), 0);
}

#[test]
fn a_chain_of_processes_knows_its_ancestors() {
    let Some(mut running) = Running::start() else { return };
    // `true` at the ends keeps a shell from executing its last command without a fork.
    let script = "/bin/sh -c '/bin/sleep 0.01; true'; true";
    let mut shell = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
    let shell_pid = shell.id();
    shell.wait().unwrap();
    running.until_exit(shell_pid);
    let table = table(&running.said);
    let sleep = execs(&running.said)
        .filter(|info| info.argv0.as_deref() == Some("/bin/sleep"))
        .find(|info| table.ancestors(info.key).any(|above| above.info.key.tgid == shell_pid))
        .expect("the sleeping grandchild");
    let above: Vec<_> = table.ancestors(sleep.key).map(|above| above.info.clone()).collect();
    assert_eq!(above[0].argv0.as_deref(), Some("/bin/sh"));
    assert_eq!(above[0].key.tgid, sleep.parent_tgid.unwrap());
    assert_eq!(above[1].key.tgid, shell_pid);
    assert_eq!(above[2].key, own_key());
    assert_eq!(above[2].executable.as_deref(), std::env::current_exe().unwrap().to_str());
}

#[test]
fn every_short_process_is_seen_from_birth_to_end() {
    for twin in [Twin::Typed, Twin::Raw] {
        check_short(twin);
    }
}

fn check_short(twin: Twin) {
    let Some(mut running) = Running::start_as(twin) else { return };
    let mut pids = HashSet::new();
    for number in 0..1000 {
        let argv0 = format!("short-{number}/true");
        let mut child = Command::new("/bin/true").arg0(argv0).stdin(Stdio::null()).spawn().unwrap();
        pids.insert(child.id());
        assert!(child.wait().unwrap().success());
        if number % 10 == 0 {
            running.collect();
        }
    }
    running.until("exits", |said| {
        exits(said).filter(|(process, _)| pids.contains(&process.tgid)).count() >= pids.len()
    });
    check_complete(&mut running, &pids, "short-");
}

/// Each process of `pids` was forked, executed and ended exactly once, and is attributed.
fn check_complete(running: &mut Running, pids: &HashSet<u32>, argv0: &str) {
    assert_eq!(running.losses(), 0, "{:?}", running.said.losses);
    let said = &running.said;
    let ours = |process: &ProcessKey| pids.contains(&process.tgid);
    let forked: Vec<_> = forks(said).filter(|(_, child)| ours(child)).collect();
    let executed: Vec<_> = execs(said).filter(|info| ours(&info.key)).collect();
    let ended: Vec<_> = exits(said).filter(|(process, _)| ours(process)).collect();
    assert_eq!((forked.len(), executed.len(), ended.len()), (pids.len(), pids.len(), pids.len()));
    assert!(forked.iter().all(|(parent, _)| *parent == own_key()));
    assert!(ended.iter().all(|(_, exit_code)| *exit_code == 0));
    let table = table(said);
    let resolved = fs::canonicalize("/bin/true").unwrap();
    for (_, key) in forked {
        let process = table.get(key).expect("known");
        let executable = process.info.executable.as_deref();
        assert!(executable == Some("/bin/true") || executable == resolved.to_str(), "{process:?}");
        assert!(process.info.argv0.as_deref().is_some_and(|name| name.starts_with(argv0)));
        assert!(!process.info.cgroup.is_unknown(), "{process:?}");
        assert_eq!(process.info.parent_tgid, Some(std::process::id()));
        assert!(process.started.is_some() && process.executed.is_some() && process.ended.is_some());
    }
    let of = |tgid| pids.contains(&tgid);
    assert_eq!(total(said, "shipwake.process.starts", of), pids.len() as f64);
    assert_eq!(total(said, "shipwake.process.exits", of), pids.len() as f64);
}

#[test]
fn a_burst_of_ten_thousand_loses_nothing() {
    let Some(mut running) = Running::start() else { return };
    // An emulated kernel makes a hundred processes in a second, which is no burst.
    let emulated = std::env::var_os("SHIPWAKE_KERNEL_LINE").is_some();
    let each = if emulated { 250 } else { 2500 };
    let spawn = |count: usize| {
        let mut pids = HashSet::new();
        for _ in 0..count {
            let mut command = Command::new("/bin/true");
            let mut child = command.arg0("burst/true").stdin(Stdio::null()).spawn().unwrap();
            pids.insert(child.id());
            child.wait().unwrap();
        }
        pids
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(move || spawn(each))).collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(running.collector.pause());
        running.collect();
    }
    let pids: HashSet<u32> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    check_complete(&mut running, &pids, "burst");
}

#[test]
fn a_process_whose_leader_ends_first_ends_once() {
    for twin in [Twin::Typed, Twin::Raw] {
        check_leader(twin);
    }
}

fn check_leader(twin: Twin) {
    let Some(mut running) = Running::start_as(twin) else { return };
    for others in [1, 2, 8] {
        let pid = raw::leader_ends_first(7, others).unwrap();
        let status = raw::wait(pid).unwrap();
        // The code of the leader; since 5.19 that of the thread that ended last.
        assert!([7 << 8, 3 << 8].contains(&status), "{status:#x}");
        running.until_exit(pid);
        assert_eq!(running.losses(), 0);
        let ends: Vec<i32> =
            exits(&running.said).filter(|(key, _)| key.tgid == pid).map(|(_, code)| code).collect();
        assert_eq!(ends, [status], "{others} other threads");
        let births = forks(&running.said).filter(|(_, child)| child.tgid == pid).count();
        assert_eq!(births, 1, "threads are no processes");
    }
    let own_ends = exits(&running.said).filter(|(key, _)| key.tgid == std::process::id()).count();
    assert_eq!(own_ends, 0, "threads of this program have ended meanwhile, this program has not");
}

/// `/proc` shows such a process as a zombie without memory; its threads know better.
#[test]
fn a_process_whose_leader_has_ended_is_still_described() {
    let pid = raw::leader_ends_alone().unwrap();
    let start = Instant::now();
    let is_zombie = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ");
    while !is_zombie() {
        assert!(start.elapsed() < DEADLINE, "the leader never ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let info = shipwake::process::see(pid);
    Command::new("kill").arg(pid.to_string()).status().unwrap();
    raw::wait(pid).unwrap();
    let (info, own) = (info.unwrap(), shipwake::process::see(std::process::id()).unwrap());
    assert!(info.executable.is_some());
    assert_eq!((info.executable, info.argv0), (own.executable, own.argv0));
    assert_eq!((info.cgroup, info.pid_namespace), (own.cgroup, own.pid_namespace));
    assert_eq!(info.parent_tgid, Some(std::process::id()));
}

#[test]
fn an_exec_from_another_thread_keeps_the_process() {
    let Some(mut running) = Running::start() else { return };
    let pid = raw::second_thread_executes("/bin/true").unwrap();
    assert_eq!(raw::wait(pid).unwrap(), 0);
    running.until_exit(pid);
    assert_eq!(running.losses(), 0);
    let of_child = |key: &ProcessKey| key.tgid == pid;
    let born = forks(&running.said).map(|(_, child)| child).find(of_child).unwrap();
    let executed: Vec<_> = execs(&running.said).map(|info| info.key).filter(of_child).collect();
    let ended: Vec<_> = exits(&running.said).map(|(key, _)| key).filter(of_child).collect();
    assert_eq!((executed, ended), (vec![born], vec![born]));
}

#[test]
fn a_signal_that_ends_a_process_is_told() {
    let Some(mut running) = Running::start() else { return };
    let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    running.until_exit(child.id());
    let (key, exit_code) = exit_of(&running.said, child.id()).unwrap();
    assert_eq!(exit_code, status.into_raw());
    let exits = running.said.measurements.iter();
    let labels = exits
        .filter(|one| one.metric.name == "shipwake.process.exits")
        .find(|one| one.subject == Subject::Process(key))
        .map(|one| one.labels.get("shipwake.process.exit.signal").unwrap().to_string());
    assert_eq!(labels.as_deref(), Some("SIGKILL"));
}

/// Both lives of a pid are in the ring before it is read, and `/proc` shows only the second.
#[test]
fn a_reused_pid_is_another_process() {
    let Some(mut running) = Running::start() else { return };
    let mut first = Command::new("/bin/true").arg0("first/true").spawn().unwrap();
    let pid = first.id();
    first.wait().unwrap();
    // Keys have the resolution of a clock tick: 10 ms.
    let end = Mono::now();
    while Mono::now().since(end) < Duration::from_millis(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    match raw::spawn_as(pid, "/bin/sleep", &["second/sleep", "60"]) {
        Ok(second) => assert_eq!(second, pid),
        Err(error) => {
            println!("SKIPPED: pid {pid} cannot be had again: {error}");
            return;
        }
    }
    let second_ticks = {
        let start = Instant::now();
        while fs::read_link(format!("/proc/{pid}/exe")).ok() != fs::canonicalize("/bin/sleep").ok()
        {
            assert!(start.elapsed() < DEADLINE, "the second process never executed");
            std::thread::sleep(Duration::from_millis(1));
        }
        start_ticks(pid)
    };
    running.until("both", |said| execs(said).filter(|info| info.key.tgid == pid).count() == 2);
    Command::new("kill").arg(pid.to_string()).status().unwrap();
    raw::wait(pid).unwrap();
    running.until("both ends", |said| exits(said).filter(|(key, _)| key.tgid == pid).count() == 2);

    let infos: Vec<_> = execs(&running.said).filter(|info| info.key.tgid == pid).collect();
    assert_eq!(infos[0].argv0.as_deref(), Some("first/true"));
    assert_eq!(infos[0].executable.as_deref(), Some("/bin/true"));
    assert_ne!(infos[0].key, infos[1].key);
    assert_eq!(infos[1].argv0.as_deref(), Some("second/sleep"));
    assert_eq!(infos[1].key.start_ticks, second_ticks);
    let table = table(&running.said);
    for info in infos {
        let process = table.at(pid, info.at).expect("known");
        assert_eq!(process.info.argv0, info.argv0);
    }
}

/// Without the kernel's types there are no forks, and `/proc` has to tell what an exec was.
#[test]
fn a_blind_object_sees_what_helpers_and_proc_tell() {
    let Some(mut running) = Running::start_as(Twin::Blind) else { return };
    let mut child = Command::new("/bin/sleep").arg0("a name/sleep").arg("60").spawn().unwrap();
    let pid = child.id();
    let key = ProcessKey { tgid: pid, start_ticks: start_ticks(pid) };
    running.until("exec", |said| execs(said).any(|info| info.key.tgid == pid));
    child.kill().unwrap();
    child.wait().unwrap();
    running.until_exit(pid);
    let info = execs(&running.said).find(|info| info.key.tgid == pid).unwrap();
    assert_eq!(info.key, key);
    assert_eq!(info.argv0.as_deref(), Some("a name/sleep"));
    assert_eq!(info.executable.as_deref(), fs::canonicalize("/bin/sleep").unwrap().to_str());
    assert_eq!(info.parent_tgid, Some(std::process::id()));
    assert!(info.cgroup.path.is_some());
    let bare = ProcessKey { tgid: pid, start_ticks: 0 };
    assert_eq!(exit_of(&running.said, pid), Some((bare, EXIT_CODE_UNKNOWN)));
    assert_eq!(forks(&running.said).count(), 0);
    let table = table(&running.said);
    assert!(table.get(key).unwrap().ended.is_some(), "the bare exit is that of the process");
}
