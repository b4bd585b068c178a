//! Reads of kernel memory and of read-only globals.

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};

use crate::offsets::ABSENT;

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
