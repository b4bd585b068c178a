//! The state machine of one connection: the fast path, and the way over to the exact one.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_kernel};
use shipwake_ebpf::{
    http::{
        Connection, DIRECTION_OUT, END_NEXT, HEAD_KEPT, STATE_EXACT, STATE_HEAD, STATE_IDLE,
        STATE_RESPONDING, STATE_WAITING, Tally,
    },
    process::ProcessKey,
    socket::ROLE_CLIENT,
};

use super::{
    emit,
    gather::{Io, gather},
    head,
    scratch::{Scratch, WINDOW},
    table,
};

/// `HTTP/1.1 200`: as much of a response as has to be seen.
const STATUS_LINE: u32 = 12;

/// Bytes moved on a connection that is watched. `first` says that they are in the scratch room already,
/// that many: the connection has just been found.
#[inline(always)]
pub fn moved(
    c: *mut Connection,
    s: *mut Scratch,
    io: &Io,
    process: ProcessKey,
    first: Option<u64>,
) {
    // SAFETY: a checked map value; two CPUs at once on one connection do not happen on the fast path of
    // a protocol that takes turns, and can only garble this connection's record.
    let connection = unsafe { &mut *c };
    if connection.state == STATE_EXACT {
        segment(c, s, io);
        return;
    }
    if is_request(connection, io) {
        match connection.state {
            STATE_IDLE => begin(connection, io, process),
            STATE_HEAD => {}
            _ => {
                if io.bytes <= connection.body_left {
                    connection.body_left -= io.bytes;
                    connection.exchange.request_bytes += io.bytes;
                    connection.exchange.request_end_ns = io.now;
                    return;
                }
                if connection.state == STATE_WAITING || connection.body_left != 0 {
                    replay(c, s);
                    segment(c, s, io);
                    return;
                }
                emit::exchange(c, END_NEXT);
                begin(connection, io, process);
            }
        }
        request(c, s, io, first);
    } else {
        response(c, s, io);
    }
}

/// Whether the bytes go from the client to the server.
#[inline(always)]
fn is_request(c: &Connection, io: &Io) -> bool {
    (c.exchange.origin.role == ROLE_CLIENT) == (io.direction == DIRECTION_OUT)
}

/// The first byte of a request.
#[inline(always)]
fn begin(c: &mut Connection, io: &Io, process: ProcessKey) {
    c.state = STATE_HEAD;
    c.body_left = 0;
    c.status_kept = 0;
    let e = &mut c.exchange;
    e.origin.process = process;
    e.origin.sequence += 1;
    e.head_kept = 0;
    e.head_total = 0;
    e.request_start_ns = io.now;
    e.request_bytes = 0;
    e.response_start_ns = 0;
    e.response_end_ns = 0;
    e.response_bytes = 0;
    e.status = 0;
}

/// More of a request head, and perhaps the beginning of the body.
#[inline(always)]
fn request(c: *mut Connection, s: *mut Scratch, io: &Io, first: Option<u64>) {
    // SAFETY: a checked map value.
    let connection = unsafe { &mut *c };
    let before = connection.exchange.head_kept & (HEAD_KEPT as u32 - 1);
    let got = match first {
        Some(got) => got,
        None => {
            if before != 0 {
                restore(connection, s);
            }
            gather(io, before, WINDOW as u32)
        }
    };
    connection.exchange.request_bytes += io.bytes;
    connection.exchange.request_end_ns = io.now;
    let total = u64::from(before) + got;
    let origin = &mut connection.exchange.origin;
    match head::http_start(total) {
        head::REQUEST | head::UNDECIDED => {}
        head::RESPONSE if origin.sequence == 1 => {
            origin.sequence = 0;
            origin.role = table::opposite(origin.role);
            connection.exchange.head_kept = 0;
            connection.state = STATE_IDLE;
            return;
        }
        head::FOREIGN if origin.sequence == 1 => {
            table::ignore(origin.connection);
            return;
        }
        _ => {
            hand_over(c, s, total);
            return;
        }
    }
    let end = head::http_scan(total);
    // What speaks HTTP/1 once goes on to do so; only the first line of a connection can be chance.
    if connection.exchange.origin.sequence == 1 && !head::is_request_line(s) {
        table::ignore(connection.exchange.origin.connection);
        return;
    }
    if end == 0 {
        if total >= HEAD_KEPT as u64 || got < io.bytes {
            hand_over(c, s, total);
        } else {
            keep(connection, s, total);
        }
        return;
    }
    let behind = u64::from(before) + io.bytes - end;
    let length = head::body_length(s);
    if length == head::UNKNOWN || behind > length {
        hand_over(c, s, total);
        return;
    }
    connection.body_left = length - behind;
    connection.exchange.head_total = end as u32;
    connection.state = STATE_WAITING;
    keep(connection, s, end);
}

/// Copies the first bytes of a head from the scratch room to where they are kept.
#[inline(always)]
fn keep(c: &mut Connection, s: *mut Scratch, length: u64) {
    let mut length = core::hint::black_box(length) as u32;
    if length > HEAD_KEPT as u32 {
        length = HEAD_KEPT as u32;
    }
    c.exchange.head_kept = length;
    // SAFETY: both places hold at least `HEAD_KEPT` bytes.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut c.head).cast::<c_void>(),
            length,
            (&raw const (*s).data).cast::<c_void>(),
        );
    }
}

