//! A signal that the kernel refuses takes nothing else with it.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use shipwake_tests::{agent::Agent, otlp::Receiver, poll};

/// More connections than the rest of the host has at a time.
const OPEN: usize = 200;
const PASSED: usize = 4000;

fn accept(listener: &TcpListener) -> [TcpStream; 2] {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    [client, listener.accept().unwrap().0]
}

/// The owners of sockets, which `tcp` would forget, are forgotten without it: a full table would cost `http` its own.
#[test]
fn owners_of_sockets_are_forgotten_although_tcp_is_refused() {
    let receiver = Receiver::start().unwrap();
    // No kernel makes a table of that size.
    let agent = Agent::start(&receiver, &["--set", "tcp.connections=4294967295"]).unwrap();
    assert!(agent.log().contains("signal does not run"), "{}", agent.log());
    let owners = || agent.map_entries::<16>("SOCKETS").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held: Vec<_> = (0..OPEN).map(|_| accept(&listener)).collect();
    assert!(owners() >= OPEN, "accepted sockets have owners: {}", owners());
    for _ in 0..PASSED {
        drop(accept(&listener));
    }
    drop(held);
    let few = poll::until(Duration::from_secs(10), || (owners() < PASSED / 2).then_some(()));
    assert!(few.is_some(), "{} owners are left of {PASSED} connections that are gone", owners());
    assert!(agent.stop().unwrap().success());
}
