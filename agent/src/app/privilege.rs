//! What the process may do, and what the agent needs.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::{cli::Failure, process::Namespace};

/// A capability the agent needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    pub name: &'static str,
    bit: u32,
    /// Another capability that includes it.
    included_in: Option<u32>,
    /// What is missing without it.
    pub purpose: &'static str,
}

/// What container runtimes that do not know the newer capabilities can give instead of them.
const CAP_SYS_ADMIN: u32 = 21;

/// Without these no signal can start.
pub const NEEDED: &[Capability] = &[
    Capability {
        name: "CAP_BPF",
        bit: 39,
        included_in: Some(CAP_SYS_ADMIN),
        purpose: "load BPF programs and maps",
    },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        included_in: Some(CAP_SYS_ADMIN),
        purpose: "attach programs that read kernel memory",
    },
];

/// Without these the agent works and knows less.
pub const USEFUL: &[Capability] = &[
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: CAP_SYS_ADMIN,
        included_in: None,
        purpose: "find who owns connections from before the agent in the networks of containers",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        bit: 19,
        included_in: None,
        purpose: "read executable, environment and namespaces of processes with more privileges or of other users",
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        bit: 2,
        included_in: None,
        purpose: "read files that belong to other users",
    },
];

/// Effective capabilities of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    effective: u64,
}

impl Privileges {
    /// Of this process; `None` when `/proc` does not tell.
    pub fn own() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(|effective| Self { effective })
    }

    pub fn has(self, capability: &Capability) -> bool {
        let bits = [Some(capability.bit), capability.included_in];
        bits.into_iter().flatten().any(|bit| self.effective >> bit & 1 == 1)
    }

    /// Those of `wanted` that are not there.
    pub fn missing(self, wanted: &[Capability]) -> Vec<&Capability> {
        wanted.iter().filter(|capability| !self.has(capability)).collect()
    }
}

/// Lifts the limit on locked memory, which kernels before 5.11 count BPF maps against.
pub fn lift_memlock_limit() -> Result<(), String> {
    let unlimited = Rlimit { current: None, maximum: None };
    if getrlimit(Resource::Memlock) == unlimited {
        return Ok(());
    }
    setrlimit(Resource::Memlock, unlimited).map_err(|error| error.to_string())
}

/// Refuses to start where nothing could work, and says what will be missing otherwise.
pub fn check() -> Result<(), Failure> {
    if let Some(privileges) = Privileges::own() {
        let names = |missing: &[&Capability]| -> String {
            missing.iter().map(|one| one.name).collect::<Vec<_>>().join(", ")
        };
        let missing = privileges.missing(NEEDED);
        if !missing.is_empty() {
            return Err(Failure::new(
                format!(
                    "the privileges to observe other processes are missing: {}",
                    names(&missing)
                ),
                "run as root, or give the process these capabilities",
            ));
        }
        let missing = privileges.missing(USEFUL);
        if !missing.is_empty() {
            let purposes: Vec<_> = missing.iter().map(|one| one.purpose).collect();
            warn!("without {} the agent cannot {}", names(&missing), purposes.join(", "));
        }
    }
    if Namespace::Pid.is_the_hosts() == Some(false) {
        warn!(
            "the agent does not run in the host's pid namespace: the kernel's process ids mean nothing here; \
             start the container with --pid=host (Kubernetes: hostPID: true)"
        );
    }
    if let Err(error) = lift_memlock_limit() {
        // Matters before 5.11 only, where maps that do not fit are refused with this as the reason.
        debug!("the limit on locked memory stays: {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_status() {
        let all = Privileges::parse("Name:\tx\nCapEff:\t000001ffffffffff\n").unwrap();
        assert!(all.missing(NEEDED).is_empty() && all.missing(USEFUL).is_empty());
        let none = Privileges::parse("CapEff:\t0000000000000000\n").unwrap();
        assert_eq!(none.missing(NEEDED).len(), NEEDED.len());
        let bpf = Privileges::parse("CapEff:\t0000008000000000\n").unwrap();
        assert!(bpf.has(&NEEDED[0]) && !bpf.has(&NEEDED[1]));
        let admin = Privileges::parse("CapEff:\t0000000000200000\n").unwrap();
        assert!(admin.missing(NEEDED).is_empty());
        assert_eq!(admin.missing(USEFUL).len(), USEFUL.len() - 1);
        assert_eq!(Privileges::parse("CapEff:\tnonsense\n"), None);
        assert_eq!(Privileges::parse(""), None);
    }
}
