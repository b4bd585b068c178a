//! One direction of a connection: where messages begin, where their heads end, where they end.

use super::{
    super::head::{Head, HostWanted, token, without_return},
    chunk::{Chunk, Progress},
    fields::{Body, Framing, LINE_KEPT},
};

/// Most bytes of a head that are kept: as many as on the fast path, so that both paths see the same.
pub(super) const HEAD_KEPT: usize = shipwake_ebpf::http::HEAD_KEPT;
/// Longest method, and the bytes that decide whether a message begins.
const METHOD_MAX: usize = 32;
const STATUS_LINE: &[u8] = b"HTTP/1.# ###";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between messages.
    Start,
    Head,
    /// The head is over; the owner must say what follows.
    Decide,
    Length(u64),
    Chunked(Chunk),
    /// Bytes of a message whose end cannot be read.
    Opaque,
    /// Bytes of a message that ends with the connection.
    UntilClose,
    /// The message is over.
    Done,
    /// Not known: bytes were missing or were not HTTP.
    Lost,
}

/// What happened; the owner looks after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing yet.
    More,
    /// The next byte is the first of a message.
    Begin,
    /// The head is whole.
    Head,
    /// Part of the head is missing; what was kept of it is all there will be.
    HeadCut,
    /// The message can no longer be delimited.
    Unframed,
    /// The message is whole.
    End,
    /// What began is no HTTP/1 message.
    Junk,
    /// Bytes are missing and nobody knows which message they belonged to.
    Missing,
}

#[derive(Debug)]
pub(super) struct Reader {
    kind: Kind,
    pub(super) state: State,
    head: Vec<u8>,
    head_total: usize,
    line: Vec<u8>,
    line_total: usize,
    first_line: bool,
    framing: Framing,
}

impl Reader {
    pub(super) fn new(kind: Kind, state: State) -> Self {
        Self {
            kind,
            state,
            head: Vec::new(),
            head_total: 0,
            line: Vec::new(),
            line_total: 0,
            first_line: true,
            framing: Framing::default(),
        }
    }

    /// First bytes of the current head.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Length of the current head so far.
    pub(super) fn head_total(&self) -> usize {
        self.head_total
    }

    /// What the fields of the current head say about the body.
    pub(super) fn body(&self) -> Body {
        self.framing.body()
    }

    /// Status code of the current response head.
    pub(super) fn status(&self) -> Option<u16> {
        if !self.head.len().ge(&STATUS_LINE.len()) || !is_status_line(&self.head) {
            return None;
        }
        let digits = self.head.get(9..12)?;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
    }

