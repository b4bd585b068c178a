//! Tests of the stream parser: scripts of bytes and what is measured of them.

use bytemuck::Zeroable as _;
use shipwake_ebpf::http::{DIRECTION_IN, DIRECTION_OUT, Origin};

use super::{super::head::HostWanted, *};

/// Collects what a connection reports, as text.
#[derive(Default)]
struct Lines(Vec<String>);

impl Sink for Lines {
    fn exchange(&mut self, pending: &Pending, outcome: Outcome, end_ns: u64) {
        let head =
            super::super::head::Head::parse(&pending.head, pending.head_total, HostWanted::No);
        let line = head.map_or_else(
            || "?".to_owned(),
            |head| {
                let target = match head.target {
                    super::super::template::Target::Path { path, .. } => {
                        String::from_utf8_lossy(path).into_owned()
                    }
                    other => format!("{other:?}"),
                };
                format!("{} {target}", head.method.escape_ascii())
            },
        );
        let status = pending.status.map_or("-".to_owned(), |status| status.to_string());
        let marks: String =
            pending.irregular.iter().map(|kind| format!(" {}", kind.name())).collect();
        self.0.push(format!(
            "{line} {status} {outcome:?} {}..{end_ns} {}+{}{marks}",
            pending.start_ns, pending.request_bytes, pending.response_bytes,
        ));
    }

    fn irregular(&mut self, _: ProcessKey, kind: Irregularity) {
        if kind != Irregularity::Pipelined
            && kind != Irregularity::Unframed
            && kind != Irregularity::HeadTruncated
        {
            self.0.push(kind.name().to_owned());
        }
    }

    fn lost(&mut self, cause: &'static str, count: usize) {
        if count > 0 {
            self.0.push(format!("lost {cause} {count}"));
        }
    }
}

/// One thing that happens to a connection of a server. Its position in the script, from 1, is its time.
#[derive(Clone, Debug)]
enum Step {
    /// The client sends.
    C(Vec<u8>),
    /// The server sends.
    S(Vec<u8>),
    /// The same with bytes behind that are missing.
    CMissing(Vec<u8>, u64),
    SMissing(Vec<u8>, u64),
    Gap,
    Idle,
    Close,
    Reset,
}

use Step::{C, CMissing, Close as Closed, Gap, Idle, Reset, S, SMissing};

fn c(text: &str) -> Step {
    C(text.into())
}

fn s(text: &str) -> Step {
    S(text.into())
}

/// Runs a script; segments are cut into pieces of at most `piece` bytes, the first one at `first`.
fn run(script: &[Step], first: usize, piece: usize) -> Vec<String> {
    let origin = Origin { role: shipwake_ebpf::socket::ROLE_SERVER, ..Origin::zeroed() };
    let mut connection = Connection::new(&origin, Role::Server, true);
    let mut lines = Lines::default();
    for (index, step) in script.iter().enumerate() {
        let at_ns = u64::try_from(index).unwrap() + 1;
        let mut send = |direction: u32, bytes: &[u8], missing: u64| {
            let mut rest = bytes;
            let mut size = first.max(1);
            loop {
                let (now, after) = rest.split_at(size.min(rest.len()));
                let last = after.is_empty();
                let moved = Moved {
                    process: ProcessKey { tgid: 1, start_ticks: 1 },
                    direction,
                    at_ns,
                    bytes: now,
                    missing: if last { missing } else { 0 },
                };
                connection.moved(&moved, &mut lines);
                rest = after;
                size = piece;
                if last {
                    break;
                }
            }
        };
        match step {
            C(bytes) => send(DIRECTION_IN, bytes, 0),
            S(bytes) => send(DIRECTION_OUT, bytes, 0),
            CMissing(bytes, missing) => send(DIRECTION_IN, bytes, *missing),
            SMissing(bytes, missing) => send(DIRECTION_OUT, bytes, *missing),
            Gap => connection.gap(&mut lines),
            Idle => connection.idle(&mut lines),
            Closed => connection.close(Outcome::Closed, at_ns, &mut lines),
            Reset => connection.close(Outcome::Reset, at_ns, &mut lines),
        }
    }
    lines.0
}

/// Checks a script, and that its bytes mean the same however they are cut.
#[track_caller]
fn check(script: &[Step], expected: &[&str]) {
    assert_eq!(run(script, usize::MAX, usize::MAX), expected, "whole");
    assert_eq!(run(script, 1, 1), expected, "byte by byte");
    let longest = script.iter().map(|step| match step {
        C(bytes) | S(bytes) | CMissing(bytes, _) | SMissing(bytes, _) => bytes.len(),
        Gap | Idle | Closed | Reset => 0,
    });
    for cut in 1..longest.max().unwrap_or(0).min(400) {
        assert_eq!(run(script, cut, usize::MAX), expected, "cut at {cut}");
    }
    for piece in [2, 3, 5, 7, 11] {
        assert_eq!(run(script, piece, piece), expected, "pieces of {piece}");
    }
}

