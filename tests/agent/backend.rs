//! Through a collector of somebody else's making: what arrives is what happened, outages included.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use shipwake_tests::{
    agent::Agent,
    otlp::{Receiver, Series},
    peer::{self, Server},
    poll,
    rotel::{Ports, Rotel},
};

const SERVED: &str = "http.server.request.duration";
const PATIENCE: Duration = Duration::from_secs(30);

fn ask(server: &Server, times: u32) {
    for _ in 0..times {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream
            .write_all(b"GET /index.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

/// Most that the agent's memory may grow while nobody listens: reports wait, but only the newest.
const GROWTH_KIB: u64 = 8192;

/// Length of the outage: `SHIPWAKE_OUTAGE_SECONDS`, else short enough for every run.
fn outage() -> Duration {
    let seconds = std::env::var("SHIPWAKE_OUTAGE_SECONDS").map_or(10, |text| {
        text.parse().unwrap_or_else(|_| panic!("SHIPWAKE_OUTAGE_SECONDS={text} is no number"))
    });
    Duration::from_secs(seconds)
}

/// What the memory of a process was while it was looked at, in KiB.
#[derive(Debug)]
struct Memory {
    before: u64,
    /// Highest until then, the time of the start included.
    peak_before: u64,
    most: u64,
    looks: u32,
}

impl Memory {
    fn of(agent: &Agent) -> Self {
        let before = agent.rss_kib();
        assert!(before > 0, "the agent is gone; it said:\n{}", agent.log());
        Self { before, peak_before: agent.peak_kib(), most: before, looks: 1 }
    }

    fn look(&mut self, agent: &Agent) {
        self.most = self.most.max(agent.rss_kib());
        // What grew and shrank again between two looks.
        let peak = agent.peak_kib();
        if peak > self.peak_before {
            self.most = self.most.max(peak);
        }
        self.looks += 1;
    }

    fn growth(&self) -> u64 {
        self.most - self.before
    }
}

fn check(protocol: &str) {
    let ports = Ports::free().unwrap();
    let url = if protocol == "grpc" { ports.grpc_url() } else { ports.http_url() };
    let receiver = Receiver::start().unwrap();
    let collector = Rotel::start(ports, &receiver).unwrap();
    let nginx = peer::nginx(1, "").unwrap();
    let workers = nginx.children();
    let protocol = format!("otlp.protocol={protocol}");
    let agent = Agent::spawn(
        &url,
        &["--set", &protocol, "--set", "otlp.compression=gzip", "--set", "otlp.retry_initial=1s"],
    )
    .unwrap();
    let of = |it: &Series| it.text("process.pid").parse().is_ok_and(|pid| workers.contains(&pid));
    let ready = poll::until(PATIENCE, || (receiver.requests() > 0).then_some(()));
    assert!(ready.is_some(), "nothing arrives; the agent said:\n{}", agent.log());
    ask(&nginx, 40);
    assert_eq!(receiver.wait_sum(PATIENCE, SERVED, 40.0, of), 40.0, "{}", agent.log());

    drop(collector);
    let mut memory = Memory::of(&agent);
    let start = Instant::now();
    while start.elapsed() < outage() {
        ask(&nginx, 5);
        std::thread::sleep(Duration::from_millis(500));
        memory.look(&agent);
    }
    assert!(memory.growth() < GROWTH_KIB, "while nobody listened: {memory:?}");
    let _collector = Rotel::start(ports, &receiver).unwrap();
    ask(&nginx, 10);
    let truth = peer::access_log(&nginx).len() as f64;
    assert_eq!(receiver.wait_sum(PATIENCE, SERVED, truth, of), truth, "{}", agent.log());
    memory.look(&agent);
    assert!(memory.growth() < GROWTH_KIB, "after the outage: {memory:?}");
    println!("{protocol}: {truth} requests, outage of {:?}: {memory:?}", outage());
    assert!(agent.stop().unwrap().success());
    assert_eq!(receiver.malformed(), 0);
}

#[test]
fn totals_are_right_over_grpc_after_an_outage() {
    if peer::installed("/usr/sbin/nginx") {
        check("grpc");
    }
}

#[test]
fn totals_are_right_over_http_after_an_outage() {
    if peer::installed("/usr/sbin/nginx") {
        check("http/protobuf");
    }
}
