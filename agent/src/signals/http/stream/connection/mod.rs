//! One connection of the exact path: two directions, and the exchanges between them in order.

mod requests;
mod responses;

use std::collections::VecDeque;

use shipwake_ebpf::{
    http::{DIRECTION_IN, DIRECTION_OUT, Origin},
    process::ProcessKey,
};

use super::{
    super::exchange::{Irregularity, Outcome, Role, service},
    reader::{Kind, Reader, State, begins_request},
};

/// Most exchanges that wait for a response on one connection.
pub(super) const PENDING_MAX: usize = 128;

/// What a connection reports, in order.
pub(super) trait Sink {
    /// An exchange is over.
    fn exchange(&mut self, pending: &Pending, outcome: Outcome, end_ns: u64);
    /// Something unusual that belongs to no exchange that is reported.
    fn irregular(&mut self, process: ProcessKey, kind: Irregularity);
    /// Exchanges that nothing can be said about.
    fn lost(&mut self, cause: &'static str, count: usize);
}

/// An exchange that is not over yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) process: ProcessKey,
    pub(super) start_ns: u64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// When the last byte of the response came.
    pub(super) response_end_ns: u64,
    pub(super) status: Option<u16>,
    pub(super) head: Box<[u8]>,
    pub(super) head_total: usize,
    pub(super) irregular: Vec<Irregularity>,
    head_done: bool,
    request_done: bool,
    response_done: bool,
}

impl Pending {
    fn note(&mut self, kind: Irregularity) {
        if !self.irregular.contains(&kind) {
            self.irregular.push(kind);
        }
    }
}

/// What one system call moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved<'a> {
    pub(super) process: ProcessKey,
    pub(super) direction: u32,
    pub(super) at_ns: u64,
    pub(super) bytes: &'a [u8],
    /// Bytes behind `bytes` that were not kept.
    pub(super) missing: u64,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) role: Role,
    pub(super) service: ([u8; 16], u16),
    pub(super) ordinal: u32,
    pub(super) last_ns: u64,
    /// Clock of the table, for finding the one not used for longest.
    pub(super) used: u64,
    request: Reader,
    response: Reader,
    queue: VecDeque<Pending>,
    /// The response that is being read belongs to the first in the queue.
    owned: bool,
    last_direction: u32,
    /// The response was taken for over after a silence.
    idled: bool,
    /// It speaks something else now, or went beyond the limits: nothing is read any more.
    abandoned: bool,
}

impl Connection {
    pub(super) fn new(origin: &Origin, role: Role, from_the_start: bool) -> Self {
        let state = if from_the_start { State::Start } else { State::Lost };
        Self {
            role,
            service: service(origin, role),
            ordinal: 0,
            last_ns: 0,
            used: 0,
            request: Reader::new(Kind::Request, state),
            response: Reader::new(Kind::Response, state),
            queue: VecDeque::new(),
            owned: false,
            last_direction: 0,
            idled: false,
            abandoned: false,
        }
    }

    /// Exchanges that are not over.
    pub(super) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Takes what one call moved.
    pub(super) fn moved(&mut self, moved: &Moved<'_>, sink: &mut dyn Sink) {
        self.last_ns = moved.at_ns;
        if self.abandoned {
            return;
        }
        let turned = self.last_direction != moved.direction;
        self.last_direction = moved.direction;
        let requests = match self.role {
            Role::Client => DIRECTION_OUT,
            Role::Server => DIRECTION_IN,
        };
        if moved.direction == requests {
            if turned {
                self.turn(moved, sink);
            }
            self.requests(moved, sink);
        } else {
            self.responses(moved, sink);
        }
    }

    /// Segments were lost: nothing that is under way can be finished.
    pub(super) fn gap(&mut self, sink: &mut dyn Sink) {
        if self.abandoned {
            return;
        }
        sink.lost("exchange_gap", self.queue.len());
        self.queue.clear();
        self.owned = false;
        self.request.state = State::Lost;
        self.response.state = State::Lost;
    }

