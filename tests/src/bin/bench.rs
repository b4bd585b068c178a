//! What the agent costs on this machine: interleaved pairs, ratios within one run.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{Btf, EbpfLoader, programs::BtfTracePoint};
use shipwake_tests::{
    agent::{Agent, binary},
    otlp::Receiver,
    peer::{self, Server},
};

const ROUNDS: usize = 7;
const CALLS: u32 = 300_000;

fn main() -> ExitCode {
    let hold = std::env::args().any(|argument| argument == "hold");
    match if hold { hold_baseline() } else { bench() } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    println!("figures are medians of {ROUNDS} interleaved rounds\n");
    system_calls()?;
    service("nginx", &peer::nginx(1, "access_log off;")?)?;
    service("python http.server", &python()?)?;
    start_up()
}

/// Attaches the empty program until the process is killed: for the guest of `bench --vm`.
fn hold_baseline() -> Result<()> {
    let _attached = Baseline::attach()?;
    println!("attached");
    loop {
        std::thread::park();
    }
}

/// Nanoseconds that a call costs: alone, with an empty program, with counts, with latency.
fn system_calls() -> Result<()> {
    let receiver = Receiver::start()?;
    let mut alone = Vec::new();
    let mut empty = Vec::new();
    let mut counts = Vec::new();
    let mut read_counts = Vec::new();
    let mut read_alone = Vec::new();
    let mut read_latency = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(getppid());
        read_alone.push(read_nothing());
        {
            let _attached = Baseline::attach()?;
            empty.push(getppid());
        }
        {
            let _agent = Agent::start(
                &receiver,
                &[
                    "--signals",
                    "process,syscalls",
                    "--set",
                    "syscalls.latency=",
                    "--set",
                    "aggregate.interval=10s",
                ],
            )?;
            counts.push(getppid());
            read_counts.push(read_nothing());
        }
        {
            let _agent = Agent::start(
                &receiver,
                &["--signals", "process,syscalls", "--set", "aggregate.interval=10s"],
            )?;
            read_latency.push(read_nothing());
        }
    }
    let (alone, empty, counts) = (median(&mut alone), median(&mut empty), median(&mut counts));
    let (read_alone, read_counts, read_latency) =
        (median(&mut read_alone), median(&mut read_counts), median(&mut read_latency));
    println!("getppid alone                       {alone:7.1} ns");
    println!("  with an empty tp_btf program     +{:7.1} ns", empty - alone);
    println!("  with the agent, counts only      +{:7.1} ns", counts - alone);
    println!("  counts / empty                    {:7.2}", (counts - alone) / (empty - alone));
    println!("read of 0 bytes alone               {read_alone:7.1} ns");
    println!("  with the agent, counts only      +{:7.1} ns", read_counts - read_alone);
    println!("  with the agent, with latency     +{:7.1} ns\n", read_latency - read_alone);
    Ok(())
}

/// Throughput and tail of a service under wrk, without and with the agent.
fn service(name: &str, server: &Server) -> Result<()> {
    let url = format!("http://127.0.0.1:{}/index.html", server.port);
    let receiver = Receiver::start()?;
    peer::wrk(&url, 8, 1)?;
    let (mut rps, mut p99, mut rss, mut maps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        let without = peer::wrk(&url, 8, 3)?;
        let agent = Agent::start(&receiver, &[])?;
        let with = peer::wrk(&url, 8, 3)?;
        rss.push(agent.rss_kib() as f64);
        maps.push(agent.map_bytes() as f64);
        drop(agent);
        alone.push(without.requests_per_second);
        rps.push(with.requests_per_second / without.requests_per_second);
        p99.push(with.p99 / without.p99);
    }
    println!("{name} under wrk, 8 connections");
    println!("  requests/s without                {:9.0}", median(&mut alone));
    println!("  requests/s with / without         {:9.3}", median(&mut rps));
    println!("  p99 with / without                {:9.3}", median(&mut p99));
    println!("  agent RSS under load              {:9.0} KiB", median(&mut rss));
    println!("  BPF map bytes                     {:9.0}\n", median(&mut maps));
    Ok(())
}

/// From the start of the process to the first report at the receiver.
fn start_up() -> Result<()> {
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let receiver = Receiver::start()?;
        let start = Instant::now();
        let agent = Agent::start(&receiver, &[])?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(agent);
    }
    println!("start to first report                {:8.2} s", median(&mut seconds));
    println!("binary                               {:8} bytes", fs::metadata(binary())?.len());
    Ok(())
}

struct Baseline {
    _bpf: aya::Ebpf,
}

impl Baseline {
    fn attach() -> Result<Self> {
        let folder = std::env::var_os("SHIPWAKE_BPF_DIR")
            .map_or_else(|| PathBuf::from("target/bpf"), PathBuf::from);
        let object = fs::read(folder.join("baseline")).context("run `cargo xtask build-ebpf`")?;
        let btf = Btf::from_sys_fs()?;
        let mut bpf = EbpfLoader::new().btf(Some(&btf)).load(&object)?;
        let program: &mut BtfTracePoint =
            bpf.program_mut("baseline_exit_btf").context("no program in baseline")?.try_into()?;
        program.load("sys_exit", &btf)?;
        program.attach()?;
        Ok(Self { _bpf: bpf })
    }
}

fn getppid() -> f64 {
    per_call(|| {
        let _ = std::hint::black_box(std::os::unix::process::parent_id());
    })
}

fn read_nothing() -> f64 {
    use std::io::Read as _;
    let Ok(mut file) = fs::File::open("/dev/null") else { return f64::NAN };
    let mut byte = [0];
    per_call(|| {
        let _ = file.read(&mut byte);
    })
}

/// The fastest of a few loops: the others were disturbed.
fn per_call(mut call: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..CALLS / 5 {
            call();
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / f64::from(CALLS / 5)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn python() -> Result<Server> {
    let folder = peer::folder("bench-python")?;
    fs::write(folder.join("index.html"), "x".repeat(612))?;
    let port = peer::free_port()?;
    let program = format!(
        "import http.server as h\n\
         class R(h.SimpleHTTPRequestHandler):\n\
         \x20protocol_version = 'HTTP/1.1'\n\
         \x20def log_message(self, *a): pass\n\
         h.ThreadingHTTPServer(('127.0.0.1', {port}), R).serve_forever()"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &program]).current_dir(&folder);
    Server::start(command, port, folder)
}
