//! The object `tcp` against the network namespace's own counters and what the actors did.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod actor;
mod before;
mod running;

use actor::Actor;
use running::Running;
use shipwake::{
    kernel::features::Features,
    process::ProcessKey,
    signals::{Measurement, Subject, syscalls},
};

use crate::net;

const IPV4: &str = "127.0.0.1:0";
const IPV6: &str = "[::1]:0";

/// Runs a test in a network namespace of its own, on a thread of its own.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let test = std::thread::spawn(move || {
        net::enter_new_namespace().unwrap();
        test();
    });
    if let Err(panic) = test.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Segments that this namespace sent again, by its own count.
fn segments_sent_again() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let named = names.split(' ').zip(values.split(' '));
    named
        .filter(|(name, _)| *name == "RetransSegs")
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}

/// A client and a server that are connected, and the server's address.
struct Pair {
    client: Actor,
    server: Actor,
    address: String,
}

impl Pair {
    fn start(listen: &str) -> Self {
        let mut server = Actor::start();
        let address = server.ask(&format!("listen {listen}"));
        Self { client: Actor::start(), server, address }
    }

    fn connect(&mut self) {
        self.connect_to(&self.address.clone());
    }

    fn connect_to(&mut self, address: &str) {
        self.client.order(&format!("connect {address}"));
        self.server.order("accept");
    }

    fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }
}

fn of(key: ProcessKey) -> impl Fn(&Measurement) -> bool {
    move |one| one.subject == Subject::Process(key)
}

fn has(key: &'static str, value: &'static str) -> impl Fn(&Measurement) -> bool {
    move |one| one.labels.get(key).is_some_and(|label| label.to_string() == value)
}

const RETRANSMITS: &str = "shipwake.tcp.retransmits";
const ATTEMPTS: &str = "shipwake.tcp.connection.attempts";
const IO: &str = "shipwake.tcp.io";
const RESETS: &str = "shipwake.tcp.resets";
const HANDSHAKE: &str = "shipwake.tcp.handshake.duration";
const DURATION: &str = "shipwake.tcp.connection.duration";
const RTT: &str = "shipwake.tcp.rtt";
const SEGMENTS: &str = "shipwake.tcp.segments";
const TYPE: &str = "shipwake.tcp.retransmit.type";
const ROLE: &str = "shipwake.tcp.role";
const DIRECTION: &str = "network.io.direction";
const ERROR: &str = "error.type";

#[derive(Clone, Copy, PartialEq)]
enum Opened {
    Before,
    After,
}

#[track_caller]
fn check_retransmits(listen: &'static str, connect: Option<&'static str>, opened: Opened) {
    in_namespace(move || {
        let mut pair = Pair::start(listen);
        let address =
            connect.map_or(pair.address.clone(), |host| format!("{host}:{}", pair.port()));
        let connect = |pair: &mut Pair| pair.connect_to(&address);
        if let Opened::Before = opened {
            connect(&mut pair);
        }
        let Some(mut running) = Running::start(|_| {}) else { return };
        if let Opened::After = opened {
            connect(&mut pair);
        }
        pair.server.order("lose 100");
        pair.client.order("send 100000");
        running.until("retransmits", |_| segments_sent_again() >= 3.0);
        pair.server.order("lose_nothing");
        pair.server.order("receive 100000");
        // While the connection lives, and after its end.
        let client = pair.client.key();
        running.look();
        assert_eq!(running.total(RETRANSMITS, of(client)), segments_sent_again());
        pair.client.order("close");
        pair.server.order("await_end");
        pair.server.order("close");
        running.until_open(client, 0.0);
        assert_eq!(running.total(RETRANSMITS, of(client)), segments_sent_again());
        assert_eq!(running.total(RETRANSMITS, of(pair.server.key())), 0.0);
        let typed =
            |kind| running.total(RETRANSMITS, |one| of(client)(one) && has(TYPE, kind)(one));
        assert!(typed("timeout") >= 1.0);
    });
}

#[test]
fn retransmits_are_what_the_namespace_counted() {
    check_retransmits(IPV4, None, Opened::After);
    check_retransmits(IPV6, None, Opened::After);
    check_retransmits("[::]:0", Some("127.0.0.1"), Opened::After);
}

#[test]
fn connections_that_were_there_before_are_attributed() {
    check_retransmits(IPV4, None, Opened::Before);
    check_retransmits(IPV6, None, Opened::Before);
    check_retransmits("[::]:0", Some("[::ffff:127.0.0.1]"), Opened::Before);
}

