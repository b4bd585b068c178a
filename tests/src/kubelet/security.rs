//! Namespaces, privileges and resources of a pod, as the kubelet tells them to the runtime.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{
    cri::{self, ContainerSecurity, Namespaces, Number, SandboxSecurity},
    manifest::{
        Amounts, Capabilities, Container, PodSpec, Profile, ProfileKind, Resources, SeLinux,
        SecurityContext,
    },
    volumes::{bytes, thousandths},
};

/// What the kubelet hides of `/proc` and `/sys` from containers that do not ask for all of it.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// How a pod ranks when its node runs out of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Class {
    /// Where pods of the class are in the cgroup tree, below `kubepods`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Guaranteed => "",
            Self::Burstable => "/burstable",
            Self::BestEffort => "/besteffort",
        }
    }
}

pub(super) fn class(resources: &Resources) -> Class {
    let Resources { requests, limits } = resources;
    let amounts = |of: &Amounts| [of.cpu.clone(), of.memory.clone()];
    let (requests, limits) = (amounts(requests), amounts(limits));
    if requests.iter().chain(&limits).all(Option::is_none) {
        Class::BestEffort
    } else if limits.iter().all(Option::is_some) && limits == requests {
        Class::Guaranteed
    } else {
        Class::Burstable
    }
}

pub(super) fn resources(resources: &Resources) -> Result<cri::Resources> {
    let Resources { requests, limits } = resources;
    let of = |quantity: &Option<String>, parse: fn(&str) -> Result<i64>| {
        quantity.as_deref().map(parse).transpose()
    };
    let shares = of(&requests.cpu, thousandths)?.map_or(2, |cpu| (cpu * 1024 / 1000).max(2));
    let period = 100_000;
    let quota = of(&limits.cpu, thousandths)?.map_or(0, |cpu| cpu * period / 1000);
    let memory = of(&requests.memory, bytes)?.unwrap_or_default();
    let limit = of(&limits.memory, bytes)?.unwrap_or_default();
    ensure!(limit == 0 || memory <= limit, "requests more memory than its limit");
    Ok(cri::Resources {
        cpu_period: period,
        cpu_quota: quota,
        cpu_shares: shares,
        memory_limit: limit,
        oom_score_adj: match class(resources) {
            Class::Guaranteed => -997,
            Class::BestEffort => 1000,
            Class::Burstable => (1000 - 1000 * memory / of_node()?).clamp(3, 999),
        },
    })
}

/// Bytes of memory that the node has.
fn of_node() -> Result<i64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no MemTotal")?;
    Ok(kib.parse::<i64>()? * 1024)
}

fn namespaces(spec: &PodSpec) -> Namespaces {
    Namespaces {
        network: if spec.host_network { cri::OF_NODE } else { cri::OF_POD },
        pid: if spec.host_pid { cri::OF_NODE } else { cri::OF_CONTAINER },
        ipc: cri::OF_POD,
    }
}

pub(super) fn sandbox(spec: &PodSpec, container: &Container) -> SandboxSecurity {
    SandboxSecurity {
        namespaces: Some(namespaces(spec)),
        privileged: container.security_context.privileged,
        seccomp: Some(cri::Profile { kind: cri::RUNTIME_DEFAULT }),
    }
}

pub(super) fn container(spec: &PodSpec, context: &SecurityContext) -> ContainerSecurity {
    let SecurityContext {
        run_as_user,
        run_as_group,
        privileged,
        allow_privilege_escalation,
        read_only_root_filesystem,
        capabilities: Capabilities { drop, add },
        app_armor_profile,
        seccomp_profile,
        se_linux_options: SeLinux { r#type },
    } = context;
    let profile = |Profile { r#type }: &Profile| cri::Profile {
        kind: match r#type {
            ProfileKind::RuntimeDefault => cri::RUNTIME_DEFAULT,
            ProfileKind::Unconfined => cri::UNCONFINED,
        },
    };
    let texts = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    ContainerSecurity {
        capabilities: Some(cri::Capabilities { add: add.clone(), drop: drop.clone() }),
        privileged: *privileged,
        namespaces: Some(namespaces(spec)),
        selinux: Some(cri::SeLinux { kind: r#type.clone() }),
        run_as_user: Some(Number { value: *run_as_user }),
        readonly_rootfs: *read_only_root_filesystem,
        no_new_privileges: !allow_privilege_escalation,
        run_as_group: Some(Number { value: *run_as_group }),
        masked_paths: texts(&MASKED),
        readonly_paths: texts(&READ_ONLY),
        seccomp: Some(profile(seccomp_profile)),
        apparmor: Some(profile(app_armor_profile)),
    }
}
