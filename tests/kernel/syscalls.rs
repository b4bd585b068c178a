//! The object `syscalls`: counts against a program whose calls are known.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::HashMap,
    fs::File,
    io::Write as _,
    net::TcpStream,
    os::{
        fd::AsFd as _,
        unix::process::{CommandExt as _, parent_id},
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aya::maps::{Map, MapData};
use shipwake::{
    config::Config,
    kernel::{self, Loaded, Mapped, Wire, btf::Btf, features::Features},
    metric::Value,
    signals::{Batch, Object, Setup, Subject, syscalls::SIGNAL},
    time::Mono,
};
use shipwake_ebpf::{
    offsets::{Offsets, RDONLY_CAST_NAME},
    syscalls::{CLAIMS, CallKey, KINDS, NR_COMPAT, Row, claimed},
};

/// Tells the test binary that it is the program under observation, and what to do.
const PROGRAM: &str = "SHIPWAKE_TEST_PROGRAM";
const DEADLINE: Duration = Duration::from_secs(20);
/// Nothing listens there.
const REFUSED: &str = "127.0.0.1:21190";

/// Loads and attaches the object as the agent does; `None`, with the reason printed, where that is
/// not allowed.
pub fn load(config: &Config) -> Option<(Loaded, Box<dyn shipwake::signals::Collector>)> {
    with_setup(config, |loaded, setup| (SIGNAL.collector)(loaded, setup).unwrap())
}

/// [`load`] with another way to take the maps.
pub fn with_setup<T>(
    config: &Config,
    take: impl FnOnce(&mut Loaded, &Setup<'_>) -> T,
) -> Option<(Loaded, T)> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return None;
    }
    let Object::Own(object) = SIGNAL.object else { panic!("owns its object") };
    let btf = Btf::of_kernel().ok();
    let offsets = btf.as_ref().map_or(Offsets::ABSENT, Btf::offsets);
    let setup = Setup {
        config,
        features: &Features::probe(),
        btf: btf.as_ref(),
        offsets: &offsets,
        cpus: cpus(),
        own_tgid: 0,
    };
    let types = kernel::kernel_btf().ok();
    let mut loaded = kernel::load(&SIGNAL, object, &setup, types.as_ref(), None)
        .unwrap_or_else(|(error, health)| panic!("{error:?}\n{health:#?}"));
    let taken = take(&mut loaded, &setup);
    Some((loaded, taken))
}

fn cpus() -> u32 {
    std::thread::available_parallelism().unwrap().get().try_into().unwrap()
}

/// Where the kernel has the cast it takes the programs that use it: a refusal would go unseen, since probe reads serve.
#[test]
fn the_kernel_takes_loads_where_it_has_the_cast() {
    let Some((loaded, _)) = with_setup(&Config::default(), |_, _| ()) else { return };
    let has_cast = Btf::of_kernel().is_ok_and(|btf| btf.function(RDONLY_CAST_NAME).is_some());
    assert_eq!(loaded.has_cast, has_cast);
}

