//! The bytes of the server.

use super::{
    super::{
        super::exchange::Irregularity,
        chunk::Chunk,
        fields::Body,
        reader::{Event, State},
    },
    Connection, Moved, Sink,
};

impl Connection {
    pub(super) fn responses(&mut self, moved: &Moved<'_>, sink: &mut dyn Sink) {
        if self.idled {
            self.idled = false;
            sink.irregular(moved.process, Irregularity::ResumedAfterIdle);
            self.response.state = State::Lost;
        }
        let mut bytes = moved.bytes;
        let mut missing = moved.missing;
        loop {
            let (used, event) = if bytes.is_empty() && missing > 0 {
                let (used, event) = self.response.skip(missing);
                missing -= used;
                (used, event)
            } else {
                let (used, event) = self.response.advance(bytes);
                bytes = bytes.get(used..).unwrap_or_default();
                (u64::try_from(used).unwrap_or(u64::MAX), event)
            };
            if let Some(front) = self.queue.front_mut()
                && self.owned
                && used > 0
            {
                front.response_bytes = front.response_bytes.saturating_add(used);
                front.response_end_ns = moved.at_ns;
            }
            self.on_response(event, sink);
            if self.abandoned || (event == Event::More && bytes.is_empty() && missing == 0) {
                return;
            }
        }
    }

    fn on_response(&mut self, event: Event, sink: &mut dyn Sink) {
        match event {
            Event::More => {}
            Event::Begin => {
                self.owned = self.queue.front().is_some_and(|front| !front.response_done);
            }
            Event::Head => self.response_head(sink),
            Event::HeadCut => {
                let status = self.response.status();
                if let Some(front) = self.queue.front_mut()
                    && self.owned
                {
                    front.status = status;
                    front.note(Irregularity::HeadTruncated);
                }
            }
            Event::Unframed => {
                if let Some(front) = self.queue.front_mut()
                    && self.owned
                {
                    front.note(Irregularity::Unframed);
                }
            }
            Event::End => {
                if let Some(front) = self.queue.front_mut()
                    && self.owned
                {
                    front.response_done = true;
                    if self.request.state == State::Opaque && self.queue.len() == 1 {
                        self.request.state = State::Lost;
                        if let Some(front) = self.queue.front_mut() {
                            front.request_done = true;
                        }
                    }
                }
                self.report_front(sink);
            }
            Event::Junk | Event::Missing => {
                if self.owned || event == Event::Missing {
                    let dropped = self.queue.pop_front().map_or(0, |_| 1);
                    self.owned = false;
                    let cause =
                        if event == Event::Junk { "not_http" } else { "exchange_unreadable" };
                    sink.lost(cause, dropped);
                }
            }
        }
    }

    /// What follows the head of a response (RFC 9112 §6.3).
    fn response_head(&mut self, sink: &mut dyn Sink) {
        let status = self.response.status().unwrap_or(0);
        let request = self.queue.front().filter(|_| self.owned);
        let head = request.map_or(&b""[..], |front| {
            if front.head_done { &front.head } else { self.request.head() }
        });
        let (to_head, to_connect) = (head.starts_with(b"HEAD "), head.starts_with(b"CONNECT "));
        if (100..200).contains(&status) && status != 101 {
            // The final response is still to come; its exchange goes on.
            self.response.state = State::Start;
            return;
        }
        if let Some(front) = self.queue.front_mut()
            && self.owned
        {
            front.status = Some(status);
        }
        if status == 101 || (to_connect && (200..300).contains(&status)) {
            if let Some(front) = self.queue.front_mut()
                && self.owned
            {
                front.request_done = true;
                front.response_done = true;
            }
            self.report_front(sink);
            sink.lost("exchange_unmatched", self.queue.len());
            self.queue.clear();
            self.abandoned = true;
            return;
        }
        self.response.state = if to_head || matches!(status, 204 | 304) {
            State::Done
        } else {
            match self.response.body() {
                Body::Length(0) => State::Done,
                Body::Length(length) => State::Length(length),
                Body::Chunked => State::Chunked(Chunk::START),
                Body::Unsaid | Body::Coded => State::UntilClose,
                Body::Bad => State::Opaque,
            }
        };
        if self.response.state == State::Opaque
            && let Some(front) = self.queue.front_mut()
            && self.owned
        {
            front.note(Irregularity::Unframed);
        }
    }
}