/// Copies the kept head back to the scratch room.
#[inline(always)]
fn restore(c: &Connection, s: *mut Scratch) {
    // SAFETY: both places hold at least `HEAD_KEPT` bytes.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut (*s).data).cast::<c_void>(),
            HEAD_KEPT as u32,
            (&raw const c.head).cast::<c_void>(),
        );
    }
}

/// Bytes from the server to the client.
#[inline(always)]
fn response(c: *mut Connection, s: *mut Scratch, io: &Io) {
    // SAFETY: a checked map value.
    let connection = unsafe { &mut *c };
    if connection.state == STATE_IDLE {
        // The agent came when this exchange was under way. The next one is whole.
        return;
    }
    let e = &mut connection.exchange;
    if e.response_start_ns == 0 {
        e.response_start_ns = io.now;
    }
    e.response_end_ns = io.now;
    e.response_bytes += io.bytes;
    let waiting = connection.status_kept < STATUS_LINE;
    connection.state = STATE_RESPONDING;
    if waiting {
        status(c, s, io);
    }
}

/// The first bytes of a response, until the status is whole.
#[inline(always)]
fn status(c: *mut Connection, s: *mut Scratch, io: &Io) {
    // SAFETY: a checked map value.
    let connection = unsafe { &mut *c };
    // SAFETY: the room is longer than a status line.
    let line = unsafe { &mut *(&raw mut (*s).data).cast::<[u8; STATUS_LINE as usize]>() };
    let before = connection.status_kept & 15;
    if before != 0 {
        *line = connection.status_line;
    }
    let got = gather(io, before, STATUS_LINE.wrapping_sub(before));
    connection.status_line = *line;
    let kept = before + got as u32;
    connection.status_kept = kept;
    let [a, b, c4, d, e, f, g, version, space, hundreds, tens, ones] = *line;
    let word = u64::from_le_bytes([a, b, c4, d, e, f, g, version]);
    // Of a line that is not whole only what is there is compared.
    let there = if kept >= 7 { head::SEVEN } else { (1 << (8 * (kept & 7))) - 1 };
    let fits = (word ^ u64::from_le_bytes(*b"HTTP/1.\0")) & there == 0;
    let digits = [hundreds, tens, ones].map(|digit| u32::from(digit.wrapping_sub(b'0')));
    let whole = kept >= STATUS_LINE;
    let number = digits[0] < 10 && digits[1] < 10 && digits[2] < 10;
    if got == 0 || !fits || (whole && (space != b' ' || !number)) {
        table::ignore(connection.exchange.origin.connection);
        return;
    }
    if !whole {
        return;
    }
    let status = digits[0] * 100 + digits[1] * 10 + digits[2];
    let [m0, m1, m2, m3, ..] = connection.head;
    let is_connect = [m0, m1, m2, m3] == *b"CONN";
    connection.exchange.status = status;
    if status == 101 || (is_connect && status / 100 == 2) {
        // From here on the connection speaks something else.
        emit::exchange(c, END_NEXT);
        table::ignore(connection.exchange.origin.connection);
    } else if status < 200 {
        replay(c, s);
        if before != 0 {
            *line = connection.status_line;
            describe(s, io, u64::from(before));
            emit::segment(c, s, u64::from(before));
        }
        segment(c, s, io);
    }
}

/// Goes over to the exact path with what is in the scratch room: the request so far.
#[inline(always)]
fn hand_over(c: *mut Connection, s: *mut Scratch, total: u64) {
    emit::tally(Tally::Escalated);
    // SAFETY: a checked map value and this CPU's scratch room.
    unsafe {
        (*c).state = STATE_EXACT;
        (*c).body_left = 0;
        let e = &(*c).exchange;
        (*s).segment.at_ns = e.request_start_ns;
        (*s).segment.total = e.request_bytes;
        (*s).segment.direction = if e.origin.role == ROLE_CLIENT {
            DIRECTION_OUT
        } else {
            shipwake_ebpf::http::DIRECTION_IN
        };
    }
    emit::segment(c, s, total);
}

/// Goes over to the exact path with the kept head.
#[inline(always)]
fn replay(c: *mut Connection, s: *mut Scratch) {
    // SAFETY: a checked map value.
    let connection = unsafe { &*c };
    restore(connection, s);
    hand_over(c, s, u64::from(connection.exchange.head_kept));
}

/// The bytes of one call on the exact path.
#[inline(always)]
fn segment(c: *mut Connection, s: *mut Scratch, io: &Io) {
    let got = gather(io, 0, WINDOW as u32);
    describe(s, io, io.bytes);
    emit::segment(c, s, got);
}

#[inline(always)]
fn describe(s: *mut Scratch, io: &Io, total: u64) {
    // SAFETY: this CPU's scratch room.
    unsafe {
        (*s).segment.at_ns = io.now;
        (*s).segment.total = total;
        (*s).segment.direction = io.direction;
    }
}
