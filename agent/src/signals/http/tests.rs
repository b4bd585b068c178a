//! Tests of the user half: records in, measurements out.

use bytemuck::{Zeroable as _, bytes_of};
use shipwake_ebpf::{
    http::{
        Close, Connection, DIRECTION_IN, DIRECTION_OUT, END_CLOSED, END_NEXT, END_RESET, Exchange,
        KIND_CLOSE, KIND_EXCHANGE, KIND_SEGMENT, Origin, STATE_RESPONDING, Segment,
    },
    process::ProcessKey,
    socket::{ROLE_CLIENT, ROLE_SERVER},
};

use super::{Core, Last, Settings};
use crate::{metric::Value, signals::Batch, time::Mono};

const REQUEST: &str = "GET /users/42?token=secret HTTP/1.1\r\nHost: Api.example:8080\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn core(change: impl FnOnce(&mut Settings)) -> Core {
    let mut settings = Settings::default();
    change(&mut settings);
    Core::new(&settings).unwrap()
}

fn origin(role: u32) -> Origin {
    let mut origin = Origin { role, connection: 0xffff_0001, sequence: 1, ..Origin::zeroed() };
    origin.process = ProcessKey { tgid: 7, start_ticks: 9 };
    let v4 = |last: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    (origin.local, origin.peer) = (v4(1), v4(2));
    (origin.local_port, origin.peer_port) = (8000, 9000);
    origin
}

fn exchange(role: u32, head: &str, status: u32) -> Exchange {
    Exchange {
        kind: KIND_EXCHANGE,
        head_kept: u32::try_from(head.len()).unwrap(),
        head_total: u32::try_from(head.len()).unwrap(),
        origin: origin(role),
        request_start_ns: 1_000_000_000,
        request_end_ns: 1_000_000_000,
        response_start_ns: 1_250_000_000,
        response_end_ns: 1_250_000_000,
        request_bytes: u64::try_from(head.len()).unwrap(),
        response_bytes: u64::try_from(RESPONSE.len()).unwrap(),
        status,
        end: END_NEXT,
        pad: 0,
    }
}

fn feed(core: &mut Core, record: &[u8], bytes: &[u8], out: &mut Batch) {
    core.record(&[record, bytes].concat(), out);
}

/// Measurements as text, without the parts that all have.
fn shown(out: &Batch) -> Vec<String> {
    let measured = out.measurements.iter().map(|measurement| {
        let labels: Vec<String> = measurement
            .labels
            .labels()
            .iter()
            .filter(|label| label.key != "url.scheme" && label.key != "network.protocol.version")
            .map(|label| format!("{}={}", label.key, label.value))
            .collect();
        let value = match measurement.value {
            Value::Observe(value) | Value::Add(value) => value,
            _ => f64::NAN,
        };
        format!("{} {value} {}", measurement.metric.name, labels.join(" "))
    });
    let lost = out.losses.iter().map(|loss| format!("lost {} {}", loss.cause, loss.count));
    measured.chain(lost).collect()
}

/// Checks the first measurement of an exchange: its duration and labels.
#[track_caller]
fn check(change: impl FnOnce(&mut Settings), exchange: &Exchange, head: &str, expected: &str) {
    let mut out = Batch::default();
    feed(&mut core(change), bytes_of(exchange), head.as_bytes(), &mut out);
    assert_eq!(shown(&out).first().map(String::as_str), Some(expected));
}

#[test]
fn a_server_does_not_name_its_host() {
    check(
        |_| (),
        &exchange(ROLE_SERVER, REQUEST, 200),
        REQUEST,
        "http.server.request.duration 0.25 http.request.method=GET http.response.status_code=200 \
         shipwake.http.path_template=/users/{id}",
    );
}

#[test]
fn a_client_names_the_host_it_asked_for() {
    check(
        |_| (),
        &exchange(ROLE_CLIENT, REQUEST, 404),
        REQUEST,
        "http.client.request.duration 0.25 error.type=404 http.request.method=GET \
         http.response.status_code=404 server.address=api.example server.port=8080 \
         shipwake.http.path_template=/users/{id}",
    );
    let head = "GET / HTTP/1.0\r\nHost: <bad>\r\n\r\n";
    check(
        |_| (),
        &exchange(ROLE_CLIENT, head, 200),
        head,
        "http.client.request.duration 0.25 http.request.method=GET http.response.status_code=200 \
         server.address=10.0.0.2 server.port=9000 shipwake.http.path_template=/",
    );
}

