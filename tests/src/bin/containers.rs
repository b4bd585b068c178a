//! Many containers started at once: how soon each is attributed to its deploy, and what that costs.

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use shipwake_tests::{
    agent::{Agent, binary},
    fleet::{Fleet, Life, Member, Runtime, Verdict, unknown, within},
    otlp::Receiver,
    poll,
};

/// What is still on its way at the end is waited for.
const REST: Duration = Duration::from_secs(5);
/// Within which 99 of 100 must be attributed.
const TARGET: Duration = Duration::from_secs(2);

const SET: &str = "--set";
const API: &str = "api.socket=/tmp/shipwake-bench-containers.sock";

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn measure() -> Result<()> {
    let count = option("--containers").and_then(|value| value.parse().ok()).unwrap_or(500);
    let seconds = option("--seconds").and_then(|value| value.parse().ok()).unwrap_or(60.0);
    let runtime = match option("--runtime").as_deref() {
        None | Some("containerd") => Runtime::Containerd,
        Some("cri") => Runtime::Cri,
        Some("docker") => Runtime::Docker,
        Some(other) => bail!("`{other}` is no runtime; known: containerd cri docker"),
    };
    let life = if std::env::args().any(|argument| argument == "--short") {
        Life::Short
    } else {
        Life::Long
    };
    let fleet = Fleet::new(runtime)?;
    let receiver = Receiver::start()?;
    let settings = fleet.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let agent = Agent::start(&receiver, &[&settings[..], &[SET, API]].concat())?;
    // One that does not count, so that everything has been used once.
    let first = fleet.launch(0, 1, Duration::ZERO, life)?;
    thread::sleep(REST);
    let before = Sample::of(&agent, &fleet, &receiver);

    let begin = Instant::now();
    let mut members = fleet.launch(1, count, Duration::from_secs_f64(seconds), life)?;
    let took = begin.elapsed();
    let during = Sample::of(&agent, &fleet, &receiver);
    thread::sleep(REST);
    let after = Sample::of(&agent, &fleet, &receiver);
    let idle = begin.elapsed() - took;
    let log = agent.log();
    let unknown = if life == Life::Long { unknown(&members, &listing()?)? } else { Vec::new() };
    let peak = agent.peak_kib();
    let code = agent.stop()?;
    members.extend(first.into_iter().map(|member| Member { started: None, ..member }));
    let verdict = Verdict::of(&members, &receiver);
    let alone = without(&fleet, count, seconds, life)?;

    let rate = count as f64 / took.as_secs_f64() * 60.0;
    println!(
        "{runtime:?}, {life:?}: {count} containers in {:.1} s, {rate:.0} a minute",
        took.as_secs_f64()
    );
    println!(
        "  until the first report under its identity (one report a second), s:   p50    p99    max"
    );
    let created = row("from the making of the process", &verdict.waited);
    let executed = row("from the start of the program", &verdict.waited_executed);
    let Verdict { never, wrong, strays, bare, .. } = &verdict;
    println!("  never reported in full   {:6}", never.len());
    println!("  not known in the end     {:6}", unknown.len());
    println!("  series under a wrong one {:6}", wrong.len());
    println!("  series outside           {:6}", strays.len());
    println!("  reported before known    {:6}", bare.len());
    println!("                          before    at the end   {:.0} s later", idle.as_secs_f64());
    let figures = |name: &str, of: &dyn Fn(&Sample) -> f64| {
        println!("  {name:<22} {:9.2} {:13.2} {:11.2}", of(&before), of(&during), of(&after));
    };
    figures("agent CPU, s", &|it| it.cpu.as_secs_f64());
    figures("agent RSS, MiB", &|it| it.rss_kib as f64 / 1024.0);
    figures("BPF maps, MiB", &|it| it.map_bytes as f64 / (1024.0 * 1024.0));
    figures("series", &|it| it.series);
    figures("daemon CPU, s", &|it| it.daemon.as_secs_f64());
    let own = (during.cpu - before.cpu).as_secs_f64();
    println!(
        "  agent: {:.1} % of a CPU, {:.1} ms per container; most resident {:.1} MiB; end {code}",
        own / took.as_secs_f64() * 100.0,
        own * 1000.0 / count as f64,
        peak as f64 / 1024.0
    );
    let asked = (after.daemon - before.daemon).as_secs_f64() * 1000.0 / count as f64;
    println!("  daemon: {asked:.1} ms of CPU per container, {alone:.1} ms without the agent");
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    println!("  warnings of the agent: {complaints:?}");
    if life == Life::Long {
        again(&settings, &members)?;
    }
    if !never.is_empty() || !unknown.is_empty() || !wrong.is_empty() || !strays.is_empty() {
        bail!("never {never:?}, unknown {unknown:?}, wrong {wrong:?}, outside {strays:?}");
    }
    if executed > TARGET {
        bail!(
            "99 of 100 took up to {executed:?} from the start of the program, {created:?} from that of the process"
        );
    }
    Ok(())
}

