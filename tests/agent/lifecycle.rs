//! Starting and ending: nothing is lost at the end, nothing is left behind.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use shipwake_tests::{agent::Agent, otlp::Receiver, peer, poll};

/// Ids of everything that the kernel holds for BPF: programs, maps, links.
fn loaded() -> (BTreeSet<u32>, BTreeSet<u32>, BTreeSet<u32>) {
    (
        aya::programs::loaded_programs().flatten().map(|it| it.id()).collect(),
        aya::maps::loaded_maps().flatten().map(|it| it.id()).collect(),
        aya::programs::loaded_links().flatten().map(|it| it.id()).collect(),
    )
}

/// SIGTERM: the last window is flushed, the exit code is 0, the kernel holds what it held before.
#[test]
fn sigterm_flushes_and_leaves_nothing() {
    let before = loaded();
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &["--set", "aggregate.interval=60s"]).unwrap();
    assert!(loaded().0.len() > before.0.len(), "the agent has loaded nothing");
    let nginx = peer::nginx(1, "").unwrap();
    let wrk = peer::wrk(&format!("http://127.0.0.1:{}/index.html", nginx.port), 2, 1).unwrap();
    let workers = nginx.children();
    assert!(agent.stop().unwrap().success());
    let truth = peer::access_log(&nginx).len();
    let seen = receiver.sum("http.server.request.duration", |it| {
        it.text("process.pid").parse().is_ok_and(|pid| workers.contains(&pid))
    });
    println!("wrk {wrk:?}, log {truth}, seen {seen}");
    assert_eq!(seen, truth as f64, "the last window must be flushed");
    let left = poll::until(Duration::from_secs(10), || (before == loaded()).then_some(()));
    assert!(left.is_some(), "left behind: {:?}", loaded().0.difference(&before.0));
}

/// `kill -9` leaves nothing in the kernel either.
#[test]
fn sigkill_leaves_nothing() {
    let before = loaded();
    let pins = pins();
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    agent.kill().unwrap();
    let clean = poll::until(Duration::from_secs(10), || (before == loaded()).then_some(()));
    assert!(clean.is_some(), "left behind: {:?}", loaded().0.difference(&before.0));
    assert_eq!(pins, self::pins());
}

fn pins() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/fs/bpf")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A dead endpoint never keeps the agent from ending, and it says what is wrong in one line.
#[test]
fn a_dead_endpoint_does_not_hold_the_exit() {
    let port = peer::free_port().unwrap();
    let agent = Agent::spawn(&format!("http://127.0.0.1:{port}"), &[]).unwrap();
    let complained = poll::until(Duration::from_secs(20), || {
        agent.log().to_lowercase().contains("refused").then_some(())
    });
    assert!(complained.is_some(), "no word about the endpoint:\n{}", agent.log());
    assert!(agent.stop().unwrap().success());
}

/// The table on the terminal names the service that works.
#[test]
fn the_console_shows_the_service() {
    let nginx = peer::nginx(1, "").unwrap();
    let child = Command::new(shipwake_tests::agent::binary())
        .args(["run", "--console", "--for", "8s", "--set", "aggregate.interval=1s"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    peer::wrk(&format!("http://127.0.0.1:{}/index.html", nginx.port), 2, 6).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success());
    assert!(text.contains("nginx"), "the table has no nginx");
}
