//! Connections from before the agent, where the kernel runs no iterators.

use shipwake::{kernel::features::Features, signals::Measurement};

use super::{
    DIRECTION, IPV4, IPV6, Pair, RESETS, RETRANSMITS, ROLE, has, in_namespace, of,
    running::Running, segments_sent_again,
};

#[track_caller]
fn check(listen: &'static str, connect: Option<&'static str>) {
    in_namespace(move || {
        let mut pair = Pair::start(listen);
        let address =
            connect.map_or(pair.address.clone(), |host| format!("{host}:{}", pair.port()));
        pair.connect_to(&address);
        let features = Features { btf: false, ..Features::probe() };
        let Some(mut running) = Running::start_after(&[], features, |_| {}) else { return };
        pair.server.order("lose 100");
        pair.client.order("send 100000");
        running.until("retransmits", |_| segments_sent_again() >= 2.0);
        pair.server.order("lose_nothing");
        pair.server.order("receive 100000");
        pair.client.order("close");
        pair.server.order("await_end");
        pair.server.order("close");
        let (client, server) = (pair.client.key(), pair.server.key());
        running.until("the report of the client", |running| {
            running.total(RETRANSMITS, of(client)) > 0.0
        });
        let as_client = |one: &Measurement| of(client)(one) && has(ROLE, "client")(one);
        assert_eq!(running.total(RETRANSMITS, as_client), segments_sent_again());
        assert_eq!(running.total(RETRANSMITS, of(server)), 0.0);
    });
}

#[test]
fn resets_are_attributed_without_iterators() {
    in_namespace(|| {
        let mut pair = Pair::start(IPV4);
        pair.connect();
        let features = Features { btf: false, ..Features::probe() };
        let Some(mut running) = Running::start_after(&[], features, |_| {}) else { return };
        pair.server.order("reset");
        assert_eq!(pair.client.ask("await_end"), libc::ECONNRESET.to_string());
        pair.client.order("close");
        let client = pair.client.key();
        let mine = |one: &Measurement| of(client)(one) && has(DIRECTION, "receive")(one);
        running.until("the reset", |running| running.total(RESETS, mine) > 0.0);
        assert_eq!(running.total(RESETS, mine), 1.0);
    });
}

#[test]
fn retransmits_are_attributed_without_iterators() {
    check(IPV4, None);
    check(IPV6, None);
    check("[::]:0", Some("127.0.0.1"));
}
