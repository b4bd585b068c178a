//! What the user side costs per HTTP exchange: `cargo run --release --example http_cost`.
//!
//! Prints nanoseconds per exchange, from the bytes of the ring to measurements in a batch, for the steady
//! state of some kinds of traffic.

use std::{hint::black_box, time::Instant};

use bytemuck::{Zeroable as _, bytes_of};
use shipwake::signals::{
    Batch,
    http::{Core, Settings},
};
use shipwake_ebpf::{
    http::{DIRECTION_IN, DIRECTION_OUT, Exchange, KIND_EXCHANGE, KIND_SEGMENT, Segment},
    socket::{ROLE_CLIENT, ROLE_SERVER},
};

const ROUNDS: usize = 1_000_000;

fn exchange(role: u32, head: &str, number: usize) -> Vec<u8> {
    let mut exchange = Exchange::zeroed();
    exchange.kind = KIND_EXCHANGE;
    exchange.head_kept = u32::try_from(head.len()).unwrap_or(0);
    exchange.head_total = exchange.head_kept;
    exchange.origin.role = role;
    exchange.origin.process.tgid = 7;
    exchange.origin.connection = number as u64;
    exchange.request_start_ns = 1_000;
    exchange.response_end_ns = 51_000 + number as u64;
    exchange.request_bytes = head.len() as u64;
    exchange.response_bytes = 612;
    exchange.status = 200;
    exchange.end = 1;
    [bytes_of(&exchange), head.as_bytes()].concat()
}

fn segments(request: &str, response: &str, number: u32) -> [Vec<u8>; 2] {
    [(request, DIRECTION_IN, 1), (response, DIRECTION_OUT, 2)].map(|(text, direction, ordinal)| {
        let mut segment = Segment::zeroed();
        segment.kind = KIND_SEGMENT;
        segment.kept = u32::try_from(text.len()).unwrap_or(0);
        segment.total = text.len() as u64;
        segment.origin.role = ROLE_SERVER;
        segment.origin.connection = 5;
        segment.direction = direction;
        segment.ordinal = number * 2 + ordinal;
        [bytes_of(&segment), text.as_bytes()].concat()
    })
}

fn measure(name: &str, per_record: usize, records: &[Vec<u8>]) -> anyhow::Result<()> {
    let mut core = Core::new(&Settings::default())?;
    let mut out = Batch::default();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let mut done = 0;
        while done < ROUNDS / 5 {
            for record in records {
                core.record(black_box(record), &mut out);
            }
            done += records.len();
            black_box(&out.measurements);
            out.measurements.clear();
        }
        let exchanges = done as f64 / per_record as f64;
        best = best.min(start.elapsed().as_nanos() as f64 / exchanges);
    }
    println!("{name:40} {best:6.0} ns per exchange, losses {:?}", out.losses);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let head = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: api.example.org:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n"
        )
    };
    let one = |role: u32, path: &str| vec![exchange(role, &head(path), 1)];
    measure("server, /", 1, &one(ROLE_SERVER, "/"))?;
    measure("server, /index.html", 1, &one(ROLE_SERVER, "/index.html"))?;
    measure(
        "client, /api/v1/users/42/orders?page=2",
        1,
        &one(ROLE_CLIENT, "/api/v1/users/42/orders?page=2"),
    )?;
    let many: Vec<Vec<u8>> = (0..5000)
        .map(|number| {
            let path =
                format!("/api/v1/users/{number}/orders/{:08x}f0?page={number}", number * 7919);
            exchange(ROLE_SERVER, &head(&path), number)
        })
        .collect();
    measure("server, 5000 paths of ids", 1, &many)?;
    let words: Vec<Vec<u8>> = (0..5000)
        .map(|number| {
            let word: String = format!("{number:05}").bytes().map(|b| char::from(b + 49)).collect();
            exchange(ROLE_SERVER, &head(&format!("/blog/{word}/comments")), number)
        })
        .collect();
    measure("server, 5000 words at one position", 1, &words)?;
    let response = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
    let pairs: Vec<Vec<u8>> =
        (0..1000).flat_map(|number| segments(&head("/index.html"), response, number)).collect();
    measure("exact path, request and response", 2, &pairs)?;
    Ok(())
}
