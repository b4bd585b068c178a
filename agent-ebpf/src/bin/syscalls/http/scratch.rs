//! Room to work in: more than the stack of a BPF program has.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use shipwake_ebpf::http::{Connection, HEAD_KEPT, SEGMENT_KEPT, Segment};

/// Most bytes of one call that are looked at.
pub const WINDOW: usize = SEGMENT_KEPT;
/// A kept head, a window behind it, the reach of one more masked length, and room to read past the end.
const DATA: usize = HEAD_KEPT + 2 * WINDOW + 64;

/// What one program run works on. Programs on one CPU do not nest, so one per CPU is enough.
#[repr(C)]
pub struct Scratch {
    /// Image of a new connection. Its head stays zero.
    pub fresh: Connection,
    /// What [`super::head::http_scan`] found.
    pub scan: Scan,
    /// A record, and behind it, in place, the bytes it carries.
    pub segment: Segment,
    pub data: [u8; DATA],
}

const _: () = assert!(core::mem::offset_of!(Scratch, data).is_multiple_of(8));

/// What is known of a head.
#[repr(C)]
pub struct Scan {
    /// Length of the head with the empty line that ends it; 0 while the end is not there.
    pub end: u32,
    /// Where the value of `Content-Length` begins; 0 when there is none.
    pub length_at: u32,
    /// Not 0 when the length of the body cannot be told from one `Content-Length`.
    pub unsized_body: u32,
    /// Where the line feed of the first line is; 0 when there is none.
    pub line_end: u32,
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// An address as a number to calculate with, when the verifier knows it as a pointer: it forgets what it was told
/// through a map.
#[inline(always)]
pub fn plain(address: u64) -> Option<u64> {
    let scratch = scratch()?;
    // SAFETY: a checked map value.
    let place = unsafe { &raw mut (*scratch).fresh.exchange.origin.connection };
    // SAFETY: this CPU's room. The field is set anew for every connection.
    unsafe {
        place.write_volatile(address);
        Some(place.read_volatile())
    }
}

/// This CPU's room.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}
