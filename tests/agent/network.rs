//! Retransmits in a network namespace, through the whole agent, against the namespace's own counter.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use shipwake_tests::{agent::Agent, otlp::Receiver, peer};

/// Opens a connection over IPv4 and one over IPv6, waits for a line, opens two more, lets the receivers drop
/// everything for a while so that the senders resend, and prints `RetransSegs` of its namespace.
const ACTOR: &str = r#"
import ctypes, socket, struct, sys, time
def pair(family, address):
    listener = socket.socket(family); listener.bind((address, 0)); listener.listen()
    client = socket.socket(family); client.connect(listener.getsockname())
    return client, listener.accept()[0]
def both(): return [pair(socket.AF_INET, '127.0.0.1'), pair(socket.AF_INET6, '::1')]
def counter():
    lines = [l.split() for l in open('/proc/net/snmp') if l.startswith('Tcp:')]
    return int(lines[1][lines[0].index('RetransSegs')])
pairs = both()
print('open', flush=True); sys.stdin.readline()
pairs += both()
drop = ctypes.create_string_buffer(struct.pack('HBBI', 0x06, 0, 0, 0))
program = struct.pack('HxxxxxxQ', 1, ctypes.addressof(drop))
for _, server in pairs: server.setsockopt(socket.SOL_SOCKET, 26, program)
for number, (client, _) in enumerate(pairs): client.sendall(b'x' * 100 * (number + 1))
time.sleep(2)
for _, server in pairs: server.setsockopt(socket.SOL_SOCKET, 27, 0)
for number, (_, server) in enumerate(pairs):
    left = 100 * (number + 1)
    while left: left -= len(server.recv(left))
print(counter(), flush=True); sys.stdin.readline()
"#;

/// A namespace of its own, removed at the end.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("shipwake-{}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn go_on(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
}

#[test]
fn retransmits_equal_the_namespaces_counter_and_land_on_their_process() {
    if !peer::installed("ip") || !peer::installed("python3") {
        return;
    }
    let namespace = Namespace::new();
    let mut actor = Command::new("ip")
        .args(["netns", "exec", &namespace.0, "python3", "-c", ACTOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = actor.id().to_string();
    let mut said = BufReader::new(actor.stdout.take().unwrap());
    assert_eq!(line(&mut said), "open");
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    go_on(&mut actor);
    let truth: f64 = line(&mut said).parse().unwrap();
    assert!(truth >= 4.0, "each of four connections resends, the kernel counts {truth}");
    let of = |it: &shipwake_tests::otlp::Series| it.text("process.pid") == pid;
    let metric = "shipwake.tcp.retransmits";
    receiver.wait_sum(Duration::from_secs(15), metric, truth, of);
    receiver.wait_reports(2, Duration::from_secs(10));
    let seen = receiver.sum(metric, of);
    let ports = receiver.series(metric, of).len();
    println!("RetransSegs {truth}, reported {seen} in {ports} series");
    assert_eq!(seen, truth);
    go_on(&mut actor);
    actor.wait().unwrap();
    assert!(agent.stop().unwrap().success());
}
