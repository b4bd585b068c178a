//! Counts of system calls against bpftrace, which watches the same process at the same time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use shipwake_tests::{
    agent::Agent,
    otlp::{Receiver, Series},
    peer, poll,
};

const ACTOR: &str = r#"
import os, sys
print('ready', flush=True); sys.stdin.readline()
for _ in range(10000): os.getppid()
for _ in range(500):
    try: os.open('/nonexistent/file', os.O_RDONLY)
    except FileNotFoundError: pass
print('done', flush=True); sys.stdin.readline()
"#;
/// Numbers of the calls on x86-64.
const GETPPID: i64 = 110;
const OPENAT: i64 = 257;
const ENOENT: i64 = -2;
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn bpftrace_counts_the_same_calls() {
    if !cfg!(target_arch = "x86_64") {
        println!("SKIPPED: the numbers of the calls are those of x86-64");
        return;
    }
    if !peer::installed("bpftrace") || !peer::installed("python3") {
        return;
    }
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let mut actor = Command::new("python3")
        .args(["-c", ACTOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = actor.id().to_string();
    let mut said = BufReader::new(actor.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "ready");

    let of = |it: &Series| it.text("process.pid") == pid;
    let missing = |it: &Series| {
        of(it) && it.text("shipwake.syscall.name") == "openat" && it.text("error.type") == "ENOENT"
    };
    let queries = |receiver: &Receiver| receiver.sum("shipwake.syscall.count", of);
    // What the interpreter did to start is reported before the counting begins.
    receiver.wait_sum(PATIENCE, "shipwake.syscall.count", 1.0, of);
    assert!(receiver.wait_reports(4, PATIENCE));
    let (calls_before, missing_before) =
        (queries(&receiver), receiver.sum("shipwake.syscall.errors", missing));

    let program = format!(
        "tracepoint:raw_syscalls:sys_exit /pid == {pid}/ {{ @[args->id, args->ret < 0 ? args->ret : 0] = count(); }} \
         BEGIN {{ printf(\"attached\\n\"); }}"
    );
    let mut observer = Command::new("bpftrace")
        .args(["-e", &program])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut observed = BufReader::new(observer.stdout.take().unwrap()).lines();
    let attached = observed.by_ref().map_while(Result::ok).any(|line| line.contains("attached"));
    if !attached {
        let output = observer.wait_with_output().unwrap();
        println!(
            "SKIPPED: bpftrace does not run here: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        actor.kill().unwrap();
        actor.wait().unwrap();
        return;
    }
    actor.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "done");
    Command::new("kill").args(["-INT", &observer.id().to_string()]).status().unwrap();
    let counts: Vec<(i64, i64, f64)> =
        observed.map_while(Result::ok).filter_map(|line| parse(&line)).collect();
    observer.wait().unwrap();
    let observed = |nr: i64, error: i64| -> f64 {
        counts.iter().filter(|(a, b, _)| (*a, *b) == (nr, error)).map(|(_, _, count)| count).sum()
    };
    assert_eq!(observed(GETPPID, 0), 10_000.0, "{counts:?}");
    assert_eq!(observed(OPENAT, ENOENT), 500.0, "{counts:?}");
    let all: f64 = counts.iter().map(|(_, _, count)| count).sum();

    let errors = poll::until(PATIENCE, || {
        let now = receiver.sum("shipwake.syscall.errors", missing) - missing_before;
        (now >= 500.0).then_some(now)
    });
    assert_eq!(errors, Some(observed(OPENAT, ENOENT)), "failed openat");
    assert!(receiver.wait_reports(3, PATIENCE));
    let calls = queries(&receiver) - calls_before;
    println!("bpftrace saw {all} calls, the agent {calls}");
    // The read that waited for the line began before, and the last one is still waiting.
    assert_eq!(calls, all);
    actor.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    actor.wait().unwrap();
    assert!(agent.stop().unwrap().success());
}

/// `@[110, 0]: 10000`.
fn parse(line: &str) -> Option<(i64, i64, f64)> {
    let (key, count) = line.strip_prefix("@[")?.split_once("]: ")?;
    let (nr, error) = key.split_once(", ")?;
    Some((nr.parse().ok()?, error.parse().ok()?, count.trim().parse().ok()?))
}
