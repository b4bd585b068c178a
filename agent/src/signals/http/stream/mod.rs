//! The exact path: HTTP/1 read from the bytes themselves, connection by connection.
//!
//! What is read: where messages begin and end (`Content-Length`, chunks, no-body statuses, the end of
//! the connection), so that pipelined, early, interim and odd exchanges are told apart and timed by their own
//! bytes. What is kept of them: the first bytes of each request's head, for its labels.
//!
//! Bytes may be missing: the kernel sends the first bytes of each call. Bodies of known length are skipped by
//! count. Where an end cannot be read any more, the message ends with the last byte before the
//! direction turns, and the exchange is counted as `unframed`. Reading begins anew only where
//! the direction turns to the client and the first bytes are a whole request line: a body is never read as a
//! message.
//!
//! Bounded: connections, exchanges that wait on each, exchanges in all, bytes of each head.

mod chunk;
mod connection;
mod fields;
mod reader;

use rustc_hash::FxHashMap;
use shipwake_ebpf::{
    http::{Close, END_RESET, Segment},
    process::ProcessKey,
};

use self::connection::{Connection, Moved, Pending, Sink};
use super::exchange::{Finished, Irregularity, Meter, Outcome, Role, lose};
use crate::{signals::Batch, time::Mono};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// Most exchanges that wait for their end on all connections (up to about 800 bytes each).
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, pending: 8192 }
    }
}

/// Every connection of the exact path.
pub struct Streams {
    limits: Limits,
    connections: FxHashMap<u64, Connection>,
    pending: usize,
    clock: u64,
}

impl Streams {
    pub fn new(limits: Limits) -> Self {
        Self { limits, connections: FxHashMap::default(), pending: 0, clock: 0 }
    }

    /// Takes a segment and the bytes that came with it.
    pub fn segment(&mut self, segment: &Segment, bytes: &[u8], meter: &mut Meter, out: &mut Batch) {
        let origin = &segment.origin;
        let Some(role) = Role::from_wire(origin.role) else {
            lose(out, "malformed", 1);
            return;
        };
        self.clock += 1;
        let key = origin.connection;
        // The first segment of a connection begins with a request. An address that begins
        // to count anew is another connection, whose predecessor's end was lost.
        let first = segment.ordinal == 1;
        if first || !self.connections.contains_key(&key) {
            if let Some(old) = self.connections.remove(&key) {
                self.evicted(&old, out);
            } else if self.connections.len() >= self.limits.connections {
                self.evict(None, out);
            }
            self.connections.insert(key, Connection::new(origin, role, first));
        }
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let mut sink = Measure { role, service: connection.service, meter, out };
        let before = connection.pending();
        let expected = connection.ordinal.wrapping_add(1);
        if segment.ordinal != expected && segment.ordinal != 0 && connection.ordinal != 0 {
            connection.gap(&mut sink);
        }
        connection.ordinal = segment.ordinal;
        connection.used = self.clock;
        let kept = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let moved = Moved {
            process: origin.process,
            direction: segment.direction,
            at_ns: segment.at_ns,
            bytes,
            missing: segment.total.saturating_sub(kept),
        };
        connection.moved(&moved, &mut sink);
        self.pending = (self.pending + connection.pending()).saturating_sub(before);
        if self.pending > self.limits.pending {
            self.evict(Some(key), out);
        }
    }

    /// Takes the end of a connection.
    pub fn close(&mut self, close: &Close, meter: &mut Meter, out: &mut Batch) {
        let Some(mut connection) = self.connections.remove(&close.origin.connection) else {
            return;
        };
        self.pending = self.pending.saturating_sub(connection.pending());
        let outcome = if close.end == END_RESET { Outcome::Reset } else { Outcome::Closed };
        let mut sink = Measure { role: connection.role, service: connection.service, meter, out };
        connection.close(outcome, close.at_ns, &mut sink);
    }

    /// Reports what ended in silence: nothing moved for `idle_ns`.
    pub fn idle(&mut self, now: Mono, idle_ns: u64, meter: &mut Meter, out: &mut Batch) {
        for connection in self.connections.values_mut() {
            if now.0.saturating_sub(connection.last_ns) < idle_ns || connection.pending() == 0 {
                continue;
            }
            let before = connection.pending();
            let mut sink =
                Measure { role: connection.role, service: connection.service, meter, out };
            connection.idle(&mut sink);
            self.pending = (self.pending + connection.pending()).saturating_sub(before);
        }
    }

    /// Gives up the connection not used for longest, other than `spared`.
    fn evict(&mut self, spared: Option<u64>, out: &mut Batch) {
        let oldest = self
            .connections
            .iter()
            .filter(|(key, connection)| {
                // For room among the exchanges, a connection without any is no help.
                spared.is_none_or(|spared| spared != **key && connection.pending() > 0)
            })
            .min_by_key(|(_, connection)| connection.used)
            .map(|(key, _)| *key);
        if let Some(old) = oldest.and_then(|key| self.connections.remove(&key)) {
            self.evicted(&old, out);
        }
    }

    fn evicted(&mut self, old: &Connection, out: &mut Batch) {
        self.pending = self.pending.saturating_sub(old.pending());
        lose(out, "exchange_evicted", u64::try_from(old.pending()).unwrap_or(u64::MAX));
    }
}

/// Measures what a connection reports.
struct Measure<'a> {
    role: Role,
    service: ([u8; 16], u16),
    meter: &'a mut Meter,
    out: &'a mut Batch,
}

impl Sink for Measure<'_> {
    fn exchange(&mut self, pending: &Pending, outcome: Outcome, end_ns: u64) {
        let finished = Finished {
            process: pending.process,
            role: self.role,
            service: self.service,
            start_ns: pending.start_ns,
            end_ns,
            request_bytes: pending.request_bytes,
            response_bytes: pending.response_bytes,
            status: pending.status,
            outcome,
            head: &pending.head,
            head_total: pending.head_total,
        };
        self.meter.exchange(&finished, self.out);
    }

    fn irregular(&mut self, process: ProcessKey, kind: Irregularity) {
        self.meter.irregular(process, kind, self.out);
    }

    fn lost(&mut self, cause: &'static str, count: usize) {
        lose(self.out, cause, u64::try_from(count).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests;
