//! What the integration tests share: the agent as a child process, an OTLP receiver that keeps what it
//! was sent, and real peers.

pub mod agent;
pub mod cgroup;
pub mod containerd;
pub mod docker;
pub mod fleet;
pub mod kubelet;
pub mod otlp;
pub mod peer;
pub mod podman;
pub mod poll;
pub mod rig;
pub mod rotel;
