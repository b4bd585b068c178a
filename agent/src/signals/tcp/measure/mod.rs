//! A report becomes measurements.

use shipwake_ebpf::{
    socket::ROLE_UNKNOWN,
    tcp::{
        Counters, FLAG_COUNTED, FLAG_FOUND, FLAG_LISTENER, FLAG_OPENED, HOST_COUNTERS,
        HOST_RESETS_RECEIVED, HOST_RESETS_SENT, KIND_CLOSED, KIND_FAILED, KIND_LIVE,
        RETRANSMIT_FAST, RETRANSMIT_KINDS, RETRANSMIT_OTHER, RETRANSMIT_SYN_ACK,
        RETRANSMIT_TAIL_LOSS_PROBE, RETRANSMIT_TIMEOUT, Report,
    },
};

use super::{
    errno,
    metrics::{
        ATTEMPTS, DURATION, ERROR_TYPE, HANDSHAKE, IO, RESETS, RETRANSMIT_TYPE, RETRANSMITS, RTT,
        SEGMENTS,
    },
    peers::{Peer, Peers, Scope},
};
use crate::{
    metric::{LabelSet, Metric, Value},
    process::ProcessKey,
    signals::{Measurement, Subject},
    time::Mono,
};

/// Whom the kernel names: tgid 0 is nobody.
pub fn subject(process: ProcessKey) -> Subject {
    if process.tgid == 0 { Subject::Host } else { Subject::Process(process) }
}

/// Adds what `report` says to `out`.
pub fn measure(report: &Report, peers: &mut Peers, now: Mono, out: &mut Vec<Measurement>) {
    let Report { kind, flags, owner, peer, peer_port, error, .. } = *report;
    let scope = if flags & FLAG_LISTENER != 0 {
        peers.role(owner.role)
    } else {
        peers.scope(owner.process, owner.role, Peer { address: peer, port: peer_port }, now)
    };
    let mut sink = Sink { subject: subject(owner.process), out };
    if kind == KIND_FAILED {
        let reason = if error == 0 { "aborted" } else { errno::name(error) };
        sink.add(&ATTEMPTS, 1, || scope.with(ERROR_TYPE, reason));
    }
    if flags & FLAG_OPENED != 0 {
        sink.add(&ATTEMPTS, 1, || scope.plain.clone());
        if report.handshake_ns > 0 {
            sink.observe(&HANDSHAKE, seconds(report.handshake_ns), scope.plain.clone());
        }
    }
    if kind == KIND_CLOSED && report.duration_ns > 0 {
        let labels = if error == 0 {
            scope.plain.clone()
        } else {
            scope.with(ERROR_TYPE, errno::name(error))
        };
        sink.observe(&DURATION, seconds(report.duration_ns), labels);
    }
    let moved = report.added.bytes_sent != 0 || report.added.bytes_received != 0;
    let ended = kind == KIND_CLOSED && flags & (FLAG_OPENED | FLAG_FOUND | FLAG_COUNTED) != 0;
    if report.srtt_us > 0 && (ended || (kind == KIND_LIVE && moved)) {
        let rtt = f64::from(report.srtt_us) / 1e6;
        sink.observe(&RTT, rtt, scope.plain.clone());
    }
    counters(&report.added, &scope, &mut sink);
}

/// Adds what the kernel counted for no socket: the entries of `TCP_HOST`.
pub fn measure_host(
    added: &[u64; HOST_COUNTERS as usize],
    peers: &Peers,
    out: &mut Vec<Measurement>,
) {
    let scope = peers.role(ROLE_UNKNOWN);
    let mut sink = Sink { subject: Subject::Host, out };
    for (kind, count) in added.iter().take(RETRANSMIT_KINDS).enumerate() {
        sink.add(&RETRANSMITS, *count, || retransmit_labels(&scope, kind));
    }
    let [.., sent, received] = *added;
    const { assert!(HOST_RESETS_SENT + 1 == HOST_RESETS_RECEIVED) };
    const { assert!(HOST_RESETS_RECEIVED + 1 == HOST_COUNTERS) };
    sink.add(&RESETS, sent, || scope.transmit.clone());
    sink.add(&RESETS, received, || scope.receive.clone());
}

fn counters(added: &Counters, scope: &Scope, sink: &mut Sink<'_>) {
    let Counters {
        bytes_sent,
        bytes_received,
        segments_sent,
        segments_received,
        retransmits,
        resets_sent,
        resets_received,
    } = *added;
    for (kind, count) in retransmits.into_iter().enumerate() {
        sink.add(&RETRANSMITS, u64::from(count), || retransmit_labels(scope, kind));
    }
    sink.add(&RESETS, u64::from(resets_sent), || scope.transmit.clone());
    sink.add(&RESETS, u64::from(resets_received), || scope.receive.clone());
    sink.add(&IO, bytes_sent, || scope.transmit.clone());
    sink.add(&IO, bytes_received, || scope.receive.clone());
    sink.add(&SEGMENTS, u64::from(segments_sent), || scope.transmit.clone());
    sink.add(&SEGMENTS, u64::from(segments_received), || scope.receive.clone());
}

fn retransmit_labels(scope: &Scope, kind: usize) -> LabelSet {
    let name = match kind {
        RETRANSMIT_FAST => "fast",
        RETRANSMIT_TAIL_LOSS_PROBE => "tail_loss_probe",
        RETRANSMIT_TIMEOUT => "timeout",
        RETRANSMIT_SYN_ACK => "syn_ack",
        RETRANSMIT_OTHER => "other",
        _ => return scope.plain.clone(),
    };
    scope.with(RETRANSMIT_TYPE, name)
}

struct Sink<'a> {
    subject: Subject,
    out: &'a mut Vec<Measurement>,
}

impl Sink<'_> {
    /// Leaves out what did not happen.
    fn add(&mut self, metric: &'static Metric, count: u64, labels: impl FnOnce() -> LabelSet) {
        if count > 0 {
            self.push(metric, labels(), Value::Add(count as f64));
        }
    }

    fn observe(&mut self, metric: &'static Metric, value: f64, labels: LabelSet) {
        self.push(metric, labels, Value::Observe(value));
    }

    fn push(&mut self, metric: &'static Metric, labels: LabelSet, value: Value) {
        self.out.push(Measurement { metric, subject: self.subject, labels, value });
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