/// Whole super-packets are lost and resent by acknowledgement, probe and timer.
#[test]
fn what_a_lossy_path_costs_is_counted_in_segments() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut pair = Pair::start(IPV4);
        pair.connect();
        pair.server.order("lose 10");
        pair.client.tell("send 8000000");
        pair.server.order("receive 8000000");
        assert_eq!(pair.client.answer(), "ok");
        pair.server.order("lose_nothing");
        let client = pair.client.key();
        pair.client.order("close");
        pair.server.order("await_end");
        pair.server.order("close");
        running.until_ended(client, 1);
        assert!(segments_sent_again() > 0.0);
        assert_eq!(
            running.total(RETRANSMITS, |one| of(client)(one) || of(pair.server.key())(one)),
            segments_sent_again()
        );
        let fast = |one: &Measurement| of(client)(one) && has(TYPE, "fast")(one);
        assert!(running.total(RETRANSMITS, fast) >= 1.0);
        // What was sent again is no payload.
        let sent = |one: &Measurement| of(client)(one) && has(DIRECTION, "transmit")(one);
        assert_eq!(running.total(IO, sent), 8_000_000.0);
    });
}

/// Both sides repeat their part of the handshake; the listener's part is its process's.
#[test]
fn a_repeated_handshake_is_counted_on_both_sides() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut pair = Pair::start(IPV4);
        pair.client.order(&format!("connect_deaf {}", pair.address));
        let (client, server) = (pair.client.key(), pair.server.key());
        running.until_open(client, 1.0);
        let counted = |running: &Running| {
            let syn_acks = running.total(RETRANSMITS, |one| {
                of(server)(one) && has(TYPE, "syn_ack")(one) && has(ROLE, "server")(one)
            });
            let syns =
                running.total(RETRANSMITS, |one| of(client)(one) && has(TYPE, "timeout")(one));
            (syn_acks, syns)
        };
        // The timers of both sides may go off at once on two processors: one of them opens the connection while the
        // other still repeats its part.
        running.until("repeated segments", |running| {
            let (syn_acks, syns) = counted(running);
            syn_acks + syns == segments_sent_again()
        });
        let (syn_acks, syns) = counted(&running);
        assert!(syn_acks >= 1.0 && syns >= 1.0, "{syn_acks} {syns}");
        let handshakes = running.observations(HANDSHAKE, of(client));
        assert!(matches!(handshakes[..], [one] if one > 0.9), "{handshakes:?}");
    });
}

#[test]
fn refused_connects_are_counted_by_errno() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut client = Actor::start();
        for _ in 0..300 {
            assert_eq!(client.ask("connect 127.0.0.1:9"), libc::ECONNREFUSED.to_string());
        }
        let key = client.key();
        running.finish();
        assert_eq!(running.total(ATTEMPTS, of(key)), 300.0);
        assert_eq!(
            running.total(ATTEMPTS, |one| of(key)(one)
                && has(ERROR, "ECONNREFUSED")(one)
                && has(ROLE, "client")(one)
                && has("network.peer.address", "127.0.0.1")(one)
                && has("network.peer.port", "9")(one)),
            300.0
        );
        assert_eq!(
            running.total(RESETS, |one| of(key)(one) && has(DIRECTION, "receive")(one)),
            300.0
        );
    });
}

/// One attempt that fails with `errno` by whatever `provoke` does.
#[track_caller]
fn check_failure(error: &'static str, provoke: impl FnOnce(&mut Pair) + Send + 'static) {
    in_namespace(move || {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut pair = Pair::start(IPV4);
        provoke(&mut pair);
        let client = pair.client.key();
        running.finish();
        let failures = |one: &Measurement| of(client)(one) && has(ERROR, error)(one);
        assert_eq!(running.total(ATTEMPTS, failures), 1.0, "{}", running.story());
        assert_eq!(running.total(RETRANSMITS, of(client)), segments_sent_again());
    });
}

#[test]
fn failures_have_the_errno_that_the_process_got() {
    let expect = |errno: i32| {
        move |pair: &mut Pair, command: &str| {
            assert_eq!(pair.client.ask(&format!("{command} {}", pair.address)), errno.to_string());
        }
    };
    check_failure("ETIMEDOUT", move |pair| {
        pair.server.order("listener_loses_all");
        expect(libc::ETIMEDOUT)(pair, "connect_impatient");
    });
    check_failure("aborted", move |pair| {
        pair.server.order("listener_loses_all");
        expect(libc::EINPROGRESS)(pair, "connect_nonblocking");
        pair.client.order("close");
    });
    check_failure("EADDRNOTAVAIL", move |pair| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
        pair.connect();
        pair.connect();
        expect(libc::EADDRNOTAVAIL)(pair, "connect");
    });
}

