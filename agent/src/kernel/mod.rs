//! Runs any BPF object and knows no signal. The only module of the agent with `unsafe`.
#![expect(unsafe_code, reason = "the kernel border: system calls and plain-data casts")]

pub mod batch;
pub mod btf;
pub mod diag;
mod drops;
pub mod features;
pub mod health;
mod iterate;
mod load;
mod mapped;
pub mod memory;
pub mod plan;
pub mod ring;
mod share;
mod signals;

pub use drops::Drops;
pub use iterate::Iterate;
pub use load::{LoadError, Loaded, kernel_btf, load};
pub use mapped::Mapped;
pub use ring::Ring;
pub use share::SharedMaps;

/// Lets any wire type be a map key or value. The one `unsafe impl aya::Pod` of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: `bytemuck::Pod` is derived, and the derive refuses padding and invalid bit patterns.
unsafe impl<T: bytemuck::Pod> aya::Pod for Wire<T> {}
