//! Container ids in one component of a cgroup path.

/// The software that made the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    Docker,
    Containerd,
    CriO,
    Podman,
    Ecs,
    Nomad,
    Lxc,
    Nspawn,
}

impl Runtime {
    /// As `container.runtime.name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Ecs => "ecs",
            Self::Nomad => "nomad",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
        }
    }

    /// Whether ids of this runtime are container ids; otherwise they are names of machines.
    pub fn has_ids(self) -> bool {
        !matches!(self, Self::Lxc | Self::Nspawn | Self::Nomad)
    }
}

/// What one path component is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Container {
        id: &'a str,
        runtime: Option<Runtime>,
        /// The container is the payload of the unit around it.
        payload: bool,
    },
    /// A process that looks after a container from outside it.
    Monitor,
    Other,
}

/// Prefixes in front of an id, in scopes and in cgroupfs directories.
const PREFIXES: &[(&str, Runtime)] = &[
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-", Runtime::Podman),
];

/// Exactly 64 lower-case hexadecimal digits.
pub fn hex64(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `<32 hexadecimal digits>-<digits>`, the ids of Fargate.
fn is_task_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && is_hex(task)
            && (1..=20).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Looks at `component`, which lies in `parent`.
pub(super) fn component<'a>(component: &'a str, parent: Option<&str>) -> Component<'a> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    for monitor in ["crio-conmon-", "libpod-conmon-"] {
        if name.starts_with(monitor) {
            return Component::Monitor;
        }
    }
    if component == "conmon" && parent == Some("libpod_parent") {
        return Component::Monitor;
    }
    if let Some(id) = name.strip_prefix("libpod-payload-").filter(|id| hex64(id)) {
        return Component::Container { id, runtime: Some(Runtime::Podman), payload: true };
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| hex64(id)) {
            return Component::Container { id, runtime: Some(*runtime), payload: false };
        }
    }
    if let Some(found) = after_colons(component) {
        return found;
    }
    if hex64(component) {
        let runtime = match parent {
            Some("docker") => Some(Runtime::Docker),
            Some("k8s.io" | "default") => Some(Runtime::Containerd),
            _ => None,
        };
        return Component::Container { id: component, runtime, payload: false };
    }
    if is_task_id(component) {
        return Component::Container { id: component, runtime: Some(Runtime::Ecs), payload: false };
    }
    Component::Other
}

/// `<slice>:<prefix>:<id>`: a runtime was given the systemd form of a path and used cgroupfs.
fn after_colons(component: &str) -> Option<Component<'_>> {
    let (rest, id) = component.rsplit_once(':')?;
    let (_, prefix) = rest.rsplit_once(':')?;
    let runtime = PREFIXES
        .iter()
        .find(|(known, _)| known.strip_suffix('-') == Some(prefix))
        .map(|(_, runtime)| *runtime);
    hex64(id).then_some(Component::Container { id, runtime, payload: false })
}