#[track_caller]
fn check_bytes(listen: &'static str, opened: Opened) {
    in_namespace(move || {
        let mut pair = Pair::start(listen);
        if let Opened::Before = opened {
            pair.connect();
            pair.client.order("send 5000");
            pair.server.order("receive 5000");
        }
        let Some(mut running) = Running::start(|_| {}) else { return };
        if let Opened::After = opened {
            pair.connect();
        }
        let (client, server) = (pair.client.key(), pair.server.key());
        let io = |running: &Running, key, direction| {
            running.total(IO, |one| of(key)(one) && has(DIRECTION, direction)(one))
        };
        for round in 1..=3 {
            pair.client.tell("send 1000000");
            pair.server.order("receive 1000000");
            assert_eq!(pair.client.answer(), "ok");
            pair.server.order("send 777");
            pair.client.order("receive 777");
            running.look();
            let round = f64::from(round);
            assert_eq!(io(&running, client, "transmit"), 1e6 * round);
            assert_eq!(io(&running, client, "receive"), 777.0 * round);
            assert_eq!(io(&running, server, "transmit"), 777.0 * round);
            assert_eq!(io(&running, server, "receive"), 1e6 * round);
            assert_eq!(running.open(client), Some(1.0));
            assert_eq!(running.open(server), Some(1.0));
        }
        // Acknowledgements may be late. A handshake's SYN-ACK is the listener's.
        let segments = |running: &Running, key, direction| {
            running.total(SEGMENTS, |one| of(key)(one) && has(DIRECTION, direction)(one))
        };
        running.until("segments", |running| {
            running.look();
            let sent = segments(running, client, "transmit");
            let answered = segments(running, server, "transmit");
            let answers = segments(running, client, "receive");
            sent == segments(running, server, "receive")
                && answers == answered + f64::from(opened == Opened::After)
        });
        // The end of the stream is no payload.
        pair.client.order("send 1");
        pair.client.order("close");
        pair.server.order("receive 1");
        pair.server.order("await_end");
        pair.server.order("close");
        running.until_open(client, 0.0);
        running.until_open(server, 0.0);
        assert_eq!(io(&running, client, "transmit"), 3_000_001.0);
        assert_eq!(io(&running, server, "receive"), 3_000_001.0);
        assert_eq!(io(&running, server, "transmit"), 2331.0);
        let round_trips = running.observations(RTT, of(client));
        assert!(round_trips.len() >= 3 && round_trips.iter().all(|rtt| *rtt > 0.0 && *rtt < 1.0));
        let (attempts, lives) = match opened {
            Opened::Before => (0.0, 0),
            Opened::After => (1.0, 1),
        };
        for (key, role) in [(client, "client"), (server, "server")] {
            let mine = |one: &Measurement| of(key)(one) && has(ROLE, role)(one);
            assert_eq!(running.total(ATTEMPTS, mine), attempts, "{role}");
            assert_eq!(running.observations(DURATION, mine).len(), lives, "{role}");
            assert!(running.total(IO, mine) > 0.0, "{role}");
        }
        let peers = |key| {
            let said = running.said.measurements.iter();
            said.filter(|one| of(key)(one) && one.labels.get("network.peer.address").is_some())
                .count()
        };
        assert!(peers(client) > 0);
        assert_eq!(peers(server), 0, "a server's clients are not named");
    });
}

#[test]
fn bytes_are_what_was_sent() {
    check_bytes(IPV4, Opened::After);
    check_bytes(IPV6, Opened::After);
    check_bytes(IPV4, Opened::Before);
    check_bytes(IPV6, Opened::Before);
}

#[test]
fn handshakes_are_timed() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut pair = Pair::start(IPV6);
        for _ in 0..50 {
            pair.connect();
        }
        pair.client.order("close_all");
        pair.server.order("close_all");
        let client = pair.client.key();
        running.until_ended(client, 50);
        running.until_ended(pair.server.key(), 50);
        let times = running.observations(HANDSHAKE, of(client));
        assert_eq!(times.len(), 50);
        assert!(times.iter().all(|time| *time > 0.0 && *time < 1.0), "{times:?}");
        assert_eq!(running.total(ATTEMPTS, of(client)), 50.0);
        assert_eq!(running.total(ATTEMPTS, of(pair.server.key())), 50.0);
    });
}

#[test]
fn a_reset_is_counted_where_it_comes_from_and_where_it_hits() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let mut pair = Pair::start(IPV4);
        pair.connect();
        pair.client.order("reset");
        assert_eq!(pair.server.ask("await_end"), libc::ECONNRESET.to_string());
        pair.server.order("close");
        let (client, server) = (pair.client.key(), pair.server.key());
        running.until_ended(client, 1);
        running.until_ended(server, 1);
        for (key, transmit, receive) in [(client, 1.0, 0.0), (server, 0.0, 1.0)] {
            let resets = |direction| {
                running.total(RESETS, |one| of(key)(one) && has(DIRECTION, direction)(one))
            };
            assert_eq!((resets("transmit"), resets("receive")), (transmit, receive));
        }
        let ended = |one: &Measurement| of(server)(one) && has(ERROR, "ECONNRESET")(one);
        assert_eq!(running.observations(DURATION, ended).len(), 1);
    });
}

