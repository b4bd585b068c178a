//! HTTP/1 capture in the kernel: what is said about connections whose every byte is known.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs::File,
    io::{IoSlice, Read as _, Seek as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg, sockopt::set_socket_linger,
};
use shipwake::{
    config::Config,
    kernel::{Loaded, ring::Ring},
    time::Mono,
};
use shipwake_ebpf::{
    http::{
        Close, DIRECTION_IN, END_CLOSED, END_NEXT, END_RESET, Exchange, KIND_CLOSE, KIND_EXCHANGE,
        KIND_SEGMENT, Origin, Segment,
    },
    socket::{ROLE_CLIENT, ROLE_SERVER},
};

use super::syscalls::with_setup;

const DEADLINE: Duration = Duration::from_secs(5);

/// One record with the bytes that follow it.
#[derive(Clone, Debug)]
enum Record {
    Exchange(Exchange, Vec<u8>),
    Segment(Segment, Vec<u8>),
    Close(Close),
}

impl Record {
    fn parse(bytes: &[u8]) -> Self {
        let (kind, after) = (u32::from_le_bytes(bytes[..4].try_into().unwrap()), bytes);
        match kind {
            KIND_EXCHANGE => {
                let (record, rest) = after.split_at(size_of::<Exchange>());
                let record: Exchange = bytemuck::pod_read_unaligned(record);
                Self::Exchange(record, rest[..record.head_kept as usize].to_vec())
            }
            KIND_SEGMENT => {
                let (record, rest) = after.split_at(size_of::<Segment>());
                let record: Segment = bytemuck::pod_read_unaligned(record);
                Self::Segment(record, rest[..record.kept as usize].to_vec())
            }
            _ => {
                assert_eq!(kind, KIND_CLOSE);
                Self::Close(bytemuck::pod_read_unaligned(&after[..size_of::<Close>()]))
            }
        }
    }

    fn origin(&self) -> &Origin {
        match self {
            Self::Exchange(record, _) => &record.origin,
            Self::Segment(record, _) => &record.origin,
            Self::Close(record) => &record.origin,
        }
    }

    /// `3 next 200 120>4000 GET / HTTP/1.1…` for an exchange, `2 in 500 bytes…` for a segment.
    fn show(&self) -> String {
        let end = |end| match end {
            END_NEXT => "next",
            END_CLOSED => "closed",
            END_RESET => "reset",
            _ => "?",
        };
        match self {
            Self::Exchange(e, head) => format!(
                "{} {} {} {}>{} {}",
                e.origin.sequence,
                end(e.end),
                e.status,
                e.request_bytes,
                e.response_bytes,
                head.escape_ascii()
            ),
            Self::Segment(s, bytes) => format!(
                "{} {} {} {}",
                s.ordinal,
                if s.direction == DIRECTION_IN { "in" } else { "out" },
                s.total,
                bytes.escape_ascii()
            ),
            Self::Close(close) => end(close.end).to_owned(),
        }
    }
}

/// The object, loaded once for all tests of this file.
struct Capture {
    _loaded: Loaded,
    ring: Ring,
    records: Vec<Record>,
}

