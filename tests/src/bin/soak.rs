//! The agent under load and process churn for a while: memory, maps and descriptors must stay flat.

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use shipwake_tests::{agent::Agent, otlp::Receiver, peer};

/// What may be added after the warm-up: pages that the allocator keeps, not growth.
const TOLERANCE_KIB: u64 = 2048;

#[derive(Clone, Copy, Debug)]
struct Sample {
    rss_kib: u64,
    map_bytes: u64,
    descriptors: usize,
}

fn main() -> ExitCode {
    let minutes = std::env::args()
        .skip_while(|argument| argument != "--minutes")
        .nth(1)
        .and_then(|value| value.parse().ok())
        .unwrap_or(10.0);
    match soak(minutes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(minutes: f64) -> Result<()> {
    let length = Duration::from_secs_f64(minutes * 60.0);
    let receiver = Receiver::start()?;
    let nginx = peer::nginx(2, "access_log off;")?;
    let mut agent = Agent::start(&receiver, &[])?;
    let seconds = (length.as_secs() + 5).to_string();
    let url = format!("http://127.0.0.1:{}/index.html", nginx.port);
    let mut load = Command::new("wrk")
        .args(["-t1", "-c8", &format!("-d{seconds}s"), &url])
        .stdout(Stdio::null())
        .spawn()?;
    let churn = "while :; do /bin/true; /bin/ls /nonexistent >/dev/null 2>&1; done";
    let mut churn = Command::new("timeout")
        .args([&seconds, "sh", "-c", churn])
        .stdout(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let mut samples = Vec::new();
    println!("minute    RSS KiB    map bytes    descriptors");
    while start.elapsed() < length {
        std::thread::sleep(Duration::from_secs(10));
        if !agent.running() {
            bail!("the agent ended by itself:\n{}", agent.log());
        }
        let sample = Sample {
            rss_kib: agent.rss_kib(),
            map_bytes: agent.map_bytes(),
            descriptors: agent.descriptors(),
        };
        let minute = start.elapsed().as_secs_f64() / 60.0;
        println!(
            "{minute:6.1} {:10} {:12} {:14}",
            sample.rss_kib, sample.map_bytes, sample.descriptors
        );
        samples.push(sample);
    }
    let _ = load.kill();
    // `timeout` passes this on to the shell; were it killed, the shell would go on without end.
    let _ = Command::new("kill").args(["-TERM", &churn.id().to_string()]).status();
    let _ = load.wait();
    let _ = churn.wait();
    let mut lost = BTreeMap::<String, f64>::new();
    for series in receiver.series("shipwake.agent.lost", |_| true) {
        let keys = ["shipwake.agent.signal", "shipwake.agent.cause"];
        *lost.entry(keys.map(|key| series.text(key)).join(" ")).or_default() += series.number();
    }
    let unattributed = receiver.sum("shipwake.agent.unattributed", |_| true);
    let forgotten = receiver.sum("shipwake.agent.processes.forgotten", |_| true);
    let starts = receiver.sum("shipwake.process.starts", |_| true);
    let requests = receiver.sum("http.server.request.duration", |_| true);
    println!("requests reported {requests}, processes {starts}, reports {}", receiver.requests());
    println!("lost {lost:?}, unattributed {unattributed}, processes forgotten early {forgotten}");
    let code = agent.stop()?;
    println!("end: {code}");
    verdict(&samples)
}

/// Compares the last quarter with the second one: the first is warm-up.
fn verdict(samples: &[Sample]) -> Result<()> {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        bail!("too short to judge; use --minutes 1 or more");
    }
    let highest = |range: &[Sample]| {
        (
            range.iter().map(|it| it.rss_kib).max().unwrap_or(0),
            range.iter().map(|it| it.map_bytes).max().unwrap_or(0),
            range.iter().map(|it| it.descriptors).max().unwrap_or(0),
        )
    };
    let before = highest(&samples[quarter..2 * quarter]);
    let after = highest(&samples[samples.len() - quarter..]);
    println!("second quarter {before:?}, last quarter {after:?} (KiB, bytes, descriptors)");
    if after.0 > before.0 + TOLERANCE_KIB {
        bail!("resident memory grew from {} to {} KiB", before.0, after.0);
    }
    if after.1 > before.1 + before.1 / 10 {
        bail!("BPF maps grew from {} to {} bytes", before.1, after.1);
    }
    if after.2 > before.2 + 4 {
        bail!("descriptors grew from {} to {}", before.2, after.2);
    }
    println!("flat");
    Ok(())
}