#[test]
fn errors() {
    let unanswered =
        |end: u32| Exchange { response_bytes: 0, end, ..exchange(ROLE_SERVER, REQUEST, 0) };
    for (exchange, error) in [
        (exchange(ROLE_SERVER, REQUEST, 503), "error.type=503 "),
        (exchange(ROLE_SERVER, REQUEST, 403), ""),
        (unanswered(END_CLOSED), "error.type=connection_closed "),
        (unanswered(END_RESET), "error.type=connection_reset "),
        (unanswered(END_NEXT), "error.type=no_response "),
    ] {
        let status = match exchange.status {
            0 => String::new(),
            status => format!("http.response.status_code={status} "),
        };
        let labels = format!(
            "http.server.request.duration 0.25 {error}http.request.method=GET {status}\
             shipwake.http.path_template=/users/{{id}}"
        );
        check(|_| (), &exchange, REQUEST, &labels);
    }
}

#[test]
fn methods_and_routes_are_settings() {
    let head = "PURGE /users/42 HTTP/1.1\r\n\r\n";
    let labels = |method: &str, route: &str| {
        format!(
            "http.server.request.duration 0.25 http.request.method={method} \
             http.response.status_code=200 {route}"
        )
    };
    let exchange = exchange(ROLE_SERVER, head, 200);
    check(
        |settings| settings.known_methods = vec!["PURGE".to_owned()],
        &exchange,
        head,
        &labels("PURGE", "shipwake.http.path_template=/users/{id}"),
    );
    check(
        |settings| settings.routes = vec!["/users/{user}".to_owned()],
        &exchange,
        head,
        &labels("_OTHER", "http.route=/users/{user} shipwake.http.path_template=/users/{user}"),
    );
    check(
        |settings| settings.http_route_from_template = true,
        &exchange,
        head,
        &labels("_OTHER", "http.route=/users/{id} shipwake.http.path_template=/users/{id}"),
    );
}

#[test]
fn sizes_can_be_turned_off() {
    for (sizes, count) in [(true, 3), (false, 1)] {
        let mut out = Batch::default();
        let exchange = exchange(ROLE_SERVER, REQUEST, 200);
        let mut core = core(|settings| settings.sizes = sizes);
        feed(&mut core, bytes_of(&exchange), REQUEST.as_bytes(), &mut out);
        assert_eq!(out.measurements.len(), count);
    }
}

#[test]
fn both_paths_measure_the_same() {
    for (role, status) in [(ROLE_SERVER, 200), (ROLE_CLIENT, 200), (ROLE_CLIENT, 500)] {
        let mut fast = Batch::default();
        let held = exchange(role, REQUEST, status);
        feed(&mut core(|_| ()), bytes_of(&held), REQUEST.as_bytes(), &mut fast);

        let mut exact = Batch::default();
        let mut core = core(|_| ());
        let response = RESPONSE.replace("200", &status.to_string());
        let out_first = role == ROLE_CLIENT;
        for (ordinal, (text, at_ns)) in
            (1..).zip([(REQUEST, held.request_start_ns), (&response, held.response_end_ns)])
        {
            let request = ordinal == 1;
            let segment = Segment {
                kind: KIND_SEGMENT,
                kept: u32::try_from(text.len()).unwrap(),
                origin: origin(role),
                at_ns,
                total: u64::try_from(text.len()).unwrap(),
                direction: if request == out_first { DIRECTION_OUT } else { DIRECTION_IN },
                ordinal,
            };
            feed(&mut core, bytes_of(&segment), text.as_bytes(), &mut exact);
        }
        assert_eq!(fast.measurements.len(), 3);
        assert_eq!(fast.measurements, exact.measurements);
    }
}

