//! Metadata sources against real containers and real processes. Needs root, `docker.io` and
//! `busybox-static`; each test starts a Docker daemon of its own where it needs one.

mod bad_sockets;
mod binaries;
mod contexts;
mod declared;
mod docker;
mod processes;
mod station;
