//! Through a collector of somebody else's making: what arrives is what happened, outages included.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
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

/// Length of the outage: `SHIPWAKE_OUTAGE_SECONDS`, else short enough for every run.
fn outage() -> Duration {
    let seconds = std::env::var("SHIPWAKE_OUTAGE_SECONDS").ok().and_then(|it| it.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
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
    let rss = agent.rss_kib();
    let start = std::time::Instant::now();
    while start.elapsed() < outage() {
        ask(&nginx, 5);
        std::thread::sleep(Duration::from_millis(500));
    }
    let grown = agent.rss_kib().saturating_sub(rss);
    assert!(grown < 8192, "memory grew by {grown} KiB while nobody listened");
    let _collector = Rotel::start(ports, &receiver).unwrap();
    ask(&nginx, 10);
    let truth = peer::access_log(&nginx).len() as f64;
    assert_eq!(receiver.wait_sum(PATIENCE, SERVED, truth, of), truth, "{}", agent.log());
    println!("{protocol}: {truth} requests, {grown} KiB more memory during the outage");
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
