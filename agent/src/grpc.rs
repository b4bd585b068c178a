//! gRPC on top of HTTP/2: the prefix before a message, the frames of a stream, and the status behind
//! them. Who uses it brings the connection.

use std::fmt;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// Length of the prefix of a message: a flag for compression and a length.
pub const PREFIX: usize = 5;

/// A message with its prefix.
pub fn frame(message: &[u8], compressed: bool) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(u8::from(compressed));
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Messages out of a body that comes in pieces.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    largest: usize,
}

/// Why a body cannot be cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    TooLarge,
    /// Compression was not offered.
    Compressed,
}

impl Frames {
    /// Refuses messages of more than `largest` bytes.
    pub fn new(largest: usize) -> Self {
        Self { buffer: BytesMut::new(), largest }
    }

    /// Takes a piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole message.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((flag, length)) = self.buffer.split_first_chunk::<PREFIX>().map(|(prefix, _)| {
            let [flag, length @ ..] = *prefix;
            (flag, u32::from_be_bytes(length) as usize)
        }) else {
            return Ok(None);
        };
        if flag != 0 {
            return Err(FrameError::Compressed);
        }
        if length > self.largest {
            return Err(FrameError::TooLarge);
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether nothing is left of an unfinished message.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Percent-encoded text; what is not valid stays as it is.
pub fn percent_decode(text: &[u8]) -> String {
    percent_encoding::percent_decode(text).decode_utf8_lossy().into_owned()
}

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Code {
    pub const OK: Self = Self(0);
    pub const UNKNOWN: Self = Self(2);
    pub const NOT_FOUND: Self = Self(5);
    pub const UNIMPLEMENTED: Self = Self(12);

    /// The mapping of the gRPC specification for answers that are not gRPC.
    pub fn of_http(status: StatusCode) -> Self {
        Self(match status.as_u16() {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        })
    }

    /// As the specification writes it.
    pub fn name(self) -> &'static str {
        NAMES.get(self.0 as usize).copied().unwrap_or("UNKNOWN")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The status in trailers, or in the headers of a call that failed at once. `None` where there is none.
pub fn code(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(code.to_str().ok().and_then(|code| code.parse().ok()).map_or(Code::UNKNOWN, Code))
}

/// What is said beside the status.
pub fn message(headers: &HeaderMap) -> Option<String> {
    headers.get("grpc-message").map(|text| percent_decode(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_pieces() {
        let mut frames = Frames::new(16);
        let mut wire = frame(b"one", false).to_vec();
        wire.extend(frame(b"", false));
        wire.extend(frame(b"two", false));
        let mut found = Vec::new();
        for byte in wire {
            frames.push(&[byte]);
            found.extend(frames.next_message().unwrap());
        }
        assert_eq!(found, [&b"one"[..], b"", b"two"]);
        assert!(frames.is_empty());
    }

    #[test]
    fn what_is_refused() {
        for (bytes, expected) in [
            (&b"\x01\0\0\0\0"[..], Err(FrameError::Compressed)),
            (b"\0\xff\xff\xff\xff", Err(FrameError::TooLarge)),
            (b"\0\0\0\0\x11", Err(FrameError::TooLarge)),
            (b"\0\0\0\0", Ok(None)),
            (b"\0\0\0\0\x02x", Ok(None)),
        ] {
            let mut frames = Frames::new(16);
            frames.push(bytes);
            assert_eq!(frames.next_message(), expected, "{bytes:?}");
        }
    }
}