#[test]
fn a_full_table_is_counted() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|config| config.tcp.connections = 1) else { return };
        let mut pair = Pair::start(IPV4);
        for _ in 0..20 {
            pair.connect();
        }
        running.finish();
        let lost: u64 = running
            .said
            .losses
            .iter()
            .filter(|loss| loss.cause == "table_full")
            .map(|loss| loss.count)
            .sum();
        assert!(lost >= 39, "{:?}", running.said.losses);
    });
}

#[test]
fn too_many_peers_are_one_more_and_counted() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|config| config.tcp.peers = 2) else { return };
        let mut client = Actor::start();
        for port in [1, 2, 3, 4, 1] {
            assert_eq!(
                client.ask(&format!("connect 127.0.0.1:{port}")),
                libc::ECONNREFUSED.to_string()
            );
        }
        running.finish();
        let key = client.key();
        let at = |port| {
            running.total(ATTEMPTS, |one| of(key)(one) && has("network.peer.port", port)(one))
        };
        assert_eq!((at("1"), at("2"), at("3")), (2.0, 1.0, 0.0));
        let other = |one: &Measurement| of(key)(one) && has("network.peer.address", "other")(one);
        assert_eq!(running.total(ATTEMPTS, other), 2.0);
        assert!(running.said.losses.iter().any(|loss| loss.cause == "peer_table_full"));
    });
}

/// The process that accepts is the owner, not the one that listens, and not whose task the kernel's work
/// happened on. The other object comes first and so forgets the socket first: that must do no harm.
#[test]
fn who_accepts_owns() {
    in_namespace(|| {
        let others = [&syscalls::SIGNAL];
        let Some(mut running) = Running::start_after(&others, Features::probe(), |_| {}) else {
            return;
        };
        let mut pair = Pair::start(IPV4);
        let tgid: u32 = pair.server.ask("accept_in_child").parse().unwrap();
        pair.client.order(&format!("connect {}", pair.address));
        pair.client.order("send 1234");
        pair.client.order("close");
        let child = |one: &Measurement| matches!(one.subject, Subject::Process(process) if process.tgid == tgid);
        running.until("the end of the accepted connection", |running| {
            !running.observations(DURATION, child).is_empty()
        });
        let received = |one: &Measurement| child(one) && has(DIRECTION, "receive")(one);
        assert_eq!(running.total(IO, received), 1234.0);
        assert_eq!(running.total(ATTEMPTS, child), 1.0);
        assert_eq!(running.total(ATTEMPTS, of(pair.server.key())), 0.0);
    });
}

/// Without typed tracepoints and without iterators, what begins after the start is still exact.
#[test]
fn raw_tracepoints_serve_as_well() {
    in_namespace(|| {
        let features = Features { btf: false, ..Features::probe() };
        let Some(mut running) = Running::start_after(&[], features, |_| {}) else { return };
        let mut pair = Pair::start(IPV4);
        pair.connect();
        pair.server.order("lose 100");
        pair.client.order("send 100000");
        running.until("retransmits", |_| segments_sent_again() >= 2.0);
        pair.server.order("lose_nothing");
        pair.server.order("receive 100000");
        assert_eq!(pair.client.ask("connect 127.0.0.1:9"), libc::ECONNREFUSED.to_string());
        pair.client.order("close");
        pair.server.order("await_end");
        pair.server.order("close");
        let client = pair.client.key();
        running.until_ended(client, 1);
        assert_eq!(running.total(RETRANSMITS, of(client)), segments_sent_again());
        let refused = |one: &Measurement| of(client)(one) && has(ERROR, "ECONNREFUSED")(one);
        assert_eq!(running.total(ATTEMPTS, refused), 1.0);
        assert_eq!(running.total(ATTEMPTS, of(client)), 2.0);
    });
}

#[test]
#[ignore = "a measurement: how long a look at 4000 sockets takes"]
fn cost_of_a_look() {
    in_namespace(|| {
        let Some(mut running) = Running::start(|_| {}) else { return };
        let empty = time_of(&mut running);
        let listener = std::net::TcpListener::bind(IPV4).unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> = (0..2000)
            .map(|_| (std::net::TcpStream::connect(address).unwrap(), listener.accept().unwrap()))
            .collect();
        let first = time_of(&mut running);
        let again = (0..20).map(|_| time_of(&mut running)).min();
        println!(
            "without: {empty:?}; {} sockets at first: {first:?}, then: {again:?}",
            2 * pairs.len()
        );
    });
}

fn time_of(running: &mut Running) -> std::time::Duration {
    let start = std::time::Instant::now();
    running.look();
    start.elapsed()
}
