//! Tests against a real kernel: the running one, and those of the VM matrix (`cargo xtask vm`).
//! One module per object.

mod http;
mod http_capture;
mod net;
mod offsets;
mod process;
mod raw;
mod syscalls;
mod tcp;
