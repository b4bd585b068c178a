//! The bytes of the client.

use super::{
    super::{
        super::exchange::Irregularity,
        chunk::Chunk,
        fields::Body,
        reader::{Event, State},
    },
    Connection, Moved, PENDING_MAX, Pending, Sink,
};

impl Connection {
    pub(super) fn requests(&mut self, moved: &Moved<'_>, sink: &mut dyn Sink) {
        let mut bytes = moved.bytes;
        let mut missing = moved.missing;
        loop {
            let (used, event) = if bytes.is_empty() && missing > 0 {
                let (used, event) = self.request.skip(missing);
                missing -= used;
                (used, event)
            } else {
                let (used, event) = self.request.advance(bytes);
                bytes = bytes.get(used..).unwrap_or_default();
                (u64::try_from(used).unwrap_or(u64::MAX), event)
            };
            if let Some(back) = self.queue.back_mut()
                && !back.request_done
            {
                back.request_bytes = back.request_bytes.saturating_add(used);
            }
            self.on_request(event, moved, sink);
            if self.abandoned || (event == Event::More && bytes.is_empty() && missing == 0) {
                return;
            }
        }
    }

    fn on_request(&mut self, event: Event, moved: &Moved<'_>, sink: &mut dyn Sink) {
        match event {
            Event::More => {}
            Event::Missing => sink.lost("exchange_unreadable", 1),
            Event::Begin => self.begin(moved, sink),
            Event::Head | Event::HeadCut => {
                let Some(back) = self.queue.back_mut() else { return };
                back.head = self.request.head().into();
                back.head_total = self.request.head_total();
                back.head_done = true;
                if event == Event::HeadCut {
                    back.note(Irregularity::HeadTruncated);
                    // More than was seen: the line may be cut.
                    back.head_total = back.head_total.saturating_add(1);
                    return;
                }
                self.request.state = match self.request.body() {
                    Body::Length(length) => State::Length(length),
                    Body::Chunked => State::Chunked(Chunk::START),
                    Body::Unsaid => State::Done,
                    Body::Coded | Body::Bad => {
                        back.note(Irregularity::Unframed);
                        State::Opaque
                    }
                };
                if self.request.state == State::Length(0) {
                    self.request.state = State::Done;
                }
            }
            Event::Unframed => {
                if let Some(back) = self.queue.back_mut() {
                    back.note(Irregularity::Unframed);
                }
            }
            Event::End => {
                if let Some(back) = self.queue.back_mut() {
                    back.request_done = true;
                }
                self.report_front(sink);
            }
            Event::Junk => {
                if self.queue.back().is_some_and(|back| !back.head_done) {
                    self.queue.pop_back();
                    self.owned &= !self.queue.is_empty();
                }
                sink.lost("not_http", 1);
            }
        }
    }

    fn begin(&mut self, moved: &Moved<'_>, sink: &mut dyn Sink) {
        if self.queue.len() >= PENDING_MAX {
            sink.lost("pipeline_overflow", self.queue.len());
            self.queue.clear();
            self.abandoned = true;
            return;
        }
        let mut pending = Pending {
            process: moved.process,
            start_ns: moved.at_ns,
            request_bytes: 0,
            response_bytes: 0,
            response_end_ns: 0,
            status: None,
            head: Box::default(),
            head_total: 0,
            irregular: Vec::new(),
            head_done: false,
            request_done: false,
            response_done: false,
        };
        if !self.queue.is_empty() {
            pending.note(Irregularity::Pipelined);
        }
        self.queue.push_back(pending);
    }
}
