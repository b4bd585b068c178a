//! One exchange, whichever path saw it, and what is measured of it.

use std::net::{IpAddr, Ipv6Addr};

use shipwake_ebpf::{http as wire, process::ProcessKey, socket};

use super::{
    head::{Head, HostWanted},
    labels::{Labels, Traits},
    memo::{Memo, Place},
    metrics,
};
use crate::{
    metric::{LabelSet, Value},
    signals::{Batch, Loss, Measurement, Subject},
};

/// Which side of the connection the process was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Client,
    Server,
}

impl Role {
    /// From the wire; anything else is malformed.
    pub fn from_wire(role: u32) -> Option<Self> {
        match role {
            socket::ROLE_CLIENT => Some(Self::Client),
            socket::ROLE_SERVER => Some(Self::Server),
            _ => None,
        }
    }
}

/// Whether the response came, and if not all of it, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As far as can be known, the response was whole.
    Whole,
    /// The connection was closed before the response was whole.
    Closed,
    /// The connection was reset before the response was whole.
    Reset,
    /// The next request came and no response.
    Unanswered,
}

/// Something unusual about an exchange; counted by [`metrics::IRREGULARITIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Irregularity {
    Pipelined,
    Unframed,
    HeadTruncated,
    Resynchronised,
    ResumedAfterIdle,
    ResetAfterResponse,
    HeadIncomplete,
}

impl Irregularity {
    pub(super) const ALL: [Self; 7] = [
        Self::Pipelined,
        Self::Unframed,
        Self::HeadTruncated,
        Self::Resynchronised,
        Self::ResumedAfterIdle,
        Self::ResetAfterResponse,
        Self::HeadIncomplete,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pipelined => "pipelined",
            Self::Unframed => "unframed",
            Self::HeadTruncated => "head_truncated",
            Self::Resynchronised => "resynchronised",
            Self::ResumedAfterIdle => "resumed_after_idle",
            Self::ResetAfterResponse => "reset_after_response",
            Self::HeadIncomplete => "head_incomplete",
        }
    }
}

/// An exchange that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished<'a> {
    pub process: ProcessKey,
    pub role: Role,
    /// Address and port of the server's end.
    pub service: ([u8; 16], u16),
    /// First byte of the request, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Last byte of the response, or the moment the exchange was given up.
    pub end_ns: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Status code of the final response, if there was one.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// First bytes of the request head.
    pub head: &'a [u8],
    /// Length of the whole head.
    pub head_total: usize,
}

/// The end of the connection where the server is.
pub(super) fn service(origin: &wire::Origin, role: Role) -> ([u8; 16], u16) {
    match role {
        Role::Client => (origin.peer, origin.peer_port),
        Role::Server => (origin.local, origin.local_port),
    }
}

/// Text of an address; v4-mapped addresses are written as IPv4.
pub(super) fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// Turns finished exchanges into measurements. Shared by both paths, so that both measure the same.
pub struct Meter {
    labels: Labels,
    irregular: [LabelSet; Irregularity::ALL.len()],
    sizes: bool,
    memo: Memo,
}

impl Meter {
    pub(super) fn new(labels: Labels, sizes: bool) -> Self {
        let irregular =
            Irregularity::ALL.map(|kind| crate::labels! { metrics::IRREGULARITY => kind.name() });
        Self { labels, irregular, sizes, memo: Memo::default() }
    }

    /// Measures one exchange. One whose head is not a request after all is counted as lost.
    ///
    /// Exchanges that differ in nothing but time and size are one measurement of a batch.
    pub fn exchange(&mut self, finished: &Finished<'_>, out: &mut Batch) {
        let seconds = seconds(finished.end_ns.saturating_sub(finished.start_ns));
        let (request, response) = (bytes(finished.request_bytes), bytes(finished.response_bytes));
        let slot = self.memo.slot(finished);
        if let Some(place) = self.memo.find(slot, finished)
            && let Some(known) = place.of(&mut out.measurements)
        {
            for (measurement, value) in known.iter_mut().zip([seconds, request, response]) {
                measurement.value.observe_too(value);
            }
            return;
        }
        let wanted = match finished.role {
            Role::Client => HostWanted::Yes,
            Role::Server => HostWanted::No,
        };
        let Some(head) = Head::parse(finished.head, finished.head_total, wanted) else {
            lose(out, "not_http", 1);
            return;
        };
        let traits = Traits {
            role: finished.role,
            service: finished.service,
            status: finished.status,
            outcome: finished.outcome,
        };
        let labels = self.labels.of(&head, &traits);
        let metrics = match finished.role {
            Role::Server => [
                &metrics::SERVER_DURATION,
                &metrics::SERVER_REQUEST_SIZE,
                &metrics::SERVER_RESPONSE_SIZE,
            ],
            Role::Client => [
                &metrics::CLIENT_DURATION,
                &metrics::CLIENT_REQUEST_SIZE,
                &metrics::CLIENT_RESPONSE_SIZE,
            ],
        };
        // There is no size of a response that never came.
        let count = match (self.sizes, finished.response_bytes) {
            (false, _) => 1,
            (true, 0) => 2,
            (true, _) => 3,
        };
        let subject = Subject::Process(finished.process);
        let place = Place { at: out.measurements.len(), count, subject, labels: labels.clone() };
        for (metric, value) in metrics.into_iter().zip([seconds, request, response]).take(count) {
            let (labels, value) = (labels.clone(), Value::Observe(value));
            out.measurements.push(Measurement { metric, subject, labels, value });
        }
        self.memo.keep(slot, finished, place);
    }

    /// Counts something unusual.
    pub fn irregular(&self, process: ProcessKey, kind: Irregularity, out: &mut Batch) {
        let Some(labels) = Irregularity::ALL
            .iter()
            .position(|known| *known == kind)
            .and_then(|index| self.irregular.get(index))
        else {
            return;
        };
        out.measurements.push(Measurement {
            metric: &metrics::IRREGULARITIES,
            subject: Subject::Process(process),
            labels: labels.clone(),
            value: Value::Add(1.0),
        });
    }
}

/// Counts a loss of this signal; losses of one cause in one batch are one entry.
pub(super) fn lose(out: &mut Batch, cause: &'static str, count: u64) {
    if count == 0 {
        return;
    }
    match out.losses.iter_mut().find(|loss| loss.signal == super::NAME && loss.cause == cause) {
        Some(loss) => loss.count = loss.count.saturating_add(count),
        None => out.losses.push(Loss { signal: super::NAME, cause, count }),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a duration of 100 days is still exact")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "sizes up to 8 PiB are exact")]
fn bytes(count: u64) -> f64 {
    count as f64
}
