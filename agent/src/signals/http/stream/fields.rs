//! The header fields that say where a message ends (RFC 9112 §6).

use super::super::head::without_return;

/// Longest line that is read; no sensible framing field comes near.
pub(super) const LINE_KEPT: usize = 256;

/// How the body of a message is delimited, as its fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    length: Option<u64>,
    /// `chunked` is the last transfer coding.
    chunked: bool,
    /// There is a transfer coding, and `chunked` is not the last.
    coded: bool,
    /// The fields contradict each other or cannot be read.
    bad: bool,
    /// The last field was one of these, so a folded line would continue it.
    open: bool,
}

/// How the body of a message is delimited, as a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    /// Nothing says where it ends.
    Unsaid,
    /// It has a transfer coding that does not say where it ends.
    Coded,
    /// What is said cannot be right.
    Bad,
}

impl Framing {
    /// Takes one line of a head; `length` is its true length when `line` holds only the first bytes.
    pub(super) fn line(&mut self, line: &[u8], length: usize) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            self.bad |= self.open;
            return;
        }
        self.open = false;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is = |field: &[u8]| name.trim_ascii().eq_ignore_ascii_case(field);
        let (sized, coding) = (is(b"content-length"), is(b"transfer-encoding"));
        if !sized && !coding {
            return;
        }
        self.open = true;
        // White space around the name is how two readers are made to disagree.
        if length > line.len() || name.trim_ascii().len() != name.len() {
            self.bad = true;
            return;
        }
        let value = without_return(value);
        if sized {
            self.content_length(value);
        } else {
            self.transfer_encoding(value);
        }
    }

    /// The verdict. A transfer coding overrides a length.
    pub(super) fn body(self) -> Body {
        if self.bad {
            Body::Bad
        } else if self.chunked {
            Body::Chunked
        } else if self.coded {
            Body::Coded
        } else {
            self.length.map_or(Body::Unsaid, Body::Length)
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            match (number(item.trim_ascii()), self.length) {
                (None, _) => self.bad = true,
                (Some(length), Some(known)) if length != known => self.bad = true,
                (length, _) => self.length = length,
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            let end = item.iter().position(|byte| *byte == b';').unwrap_or(item.len());
            let name = item[..end].trim_ascii();
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            // Chunks inside of something else, or twice, end nowhere.
            self.bad |= self.chunked;
            self.chunked = name.eq_ignore_ascii_case(b"chunked");
            self.coded = !self.chunked;
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Body) {
        let mut framing = Framing::default();
        for field in fields {
            framing.line(field.as_bytes(), field.len());
        }
        assert_eq!(framing.body(), expected, "{fields:?}");
    }

    #[test]
    fn lengths() {
        check(&[], Body::Unsaid);
        check(&["Host: x", "Content-Length: 5\r"], Body::Length(5));
        check(&["content-LENGTH:0"], Body::Length(0));
        check(&["Content-Length: 5", "Content-Length: 5"], Body::Length(5));
        check(&["Content-Length: 5, 5"], Body::Length(5));
        check(&["Content-Length: 18446744073709551615"], Body::Length(u64::MAX));
    }

    #[test]
    fn codings() {
        check(&["Transfer-Encoding: chunked"], Body::Chunked);
        check(&["Transfer-Encoding: gzip, Chunked;q=1"], Body::Chunked);
        check(&["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], Body::Chunked);
        check(&["Transfer-Encoding: gzip"], Body::Coded);
        check(&["Transfer-Encoding: identity", "Content-Length: 3"], Body::Length(3));
        check(&["Content-Length: 5", "Transfer-Encoding: chunked"], Body::Chunked);
    }

    #[test]
    fn what_two_readers_would_read_differently_is_bad() {
        for fields in [
            &["Content-Length: 5", "Content-Length: 6"][..],
            &["Content-Length: 5, 6"],
            &["Content-Length: +5"],
            &["Content-Length: -1"],
            &["Content-Length: 0x5"],
            &["Content-Length:"],
            &["Content-Length: 18446744073709551616"],
            &["Content-Length : 5"],
            &["Content-Length: 5", " 6"],
            &["Transfer-Encoding: chunked, gzip"],
            &["Transfer-Encoding: chunked, chunked"],
            &["Transfer-Encoding: chunked", "\tx"],
        ] {
            check(fields, Body::Bad);
        }
    }
}