/// Not a test: the program that the tests observe.
#[test]
fn program() {
    let Ok(plan) = std::env::var(PROGRAM) else { return };
    for part in plan.split(' ') {
        let (name, count) = part.split_once('=').unwrap();
        let count: u32 = count.parse().unwrap();
        match name {
            "getppid" => (0..count).for_each(|_| {
                std::hint::black_box(parent_id());
            }),
            "open" => (0..count).for_each(|_| drop(File::open("/dev/null/x"))),
            "connect" => (0..count).for_each(|_| drop(TcpStream::connect(REFUSED))),
            "threads" => {
                let threads: Vec<_> = (0..count)
                    .map(|_| {
                        std::thread::spawn(|| {
                            (0..100).for_each(|_| {
                                std::hint::black_box(parent_id());
                            })
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            }
            // Goes on when a byte comes in.
            "wait" => {
                let mut bytes = vec![0; count as usize];
                std::io::Read::read_exact(&mut std::io::stdin(), &mut bytes).unwrap();
            }
            // A child of the same plan, shorter by one generation.
            "fork" if count > 0 => {
                let plan = plan.replace(part, &format!("fork={}", count - 1));
                assert!(command(&plan).status().unwrap().success());
            }
            "exec" if count > 0 => {
                let plan = plan.replace(part, &format!("exec={}", count - 1));
                panic!("{}", command(&plan).exec());
            }
            "fork" | "exec" => {}
            other => panic!("{other}"),
        }
    }
    // Nothing of the test harness is to follow.
    std::process::exit(0);
}

fn command(plan: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "syscalls::program", "--nocapture"]).env(PROGRAM, plan);
    command.stdout(Stdio::null());
    command
}

fn spawn(plan: &str) -> Child {
    command(plan).spawn().unwrap()
}

/// Calls of one process: number and error, summed over the CPUs.
type Calls = HashMap<(i64, u16), u64>;

fn calls(loaded: &Loaded, is_wanted: impl Fn(u32) -> bool) -> Calls {
    let map = loaded.bpf.map("CALLS").unwrap();
    calls_of(&map.try_into().unwrap(), is_wanted)
}

fn calls_of<T: std::borrow::Borrow<MapData>>(
    map: &aya::maps::HashMap<T, Wire<CallKey>, u64>,
    is_wanted: impl Fn(u32) -> bool,
) -> Calls {
    let mut calls = Calls::new();
    for (Wire(key), count) in map.iter().map(Result::unwrap) {
        if is_wanted(key.process.tgid) {
            *calls.entry((key.nr.into(), key.errno)).or_default() += count;
        }
    }
    calls
}

fn drops(loaded: &Loaded) -> u64 {
    let map = loaded.bpf.map("DROPS").unwrap();
    let map: aya::maps::PerCpuArray<_, u64> = map.try_into().unwrap();
    map.iter().flat_map(|counts| counts.unwrap().to_vec()).sum()
}

/// Another handle of the table of calls, for when its first one is taken.
fn same_map(map: &Map) -> aya::maps::HashMap<MapData, Wire<CallKey>, u64> {
    let Map::HashMap(map) = map else { panic!("no hash map") };
    let map = map.fd().as_fd().try_clone_to_owned().unwrap();
    Map::HashMap(MapData::from_fd(map).unwrap()).try_into().unwrap()
}

/// Runs the program and compares what the kernel counted for it.
#[track_caller]
fn check(loaded: &Loaded, plan: &str, expected: &[(i64, i32, u64)]) {
    let mut child = spawn(plan);
    let pid = child.id();
    assert!(child.wait().unwrap().success(), "{plan}");
    let calls = calls(loaded, |tgid| tgid == pid);
    for (nr, errno, count) in expected {
        let found = calls.get(&(*nr, u16::try_from(*errno).unwrap())).copied().unwrap_or(0);
        assert_eq!(found, *count, "{plan}: call {nr}, error {errno}: {calls:?}");
    }
}

#[test]
fn calls_and_errors_are_exact() {
    // Lost counts would show as drops; the table is large enough for everything on a test machine.
    let Some((loaded, ())) = with_setup(&Config::default(), |_, _| ()) else { return };
    check(
        &loaded,
        "getppid=10000 open=500 connect=300",
        &[
            (libc::SYS_getppid, 0, 10_000),
            (libc::SYS_openat, libc::ENOTDIR, 500),
            (libc::SYS_connect, libc::ECONNREFUSED, 300),
        ],
    );
    // Threads fold into their process.
    check(&loaded, "threads=20 getppid=1", &[(libc::SYS_getppid, 0, 2001)]);
    // What is executed stays the same process.
    check(&loaded, "getppid=70 exec=4", &[(libc::SYS_getppid, 0, 350), (libc::SYS_execve, 0, 5)]);
    // A child is another process: its calls are not its parent's.
    check(&loaded, "getppid=30 fork=3", &[(libc::SYS_getppid, 0, 30)]);
    assert_eq!(drops(&loaded), 0);
}

#[test]
fn processes_of_milliseconds_are_exact() {
    let Some((loaded, ())) = with_setup(&Config::default(), |_, _| ()) else { return };
    let mut children: Vec<Child> =
        (0..50).map(|index| spawn(&format!("getppid={index}"))).collect();
    for (index, child) in (0..).zip(&mut children) {
        assert!(child.wait().unwrap().success());
        let pid = child.id();
        let found = calls(&loaded, |tgid| tgid == pid);
        let count = found.get(&(libc::SYS_getppid, 0)).copied().unwrap_or(0);
        assert_eq!(count, index, "{found:?}");
    }
    assert_eq!(drops(&loaded), 0);
}

#[test]
fn a_new_process_is_one_call_of_its_parent() {
    let Some((loaded, ())) = with_setup(&Config::default(), |_, _| ()) else { return };
    let mut child = spawn("fork=1");
    let pid = child.id();
    assert!(child.wait().unwrap().success());
    let creations = |calls: &Calls| -> u64 {
        [libc::SYS_clone, libc::SYS_clone3, libc::SYS_vfork]
            .iter()
            .map(|nr| calls.get(&(*nr, 0)).copied().unwrap_or(0))
            .sum()
    };
    // The harness runs the program in one thread of its own, and the program makes one process.
    let found = calls(&loaded, |tgid| tgid == pid);
    assert_eq!(creations(&found), 2, "{found:?}");
}

/// Value of a counter over the processes `of`.
fn counted(batch: &Batch, metric: &str, label: &str, of: impl Fn(u32) -> bool) -> f64 {
    batch
        .measurements
        .iter()
        .filter(|m| m.metric.name == metric)
        .filter(|m| matches!(m.subject, Subject::Process(process) if of(process.tgid)))
        .filter(|m| m.labels.labels().iter().any(|one| one.value.to_string() == label))
        .map(|m| match &m.value {
            Value::Add(value) => *value,
            Value::Buckets(buckets) => buckets.counts.iter().sum::<u64>() as f64,
            other => panic!("{other:?}"),
        })
        .sum()
}

#[test]
fn what_is_collected_is_what_was_called_also_after_the_process_is_gone() {
    let Some((_loaded, mut collector)) = load(&Config::default()) else { return };
    let mut batch = Batch::default();
    let mut total = [0.0; 3];
    let mut pids = Vec::new();
    // More rounds than a dead process is kept: what is taken out must have been read.
    let start = Instant::now();
    for _ in 0..8 {
        let mut child = spawn("open=100 connect=50 getppid=200");
        pids.push(child.id());
        assert!(child.wait().unwrap().success());
        for _ in 0..4 {
            collector.collect(Mono::now(), &mut batch);
        }
        assert!(start.elapsed() < DEADLINE);
    }
    let of = |tgid| pids.contains(&tgid);
    total[0] += counted(&batch, "shipwake.syscall.errors", "ENOTDIR", of);
    total[1] += counted(&batch, "shipwake.syscall.errors", "ECONNREFUSED", of);
    total[2] += counted(&batch, "shipwake.syscall.duration", "connect", of);
    assert_eq!(total, [800.0, 400.0, 400.0]);
}

/// What a row has counted on all CPUs, by number of the call.
fn row(values: &Mapped<Row>, row: u32) -> Vec<u64> {
    let cpus = cpus() as usize;
    let mut counts = vec![0; KINDS];
    for element in row as usize * cpus..(row as usize + 1) * cpus {
        let counted = values.read(element).unwrap().counts;
        counts.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
    }
    counts
}

#[test]
fn a_busy_process_is_counted_in_its_row_exactly() {
    let taken = with_setup(&Config::default(), |loaded, setup| {
        let hash = same_map(loaded.bpf.map("CALLS").unwrap());
        (hash, (SIGNAL.collector)(loaded, setup).unwrap())
    });
    let Some((loaded, (hash, mut collector))) = taken else { return };
    let (claims, values): (Mapped<u64>, Mapped<Row>) =
        (Mapped::of(&loaded, "CLAIMS").unwrap(), Mapped::of(&loaded, "ROWS").unwrap());
    let plan = "getppid=5000 wait=1 getppid=10000 threads=4 open=500 connect=100";
    let mut child = command(plan).stdin(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let getppid = u16::try_from(libc::SYS_getppid).unwrap();
    let first = shipwake_tests::poll::until(DEADLINE, || {
        let found = calls_of(&hash, |tgid| tgid == pid);
        (found.get(&(getppid.into(), 0)) == Some(&5_000)).then_some(())
    });
    first.expect("the process waits");
    let mut batch = Batch::default();
    let key = shipwake_tests::poll::until(DEADLINE, || {
        collector.collect(Mono::now(), &mut batch);
        let key = batch.measurements.iter().find_map(|m| match m.subject {
            Subject::Process(process) if process.tgid == pid => Some(process),
            _ => None,
        })?;
        claimed(claims.read((pid % CLAIMS) as usize)?, key).map(|row| (key, row))
    });
    let (_, place) = key.expect("the process gets a row");
    let before = row(&values, place);
    child.stdin.take().unwrap().write_all(b"!").unwrap();
    assert!(child.wait().unwrap().success());
    let getppid = usize::from(getppid);
    let counted_there = row(&values, place)[getppid] - before[getppid];
    assert_eq!(counted_there, 10_000 + 400, "all that came after the claim");
    let hashed = calls_of(&hash, |tgid| tgid == pid);
    let hash = |nr: i64, errno: i32| hashed.get(&(nr, u16::try_from(errno).unwrap())).copied();
    assert_eq!(hash(libc::SYS_getppid, 0), Some(5_000), "all that came before");
    assert_eq!(hash(libc::SYS_openat, libc::ENOTDIR), Some(500), "errors have no place in a row");
    let all: u64 = hashed.values().sum::<u64>() + row(&values, place).iter().sum::<u64>()
        - before.iter().sum::<u64>();
    collector.collect(Mono::now(), &mut batch);
    let of = |tgid| tgid == pid;
    let count: f64 = batch
        .measurements
        .iter()
        .filter(|m| m.metric.name == "shipwake.syscall.count")
        .filter(|m| matches!(m.subject, Subject::Process(process) if of(process.tgid)))
        .map(|m| if let Value::Add(value) = m.value { value } else { panic!("a counter") })
        .sum();
    assert_eq!(count, all as f64);
    assert_eq!(counted(&batch, "shipwake.syscall.errors", "ENOTDIR", of), 500.0);
    assert_eq!(counted(&batch, "shipwake.syscall.errors", "ECONNREFUSED", of), 100.0);
    assert_eq!(counted(&batch, "shipwake.syscall.duration", "connect", of), 100.0);
    assert_eq!(drops(&loaded), 0);
}

#[test]
fn a_table_that_is_full_counts_what_it_loses() {
    let mut loader = None;
    let taken = with_setup(&Config::default(), |loaded, _| {
        // Every entry but those that are in use already is taken by a process that does not exist.
        let mut map = same_map(loaded.bpf.map("CALLS").unwrap());
        let process = shipwake_ebpf::process::ProcessKey { tgid: u32::MAX, start_ticks: 0 };
        let mut shard = 0;
        loop {
            let key = CallKey { process, nr: NR_COMPAT, errno: 0, shard };
            if map.insert(Wire(key), 0, 0).is_err() {
                break;
            }
            shard += 1;
        }
        loader = Some(shard);
    });
    let Some((loaded, ())) = taken else { return };
    let before = drops(&loaded);
    let mut child = spawn("getppid=1000");
    assert!(child.wait().unwrap().success());
    assert!(drops(&loaded) >= before + 1000, "{loader:?} entries filled the table");
}
