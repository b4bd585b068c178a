//! Reading a request head: is it one, where does it end, how long is the body.

use super::scratch::{Scratch, WINDOW, scratch};
use shipwake_ebpf::http::HEAD_KEPT;

/// Longest method that is taken for one.
const METHOD: u32 = 32;
/// Longest head that the fast path reads: the verifier walks through every step of the search.
const LONGEST: usize = HEAD_KEPT + 2048;

/// A token and a space: a request as far as one can tell before the response.
pub const REQUEST: u32 = 1;
/// A token so far.
pub const UNDECIDED: u32 = 2;
/// `HTTP/1.`: a response.
pub const RESPONSE: u32 = 3;
/// Nothing of HTTP/1.
pub const FOREIGN: u32 = 4;

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

/// What the first `length` bytes in the scratch room are: one of the constants above.
///
/// Like the functions below a global function with plain arguments, which the verifier judges once and not
/// once per way to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_start(length: u64) -> u32 {
    let Some(scratch) = scratch() else { return UNDECIDED };
    // SAFETY: the room is longer than 8 bytes and lies at a multiple of 8.
    let word = unsafe { (&raw const (*scratch).data).cast::<u64>().read() };
    if word & SEVEN == u64::from_le_bytes(*b"HTTP/1.\0") {
        return RESPONSE;
    }
    let mut index = 0;
    while index <= METHOD {
        if u64::from(index) >= length {
            return UNDECIDED;
        }
        let byte = at(scratch, index);
        if byte == b' ' {
            return if index == 0 { FOREIGN } else { REQUEST };
        }
        let bits = if byte < 64 { TOKEN[0] } else { TOKEN[1] };
        if byte >= 128 || bits >> (byte & 63) & 1 == 0 {
            // A response byte by byte: the solidus is no token character.
            let response = length < 7 && word as u32 == u32::from_le_bytes(*b"HTTP");
            return if response && index == 4 && byte == b'/' { UNDECIDED } else { FOREIGN };
        }
        index += 1;
    }
    FOREIGN
}

/// The first seven bytes of a word.
pub const SEVEN: u64 = 0x00ff_ffff_ffff_ffff;
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
    found.line_end = 0;
    let length = core::hint::black_box(length) as usize & (2 * WINDOW - 1);
    let (mut lf_before, mut cr_before) = (0, 0);
    let mut at = 0;
    while at < LONGEST {
        if at >= length {
            break;
        }
        // SAFETY: see above; room and index are multiples of 8.
        let word = unsafe { data.add(at).cast::<u64>().read() };
        let lines = word ^ LF;
        if lines.wrapping_sub(ONES) & !lines & HIGH == 0 {
            lf_before = 0;
            at += 8;
            continue;
        }
        let (lf, cr) = (zero_bytes(lines), zero_bytes(word ^ CR));
        if found.line_end == 0 {
            found.line_end = at as u32 + first(lf);
        }
        let after_lf = lf << 8 | lf_before >> 56;
        let after_lf_any = lf << 16 | lf_before >> 48;
        let after_cr = cr << 8 | cr_before >> 56;
        let end = lf & (after_lf | (after_cr & after_lf_any));
        if end != 0 {
            found.end = at as u32 + first(end) + 1;
            break;
        }
        field(data, at + (first(lf) as usize & 7) + 1, found);
        let second = lf & (lf - 1);
        if second != 0 {
            field(data, at + (first(second) as usize & 7) + 1, found);
            // No field is so short that a third line begins within eight bytes.
            found.unsized_body |= u32::from(second & (second - 1) != 0);
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
    let initial = unsafe { data.add(at).read() } | 0x20;
    // A word at any address is read byte by byte on this target: not for every line.
    if initial != b'c' && initial != b't' {
        return;
    }
    // SAFETY: as above.
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

/// Whether the first line of the head that was just searched ends like one of HTTP/1, or has not ended yet.
#[inline(always)]
pub fn is_request_line(scratch: *const Scratch) -> bool {
    // SAFETY: a plain field of a map value.
    let mut end = unsafe { (*scratch).scan.line_end };
    if end == 0 {
        return true;
    }
    if at(scratch, end.wrapping_sub(1)) == b'\r' {
        end = end.wrapping_sub(1);
    }
    let from = core::hint::black_box(end.wrapping_sub(8)) as usize & (2 * WINDOW - 1);
    // SAFETY: the mask keeps the index inside the room, which is longer than it by more than 8.
    let version = unsafe {
        (&raw const (*scratch).data).cast::<u8>().add(from).cast::<u64>().read_unaligned()
    };
    version & SEVEN == u64::from_le_bytes(*b"HTTP/1.\0")
}

/// The answer of [`http_body_length`] when only a real parser can tell.
pub const UNKNOWN: u64 = u64::MAX;

/// Length of the body, as the head says that [`http_scan`] went through.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_body_length(start: u32) -> u64 {
    let Some(scratch) = scratch() else { return UNKNOWN };
    let (mut value, mut digits, mut index) = (0u64, 0, 0);
    // Eighteen digits do not overflow; the rest is room for white space.
    while index < 24 {
        let byte = at(scratch, start.wrapping_add(index));
        if byte.is_ascii_digit() {
            value = value * 10 + u64::from(byte - b'0');
            digits += 1;
        } else if digits > 0 {
            let over = byte == b'\r' || byte == b'\n';
            return if digits <= 18 && over { value } else { UNKNOWN };
        } else if byte != b' ' && byte != b'\t' {
            return UNKNOWN;
        }
        index += 1;
    }
    UNKNOWN
}

/// Length of the body of the head that was just searched.
#[inline(always)]
pub fn body_length(scratch: *const Scratch) -> u64 {
    // SAFETY: plain fields of a map value.
    let (start, unsized_body) =
        unsafe { ((*scratch).scan.length_at, (*scratch).scan.unsized_body) };
    match (unsized_body, start) {
        (0, 0) => 0,
        (0, start) => http_body_length(start),
        _ => UNKNOWN,
    }
}

#[inline(always)]
fn at(scratch: *const Scratch, index: u32) -> u8 {
    let index = core::hint::black_box(index) as usize & (2 * WINDOW - 1);
    // SAFETY: the mask keeps the index inside the room.
    unsafe { (&raw const (*scratch).data).cast::<u8>().add(index).read() }
}
