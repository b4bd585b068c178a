//! The chunked transfer coding, read only for where it ends (RFC 9112 §7.1).

/// Where in the coding the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size, which has so many digits so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// Behind the size, up to the end of the line.
    Extension {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// In the line end behind the data.
    DataEnd,
    /// In the trailer section; whether the line has anything on it.
    Trailer {
        empty: bool,
    },
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    /// The body ended with the last of the bytes that were used.
    End,
    Bad,
}

/// Most digits of a size; more could not be a `u64`.
const DIGITS_MAX: u8 = 16;

impl Chunk {
    pub(super) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Reads on. Returns how many bytes were used.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut used = 0;
        while let Some(byte) = bytes.get(used).copied() {
            if let Self::Data { left } = self {
                let rest = u64::try_from(bytes.len() - used).unwrap_or(u64::MAX);
                let taken = rest.min(*left);
                *left -= taken;
                used += usize::try_from(taken).unwrap_or(usize::MAX);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            used += 1;
            match self.byte(byte) {
                Progress::More => {}
                other => return (used, other),
            }
        }
        (used, Progress::More)
    }

    /// Passes over bytes that are missing. `Bad` when they held more than data.
    pub(super) fn skip(&mut self, count: u64) -> Progress {
        match self {
            Self::Data { left } if *left >= count => {
                *left -= count;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Progress::More
            }
            _ => Progress::Bad,
        }
    }

    fn byte(&mut self, byte: u8) -> Progress {
        *self = match (*self, byte) {
            (Self::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits >= DIGITS_MAX {
                    return Progress::Bad;
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Progress::Bad,
            (Self::Size { value, .. }, b';' | b' ' | b'\t' | b'\r') => {
                Self::Extension { size: value }
            }
            (Self::Size { value, .. } | Self::Extension { size: value }, b'\n') => match value {
                0 => Self::Trailer { empty: true },
                left => Self::Data { left },
            },
            (Self::Size { .. }, _) => return Progress::Bad,
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::DataEnd, _) => return Progress::Bad,
            (Self::Trailer { empty: true }, b'\n') => return Progress::End,
            (Self::Trailer { empty }, b'\r') => Self::Trailer { empty },
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            (Self::Data { left }, _) => Self::Data { left },
        };
        Progress::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` whole and byte by byte; both must agree.
    #[track_caller]
    fn check(bytes: &str, expected: (usize, Progress)) {
        let bytes = bytes.as_bytes();
        let whole = Chunk::START.clone().advance(bytes);
        let mut chunk = Chunk::START;
        let mut single = (0, Progress::More);
        for (at, byte) in bytes.iter().enumerate() {
            let (_, progress) = chunk.advance(&[*byte]);
            single = (at + 1, progress);
            if progress != Progress::More {
                break;
            }
        }
        assert_eq!(whole, expected, "{}", bytes.escape_ascii());
        assert_eq!(single, expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn ends() {
        check("0\r\n\r\n", (5, Progress::End));
        check("0\n\n", (3, Progress::End));
        check("5\r\nhello\r\n0\r\n\r\nGET", (15, Progress::End));
        check("1;name=\"v\"\r\na\r\n00;x\r\n\r\n", (23, Progress::End));
        check("0\r\nTrailer: x\r\nOther: y\r\n\r\n", (27, Progress::End));
        check("A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", (20, Progress::End));
    }

    #[test]
    fn unfinished() {
        for bytes in ["", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\nA: b\r\n"]
        {
            check(bytes, (bytes.len(), Progress::More));
        }
        check("ffffffffffffffff\r\nx", (19, Progress::More));
    }

    #[test]
    fn bad() {
        check("\r\n", (1, Progress::Bad));
        check("x", (1, Progress::Bad));
        check("5x", (2, Progress::Bad));
        check("10000000000000000", (17, Progress::Bad));
        check("1\r\nab", (5, Progress::Bad));
        check("-1\r\n", (1, Progress::Bad));
    }
}
