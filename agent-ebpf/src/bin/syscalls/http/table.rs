//! Which connections are watched, and which are known to speak something else.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{Array, HashMap},
};
use shipwake_ebpf::{
    drops::Drop,
    http::{Connection, Tally},
    probe::SockAddr,
    process::ProcessKey,
    socket::{ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN},
};

use super::{
    emit::tally,
    scratch::{self, Scratch},
};
use crate::globals;

/// Connections that speak HTTP/1 or have just begun to. An entry is allocated when it is needed.
#[map]
static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// TCP sockets that speak something else.
#[map]
static FOREIGN: HashMap<u64, u32> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// A socket that speaks something else, for each value of a short hash of its address: what reads and writes on
/// such sockets is other people's databases, which are not to pay for two look-ups per call. What is not here may
/// be in `FOREIGN`.
#[map]
static HINTS: Array<u64> = Array::with_max_entries(1 << HINT_BITS, 0);
const HINT_BITS: u32 = 13;

#[inline(always)]
fn hint(sk: u64) -> Option<*mut u64> {
    HINTS.get_ptr_mut((sk.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HINT_BITS)) as u32)
}

/// Whether the socket is known to speak something else without a look into a table. `false` says nothing.
#[inline(always)]
pub fn is_hinted(sk: u64) -> bool {
    // SAFETY: a checked map value, one aligned word.
    hint(sk).is_some_and(|hint| unsafe { hint.read_volatile() } == sk)
}

#[inline(always)]
fn set_hint(sk: u64) {
    if let Some(hint) = hint(sk) {
        // SAFETY: as above.
        unsafe { hint.write_volatile(sk) }
    }
}

#[inline(always)]
pub fn find(sk: u64) -> Option<*mut Connection> {
    CONNECTIONS.get_ptr_mut(sk)
}

#[inline(always)]
pub fn is_foreign(sk: u64) -> bool {
    let is_foreign = FOREIGN.get_ptr(sk).is_some();
    if is_foreign {
        set_hint(sk);
    }
    is_foreign
}

/// Begins to watch a connection.
#[inline(always)]
pub fn watch(
    sk: u64,
    scratch: *mut Scratch,
    process: ProcessKey,
    role: u32,
) -> Option<*mut Connection> {
    let address = SockAddr::read(sk, globals::offsets())?;
    // SAFETY: this CPU's scratch room.
    let fresh = unsafe { &mut (*scratch).fresh };
    let origin = &mut fresh.exchange.origin;
    origin.process = process;
    origin.connection = sk;
    origin.local = address.local;
    origin.peer = address.peer;
    origin.local_port = address.local_port;
    origin.peer_port = address.peer_port;
    origin.role = role;
    globals::own(sk, process, role, u64::from(BPF_NOEXIST));
    if CONNECTIONS.insert(sk, &*fresh, u64::from(BPF_ANY)).is_err() {
        globals::lost(Drop::TableFull);
        tally(Tally::Unwatched);
        return None;
    }
    CONNECTIONS.get_ptr_mut(sk)
}

/// Never looks at a connection again.
#[inline(always)]
pub fn ignore(sk: u64) {
    tally(Tally::Foreign);
    let _ = CONNECTIONS.remove(sk);
    if FOREIGN.insert(sk, 0, u64::from(BPF_ANY)).is_err() {
        globals::lost(Drop::SecondTableFull);
    }
}

/// [`ignore`] for a connection that was never watched.
#[inline(always)]
pub fn reject(sk: u64, process: ProcessKey) {
    globals::own(sk, process, ROLE_UNKNOWN, u64::from(BPF_NOEXIST));
    ignore(sk);
}

/// Forgets a destroyed socket.
#[inline(always)]
pub fn forget(sk: u64) {
    if let Some(hint) = scratch::plain(sk).and_then(hint) {
        // SAFETY: a checked map value, one aligned word. Nobody sets the hint of a socket that is being destroyed: it
        // belongs to no descriptor any more.
        unsafe {
            if hint.read_volatile() == sk {
                hint.write_volatile(0);
            }
        }
    }
    if CONNECTIONS.remove(sk).is_err() {
        let _ = FOREIGN.remove(sk);
    }
}

/// The other end's role.
#[inline(always)]
pub const fn opposite(role: u32) -> u32 {
    if role == ROLE_CLIENT { ROLE_SERVER } else { ROLE_CLIENT }
}