/// Prints how long it took, and returns for 99 of 100.
fn row(name: &str, waited: &[Duration]) -> Duration {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| within(waited, share).as_secs_f64());
    println!("  {name:<32} ({:4} known) {:29.2} {p99:6.2} {max:6.2}", waited.len(), p50);
    within(waited, 0.99)
}

/// An agent that starts when all of them run.
fn again(settings: &[&str], members: &[Member]) -> Result<()> {
    let receiver = Receiver::start()?;
    let begin = Instant::now();
    let agent = Agent::start(&receiver, &[settings, &[SET, API]].concat())?;
    let mut left = Vec::new();
    let known = poll::until(Duration::from_secs(60), || {
        left = listing().and_then(|listing| unknown(members, &listing)).unwrap_or_default();
        left.is_empty().then(|| begin.elapsed())
    });
    println!("  an agent that starts when all of them run, by `shipwake ps`:");
    match known {
        Some(known) => println!("    all attributed {:.1} s after its start", known.as_secs_f64()),
        None => bail!("an agent that started later never attributed {left:?}"),
    }
    thread::sleep(REST);
    println!(
        "    CPU {:.1} s, RSS {:.1} MiB, most {:.1} MiB",
        agent.cpu().as_secs_f64(),
        agent.rss_kib() as f64 / 1024.0,
        agent.peak_kib() as f64 / 1024.0
    );
    agent.stop()?;
    Ok(())
}

/// What `shipwake ps` says now.
fn listing() -> Result<String> {
    let output = Command::new(binary()).args(["ps", "--json", SET, API]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Milliseconds of the daemon's CPU time per container when nobody watches: of a tenth as many, at the same pace.
fn without(fleet: &Fleet, count: usize, seconds: f64, life: Life) -> Result<f64> {
    let some = count.div_ceil(10);
    let pace = Duration::from_secs_f64(seconds * some as f64 / count as f64);
    let before = fleet.daemon_cpu();
    fleet.launch(count + 1, some, pace, life)?;
    thread::sleep(REST);
    Ok((fleet.daemon_cpu() - before).as_secs_f64() * 1000.0 / some as f64)
}

/// What everything has cost until now.
struct Sample {
    cpu: Duration,
    daemon: Duration,
    rss_kib: u64,
    map_bytes: u64,
    series: f64,
}

impl Sample {
    fn of(agent: &Agent, fleet: &Fleet, receiver: &Receiver) -> Self {
        Self {
            cpu: agent.cpu(),
            daemon: fleet.daemon_cpu(),
            rss_kib: agent.rss_kib(),
            map_bytes: agent.map_bytes(),
            series: receiver
                .series("shipwake.agent.series", |_| true)
                .pop()
                .map_or(0.0, |it| it.number()),
        }
    }
}
