//! Which service instance a process belongs to, and what its resource attributes are.
//!
//! One folder per metadata source. A source does its own IO on its own task: it hears [`Ask`]s and
//! answers with [`Change`]s. What they say is joined, without IO, by the [`Directory`], and turned
//! into a [`Resource`] by the precedence table in [`resolve`].

use std::collections::BTreeMap;

pub mod cgroup;
mod contract;
mod directory;
mod health;
mod living;
pub mod names;
pub mod resolve;
mod runtime;
mod sources;
pub mod text;
mod worker;

pub mod binary;
pub mod containerd;
pub mod cri;
pub mod docker;
pub mod environ;
pub mod executable;
pub mod file;
pub mod host;
pub mod otel_ctx;
pub mod podman;
pub mod rules;
pub mod systemd;

pub use contract::{
    About, Ask, Attribute, AttributeValue, Change, ContainerId, Origin, Resource, SourceDef,
    WorkloadId,
};
pub use directory::{Applied, Directory, Entry, Moved};
pub use health::{Health, SourceHealth, SourceState};
pub use sources::{ASKS, Sources};

/// Every source, highest precedence first. To add one: copy a folder, then add its two lines here.
pub static ALL: &[&SourceDef] = &[
    &rules::SOURCE,
    &otel_ctx::SOURCE,
    &file::SOURCE,
    &cri::SOURCE,
    &docker::SOURCE,
    &podman::SOURCE,
    &containerd::SOURCE,
    &systemd::SOURCE,
    &environ::SOURCE,
    &binary::SOURCE,
    &executable::SOURCE,
    &host::SOURCE,
];

crate::settings! {
    /// Where deploy metadata comes from.
    pub struct Settings {
        /// Metadata sources in use.
        pub sources: Vec<String> = ["rules", "otel_ctx", "file", "cri", "docker", "podman", "containerd", "systemd", "environ", "binary", "executable", "host"].map(str::to_owned).to_vec(),
        /// Docker API sockets; the first that answers is used.
        pub docker_sockets: Vec<String> = ["/var/run/docker.sock", "/run/docker.sock"].map(str::to_owned).to_vec(),
        /// CRI sockets of Kubernetes nodes; all that are there are asked.
        pub cri_sockets: Vec<String> = ["/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/crio/crio.sock"].map(str::to_owned).to_vec(),
        /// containerd sockets; all that are there are asked.
        pub containerd_sockets: Vec<String> = ["/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"].map(str::to_owned).to_vec(),
        /// Where containerd keeps the bundles of running containers, read where no socket answers.
        pub containerd_bundles: Vec<String> = ["/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task", "/run/docker/containerd/daemon/io.containerd.runtime.v2.task"].map(str::to_owned).to_vec(),
        /// Podman API sockets of root.
        pub podman_sockets: Vec<String> = ["/run/podman/podman.sock"].map(str::to_owned).to_vec(),
        /// Directory with one folder per user that holds `podman/podman.sock`; empty leaves users out.
        pub podman_users: String = "/run/user".to_owned(),
        /// Storage of root's containers of Podman and CRI-O, read where no socket answers.
        pub podman_storage: Vec<String> = ["/var/lib/containers/storage"].map(str::to_owned).to_vec(),
        /// Directory of files that describe deploys: see below.
        pub deploys_directory: String = "/etc/shipwake/deploys.d".to_owned(),
        /// How long the first data of a container waits for the answer of its runtime.
        pub patience: crate::config::Span = crate::config::Span::secs(2),
        /// Takes `service.*` from vendor and Kubernetes labels and variables too.
        pub labels: bool = true,
        /// Labels that become `container.label.<key>`.
        pub container_labels: Vec<String> = Vec::new(),
        /// Value of `deployment.environment.name` where no source gives one.
        pub environment: String = String::new(),
        /// Name of the agent itself as a service; empty means `service.name` of `own_attributes`, else `shipwake`.
        pub own_name: String = String::new(),
        /// Attributes of the agent's own resource. They say nothing about the services that it watches.
        pub own_attributes: BTreeMap<String, String> = BTreeMap::new(),
        /// What the user says about services, written as tables `[[workload.rule]]`: see below.
        pub rule: Vec<rules::Rule> = Vec::new(),
    }
}

impl Settings {
    /// Labels of containers that sources carry beyond [`names::LABELS`]: those that are exported and those
    /// that rules look at.
    pub fn wanted_labels(&self) -> Vec<String> {
        let of_rules = self.rule.iter().flat_map(rules::Rule::labels).map(str::to_owned);
        self.container_labels.iter().cloned().chain(of_rules).collect()
    }

    /// Environment variables that sources carry beyond [`names::VARIABLES`]: those that rules look at.
    pub fn wanted_variables(&self) -> Vec<String> {
        self.rule.iter().flat_map(rules::Rule::variables).map(str::to_owned).collect()
    }

    /// Whether every name is a source.
    pub fn check(&self) -> Result<(), String> {
        let known: Vec<&str> = ALL.iter().map(|source| source.name).collect();
        let Some(name) = self.sources.iter().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let hint = crate::config::nearest(name, known.iter().copied()).map_or_else(
            || format!("the sources are {}", known.join(", ")),
            |meant| format!("did you mean `{meant}`?"),
        );
        Err(format!("sources: unknown source `{name}`; {hint}"))
    }
}
