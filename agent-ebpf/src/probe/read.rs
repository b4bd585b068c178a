//! Reads of kernel memory and of read-only globals.

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};

use crate::offsets::{ABSENT, Offsets, RDONLY_CAST};

/// The value behind a read-only global, in place. Read its fields with [`constant`]: the loader
/// replaces the value, so the compiler must not use the one it sees.
#[inline(always)]
pub fn global<T>(global: &'static Global<T>) -> &'static T {
    // SAFETY: `Global<T>` is a transparent wrapper around an initialised `T`.
    unsafe { &*core::ptr::from_ref(global).cast::<T>() }
}

/// Reads one field of a global. The verifier knows the value, because the map is frozen.
#[inline(always)]
pub fn constant<T: Copy>(field: &T) -> T {
    // SAFETY: a reference is valid to read from.
    unsafe { core::ptr::read_volatile(field) }
}

/// Copies a value from any kernel address.
#[inline(always)]
pub fn kernel<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel(address as *const T).ok() }
}

/// Copies a field from any kernel address; `None` when the kernel has no such field.
#[inline(always)]
pub fn kernel_field<T>(base: u64, offset: u32) -> Option<T> {
    if offset == ABSENT || base == 0 {
        return None;
    }
    kernel(base + u64::from(offset))
}

/// Two neighbouring words at any kernel address. Where the kernel has [`RDONLY_CAST`] they are loads, a
/// twentieth of a probe read, that give zeros instead of failing: what depends on them must prove itself.
#[inline(always)]
pub fn words<const BTF: bool>(address: u64, o: &Offsets) -> Option<[u64; 2]> {
    let kind = constant(&o.words);
    if !BTF || kind == ABSENT {
        return kernel(address);
    }
    let words = cast(address, kind);
    // SAFETY: the verifier turns the loads into ones that cannot fault.
    Some(unsafe { [words.read_volatile(), words.add(1).read_volatile()] })
}

/// The first of two [`words`].
#[inline(always)]
pub fn word<const BTF: bool>(address: u64, o: &Offsets) -> Option<u64> {
    let kind = constant(&o.words);
    if !BTF || kind == ABSENT {
        return kernel(address);
    }
    // SAFETY: the verifier turns the load into one that cannot fault.
    Some(unsafe { cast(address, kind).read_volatile() })
}

/// A pointer to integers at `address`. The call costs nothing: the verifier takes it out.
#[inline(always)]
fn cast(address: u64, kind: u32) -> *const u64 {
    // SAFETY: the loader puts the kernel's function, which has this shape, in the place of this number. Where it does
    // not, the verifier knows from the frozen `kind` that nobody comes here.
    unsafe {
        let cast: extern "C" fn(u64, u32) -> *const u64 =
            core::mem::transmute(RDONLY_CAST as usize);
        cast(address, kind)
    }
}

/// Reads a field of a kernel structure: directly where the verifier knows the pointer's type
/// (`BTF`), through a probe read elsewhere. `base` must come from a typed pointer when `BTF`.
#[inline(always)]
pub fn field<const BTF: bool, T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    if BTF {
        // SAFETY: the verifier turns the load into one that cannot fault.
        Some(unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) })
    } else {
        kernel(base as u64 + u64::from(offset))
    }
}

/// [`field`] of what every kernel with types has: where those are known nothing is asked. If one lacked it after
/// all, the verifier would refuse the program, and its twin would serve.
#[inline(always)]
pub fn known<const BTF: bool, T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    if BTF {
        // SAFETY: the verifier turns the load into one that cannot fault.
        Some(unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) })
    } else {
        field::<false, T>(base, offset)
    }
}

/// Adds to a counter that several CPUs may touch.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) {
    // SAFETY: the pointer is a map value that the verifier checked; the instruction is atomic.
    unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            counter, value,
        );
    }
}

/// [`add`] for 32-bit counters.
#[inline(always)]
pub fn add32(counter: *mut u32, value: u32) {
    // SAFETY: as for `add`.
    unsafe {
        core::intrinsics::atomic_xadd::<u32, u32, { core::intrinsics::AtomicOrdering::Relaxed }>(
            counter, value,
        );
    }
}
