//! Who listens where: tells the role of a connection that was found open, and whose a connection was that
//! ended before anybody accepted it.

use shipwake_ebpf::{
    drops::Drop,
    probe::add32,
    process::ProcessKey,
    tcp::{Connection, Listener, ListenerKey},
};

use super::{
    connection::NOBODY,
    maps::{TCP_LISTENERS, count_drop},
};

const ANY_V6: [u8; 16] = [0; 16];
const ANY_V4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// Notes that the socket of `entry` listens.
#[inline(always)]
pub fn note(entry: &Connection) {
    let key = key(entry, entry.local);
    match TCP_LISTENERS.get_ptr_mut(&key) {
        Some(listener) => {
            // SAFETY: a live map value; the count is changed atomically, and the process only towards nobody.
            unsafe {
                add32(&raw mut (*listener).sockets, 1);
                if (*listener).process != entry.owner.process {
                    (*listener).process = NOBODY;
                }
            }
        }
        None => {
            let listener = Listener { process: entry.owner.process, sockets: 1, pad: 0 };
            if TCP_LISTENERS.insert(&key, &listener, 0).is_err() {
                count_drop(Drop::SecondTableFull);
            }
        }
    }
}

/// Notes that the socket of `entry` no longer listens.
#[inline(always)]
pub fn forget(entry: &Connection) {
    let key = key(entry, entry.local);
    let Some(listener) = TCP_LISTENERS.get_ptr_mut(&key) else { return };
    // SAFETY: a live map value, changed atomically.
    let left = unsafe {
        add32(&raw mut (*listener).sockets, u32::MAX);
        core::ptr::read_volatile(&raw const (*listener).sockets)
    };
    if left == 0 {
        let _ = TCP_LISTENERS.remove(&key);
    }
}

/// The process that listens at the local end of `entry`: exactly there, or on every address. `Some` with
/// tgid 0 when several do.
#[inline(always)]
pub fn at(entry: &Connection) -> Option<ProcessKey> {
    let mut key = key(entry, entry.local);
    let mut found = TCP_LISTENERS.get_ptr(&key);
    if found.is_none() {
        key.address = ANY_V6;
        found = TCP_LISTENERS.get_ptr(&key);
    }
    if found.is_none() {
        key.address = ANY_V4;
        found = TCP_LISTENERS.get_ptr(&key);
    }
    // SAFETY: a live map value; the key is one word that is read whole.
    found.map(|listener| unsafe { (*listener).process })
}

#[inline(always)]
fn key(entry: &Connection, address: [u8; 16]) -> ListenerKey {
    ListenerKey { net: entry.net, address, port: u32::from(entry.local_port), pad: 0 }
}
