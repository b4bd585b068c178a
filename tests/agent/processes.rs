//! Known processes doing known things, and what the agent says about them.

use std::{process::Command, time::Duration};

use shipwake_tests::{agent::Agent, otlp::Receiver, poll};

const PATIENCE: Duration = Duration::from_secs(15);

/// Calls and errors of a program that is known to make them, per process, call and errno.
#[test]
fn known_calls_are_counted_exactly() {
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let script = "import os,socket,errno\n\
        for _ in range(10000): os.getppid()\n\
        for _ in range(500):\n\
        \x20try: os.open('/nonexistent/file', os.O_RDONLY)\n\
        \x20except FileNotFoundError: pass\n\
        refused = 0\n\
        for _ in range(300):\n\
        \x20s = socket.socket(); \n\
        \x20try: s.connect(('127.0.0.1', 1))\n\
        \x20except ConnectionRefusedError: refused += 1\n\
        \x20s.close()\n\
        print(refused, flush=True)\n\
        import sys; sys.stdin.readline()\n";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert_eq!(line.trim(), "300");
    let of = |it: &shipwake_tests::otlp::Series| it.text("process.pid") == pid;
    let refused = receiver.wait_sum(PATIENCE, "shipwake.syscall.errors", 300.0, |it| {
        of(it)
            && it.text("shipwake.syscall.name") == "connect"
            && it.text("error.type") == "ECONNREFUSED"
    });
    assert_eq!(refused, 300.0);
    let attempts = receiver.wait_sum(PATIENCE, "shipwake.tcp.connection.attempts", 300.0, |it| {
        of(it) && it.text("error.type") == "ECONNREFUSED"
    });
    assert_eq!(attempts, 300.0);
    let missing = receiver.sum("shipwake.syscall.errors", |it| {
        of(it) && it.text("shipwake.syscall.name") == "openat" && it.text("error.type") == "ENOENT"
    });
    // The interpreter itself looks for files that are not there while it starts.
    assert!(missing >= 500.0, "{missing}");
    drop(child.stdin.take());
    child.wait().unwrap();
    drop(agent);
}

/// 10,000 short processes: each execution is reported, on the right service, or its loss is counted.
#[test]
fn a_burst_of_short_processes_is_counted() {
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let starts = |receiver: &Receiver| {
        receiver.sum("shipwake.process.executions", |it| {
            it.text("service.name") == "unknown_service:true"
        })
    };
    let before = starts(&receiver);
    let status = Command::new("sh")
        .args(["-c", "i=0; while [ $i -lt 10000 ]; do /bin/true; i=$((i+1)); done"])
        .status()
        .unwrap();
    assert!(status.success());
    let seen = poll::until(PATIENCE, || {
        let seen = starts(&receiver) - before;
        (seen >= 10_000.0).then_some(seen)
    })
    .unwrap_or_else(|| starts(&receiver) - before);
    let lost =
        receiver.sum("shipwake.agent.lost", |it| it.text("shipwake.agent.signal") == "process");
    println!("{seen} executions of /bin/true, {lost} lost");
    assert_eq!(seen + lost, 10_000.0);
    drop(agent);
}
