//! The kernel side of Shipwake.
//!
//! The library is the wire format: every byte that crosses a BPF map, a ring buffer or a read-only
//! global, compiled into both sides. Its binaries (`src/bin/<object>/`) are the BPF objects.
//! The module [`probe`] exists for the BPF target only: what several objects need in the kernel.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "atomic_xadd is the only atomic add of this target")
)]

pub mod drops;
pub mod http;
pub mod offsets;
#[cfg(target_arch = "bpf")]
pub mod probe;
pub mod process;
pub mod socket;
pub mod syscalls;
pub mod tcp;

/// Declares types that cross the kernel border: fixed layout, no padding, size pinned by the
/// compiler. A `bool`, `Option` or Rust enum inside does not compile on the host (no `Pod`).
#[macro_export]
macro_rules! wire {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident [$size:expr] { $($body:tt)* })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
        $vis struct $name { $($body)* }

        const _: () = assert!(size_of::<$name>() == $size, "wire layout changed");
    )*};
}

/// What every object binary needs: the licence the kernel asks for before it allows GPL-only
/// helpers, and a host `main` so that the workspace compiles without the BPF target.
#[macro_export]
macro_rules! object {
    () => {
        #[cfg(target_arch = "bpf")]
        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 4] = *b"GPL\0";

        #[cfg(target_arch = "bpf")]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            loop {}
        }

        #[cfg(not(target_arch = "bpf"))]
        fn main() {}
    };
}