    /// Reads on until something happens. Returns how many bytes were used. No bytes and
    /// [`Event::More`] mean that more are needed.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Event) {
        match self.state {
            State::Start => self.start(bytes),
            State::Head => self.read_head(bytes),
            State::Length(left) => {
                let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                self.state = State::Length(left - count);
                let used = usize::try_from(count).unwrap_or(bytes.len());
                self.ended(used, left == count)
            }
            State::Chunked(mut chunk) => {
                let (used, progress) = chunk.advance(bytes);
                self.state = State::Chunked(chunk);
                match progress {
                    Progress::More => (used, Event::More),
                    Progress::End => self.ended(used, true),
                    Progress::Bad => {
                        self.state = State::Opaque;
                        (used, Event::Unframed)
                    }
                }
            }
            State::Done => self.ended(0, true),
            // `Decide` never lasts: the owner answers at once.
            State::Decide | State::Opaque | State::UntilClose | State::Lost => {
                (bytes.len(), Event::More)
            }
        }
    }

    /// Passes over bytes that are missing. Returns how many were used.
    pub(super) fn skip(&mut self, count: u64) -> (u64, Event) {
        match &mut self.state {
            State::Start => {
                self.state = State::Lost;
                (count, Event::Missing)
            }
            State::Head => {
                self.state = State::Opaque;
                (count, Event::HeadCut)
            }
            State::Length(left) => {
                let used = count.min(*left);
                *left -= used;
                let end = *left == 0;
                let (_, event) = self.ended(0, end);
                (used, event)
            }
            State::Chunked(chunk) => match chunk.skip(count) {
                Progress::More => (count, Event::More),
                Progress::End | Progress::Bad => {
                    self.state = State::Opaque;
                    (count, Event::Unframed)
                }
            },
            State::Done => (0, self.ended(0, true).1),
            State::Decide | State::Opaque | State::UntilClose | State::Lost => (count, Event::More),
        }
    }

    fn ended(&mut self, used: usize, end: bool) -> (usize, Event) {
        if !end {
            return (used, Event::More);
        }
        self.state = State::Start;
        (used, Event::End)
    }

    fn start(&mut self, bytes: &[u8]) -> (usize, Event) {
        // Servers skip line ends in front of a request: some clients send one too many.
        let skipped = match self.kind {
            Kind::Request => bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count(),
            Kind::Response => 0,
        };
        if skipped > 0 || bytes.is_empty() {
            return (skipped, Event::More);
        }
        self.head.clear();
        self.line.clear();
        self.head_total = 0;
        self.line_total = 0;
        self.first_line = true;
        self.framing = Framing::default();
        self.state = State::Head;
        (0, Event::Begin)
    }

    fn read_head(&mut self, bytes: &[u8]) -> (usize, Event) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = &rest[..end.map_or(rest.len(), |end| end + 1)];
            used += part.len();
            self.take(part);
            if self.first_line && !self.plausible() {
                return self.junk(used);
            }
            if end.is_none() {
                break;
            }
            let blank = self.line_total <= 2 && without_line_end(&self.line).is_empty();
            if self.first_line {
                let known = match self.kind {
                    Kind::Request => {
                        Head::parse(&self.head, self.head_total, HostWanted::No).is_some()
                    }
                    Kind::Response => is_status_line(&self.head) && self.head.len() > 12,
                };
                if !known {
                    return self.junk(used);
                }
                self.first_line = false;
            } else if blank {
                self.state = State::Decide;
                return (used, Event::Head);
            } else {
                let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
                let ends = self.line.len() - line.len();
                self.framing.line(line, self.line_total - ends);
            }
            self.line.clear();
            self.line_total = 0;
        }
        (used, Event::More)
    }

    fn take(&mut self, part: &[u8]) {
        let room = HEAD_KEPT.saturating_sub(self.head.len());
        self.head.extend_from_slice(&part[..room.min(part.len())]);
        self.head_total = self.head_total.saturating_add(part.len());
        let room = LINE_KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..room.min(part.len())]);
        self.line_total = self.line_total.saturating_add(part.len());
    }

    /// Whether the first bytes may be those of a message.
    fn plausible(&self) -> bool {
        match self.kind {
            Kind::Request => {
                let method = self.head.iter().take_while(|byte| token(**byte)).count();
                match self.head.get(method) {
                    Some(next) => *next == b' ' && (1..=METHOD_MAX).contains(&method),
                    None => method <= METHOD_MAX,
                }
            }
            Kind::Response => is_status_line(&self.head),
        }
    }

    fn junk(&mut self, used: usize) -> (usize, Event) {
        self.state = State::Lost;
        (used, Event::Junk)
    }
}

/// Whether `bytes` begin with a request line that is all there.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n') && Head::parse(bytes, bytes.len(), HostWanted::No).is_some()
}

/// Whether `bytes` are or may become `HTTP/1.x NNN`.
fn is_status_line(bytes: &[u8]) -> bool {
    bytes.iter().zip(STATUS_LINE).all(|(byte, pattern)| match pattern {
        b'#' => byte.is_ascii_digit(),
        _ => byte == pattern,
    })
}

fn without_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, without_return)
}
