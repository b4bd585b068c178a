//! Starting and ending: nothing is lost at the end, nothing is left behind.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use shipwake_tests::{agent::Agent, otlp::Receiver, peer, poll};

/// Ids of the BPF programs, maps and links that the kernel holds, as `program 12`.
fn loaded() -> BTreeSet<String> {
    let programs =
        aya::programs::loaded_programs().flatten().map(|it| format!("prog_id {}", it.id()));
    let maps = aya::maps::loaded_maps().flatten().map(|it| format!("map_id {}", it.id()));
    let links = aya::programs::loaded_links().flatten().map(|it| format!("link_id {}", it.id()));
    programs.chain(maps).chain(links).collect()
}

/// Those that a process holds open.
fn held_by(pid: u32) -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
        let Ok(info) = fs::read_to_string(descriptor.path()) else { continue };
        for line in info.lines() {
            let mut words = line.split_whitespace();
            if let (Some(key @ ("prog_id:" | "map_id:" | "link_id:")), Some(id)) =
                (words.next(), words.next())
            {
                objects.insert(format!("{} {id}", key.trim_end_matches(':')));
            }
        }
    }
    objects
}

/// Waits until the kernel holds none of these any more.
fn assert_gone(objects: &BTreeSet<String>) {
    let clean =
        poll::until(Duration::from_secs(10), || loaded().is_disjoint(objects).then_some(()));
    let loaded = loaded();
    assert!(clean.is_some(), "left behind: {:?}", loaded.intersection(objects).collect::<Vec<_>>());
}

/// SIGTERM: the last window is flushed, the exit code is 0, the kernel holds what it held before.
#[test]
fn sigterm_flushes_and_leaves_nothing() {
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &["--set", "aggregate.interval=60s"]).unwrap();
    let held = held_by(agent.pid());
    assert!(held.len() > 20, "{held:?}");
    assert!(held.is_subset(&loaded()));
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
    assert_gone(&held);
}

/// `kill -9` leaves nothing in the kernel either.
#[test]
fn sigkill_leaves_nothing() {
    let pins = pins();
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let held = held_by(agent.pid());
    assert!(!held.is_empty());
    agent.kill().unwrap();
    assert_gone(&held);
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
        agent.log().contains("refuses connections").then_some(())
    });
    assert!(complained.is_some(), "no word about the endpoint:\n{}", agent.log());
    assert!(agent.stop().unwrap().success());
}

/// The table on the terminal names the service that works.
#[test]
fn the_console_shows_the_service() {
    let nginx = peer::nginx(1, "").unwrap();
    let child = Command::new(shipwake_tests::agent::binary())
        .args([
            "run",
            "--console",
            "--for",
            "8s",
            "--set",
            "aggregate.interval=1s",
            "--set",
            "api.enabled=false",
        ])
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
