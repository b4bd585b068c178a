//! A signal that the kernel refuses takes nothing else with it.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use shipwake_tests::{agent::Agent, otlp::Receiver, poll};

/// Open at the same time: the kernel uses the memory, and so the key, of a socket that is gone again at once.
const OPEN: usize = 400;

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
    let before = owners();
    let held: Vec<_> = (0..OPEN).map(|_| accept(&listener)).collect();
    assert!(owners() >= before + OPEN / 2, "accepted sockets have owners: {before}, {}", owners());
    drop(held);
    let few = poll::until(Duration::from_secs(10), || (owners() < before + OPEN / 2).then_some(()));
    assert!(few.is_some(), "{before} owners before {OPEN} connections, {} after", owners());
    assert!(agent.stop().unwrap().success());
}