/// Checks a script whose meaning depends on where calls begin.
#[track_caller]
fn check_whole(script: &[Step], expected: &[&str]) {
    assert_eq!(run(script, usize::MAX, usize::MAX), expected);
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn one_after_the_other() {
    check(
        &[c(GET), s(OK), c(GET), s(OK), Closed],
        &["GET /a 200 Whole 1..2 28+40", "GET /a 200 Whole 3..4 28+40"],
    );
}

#[test]
fn timed_by_their_own_bytes() {
    let (head, body) = OK.split_at(20);
    check(
        &[c("GET /a HT"), c("TP/1.1\r\n\r\n"), s(head), s(body)],
        &["GET /a 200 Whole 1..4 19+40"],
    );
}

#[test]
fn pipelined() {
    let three = [GET, "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", GET].concat();
    check(
        &[c(&three), s(OK), s(&[OK, OK].concat())],
        &[
            "GET /a 200 Whole 1..2 28+40",
            "POST /b 200 Whole 1..3 42+40 pipelined",
            "GET /a 200 Whole 1..3 28+40 pipelined",
        ],
    );
}

#[test]
fn bodies() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let post =
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n";
    check(
        &[
            c(post),
            s(&[chunked, "5\r\nhello\r\n"].concat()),
            s("0\r\n\r\n"),
            c("HEAD /h HTTP/1.1\r\n\r\n"),
            s("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            c(GET),
            s("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
            c(GET),
            s("HTTP/1.1 204 No Content\r\n\r\n"),
            c(GET),
            s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "POST /p 200 Whole 1..3 71+62",
            "HEAD /h 200 Whole 4..5 20+39",
            "GET /a 304 Whole 6..7 28+49",
            "GET /a 204 Whole 8..9 28+27",
            "GET /a 200 Whole 10..11 28+38",
        ],
    );
}

#[test]
fn a_response_that_ends_with_the_connection() {
    let head = "HTTP/1.0 200 OK\r\n\r\n";
    check(&[c(GET), s(head), s("data"), Closed], &["GET /a 200 Whole 1..3 28+23"]);
    check(&[c(GET), s(head), s("data"), Reset], &["GET /a 200 Reset 1..4 28+23"]);
}

#[test]
fn interim_responses() {
    let post = "POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    check(
        &[c(post), s("HTTP/1.1 100 Continue\r\n\r\n"), c("abc"), s(OK), c(GET), s(OK)],
        &["POST /p 200 Whole 1..4 64+65", "GET /a 200 Whole 5..6 28+40"],
    );
}

#[test]
fn a_response_before_the_request_is_whole() {
    let post = "POST /p HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc";
    check(
        &[c(post), s(OK), c("def"), c(GET), s(OK)],
        &["POST /p 200 Whole 1..2 45+40", "GET /a 200 Whole 4..5 28+40"],
    );
    check(&[c(post), s(OK), Closed], &["POST /p 200 Whole 1..2 42+40"]);
    let early = "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";
    check(&[c("GET /a HTTP/1.1\r\nA: b"), s(early), Closed], &["GET /a 431 Whole 1..2 21+45"]);
}

#[test]
fn upgrades_end_the_reading() {
    let up = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    check(&[c(GET), s(up), s(OK), c(GET), Closed], &["GET /a 101 Whole 1..2 28+56"]);
    let connect = "CONNECT h:1 HTTP/1.1\r\n\r\n";
    check(
        &[c(connect), s("HTTP/1.1 200 OK\r\n\r\n"), c(GET), s(OK), Closed],
        &["CONNECT Authority 200 Whole 1..2 24+19"],
    );
}

#[test]
fn connections_that_end_too_early() {
    check(&[c(GET), Closed], &["GET /a - Closed 1..2 28+0"]);
    check(&[c(GET), Reset], &["GET /a - Reset 1..2 28+0"]);
    check(&[c(GET), s(&OK[..39]), Closed], &["GET /a 200 Closed 1..3 28+39"]);
    check(&[c(GET), s(&OK[..39]), Reset], &["GET /a 200 Reset 1..3 28+39"]);
    check(&[c(GET), s("HTTP/1"), Closed], &["GET /a - Closed 1..3 28+6"]);
    check(&[c("GET /a HT"), Closed], &["head_incomplete"]);
    check(&[c(GET), s(OK), Closed], &["GET /a 200 Whole 1..2 28+40"]);
    check(&[Closed], &[]);
    check(
        &[c(&[GET, GET].concat()), s(OK), Closed],
        &["GET /a 200 Whole 1..2 28+40", "GET /a - Closed 1..3 28+0 pipelined"],
    );
}

#[test]
fn bodies_are_never_messages() {
    let body = "GET /fake HTTP/1.1\r\n\r\n";
    let post = format!("POST /p HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let echo = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{OK}", OK.len());
    check(
        &[c(&post), c(body), s(&echo)],
        &[&format!("POST /p 200 Whole 1..3 {}+{}", post.len() + body.len(), echo.len())],
    );
}

#[test]
fn missing_bytes_of_sized_bodies_are_counted() {
    let post = "POST /p HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc";
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    check(
        &[
            CMissing(post.into(), 900),
            CMissing("x".into(), 96),
            SMissing(ok.into(), 4000),
            SMissing(Vec::new(), 1000),
            c(GET),
            s(OK),
        ],
        &["POST /p 200 Whole 1..4 1042+5041", "GET /a 200 Whole 5..6 28+40"],
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc";
    check(
        &[c(GET), SMissing(chunked.into(), 4093), s("\r\n0\r\n\r\n"), c(GET), s(OK)],
        &["GET /a 200 Whole 1..3 28+4156", "GET /a 200 Whole 4..5 28+40"],
    );
}

#[test]
fn ends_that_cannot_be_read_are_turns() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
    check_whole(
        &[c(GET), SMissing(chunked.into(), 50), s("more"), c(GET), s(OK)],
        &["GET /a 200 Whole 1..3 28+104 unframed", "GET /a 200 Whole 4..5 28+40"],
    );
    check_whole(
        &[c(GET), SMissing(chunked.into(), 50), Idle, c(GET), s(OK)],
        &["GET /a 200 Whole 1..2 28+100 unframed", "GET /a 200 Whole 4..5 28+40"],
    );
    check_whole(
        &[c(GET), SMissing(chunked.into(), 50), Idle, s("late"), c(GET), s(OK)],
        &[
            "GET /a 200 Whole 1..2 28+100 unframed",
            "resumed_after_idle",
            "resynchronised",
            "GET /a 200 Whole 5..6 28+40",
        ],
    );
    check_whole(
        &[c(GET), SMissing("HTTP/1.1 200 OK\r\nA: ".into(), 9000), c(GET), s(OK)],
        &["GET /a 200 Whole 1..2 28+9020 head_truncated unframed", "GET /a 200 Whole 3..4 28+40"],
    );
    check_whole(
        &[CMissing("GET /a HTTP/1.1\r\nA: ".into(), 9000), s(OK), c(GET), s(OK)],
        &[
            "GET /a 200 Whole 1..2 9020+40 head_truncated",
            "resynchronised",
            "GET /a 200 Whole 3..4 28+40",
        ],
    );
    let bad = "POST /p HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    check_whole(
        &[c(bad), s(OK), c(GET), s(OK)],
        &["POST /p 200 Whole 1..2 63+40 unframed", "resynchronised", "GET /a 200 Whole 3..4 28+40"],
    );
}

