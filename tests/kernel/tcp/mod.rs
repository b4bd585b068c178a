//! The object `tcp` against the network namespace's own counters and what the actors did.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod actor;
mod running;

use actor::Actor;
use running::Running;
use shipwake::{
    process::ProcessKey,
    signals::{Measurement, Subject},
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

#[derive(Clone, Copy)]
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
        let typed = |kind| {
            running.total(RETRANSMITS, |one| {
                of(client)(one) && has("shipwake.tcp.retransmit.type", kind)(one)
            })
        };
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
                && has("error.type", "ECONNREFUSED")(one)
                && has("shipwake.tcp.role", "client")(one)
                && has("network.peer.address", "127.0.0.1")(one)
                && has("network.peer.port", "9")(one)),
            300.0
        );
        assert_eq!(
            running
                .total(RESETS, |one| of(key)(one) && has("network.io.direction", "receive")(one)),
            300.0
        );
    });
}