#[test]
fn secrets_stay_inside() {
    let mut out = Batch::default();
    let mut core = core(|_| ());
    for (role, head) in [
        (ROLE_SERVER, "GET /a?password=hunter2#hunter2 HTTP/1.1\r\nCookie: hunter2\r\n\r\n"),
        (ROLE_CLIENT, "GET http://u:hunter2@h/a;hunter2?x HTTP/1.1\r\n\r\n"),
        (ROLE_CLIENT, "GET / HTTP/1.1\r\nHost: u:hunter2@h\r\n\r\n"),
        (ROLE_CLIENT, "GET /key=hunter2/%68unter2 HTTP/1.1\r\n\r\n"),
        (ROLE_CLIENT, "hunter2 / HTTP/1.1\r\n\r\n"),
    ] {
        feed(&mut core, bytes_of(&exchange(role, head, 200)), head.as_bytes(), &mut out);
    }
    assert_eq!(out.measurements.len(), 15);
    assert!(!shown(&out).concat().contains("hunter2"), "{out:?}");
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut out = Batch::default();
    let mut core = core(|_| ());
    core.record(b"junk", &mut out);
    let bad_role = Exchange { origin: origin(9), ..exchange(ROLE_SERVER, REQUEST, 200) };
    feed(&mut core, bytes_of(&bad_role), REQUEST.as_bytes(), &mut out);
    let binary = "\u{0}\u{1}\u{2} / HTTP/1.1\r\n\r\n";
    feed(&mut core, bytes_of(&exchange(ROLE_SERVER, binary, 200)), binary.as_bytes(), &mut out);
    assert_eq!(shown(&out), ["lost malformed 2", "lost not_http 1"]);
}

#[test]
fn a_silent_exchange_is_measured_once() {
    let mut core = core(|_| ());
    let mut held = Connection { state: STATE_RESPONDING, ..Connection::zeroed() };
    held.exchange = exchange(ROLE_SERVER, REQUEST, 200);
    held.head[..REQUEST.len()].copy_from_slice(REQUEST.as_bytes());
    let mut out = Batch::default();
    for seconds in [2, 6, 7, 8, 9] {
        let now = Mono(held.exchange.response_end_ns + seconds * 1_000_000_000);
        core.begin_sweep();
        if core.due(&held, now, Last::No) {
            core.held(&held, &mut out);
        }
        core.end_sweep(now, Last::No, &mut out);
    }
    let observed = |out: &Batch| -> Vec<u64> {
        out.measurements.iter().map(|measurement| times(&measurement.value)).collect()
    };
    assert_eq!(observed(&out), [1, 1, 1]);
    feed(&mut core, bytes_of(&held.exchange), REQUEST.as_bytes(), &mut out);
    assert_eq!(observed(&out), [1, 1, 1]);
    feed(&mut core, bytes_of(&held.exchange), REQUEST.as_bytes(), &mut out);
    assert_eq!(observed(&out), [2, 2, 2], "another exchange with the same name");
}

/// How many observations a value is.
fn times(value: &Value) -> u64 {
    match value {
        Value::Observations(list) => list.iter().map(|(_, count)| count).sum(),
        _ => 1,
    }
}

/// Equal exchanges are one measurement of a batch, with every time and size in it; another batch begins anew.
#[test]
fn equal_exchanges_are_measured_together() {
    let mut core = core(|_| ());
    for _ in 0..2 {
        let mut out = Batch::default();
        for (index, status) in [200, 200, 404, 200].into_iter().enumerate() {
            let mut one = exchange(ROLE_SERVER, REQUEST, status);
            one.response_end_ns += index as u64 * 1_000_000;
            feed(&mut core, bytes_of(&one), REQUEST.as_bytes(), &mut out);
        }
        let counts: Vec<u64> = out.measurements.iter().map(|it| times(&it.value)).collect();
        assert_eq!(counts, [3, 3, 3, 1, 1, 1]);
        let Value::Observations(times) = &out.measurements[0].value else {
            panic!("one value only")
        };
        assert_eq!(times.len(), 3, "durations differ: {times:?}");
        let Value::Observations(sizes) = &out.measurements[1].value else {
            panic!("one value only")
        };
        assert_eq!(sizes.len(), 1, "sizes do not: {sizes:?}");
    }
}

#[test]
fn a_reset_after_a_response_is_marked() {
    let mut out = Batch::default();
    let reset = Exchange { end: END_RESET, ..exchange(ROLE_SERVER, REQUEST, 200) };
    feed(&mut core(|_| ()), bytes_of(&reset), REQUEST.as_bytes(), &mut out);
    let texts = shown(&out);
    assert_eq!(
        texts.first().map(String::as_str),
        Some("shipwake.http.irregularities 1 shipwake.http.irregularity=reset_after_response")
    );
    assert!(!texts.concat().contains("error.type"));
}

#[test]
fn the_end_of_a_connection_that_nobody_knows_is_nothing() {
    let mut out = Batch::default();
    let mut close = Close { kind: KIND_CLOSE, end: END_CLOSED, ..Close::zeroed() };
    close.origin = origin(ROLE_SERVER);
    core(|_| ()).record(bytes_of(&close), &mut out);
    assert!(out.is_empty());
}
