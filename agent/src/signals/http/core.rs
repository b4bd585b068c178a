//! Records in, measurements out: the signal without the kernel.

use shipwake_ebpf::http::{self as wire, Connection, END_RESET};

use super::{
    Settings,
    decode::{Record, decode},
    exchange::{Finished, Irregularity, Meter, Outcome, Role, lose, service},
    labels::Labels,
    routes::{RouteError, Routes},
    stream::{self, Streams},
    sweep::{Seen, Sweep},
    template::{Limits, Templates},
};
use crate::{signals::Batch, time::Mono};

/// All state of the user side.
pub struct Core {
    meter: Meter,
    sweep: Sweep,
    streams: Streams,
    idle_ns: u64,
}

impl Core {
    /// Sets up from the settings.
    ///
    /// # Errors
    /// A route is not one.
    pub fn new(settings: &Settings) -> Result<Self, RouteError> {
        let limits = Limits {
            templates: usize::try_from(settings.templates).unwrap_or(usize::MAX),
            values: usize::try_from(settings.path_values).unwrap_or(usize::MAX),
        };
        let labels = Labels::new(
            Templates::new(limits),
            Routes::new(&settings.routes)?,
            &settings.known_methods,
            settings.http_route_from_template,
        );
        Ok(Self {
            meter: Meter::new(labels, settings.sizes),
            sweep: Sweep::default(),
            streams: Streams::new(stream::Limits::default()),
            idle_ns: u64::try_from(settings.idle.0.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// Takes one record of the ring.
    pub fn record(&mut self, bytes: &[u8], out: &mut Batch) {
        match decode(bytes) {
            Some(Record::Exchange(exchange, head)) => self.exchange(&exchange, head, out),
            Some(Record::Segment(segment, bytes)) => {
                self.streams.segment(&segment, bytes, &mut self.meter, out);
            }
            Some(Record::Close(close)) => self.streams.close(&close, &mut self.meter, out),
            None => lose(out, "malformed", 1),
        }
    }

    /// Begins a look at the connections that the kernel holds. The ring must be empty.
    pub fn begin_sweep(&mut self) {
        self.sweep.begin();
    }

    /// Whether an exchange that the kernel holds is over: silent for as long as the settings say, or, at the
    /// end of everything, responded to at all.
    pub fn due(&mut self, connection: &Connection, now: Mono, last: Last) -> bool {
        let idle_ns = match last {
            Last::Yes => 0,
            Last::No => self.idle_ns,
        };
        self.sweep.due(connection, now, idle_ns)
    }

    /// Reports an exchange that is [`due`](Self::due).
    pub fn held(&mut self, connection: &Connection, out: &mut Batch) {
        let exchange = &connection.exchange;
        self.sweep.remember(exchange);
        let kept = usize::try_from(exchange.head_kept).unwrap_or(usize::MAX);
        let head = connection.head.get(..kept).unwrap_or(&connection.head);
        self.measure(exchange, head, out);
    }

    /// Ends the look, and reports what is over on the exact path.
    pub fn end_sweep(&mut self, now: Mono, last: Last, out: &mut Batch) {
        self.sweep.end();
        let idle_ns = match last {
            Last::Yes => 0,
            Last::No => self.idle_ns,
        };
        self.streams.idle(now, idle_ns, &mut self.meter, out);
    }

    fn exchange(&mut self, exchange: &wire::Exchange, head: &[u8], out: &mut Batch) {
        match self.sweep.record(exchange) {
            Seen::New => self.measure(exchange, head, out),
            Seen::Before => {}
            Seen::BeforeAndResumed => {
                let process = exchange.origin.process;
                self.meter.irregular(process, Irregularity::ResumedAfterIdle, out);
            }
        }
    }

    fn measure(&mut self, exchange: &wire::Exchange, head: &[u8], out: &mut Batch) {
        let status = u16::try_from(exchange.status).ok().filter(|status| *status < 1000);
        let (Some(role), Some(status)) = (Role::from_wire(exchange.origin.role), status) else {
            lose(out, "malformed", 1);
            return;
        };
        let process = exchange.origin.process;
        // Bytes without a status are the beginning of a response that never came.
        let answered = status > 0;
        let outcome = match exchange.end {
            _ if answered => Outcome::Whole,
            wire::END_CLOSED => Outcome::Closed,
            END_RESET => Outcome::Reset,
            _ => Outcome::Unanswered,
        };
        if answered && exchange.end == END_RESET {
            self.meter.irregular(process, Irregularity::ResetAfterResponse, out);
        }
        let end_ns = match exchange.response_end_ns {
            0 => exchange.request_end_ns,
            end => end,
        };
        let finished = Finished {
            process,
            role,
            service: service(&exchange.origin, role),
            start_ns: exchange.request_start_ns,
            end_ns,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            status: (status > 0).then_some(status),
            outcome,
            head,
            head_total: usize::try_from(exchange.head_total).unwrap_or(usize::MAX),
        };
        self.meter.exchange(&finished, out);
    }
}

/// Whether this is the last look before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Yes,
    No,
}
