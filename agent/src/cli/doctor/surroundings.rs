//! Where the agent itself runs: on the host or in a container, and what it may see from there.

use std::{fs, io};

use rustix::process::{Resource, getrlimit};

use super::report::{Check, State};
use crate::{
    process::{Namespace, host_root},
    workload::cgroup::Bases,
};

/// One line per namespace that a container may have to itself.
pub fn namespaces() -> Vec<Check> {
    let (pid, network) = (Namespace::Pid.is_the_hosts(), Namespace::Network.is_the_hosts());
    vec![
        shared(
            "pid namespace",
            pid,
            "the kernel's process ids mean nothing here, and what /proc would tell is not known",
            "start the container with --pid=host (Kubernetes: hostPID: true)",
        ),
        shared(
            "network namespace",
            network,
            "connections from before the agent are not found, and of open ones neither bytes nor round-trip times",
            "start the container with --network=host (Kubernetes: hostNetwork: true)",
        ),
        cgroup(Namespace::Cgroup.is_the_hosts(), Bases::own()),
        mount(Namespace::Mount.is_the_hosts()),
    ]
}

fn shared(name: &'static str, shared: Option<bool>, lost: &str, remedy: &'static str) -> Check {
    match shared {
        Some(true) => Check::ok(name, "the host's"),
        Some(false) => Check::bad(State::Degraded, name, format!("not the host's: {lost}"), remedy),
        None => Check::unknown(name, "process 1 hides its own"),
    }
}

fn cgroup(shared: Option<bool>, bases: &Bases) -> Check {
    let name = "cgroup namespace";
    match (shared, bases.shown()) {
        (Some(false), Some(place)) => Check::ok(name, format!("private, at {place}")),
        (Some(false), None) => Check::bad(
            State::Degraded,
            name,
            "private, at an unknown place: pod and slice of containers beside the agent are not known",
            "start the container with --cgroupns=host, or mount the host's /sys/fs/cgroup there, read-only",
        ),
        (Some(true), _) => Check::ok(name, "the host's"),
        (None, _) => Check::unknown(name, "/proc/self/ns/cgroup cannot be read"),
    }
}

fn mount(shared: Option<bool>) -> Check {
    let name = "host's files";
    let root = host_root();
    match shared {
        Some(true) => Check::ok(name, "the agent's own"),
        _ => Check::ok(name, format!("below {}", root.display())),
    }
}

/// Whether `/proc` shows other processes in full. Asks for the one that is most guarded.
pub fn others() -> Check {
    judge(fs::read_link("/proc/1/exe").map(drop), &confinement().unwrap_or_default())
}

fn judge(look: io::Result<()>, confinement: &str) -> Check {
    let name = "other processes";
    let denied = match look {
        Ok(()) => return Check::ok(name, "readable"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        Err(error) => return Check::unknown(name, format!("/proc/1/exe: {error}")),
    };
    match confinement {
        // A missing capability has a line of its own; without one, process 1 guards itself.
        "" => Check::unknown(name, format!("process 1 may not be read: {denied}")),
        _ if confinement.contains(':') => Check::bad(
            State::Degraded,
            name,
            "SELinux keeps the agent from reading process 1",
            "start the container with --security-opt label=disable (Kubernetes: seLinuxOptions type spc_t)",
        ),
        _ => Check::bad(
            State::Degraded,
            name,
            "AppArmor keeps the agent from reading process 1",
            "start the container with --security-opt apparmor=unconfined (Kubernetes: appArmorProfile type Unconfined)",
        ),
    }
}

/// What a security module confines the agent to: a profile of AppArmor, a context of SELinux (with colons).
fn confinement() -> Option<String> {
    let text = fs::read_to_string("/proc/self/attr/current").ok()?;
    let text = text.trim_end_matches(['\0', '\n']).to_owned();
    let free = text.starts_with("unconfined")
        || text.contains(":unconfined_t:")
        || text.contains(":spc_t:");
    (!free).then_some(text)
}

/// Before Linux 5.11 the kernel counts BPF maps against this limit; later it does not matter.
pub fn locked_memory() -> Check {
    let name = "locked memory";
    match crate::app::lift_memlock_limit() {
        Ok(()) => Check::ok(name, "unlimited"),
        Err(error) => {
            let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX) >> 20;
            let detail = format!(
                "limited to {limit} MiB, which cannot be lifted ({error}); matters before Linux 5.11 only, \
                 there give CAP_SYS_RESOURCE or --ulimit memlock=-1"
            );
            Check::ok(name, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(confinement: &str, state: State, remedy: Option<&str>) {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let found = judge(Err(denied), confinement);
        assert_eq!(found.state, state);
        let matches = match (found.remedy, remedy) {
            (Some(found), Some(remedy)) => found.contains(remedy),
            (found, remedy) => found.is_none() && remedy.is_none(),
        };
        assert!(matches, "{found:?}");
    }

    #[test]
    fn who_denies_is_told_apart() {
        check("", State::Unknown, None);
        check("docker-default (enforce)", State::Degraded, Some("apparmor=unconfined"));
        check("system_u:system_r:container_t:s0:c1,c2", State::Degraded, Some("label=disable"));
        assert_eq!(judge(Ok(()), "docker-default (enforce)").state, State::Ok);
        let gone = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(judge(Err(gone), "").state, State::Unknown);
    }

    #[test]
    fn a_private_namespace_is_told_with_its_remedy() {
        let found = shared("pid namespace", Some(false), "x", "--pid=host");
        assert_eq!((found.state, found.remedy), (State::Degraded, Some("--pid=host")));
        assert_eq!(shared("pid namespace", Some(true), "x", "").state, State::Ok);
        assert_eq!(cgroup(Some(false), &Bases::default()).state, State::Degraded);
        assert_eq!(cgroup(Some(true), &Bases::default()).state, State::Ok);
    }
}
