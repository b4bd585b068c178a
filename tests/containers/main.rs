//! Metadata sources against real containers and real processes. Needs root, `docker.io`, `containerd`,
//! `podman`, `runc` and `busybox-static`; each test starts daemons of its own where it needs them.

mod bad_sockets;
mod binaries;
mod containerd;
mod contexts;
mod cri;
mod declared;
mod docker;
mod doubt;
mod local;
mod matrix;
mod outage;
mod podman;
mod processes;
mod station;
