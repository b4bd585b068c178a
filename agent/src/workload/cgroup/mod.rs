//! What a cgroup path says about where a process runs.
//!
//! Paths are written by container runtimes, orchestrators and systemd, each in its own grammar, and
//! nested in each other. Any bytes give a [`Placement`]; what is not recognised with certainty is
//! left out.

mod base;
mod container;
mod file;
mod path;
#[cfg(test)]
mod tests;
mod unit;

use std::sync::Arc;

pub use base::Bases;
pub use container::{Runtime, hex64};
pub use file::{choose, choose_bytes};
pub use path::{place, place_leaves};
pub use unit::unescape;

use super::ContainerId;

/// Where a process runs, as far as its cgroup tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The innermost container.
    pub container: Option<Container>,
    /// The Kubernetes pod, as 8-4-4-4-12 hexadecimal digits (32 digits for static pods).
    pub pod_uid: Option<Arc<str>>,
    /// The deepest systemd service: the one that runs in the container, when there is a container,
    /// or that the container itself is the payload of.
    pub unit: Option<Unit>,
    /// The deepest slice outside the container.
    pub slice: Option<Arc<str>>,
}

/// A container that a process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: ContainerId,
    /// `None` where several runtimes write the same path.
    pub runtime: Option<Runtime>,
}

/// A systemd service (or, on Talos, a system service).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// Full name, unescaped: `foo@a-b.service`.
    pub name: Arc<str>,
    /// User id of the user manager that runs it; `None` for the system manager.
    pub user: Option<Arc<str>>,
    /// Whether it runs inside the container of the placement.
    pub inside: bool,
}