#[test]
fn reading_begins_anew_at_a_turn_only() {
    check_whole(
        &[c(GET), s(OK), Gap, c("GET /fake HTTP/1.1\r\n\r\n"), s(OK), c(GET), s(OK)],
        &[
            "GET /a 200 Whole 1..2 28+40",
            "resynchronised",
            "GET /fake 200 Whole 4..5 22+40",
            "GET /a 200 Whole 6..7 28+40",
        ],
    );
    check_whole(
        &[c(GET), Gap, c("GET /fake HTTP/1.1\r\n\r\n"), s(OK), c("rest"), s(OK), c(GET), s(OK)],
        &["lost exchange_gap 1", "resynchronised", "GET /a 200 Whole 7..8 28+40"],
    );
}

#[test]
fn what_is_not_http() {
    check(&[c("\u{16}\u{3}\u{1}binary\n\n"), s("\u{0}\u{1}"), Closed], &["lost not_http 1"]);
    check(&[c("GET /\r\n\r\n"), s("hello"), Closed], &["lost not_http 1"]);
    check(&[c("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Closed], &["lost not_http 1"]);
    check(&[c(GET), s("SSH-2.0\r\n"), Closed], &["lost not_http 1"]);
    check(
        &[c(GET), s("SSH-2.0\r\n"), c(GET), s(OK)],
        &["lost not_http 1", "resynchronised", "GET /a 200 Whole 3..4 28+40"],
    );
    check(&[s("+OK ready\r\n"), c("USER x\r\n"), Closed], &["resynchronised", "lost not_http 1"]);
}

#[test]
fn odd_but_valid() {
    check(&[c("\r\n\r\nget /a HTTP/1.0\n\n"), s(OK)], &["get /a 200 Whole 1..2 17+40"]);
    let long = format!("GET /{} HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(600), "y".repeat(3000));
    let path = "x".repeat(507);
    check(&[c(&long), s(OK)], &[&format!("GET /{path} 200 Whole 1..2 {}+40", long.len())]);
    check(
        &[c(GET), s("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")],
        &["GET /a 200 Whole 1..2 28+35"],
    );
}

#[test]
fn too_many_pipelined_requests_are_given_up() {
    let many = GET.repeat(connection::PENDING_MAX + 1);
    check_whole(&[c(&many), s(OK), Closed], &["lost pipeline_overflow 128"]);
}

/// Small deterministic generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }
}

/// Conversations made at random of well-formed messages come out whole, in order, exactly timed,
/// however they are cut.
#[test]
fn generated_conversations_are_read_exactly() {
    let mut random = Random(0x5eed_1234_5678_9abc);
    for _ in 0..60 {
        let mut script = Vec::new();
        let mut expected = Vec::new();
        for number in 0..1 + random.below(4) {
            let body = "GET /x HTTP/1.1\r\n\r\n0\r\n\r\n".repeat(random.below(4));
            let request = match random.below(3) {
                0 => format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"),
                1 => format!(
                    "PUT /{number} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
                _ => format!(
                    "POST /{number} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
                    chunks(&body, 1 + random.below(30)),
                ),
            };
            let status = [200, 204, 304, 404, 500][random.below(5)];
            let interim = ["", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"][random.below(2)];
            let end = match (status, random.below(2)) {
                (204 | 304, _) => "\r\n".to_owned(),
                (_, 0) => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
                _ => format!(
                    "Transfer-Encoding: chunked\r\n\r\n{}0\r\nTrailer: t\r\n\r\n",
                    chunks(&body, 1 + random.below(30)),
                ),
            };
            let response = format!("{interim}HTTP/1.1 {status} X\r\n{end}");
            let method = request.split(' ').next().unwrap().to_owned();
            let at = script.len() + 1;
            expected.push(format!(
                "{method} /{number} {status} Whole {at}..{} {}+{}",
                at + 1,
                request.len(),
                response.len(),
            ));
            script.push(C(request.into_bytes()));
            script.push(S(response.into_bytes()));
        }
        for (first, piece) in [(usize::MAX, usize::MAX), (1, 1), (17, 3), (40, 64)] {
            assert_eq!(run(&script, first, piece), expected, "{script:?}");
        }
    }
}

fn chunks(body: &str, size: usize) -> String {
    body.as_bytes()
        .chunks(size)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
        .collect()
}

/// Random changes to a conversation never panic, and never give more exchanges than requests that begin.
#[test]
fn damaged_conversations_do_no_harm() {
    let mut random = Random(0xdead_beef_cafe_f00d);
    let post = "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for _ in 0..2000 {
        let mut script = vec![c(GET), s(OK), c(post), s(OK), c(GET), s(OK), Closed];
        for _ in 0..1 + random.below(4) {
            let at = random.below(6);
            if let C(bytes) | S(bytes) = &mut script[at] {
                let byte = random.below(u64::try_from(bytes.len()).unwrap() + 1);
                bytes.insert(byte, 0);
                bytes[byte] = u8::try_from(random.below(256)).unwrap();
                if random.below(3) == 0 {
                    bytes.truncate(byte);
                }
            }
        }
        let piece = 1 + random.below(100);
        let lines = run(&script, piece, piece);
        assert!(lines.iter().filter(|line| line.contains("..")).count() <= 8, "{script:?}");
    }
}

#[test]
fn tables_are_bounded_and_evictions_counted() {
    let settings = super::super::Settings::default();
    let mut core = super::super::Core::new(&settings).unwrap();
    let mut out = Batch::default();
    for number in 0..5000_u64 {
        let mut segment = Segment { ordinal: 1, direction: DIRECTION_IN, ..Segment::zeroed() };
        segment.kind = shipwake_ebpf::http::KIND_SEGMENT;
        segment.kept = u32::try_from(GET.len()).unwrap();
        segment.total = u64::from(segment.kept);
        segment.origin.connection = number;
        segment.origin.role = shipwake_ebpf::socket::ROLE_SERVER;
        core.record(&[bytemuck::bytes_of(&segment), GET.as_bytes()].concat(), &mut out);
    }
    let evicted = 5000 - u64::try_from(Limits::default().connections).unwrap();
    assert_eq!(
        out.losses,
        [crate::signals::Loss { signal: "http", cause: "exchange_evicted", count: evicted }]
    );
    assert!(out.measurements.is_empty());
}
