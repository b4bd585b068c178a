//! Tests of what is measured of connections.

use bytemuck::Zeroable as _;
use shipwake_ebpf::socket::{Owner, ROLE_CLIENT, ROLE_SERVER};

use super::*;

const PROCESS: ProcessKey = ProcessKey { tgid: 7, start_ticks: 1 };
const CLIENT: Owner = Owner { process: PROCESS, role: ROLE_CLIENT, pad: 0 };
const SERVER: Owner = Owner { process: PROCESS, role: ROLE_SERVER, pad: 0 };
const NOBODY: Owner = Owner { process: ProcessKey { tgid: 0, start_ticks: 0 }, role: 0, pad: 0 };

fn report(kind: u32, flags: u32, owner: Owner) -> Report {
    let peer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    Report { kind, flags, owner, peer, peer_port: 80, ..Report::zeroed() }
}

/// Measurements as lines: subject, metric, value, labels.
#[track_caller]
fn check(report: &Report, expected: &[&str]) {
    let mut out = Vec::new();
    measure(report, &mut Peers::new(10), Mono(0), &mut out);
    let lines: Vec<String> = out.iter().map(line).collect();
    assert_eq!(lines, expected);
}

fn line(measurement: &Measurement) -> String {
    let Measurement { metric, subject, labels, value } = measurement;
    let who = match subject {
        Subject::Process(key) => key.tgid.to_string(),
        Subject::Host => "host".to_owned(),
        Subject::Agent => "agent".to_owned(),
    };
    let value = match value {
        Value::Add(value) => format!("+{value}"),
        Value::Observe(value) => format!("~{value}"),
        other => format!("{other:?}"),
    };
    let labels: Vec<String> = labels
        .labels()
        .iter()
        .map(|label| format!("{}={}", label.key.rsplit('.').next().unwrap_or(""), label.value))
        .collect();
    format!(
        "{who} {} {value} {}",
        metric.name.trim_start_matches("shipwake.tcp."),
        labels.join(",")
    )
}

#[test]
fn a_failed_attempt_has_its_errno() {
    for (error, name) in [
        (111, "ECONNREFUSED"),
        (110, "ETIMEDOUT"),
        (113, "EHOSTUNREACH"),
        (0, "aborted"),
        (9999, "_OTHER"),
    ] {
        let failed = Report { error, ..report(KIND_FAILED, 0, CLIENT) };
        let expected =
            format!("7 connection.attempts +1 type={name},address=10.0.0.1,port=80,role=client");
        check(&failed, &[&expected]);
    }
}

#[test]
fn a_short_connection_is_told_at_once() {
    let whole = Report {
        handshake_ns: 1_000_000,
        duration_ns: 2_000_000_000,
        srtt_us: 250,
        added: Counters {
            bytes_sent: 10,
            bytes_received: 20,
            segments_sent: 3,
            segments_received: 4,
            ..Counters::zeroed()
        },
        ..report(KIND_CLOSED, FLAG_OPENED, CLIENT)
    };
    check(
        &whole,
        &[
            "7 connection.attempts +1 address=10.0.0.1,port=80,role=client",
            "7 handshake.duration ~0.001 address=10.0.0.1,port=80,role=client",
            "7 connection.duration ~2 address=10.0.0.1,port=80,role=client",
            "7 rtt ~0.00025 address=10.0.0.1,port=80,role=client",
            "7 io +10 direction=transmit,address=10.0.0.1,port=80,role=client",
            "7 io +20 direction=receive,address=10.0.0.1,port=80,role=client",
            "7 segments +3 direction=transmit,address=10.0.0.1,port=80,role=client",
            "7 segments +4 direction=receive,address=10.0.0.1,port=80,role=client",
        ],
    );
}

#[test]
fn a_live_connection_is_sampled_when_it_moved_bytes() {
    let idle = Report { srtt_us: 100, ..report(KIND_LIVE, FLAG_FOUND, SERVER) };
    check(&idle, &[]);
    let busy = Report { added: Counters { bytes_sent: 1, ..Counters::zeroed() }, ..idle };
    check(&busy, &["7 rtt ~0.0001 role=server", "7 io +1 direction=transmit,role=server"]);
}

#[test]
fn a_reset_connection_says_so() {
    let reset = Report {
        error: 104,
        duration_ns: 1_000_000_000,
        added: Counters { resets_received: 1, ..Counters::zeroed() },
        ..report(KIND_CLOSED, FLAG_COUNTED, SERVER)
    };
    check(
        &reset,
        &[
            "7 connection.duration ~1 type=ECONNRESET,role=server",
            "7 resets +1 direction=receive,role=server",
        ],
    );
}

#[test]
fn retransmits_have_their_type_or_none() {
    let many = Report {
        added: Counters { retransmits: [1, 2, 3, 4, 5, 6], ..Counters::zeroed() },
        ..report(KIND_LIVE, FLAG_LISTENER, SERVER)
    };
    check(
        &many,
        &[
            "7 retransmits +1 type=fast,role=server",
            "7 retransmits +2 type=tail_loss_probe,role=server",
            "7 retransmits +3 type=timeout,role=server",
            "7 retransmits +4 type=syn_ack,role=server",
            "7 retransmits +5 type=other,role=server",
            "7 retransmits +6 role=server",
        ],
    );
}

#[test]
fn what_nobody_holds_belongs_to_the_host() {
    let orphan = Report {
        added: Counters { resets_sent: 2, ..Counters::zeroed() },
        ..report(KIND_CLOSED, 0, NOBODY)
    };
    check(&orphan, &["host resets +2 direction=transmit"]);

    let mut out = Vec::new();
    measure_host(&[0, 0, 3, 0, 0, 1, 4, 5], &Peers::new(10), &mut out);
    assert_eq!(
        out.iter().map(line).collect::<Vec<_>>(),
        [
            "host retransmits +3 type=timeout",
            "host retransmits +1 ",
            "host resets +4 direction=transmit",
            "host resets +5 direction=receive",
        ]
    );
}