fn capture() -> Option<MutexGuard<'static, Capture>> {
    static CAPTURE: OnceLock<Option<Mutex<Capture>>> = OnceLock::new();
    let capture = CAPTURE.get_or_init(|| {
        let (loaded, ring) =
            with_setup(&Config::default(), |loaded, _| Ring::take(loaded, "HTTP").unwrap())?;
        Some(Mutex::new(Capture { _loaded: loaded, ring, records: Vec::new() }))
    });
    capture
        .as_ref()
        .map(|capture| capture.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

impl Capture {
    /// What was said about one end of a connection, by the ports; waits for `count` records.
    fn of(&mut self, role: u32, local: u16, peer: u16, count: usize) -> Vec<Record> {
        let start = Instant::now();
        loop {
            let records = &mut self.records;
            self.ring.drain(usize::MAX, |bytes| records.push(Record::parse(bytes)));
            let found: Vec<Record> = records
                .iter()
                .filter(|record| {
                    let origin = record.origin();
                    (origin.role, origin.local_port, origin.peer_port) == (role, local, peer)
                })
                .cloned()
                .collect();
            if found.len() >= count || start.elapsed() > DEADLINE {
                return found;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Both ends of one connection, in this process.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    ports: (u16, u16),
}

impl Pair {
    fn new(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let ports = (client.local_addr().unwrap().port(), server.local_addr().unwrap().port());
        Self { client, server, ports }
    }

    /// The client writes in one call, the server reads in one call.
    fn request(&mut self, bytes: &[u8]) {
        transfer(&mut self.client, &mut self.server, bytes);
    }

    fn response(&mut self, bytes: &[u8]) {
        transfer(&mut self.server, &mut self.client, bytes);
    }

    /// Closes both ends, the client's first.
    fn close(self) -> (u16, u16) {
        drop(self.client);
        drop(self.server);
        self.ports
    }
}

fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    receive(to, bytes.len());
}

fn receive(from: &mut TcpStream, mut bytes: usize) {
    let mut buffer = vec![0; 1 << 20];
    while bytes > 0 {
        let room = bytes.min(buffer.len());
        let got = from.read(&mut buffer[..room]).unwrap();
        assert_ne!(got, 0, "closed early");
        bytes -= got;
    }
}

/// Compares what both ends were said to have done.
#[track_caller]
fn check(ports: (u16, u16), client: &[&str], server: &[&str]) {
    let Some(mut capture) = capture() else { return };
    let (at_client, at_server) = ports;
    let shown = |records: Vec<Record>| records.iter().map(Record::show).collect::<Vec<_>>();
    let found = capture.of(ROLE_CLIENT, at_client, at_server, client.len());
    assert_eq!(shown(found), client, "at the client");
    let found = capture.of(ROLE_SERVER, at_server, at_client, server.len());
    assert_eq!(shown(found), server, "at the server");
}

/// [`check`] when both ends see the same.
#[track_caller]
fn check_both(ports: (u16, u16), expected: &[&str]) {
    check(ports, expected, expected);
}

/// `None`, with the reason printed, where capture cannot run. Loads it before the first byte moves.
fn pair() -> Option<Pair> {
    drop(capture()?);
    Some(Pair::new("127.0.0.1:0"))
}

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn keep_alive_is_one_record_per_exchange() {
    let Some(mut pair) = pair() else { return };
    for _ in 0..2 {
        pair.request(GET);
        pair.response(OK);
    }
    pair.request(b"HEAD /x HTTP/1.0\nHost: a\n\n");
    pair.response(b"HTTP/1.0 404 Not Found\r\nContent-Length: 1000\r\n\r\n");
    check_both(
        pair.close(),
        &[
            r"1 next 200 18>38 GET / HTTP/1.1\r\n\r\n",
            r"2 next 200 18>38 GET / HTTP/1.1\r\n\r\n",
            r"3 closed 404 26>48 HEAD /x HTTP/1.0\nHost: a\n\n",
        ],
    );
}

#[test]
fn addresses_are_those_of_the_socket_in_both_families() {
    for (address, loopback) in [
        ("127.0.0.1:0", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]),
        ("[::1]:0", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        if capture().is_none() {
            return;
        }
        let mut pair = Pair::new(address);
        pair.request(GET);
        pair.response(OK);
        let (client, server) = pair.close();
        let found = capture().unwrap().of(ROLE_SERVER, server, client, 1);
        let origin = found.first().unwrap().origin();
        assert_eq!((origin.local, origin.peer), (loopback, loopback), "{address}");
        assert_eq!(origin.process.tgid, std::process::id());
    }
}

#[test]
fn heads_may_come_byte_by_byte_in_both_directions() {
    let Some(mut pair) = pair() else { return };
    let request = b"GET /a?b HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabc";
    let response = b"HTTP/1.1 503 No\r\n\r\n";
    for byte in request {
        pair.request(&[*byte]);
    }
    for byte in response {
        pair.response(&[*byte]);
    }
    pair.request(GET);
    pair.response(OK);
    let first = r"1 next 503 52>19 GET /a?b HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\n";
    let second = r"2 closed 200 18>38 GET / HTTP/1.1\r\n\r\n";
    check_both(pair.close(), &[first, second]);
}

#[test]
fn heads_split_at_every_place_are_found() {
    let Some(_) = pair() else { return };
    let request = b"GET /12 HTTP/1.1\r\nA: b\r\nContent-Length: 2\r\n\r\nok";
    for split in 1..request.len() {
        let mut pair = Pair::new("127.0.0.1:0");
        pair.request(&request[..split]);
        pair.request(&request[split..]);
        pair.response(OK);
        let head = r"GET /12 HTTP/1.1\r\nA: b\r\nContent-Length: 2\r\n\r\n";
        check_both(pair.close(), &[&format!("1 closed 200 47>38 {head}")]);
    }
}

#[test]
fn bodies_are_timed_and_counted_and_never_read_for_heads() {
    let Some(mut pair) = pair() else { return };
    let body = b"GET /x HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let head = format!("POST /p HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    // In one call with the head, and alone.
    pair.request(&[head.as_bytes(), body].concat());
    pair.response(OK);
    pair.request(head.as_bytes());
    pair.request(body);
    pair.response(OK);
    pair.response(b"HTTP/1.1 500 is part of the body");
    check_both(
        pair.close(),
        &[
            r"1 next 200 78>38 POST /p HTTP/1.1\r\nContent-Length: 38\r\n\r\n",
            r"2 closed 200 78>70 POST /p HTTP/1.1\r\nContent-Length: 38\r\n\r\n",
        ],
    );
}

#[test]
fn a_streamed_response_lasts_until_its_last_byte_and_idle_time_is_nobodys() {
    let Some(mut pair) = pair() else { return };
    let pause = Duration::from_millis(100);
    std::thread::sleep(pause);
    let before = Mono::now();
    pair.request(GET);
    std::thread::sleep(pause);
    pair.response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        pair.response(b"5\r\nhello\r\n");
        std::thread::sleep(pause);
    }
    pair.response(b"0\r\n\r\n");
    let after = Mono::now();
    std::thread::sleep(pause);
    let (client, server) = pair.close();
    let mut capture = capture().unwrap();
    for (role, local, peer) in [(ROLE_CLIENT, client, server), (ROLE_SERVER, server, client)] {
        let found = capture.of(role, local, peer, 1);
        let [Record::Exchange(e, _)] = found.as_slice() else { unreachable!("{found:?}") };
        let times = [
            before.0,
            e.request_start_ns,
            e.request_end_ns,
            e.response_start_ns,
            e.response_end_ns,
            after.0,
        ];
        assert!(times.is_sorted(), "{times:?}");
        let pauses = |from: u64, to: u64| u128::from(to - from) / pause.as_nanos();
        assert_eq!(pauses(e.request_start_ns, e.request_end_ns), 0, "{times:?}");
        assert!(pauses(e.request_start_ns, e.response_start_ns) >= 1, "{times:?}");
        assert!(pauses(e.response_start_ns, e.response_end_ns) >= 3, "{times:?}");
        assert_eq!(e.response_bytes, 47 + 30 + 5);
    }
}

#[test]
fn a_file_sent_by_the_kernel_is_part_of_the_response() {
    const SIZE: usize = 3 << 20;
    let Some(Pair { mut client, mut server, ports }) = pair() else { return };
    client.write_all(GET).unwrap();
    receive(&mut server, GET.len());
    let reader = std::thread::spawn(move || {
        receive(&mut client, OK.len() + SIZE);
        client
    });
    let mut file: File =
        rustix::fs::memfd_create("body", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into();
    file.write_all(&vec![b'x'; SIZE]).unwrap();
    file.rewind().unwrap();
    server.write_all(OK).unwrap();
    let mut sent = 0;
    while sent < SIZE {
        sent += rustix::fs::sendfile(&server, &file, None, SIZE - sent).unwrap();
    }
    drop(reader.join().unwrap());
    drop(server);
    let expected = format!(r"1 closed 200 18>{} GET / HTTP/1.1\r\n\r\n", OK.len() + SIZE);
    check_both(ports, &[&expected]);
}

#[test]
fn every_way_to_move_bytes_is_seen() {
    let Some(Pair { client, mut server, ports }) = pair() else { return };
    // As a file: write(2), read(2) and writev(2) instead of sendto(2) and recvfrom(2).
    let mut client = File::from(OwnedFd::from(client));
    let mut buffer = [0; 4096];
    client.write_all(GET).unwrap();
    assert_eq!(recv(&server, &mut buffer, RecvFlags::PEEK).unwrap().0, GET.len());
    receive(&mut server, GET.len());
    let parts = [&b"HTT"[..], b"P/1.1 2", b"04 No Content\r\n", b"\r\n"].map(IoSlice::new);
    let none = &mut SendAncillaryBuffer::default();
    assert_eq!(sendmsg(&server, &parts, none, SendFlags::empty()).unwrap(), 27);
    assert_eq!(client.read(&mut buffer).unwrap(), 27);
    let parts = [&b"G"[..], b"ET /v HTTP/1.1\r\nX: ", b"y\r\n\r", b"\n"].map(IoSlice::new);
    assert_eq!(client.write_vectored(&parts).unwrap(), 25);
    let mut one = [0; 7];
    let mut other = [0; 100];
    let mut into = [std::io::IoSliceMut::new(&mut one), std::io::IoSliceMut::new(&mut other)];
    assert_eq!(server.read_vectored(&mut into).unwrap(), 25);
    server.write_all(OK).unwrap();
    assert_eq!(client.read(&mut buffer).unwrap(), OK.len());
    drop(client);
    drop(server);
    check_both(
        ports,
        &[
            r"1 next 204 18>27 GET / HTTP/1.1\r\n\r\n",
            r"2 closed 200 25>38 GET /v HTTP/1.1\r\nX: y\r\n\r\n",
        ],
    );
}

#[test]
fn pipelined_requests_go_to_the_exact_path_whole() {
    let Some(mut pair) = pair() else { return };
    let requests: String = (0..10).map(|n| format!("GET /{n} HTTP/1.1\r\n\r\n")).collect();
    let responses = [OK; 10].concat();
    pair.request(requests.as_bytes());
    pair.response(&responses);
    pair.request(GET);
    pair.response(OK);
    let ports = pair.close();
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let [all, responses] =
        [requests.as_bytes(), &responses].map(|bytes| format!("{} {}", bytes.len(), show(bytes)));
    let (get, ok) = (format!("18 {}", show(GET)), format!("38 {}", show(OK)));
    let lines = |request: &str, response: &str| {
        vec![
            format!("1 {request} {all}"),
            format!("2 {response} {responses}"),
            format!("3 {request} {get}"),
            format!("4 {response} {ok}"),
            "closed".to_owned(),
        ]
    };
    let (client, server) = (lines("out", "in"), lines("in", "out"));
    let refs = |lines: &'static [String]| -> Vec<&'static str> {
        lines.iter().map(String::as_str).collect()
    };
    check(ports, &refs(client.leak()), &refs(server.leak()));
}

#[test]
fn what_the_fast_path_cannot_read_goes_to_the_exact_path_from_the_first_byte() {
    let Some(mut pair) = pair() else { return };
    pair.request(GET);
    pair.response(OK);
    pair.request(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    pair.request(b"0\r\n\r\n");
    pair.response(b"HTTP/1.1 201 Created\r\n\r\n");
    let ports = pair.close();
    check(
        ports,
        &[
            r"1 next 200 18>38 GET / HTTP/1.1\r\n\r\n",
            r"1 out 48 POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            r"2 out 5 0\r\n\r\n",
            r"3 in 24 HTTP/1.1 201 Created\r\n\r\n",
            "closed",
        ],
        &[
            r"1 next 200 18>38 GET / HTTP/1.1\r\n\r\n",
            r"1 in 48 POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            r"2 in 5 0\r\n\r\n",
            r"3 out 24 HTTP/1.1 201 Created\r\n\r\n",
            "closed",
        ],
    );
}

#[test]
fn an_interim_response_goes_to_the_exact_path_with_its_request() {
    let Some(mut pair) = pair() else { return };
    pair.request(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    pair.response(b"HTTP/1.");
    pair.response(b"1 100 Continue\r\n\r\n");
    pair.request(b"ok");
    pair.response(OK);
    let ports = pair.close();
    let found = capture().unwrap().of(ROLE_SERVER, ports.1, ports.0, 6);
    let shown: Vec<String> = found.iter().map(Record::show).collect();
    assert_eq!(
        shown,
        [
            r"1 in 59 PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            r"2 out 7 HTTP/1.",
            r"3 out 18 1 100 Continue\r\n\r\n",
            r"4 in 2 ok",
            r"5 out 38 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "closed",
        ]
    );
}

#[test]
fn an_upgraded_connection_is_one_exchange_and_then_left_alone() {
    let Some(mut pair) = pair() else { return };
    pair.request(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    pair.response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    pair.request(b"GET / HTTP/1.1\r\n\r\n");
    pair.response(b"\x81\x05hello");
    let head = r"1 next 101 40>36 GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    check_both(pair.close(), &[head]);
}

#[test]
fn a_long_head_is_read_in_one_call_and_handed_over_when_it_is_split() {
    let Some(mut pair) = pair() else { return };
    let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(1500));
    pair.request(long.as_bytes());
    pair.response(OK);
    pair.request(&long.as_bytes()[..600]);
    pair.request(&long.as_bytes()[600..]);
    pair.response(OK);
    let (client, server) = pair.close();
    let found = capture().unwrap().of(ROLE_SERVER, server, client, 5);
    let [
        Record::Exchange(exchange, head),
        Record::Segment(first, data),
        Record::Segment(rest, more),
        Record::Segment(..),
        Record::Close(_),
    ] = found.as_slice()
    else {
        unreachable!("{found:?}")
    };
    assert_eq!((exchange.head_total as usize, exchange.status), (long.len(), 200));
    assert_eq!(head, &long.as_bytes()[..512]);
    assert_eq!((first.total, rest.total as usize), (600, long.len() - 600));
    assert_eq!([data.as_slice(), more].concat(), long.as_bytes());
}

#[test]
fn a_server_that_does_not_answer_leaves_an_exchange_without_status() {
    let Some(mut pair) = pair() else { return };
    pair.request(GET);
    drop(pair.server);
    let mut rest = Vec::new();
    pair.client.read_to_end(&mut rest).unwrap();
    drop(pair.client);
    check_both(pair.ports, &[r"1 closed 0 18>0 GET / HTTP/1.1\r\n\r\n"]);
}

#[test]
fn a_client_that_gives_up_resets_the_exchange() {
    let Some(mut pair) = pair() else { return };
    pair.request(GET);
    set_socket_linger(&pair.client, Some(Duration::ZERO)).unwrap();
    drop(pair.client);
    assert!(pair.server.read(&mut [0; 10]).is_err());
    drop(pair.server);
    check_both(pair.ports, &[r"1 reset 0 18>0 GET / HTTP/1.1\r\n\r\n"]);
}

#[test]
fn other_protocols_are_not_heard_of() {
    let Some(mut pair) = pair() else { return };
    pair.request(b"\x00\x01\x02binary");
    pair.response(OK);
    pair.request(GET);
    pair.response(OK);
    check_both(pair.close(), &[]);
    // A method and a space, but the answer is none of HTTP.
    let mut pair = Pair::new("127.0.0.1:0");
    pair.request(b"get key\r\n\r\n");
    pair.response(b"END\r\n");
    pair.request(GET);
    pair.response(OK);
    check_both(pair.close(), &[]);
    // Lines that begin with a word, and nobody answers; the preface of HTTP/2.
    for first in ["metric.name 42 1234567890\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut pair = Pair::new("127.0.0.1:0");
        pair.request(first.as_bytes());
        pair.request(first.as_bytes());
        check_both(pair.close(), &[]);
    }
}

#[test]
fn a_connection_first_seen_at_a_response_is_watched_from_its_next_request() {
    let Some(mut pair) = pair() else { return };
    pair.response(OK);
    pair.request(GET);
    pair.response(OK);
    check_both(pair.close(), &[r"1 closed 200 18>38 GET / HTTP/1.1\r\n\r\n"]);
}
