//! Exchanges that are over although their connection stays: found by looking, reported once.
//!
//! The kernel keeps the last exchange of a connection until something else happens on it, which may be
//! never. What has been silent for long enough is reported from here, and remembered, so that the kernel's
//! own record of the same exchange, whenever it comes, is not counted again.

use rustc_hash::FxHashMap;
use shipwake_ebpf::http::{Connection, Exchange, STATE_RESPONDING};

use crate::time::Mono;

/// Most exchanges remembered. What does not fit is not reported early, so nothing is counted twice.
const REPORTED_MAX: usize = 32_768;
/// Sweeps after which an exchange that the kernel no longer has, and never sent, is forgotten.
const PATIENCE: u32 = 3;

/// What was reported early, by connection.
#[derive(Default)]
pub(super) struct Sweep {
    reported: FxHashMap<u64, Reported>,
    round: u32,
}

struct Reported {
    exchange: Identity,
    response_bytes: u64,
    /// The last round that saw the kernel hold it.
    seen: u32,
}

/// Kernel addresses are used again and sequences begin anew, so the start time belongs to the name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    sequence: u32,
    request_start_ns: u64,
}

impl Identity {
    fn of(exchange: &Exchange) -> Self {
        let sequence = exchange.origin.sequence;
        Self { sequence, request_start_ns: exchange.request_start_ns }
    }
}

/// What a record of the kernel means after the sweeps before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// Reported before; nothing came after that.
    Before,
    /// Reported before, and then more of the response came.
    BeforeAndResumed,
}

impl Sweep {
    /// Begins a look at all connections. All records that were in the ring must have been taken out before.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.reported.retain(|_, reported| round.wrapping_sub(reported.seen) <= PATIENCE);
    }

    /// Whether the exchange that the kernel holds is to be reported now. `idle_ns` 0 means: whatever has ended.
    pub(super) fn due(&mut self, connection: &Connection, now: Mono, idle_ns: u64) -> bool {
        let exchange = &connection.exchange;
        let identity = Identity::of(exchange);
        if let Some(reported) = self.reported.get_mut(&exchange.origin.connection)
            && reported.exchange == identity
        {
            reported.seen = self.round;
            return false;
        }
        connection.state == STATE_RESPONDING
            && exchange.status != 0
            && exchange.response_end_ns != 0
            && now.0.saturating_sub(exchange.response_end_ns) >= idle_ns
            && self.reported.len() < REPORTED_MAX
    }

    /// Remembers that the exchange was reported.
    pub(super) fn remember(&mut self, exchange: &Exchange) {
        let reported = Reported {
            exchange: Identity::of(exchange),
            response_bytes: exchange.response_bytes,
            seen: self.round,
        };
        self.reported.insert(exchange.origin.connection, reported);
    }

    /// Judges a record of the kernel.
    pub(super) fn record(&mut self, exchange: &Exchange) -> Seen {
        if self.reported.is_empty() {
            return Seen::New;
        }
        match self.reported.remove(&exchange.origin.connection) {
            Some(reported) if reported.exchange == Identity::of(exchange) => {
                if exchange.response_bytes > reported.response_bytes {
                    Seen::BeforeAndResumed
                } else {
                    Seen::Before
                }
            }
            _ => Seen::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use shipwake_ebpf::http::STATE_WAITING;

    use super::*;

    const IDLE: u64 = 100;

    fn held(sequence: u32, start: u64, end: u64, bytes: u64) -> Connection {
        let mut connection = Connection { state: STATE_RESPONDING, ..Connection::zeroed() };
        connection.exchange.origin.connection = 7;
        connection.exchange.origin.sequence = sequence;
        connection.exchange.request_start_ns = start;
        connection.exchange.response_end_ns = end;
        connection.exchange.response_bytes = bytes;
        connection.exchange.status = 200;
        connection
    }

    fn look(sweep: &mut Sweep, connection: &Connection, now: u64) -> bool {
        sweep.begin();
        let due = sweep.due(connection, Mono(now), IDLE);
        if due {
            sweep.remember(&connection.exchange);
        }
        sweep.end();
        due
    }

    #[test]
    fn a_silent_exchange_is_reported_once() {
        let mut sweep = Sweep::default();
        let first = held(1, 10, 50, 300);
        assert!(!look(&mut sweep, &first, 149));
        assert!(look(&mut sweep, &first, 150));
        for round in 0..10 {
            assert!(!look(&mut sweep, &first, 200 + round));
        }
        assert_eq!(sweep.record(&first.exchange), Seen::Before);
        let second = held(2, 500, 510, 300);
        assert_eq!(sweep.record(&second.exchange), Seen::New);
    }

    #[test]
    fn a_response_that_goes_on_is_noticed() {
        let mut sweep = Sweep::default();
        assert!(look(&mut sweep, &held(1, 10, 50, 300), 150));
        assert_eq!(sweep.record(&held(1, 10, 400, 301).exchange), Seen::BeforeAndResumed);
    }

    #[test]
    fn an_address_that_is_used_again_is_another_connection() {
        let mut sweep = Sweep::default();
        assert!(look(&mut sweep, &held(1, 10, 50, 300), 150));
        assert!(look(&mut sweep, &held(1, 200, 250, 300), 350));
        assert_eq!(sweep.record(&held(1, 200, 250, 300).exchange), Seen::Before);
        assert_eq!(sweep.record(&held(1, 400, 450, 300).exchange), Seen::New);
    }

    #[test]
    fn only_responses_that_began_can_be_over() {
        let mut sweep = Sweep::default();
        let waiting = Connection { state: STATE_WAITING, ..held(1, 10, 50, 0) };
        assert!(!look(&mut sweep, &waiting, 1000));
        assert!(!look(&mut sweep, &held(1, 10, 0, 0), 1000));
    }

    #[test]
    fn what_the_kernel_forgot_is_forgotten() {
        let mut sweep = Sweep::default();
        assert!(look(&mut sweep, &held(1, 10, 50, 300), 150));
        let mut other = held(1, 10, 50, 300);
        other.exchange.origin.connection = 8;
        for round in 0..=u64::from(PATIENCE) {
            look(&mut sweep, &other, 150 + round);
        }
        assert_eq!(sweep.reported.len(), 1);
    }
}
