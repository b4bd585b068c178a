//! Looks at the host, one question at a time. What cannot be found out is said to be unknown.

use std::{fs, io, os::unix::net::UnixStream, path::Path};

use super::{
    report::{Check, State},
    surroundings,
};
use crate::{
    api::model::{SourceStatus, Status},
    app::{Capability, Kernel, NEEDED, Privileges, USEFUL},
    config::Config,
    workload::{SourceHealth, SourceState},
};

/// Kernel, privileges, namespaces.
pub fn host(privileges: Option<Privileges>) -> Vec<Check> {
    let mut checks = vec![kernel_release()];
    let wanted = NEEDED.iter().map(|one| (one, State::Failed));
    for (capability, without) in wanted.chain(USEFUL.iter().map(|one| (one, State::Degraded))) {
        checks.push(privilege(capability, privileges, without));
    }
    checks.extend(surroundings::namespaces());
    checks.push(surroundings::others());
    checks.push(surroundings::locked_memory());
    checks.push(lockdown());
    checks
}

fn kernel_release() -> Check {
    match fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => {
            Check::ok("kernel", format!("{} {}", release.trim(), std::env::consts::ARCH))
        }
        Err(error) => Check::unknown("kernel", error.to_string()),
    }
}

fn privilege(capability: &Capability, own: Option<Privileges>, without: State) -> Check {
    match own {
        Some(own) if own.has(capability) => Check::ok(capability.name, "held"),
        Some(_) => Check::bad(
            without,
            capability.name,
            format!("missing: needed to {}", capability.purpose),
            "run as root, or give the process this capability",
        ),
        None => Check::unknown(capability.name, "/proc/self/status cannot be read"),
    }
}

/// Lockdown in mode `confidentiality` forbids to read kernel memory.
fn lockdown() -> Check {
    let name = "lockdown";
    match fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(text) => match text.split(['[', ']']).nth(1) {
            Some("confidentiality") => Check::bad(
                State::Failed,
                name,
                "confidentiality: BPF may not read kernel memory",
                "boot with lockdown=integrity or without lockdown",
            ),
            Some(mode) => Check::ok(name, mode),
            None => Check::unknown(name, format!("`{}` is not understood", text.trim())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if Path::new("/sys/kernel/security").join("lsm").exists() {
                Check::ok(name, "not built into this kernel")
            } else {
                Check::unknown(name, "securityfs is not mounted")
            }
        }
        Err(error) => Check::unknown(name, error.to_string()),
    }
}

/// Sockets and files of others that the agent reads.
pub fn surroundings(config: &Config) -> Vec<Check> {
    vec![cgroups(), agent(config)]
}

fn cgroups() -> Check {
    let name = "cgroups";
    let (unified, hybrid) = ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified");
    if Path::new(unified).exists() {
        Check::ok(name, "version 2")
    } else if Path::new(hybrid).exists() {
        Check::ok(name, "version 1, hybrid")
    } else if Path::new("/sys/fs/cgroup").exists() {
        Check::ok(name, "version 1")
    } else {
        Check::unknown(name, "/sys/fs/cgroup is not there")
    }
}

fn agent(config: &Config) -> Check {
    let name = "agent";
    let socket = &config.api.socket;
    match UnixStream::connect(socket) {
        Ok(_) => Check::ok(name, format!("running, listens on {socket}")),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Check::ok(name, "not running"),
            io::ErrorKind::ConnectionRefused => Check::ok(
                name,
                format!("not running; {socket} was left behind and will be replaced"),
            ),
            _ => Check::unknown(name, format!("{socket}: {error}")),
        },
    }
}

/// How a metadata source is doing after it had the time to find what it asks, and what a running agent knows
/// only from before the source went.
pub fn source(health: &SourceHealth, agent: Option<&Status>) -> Check {
    let SourceHealth { name, state, since: _, last_error } = health;
    let name = *name;
    let mut detail = last_error.clone().unwrap_or_else(|| state.as_str().to_owned());
    let kept = agent.and_then(|agent| agent.sources.iter().find(|source| source.name == name));
    if let Some(SourceStatus { last_known: services @ 1.., since, .. }) = kept {
        let since = since.as_deref().unwrap_or("a while");
        detail = format!(
            "{detail}; the agent keeps the last known identity of {services} services, since {since}"
        );
        return Check { name, state: State::Degraded, detail, remedy: None };
    }
    match state {
        SourceState::Working => Check::ok(name, "working"),
        SourceState::Absent => Check::ok(name, detail),
        // The error names its remedy.
        SourceState::Failing => Check { name, state: State::Degraded, detail, remedy: None },
        SourceState::Starting => Check::unknown(name, "has not answered yet"),
    }
}

/// What loading found out about the kernel.
pub fn kernel(kernel: &Kernel) -> Vec<Check> {
    let Kernel { features, btf_problem, share } = kernel;
    let has = |name, there, without: &str| {
        if there {
            Check::ok(name, "there")
        } else {
            Check::bad(State::Degraded, name, format!("not there: {without}"), "use a newer kernel")
        }
    };
    vec![
        match btf_problem {
            None => Check::ok("BTF", "/sys/kernel/btf/vmlinux"),
            Some(problem) => Check::bad(
                State::Degraded,
                "BTF",
                problem.clone(),
                "use a kernel with CONFIG_DEBUG_INFO_BTF; what needs kernel fields is off",
            ),
        },
        has("ring buffer", features.ring_buffer, "events cannot be sent"),
        match share {
            Ok(place) => Check::ok("shared maps", *place),
            Err(problem) => Check::bad(
                State::Degraded,
                "shared maps",
                format!("{problem}: owners of sockets are known less well"),
                "mount a bpffs on /sys/fs/bpf (in a container: -v /sys/fs/bpf:/sys/fs/bpf), or give CAP_SYS_ADMIN",
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[track_caller]
    fn check(state: SourceState, expected: State) {
        let error = Some("no socket".to_owned());
        let health = SourceHealth { name: "docker", state, since: Wall(0), last_error: error };
        assert_eq!(source(&health, None).state, expected);
    }

    #[test]
    fn an_absent_source_is_fine_and_a_failing_one_is_not() {
        check(SourceState::Working, State::Ok);
        check(SourceState::Absent, State::Ok);
        check(SourceState::Failing, State::Degraded);
        check(SourceState::Starting, State::Unknown);
    }
}