    /// The connection is gone.
    pub(super) fn close(&mut self, outcome: Outcome, at_ns: u64, sink: &mut dyn Sink) {
        if let Some(front) = self.queue.front_mut()
            && self.owned
        {
            match self.response.state {
                // Nothing else could have said that it was whole.
                State::UntilClose => front.response_done = outcome == Outcome::Closed,
                State::Opaque => {
                    front.response_done = true;
                    front.note(Irregularity::Unframed);
                }
                _ => {}
            }
        }
        while let Some(pending) = self.queue.pop_front() {
            self.report(pending, outcome, at_ns, sink);
        }
        self.abandoned = true;
    }

    /// Nothing moved for a while: a response whose end cannot be read has ended.
    pub(super) fn idle(&mut self, sink: &mut dyn Sink) {
        if self.owned && self.response.state == State::Opaque && self.finish_opaque(sink) {
            self.idled = true;
        }
    }

    /// Before the first bytes of the client after bytes of the server.
    fn turn(&mut self, moved: &Moved<'_>, sink: &mut dyn Sink) {
        let blurred = matches!(self.request.state, State::Opaque | State::Lost);
        if blurred && !begins_request(moved.bytes) {
            return;
        }
        let lost = self.request.state == State::Lost || self.response.state == State::Lost;
        if !blurred && self.request.state != State::Start {
            return;
        }
        // A new request after response bytes: what was being answered has been answered.
        if self.request.state == State::Opaque
            && let Some(back) = self.queue.back_mut()
        {
            back.request_done = true;
        }
        if matches!(self.response.state, State::Opaque | State::UntilClose) && self.owned {
            self.finish_opaque(sink);
        }
        if lost || self.idled {
            sink.lost("exchange_unmatched", self.queue.len());
            self.queue.clear();
            self.owned = false;
            if !self.idled {
                sink.irregular(moved.process, Irregularity::Resynchronised);
            }
            self.idled = false;
            self.response.state = State::Start;
        }
        if blurred {
            self.request.state = State::Start;
        }
    }

    /// The response that is being read, whose end nobody can see, ended with its last byte so far.
    /// Says whether it did: not while its request goes on.
    fn finish_opaque(&mut self, sink: &mut dyn Sink) -> bool {
        let opaque_request = self.request.state == State::Opaque;
        let alone = self.queue.len() == 1;
        let Some(front) = self.queue.front_mut() else { return false };
        if !(front.request_done || alone && opaque_request) {
            return false;
        }
        front.note(Irregularity::Unframed);
        front.request_done = true;
        front.response_done = true;
        if opaque_request && alone {
            self.request.state = State::Lost;
        }
        self.report_front(sink);
        // Responses to those behind may be among the bytes.
        sink.lost("exchange_unmatched", self.queue.len());
        self.queue.clear();
        self.response.state = State::Start;
        true
    }

    /// Reports the first exchange if both its halves are over.
    fn report_front(&mut self, sink: &mut dyn Sink) {
        let over = |front: &mut Pending| front.request_done && front.response_done;
        if let Some(pending) = self.queue.pop_front_if(over) {
            self.owned = false;
            let end_ns = pending.response_end_ns;
            self.report(pending, Outcome::Whole, end_ns, sink);
        }
    }

    fn report(&self, mut pending: Pending, outcome: Outcome, at_ns: u64, sink: &mut dyn Sink) {
        let answered = pending.response_bytes > 0;
        if !pending.head_done && !answered {
            sink.irregular(pending.process, Irregularity::HeadIncomplete);
            return;
        }
        let (outcome, end_ns) = if pending.response_done {
            (Outcome::Whole, pending.response_end_ns)
        } else {
            (outcome, at_ns)
        };
        for kind in &pending.irregular {
            sink.irregular(pending.process, *kind);
        }
        if !pending.head_done {
            // Answered before the head was whole: what is there of it, and at least one byte more.
            pending.head = self.request.head().into();
            pending.head_total = self.request.head_total().saturating_add(1);
        }
        sink.exchange(&pending, outcome, end_ns);
    }
}
