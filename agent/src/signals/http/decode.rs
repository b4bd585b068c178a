//! Records of the ring `HTTP`, read back. Total: any bytes give a record or `None`.

use bytemuck::Pod;
use shipwake_ebpf::http::{
    Close, Exchange, HEAD_KEPT, KIND_CLOSE, KIND_EXCHANGE, KIND_SEGMENT, SEGMENT_KEPT, Segment,
};

/// A record and the bytes that came with it.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    Exchange(Exchange, &'a [u8]),
    Segment(Segment, &'a [u8]),
    Close(Close),
}

/// Reads one record; `None` when it is malformed.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let kind = u32::from_ne_bytes(*bytes.first_chunk()?);
    match kind {
        KIND_EXCHANGE => {
            let (record, rest) = split::<Exchange>(bytes)?;
            Some(Record::Exchange(record, kept(rest, record.head_kept, HEAD_KEPT)?))
        }
        KIND_SEGMENT => {
            let (record, rest) = split::<Segment>(bytes)?;
            Some(Record::Segment(record, kept(rest, record.kept, SEGMENT_KEPT)?))
        }
        KIND_CLOSE => split::<Close>(bytes).map(|(record, _)| Record::Close(record)),
        _ => None,
    }
}

fn split<T: Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (record, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(record), rest))
}

/// The bytes behind the record; a ring record may be longer than what is used of it.
fn kept(rest: &[u8], kept: u32, most: usize) -> Option<&[u8]> {
    let kept = usize::try_from(kept).ok().filter(|kept| *kept <= most)?;
    rest.get(..kept)
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable as _, bytes_of};

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&[u8]>) {
        let found = decode(bytes).map(|record| match record {
            Record::Exchange(_, bytes) | Record::Segment(_, bytes) => bytes,
            Record::Close(_) => &[],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn records_carry_as_many_bytes_as_they_say() {
        let exchange = Exchange { kind: KIND_EXCHANGE, head_kept: 3, ..Exchange::zeroed() };
        let record = |tail: &[u8]| [bytes_of(&exchange), tail].concat();
        check(&record(b"GET"), Some(b"GET"));
        check(&record(b"GET and room"), Some(b"GET"));
        check(&record(b"GE"), None);
        let segment = Segment { kind: KIND_SEGMENT, kept: 2, ..Segment::zeroed() };
        check(&[bytes_of(&segment), b"ab"].concat(), Some(b"ab"));
        let close = Close { kind: KIND_CLOSE, ..Close::zeroed() };
        check(bytes_of(&close), Some(b""));
    }

    #[test]
    fn anything_else_is_malformed() {
        check(b"", None);
        check(&[1], None);
        check(&[0; 200], None);
        check(&9_u32.to_ne_bytes(), None);
        check(&KIND_CLOSE.to_ne_bytes(), None);
        let too_long = u32::try_from(HEAD_KEPT).unwrap() + 1;
        let exchange = Exchange { kind: KIND_EXCHANGE, head_kept: too_long, ..Exchange::zeroed() };
        check(&[bytes_of(&exchange), &[0; 2000]].concat(), None);
    }
}
