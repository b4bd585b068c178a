//! Reading a request head: is it one, where does it end, how long is the body.

use super::scratch::{Scratch, WINDOW, scratch};
use shipwake_ebpf::http::HEAD_KEPT;

/// Longest method that is taken for one.
const METHOD: u32 = 32;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A token and a space: a request as far as one can tell before the response.
    Request,
    /// A token so far.
    Undecided,
    /// `HTTP/1.`: a response.
    Response,
    Foreign,
}

/// Characters of a token (RFC 9110 §5.6.2) as bits, for code points 0–63 and 64–127.
const TOKEN: [u64; 2] = [token_bits(0), token_bits(64)];

const fn token_bits(from: u8) -> u64 {
    let mut bits = 0;
    let mut index = 0;
    while index < 64 {
        let byte = from + index;
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            bits |= 1 << index;
        }
        index += 1;
    }
    bits
}

/// Judges the first `length` bytes in the scratch room.
#[inline(always)]
pub fn start(scratch: *mut Scratch, length: u64) -> Start {
    const SLASH: u64 = 0x00ff_ffff_ffff_ffff;
    // SAFETY: the room is longer than 8 bytes.
    let word = unsafe { (&raw const (*scratch).data).cast::<u64>().read_unaligned() };
    if word & SLASH == u64::from_le_bytes(*b"HTTP/1.\0") {
        return Start::Response;
    }
    let mut index = 0;
    while index <= METHOD {
        if u64::from(index) >= length {
            return Start::Undecided;
        }
        let byte = at(scratch, index);
        if byte == b' ' {
            return if index == 0 { Start::Foreign } else { Start::Request };
        }
        // Constants rather than a table in memory: a shift by the low six bits.
        let bits = if byte < 64 { TOKEN[0] } else { TOKEN[1] };
        if byte >= 128 || bits >> (byte & 63) & 1 == 0 {
            // `HTTP/` byte by byte: the solidus is no token character.
            let response = b"HTTP/1.";
            return if byte == b'/'
                && index == 4
                && word as u32 == u32::from_le_bytes(*b"HTTP")
                && length < response.len() as u64
            {
                Start::Undecided
            } else {
                Start::Foreign
            };
        }
        index += 1;
    }
    Start::Foreign
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const LF: u64 = ONES * b'\n' as u64;
const CR: u64 = ONES * b'\r' as u64;
/// Makes ASCII letters small; leaves `-` and `:` as they are.
const SMALL: u64 = ONES * 0x20;

/// High bit of every byte of `word` that is zero, and of no other.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    !(((word & !HIGH).wrapping_add(!HIGH)) | word | !HIGH)
}

/// Index of the lowest byte whose high bit is set.
#[inline(always)]
const fn first(mask: u64) -> u32 {
    let lowest = (mask & mask.wrapping_neg()) >> 7;
    (lowest.wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

/// Looks for the end of the head in `scratch.data[..length]`, eight bytes at a time, and for the fields
/// that tell the length of the body. The bytes behind `length` must be zero.
///
/// A global function with plain arguments: the verifier judges it once, not once per way to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_scan(length: u64) -> u64 {
    let Some(scratch) = scratch() else { return 0 };
    // SAFETY: as in `gather`: the room is longer than any masked index used here plus 16.
    let (data, found) =
        unsafe { ((&raw const (*scratch).data).cast::<u8>(), &mut (*scratch).scan) };
    found.end = 0;
    found.length_at = 0;
    found.unsized_body = 0;
    let length = core::hint::black_box(length) as usize & (2 * WINDOW - 1);
    let (mut lf_before, mut cr_before) = (0, 0);
    let mut at = 0;
    while at < HEAD_KEPT + WINDOW {
        if at >= length {
            break;
        }
        // SAFETY: see above.
        let word = unsafe { data.add(at).cast::<u64>().read_unaligned() };
        let lines = word ^ LF;
        if lines.wrapping_sub(ONES) & !lines & HIGH == 0 {
            lf_before = 0;
            at += 8;
            continue;
        }
        let (lf, cr) = (zero_bytes(lines), zero_bytes(word ^ CR));
        let after_lf = lf << 8 | lf_before >> 56;
        let after_lf_any = lf << 16 | lf_before >> 48;
        let after_cr = cr << 8 | cr_before >> 56;
        let end = lf & (after_lf | (after_cr & after_lf_any));
        if end != 0 {
            found.end = at as u32 + first(end) + 1;
            break;
        }
        let mut rest = lf;
        let mut line = 0;
        while line < 4 && rest != 0 {
            field(data, at + (first(rest) as usize & 7) + 1, found);
            rest &= rest - 1;
            line += 1;
        }
        (lf_before, cr_before) = (lf, cr);
        at += 8;
    }
    u64::from(found.end)
}

/// Judges the field whose name begins at `at`.
#[inline(always)]
fn field(data: *const u8, at: usize, found: &mut super::scratch::Scan) {
    // SAFETY: `at` is at most a window and a head, and the room is longer by more than 16.
    let name = unsafe { data.add(at).cast::<u64>().read_unaligned() } | SMALL;
    if name == u64::from_le_bytes(*b"content-") {
        // SAFETY: as above.
        let rest = unsafe { data.add(at + 8).cast::<u64>().read_unaligned() } | SMALL;
        if rest << 8 == u64::from_le_bytes(*b"\0length:") {
            if found.length_at != 0 {
                found.unsized_body = 1;
            }
            found.length_at = at as u32 + 15;
        }
    } else if name == u64::from_le_bytes(*b"transfer") {
        found.unsized_body = 1;
    }
}

/// Length of the body as the head says; `None` when only a real parser can tell.
#[inline(always)]
pub fn body_length(scratch: *mut Scratch) -> Option<u64> {
    // SAFETY: plain fields of a map value.
    let (start, unsized_body) =
        unsafe { ((*scratch).scan.length_at, (*scratch).scan.unsized_body) };
    if unsized_body != 0 {
        return None;
    }
    if start == 0 {
        return Some(0);
    }
    let (mut value, mut digits, mut index) = (0u64, 0, 0);
    // Eighteen digits do not overflow; the rest is room for white space.
    while index < 24 {
        let byte = at(scratch, start + index);
        if byte.is_ascii_digit() {
            value = value * 10 + u64::from(byte - b'0');
            digits += 1;
        } else if digits > 0 {
            return if digits <= 18 && (byte == b'\r' || byte == b'\n') {
                Some(value)
            } else {
                None
            };
        } else if byte != b' ' && byte != b'\t' {
            return None;
        }
        index += 1;
    }
    None
}

#[inline(always)]
fn at(scratch: *const Scratch, index: u32) -> u8 {
    let index = core::hint::black_box(index) as usize & (2 * WINDOW - 1);
    // SAFETY: the mask keeps the index inside the room.
    unsafe { (&raw const (*scratch).data).cast::<u8>().add(index).read() }
}
