//! The grammar of a whole path: components from the outside in, the innermost container wins.

use std::sync::Arc;

use super::{
    Container, Placement, Runtime, Unit,
    container::{Component, component},
    unit,
};
use crate::workload::ContainerId;

/// What `path` says. A leading `/..` (the reader is in another cgroup namespace) and a trailing
/// ` (deleted)` are not part of it.
pub fn place(path: &str) -> Placement {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut walk = Walk::default();
    let mut components =
        path.split('/').filter(|name| !name.is_empty()).skip_while(|name| *name == "..").peekable();
    while let Some(name) = components.next() {
        walk.step(name, components.peek().copied());
    }
    walk.finish()
}

/// The same from the last components alone, leaf first.
pub fn place_leaves(names: &[Arc<str>]) -> Placement {
    let mut path = String::new();
    for name in names.iter().rev() {
        path.push('/');
        path.push_str(name);
    }
    place(&path)
}

#[derive(Default)]
struct Walk<'a> {
    placement: Placement,
    /// Components so far.
    depth: usize,
    parent: Option<&'a str>,
    grandparent: Option<&'a str>,
    in_kubepods: bool,
    in_nomad: bool,
    /// The user whose manager the path has entered.
    user: Option<&'a str>,
}

impl<'a> Walk<'a> {
    fn step(&mut self, name: &'a str, next: Option<&'a str>) {
        self.look(name, next);
        self.grandparent = self.parent.replace(name);
        self.depth += 1;
    }

    fn look(&mut self, name: &'a str, next: Option<&'a str>) {
        if self.machine(name, next) {
            return;
        }
        match component(name, self.parent) {
            Component::Container { id, runtime, payload } => {
                self.pod(name);
                let ecs = matches!(self.grandparent, Some("ecs")) && runtime.is_none();
                self.enter(id, if ecs { Some(Runtime::Docker) } else { runtime }, payload);
                return;
            }
            Component::Monitor => {
                self.leave();
                return;
            }
            Component::Other => {}
        }
        self.pod(name);
        if self.in_nomad && self.nomad(name) {
            return;
        }
        if name.ends_with(".slice") {
            self.slice(name);
        } else if name.ends_with(".scope") {
            // A session, an application of a desktop, `init.scope`: each its own thing.
            self.placement.unit = None;
        } else if let Some(service) = unit::service(name) {
            self.unit(service);
            if let Some(user) = unit::user_manager(name) {
                self.user = Some(user);
            }
        } else {
            self.talos(name, next);
        }
    }

    fn finish(self) -> Placement {
        self.placement
    }

    /// The path goes into a container: what was around it is its host, not its service.
    fn enter(&mut self, id: &str, runtime: Option<Runtime>, payload: bool) {
        if !payload {
            self.placement.unit = None;
        }
        self.user = None;
        self.in_kubepods = false;
        self.placement.container = Some(Container { id: ContainerId(id.into()), runtime });
    }

    /// The path goes to something that is neither a container nor a service.
    fn leave(&mut self) {
        self.placement.container = None;
        self.placement.pod_uid = None;
        self.placement.unit = None;
    }

    fn unit(&mut self, name: Arc<str>) {
        self.placement.unit = Some(Unit {
            name,
            user: self.user.map(Arc::from),
            inside: self.placement.container.is_some(),
        });
    }

    fn slice(&mut self, name: &str) {
        self.in_nomad |= name == "nomad.slice";
        if self.placement.container.is_none() {
            self.placement.slice = Some(unit::unescape(name));
        }
    }

    /// LXC and nspawn: whole systems, told apart by name.
    fn machine(&mut self, name: &'a str, next: Option<&'a str>) -> bool {
        let outermost = self.depth == 0 || self.placement.container.is_some();
        if outermost && name.starts_with("lxc.monitor.") {
            self.leave();
            return true;
        }
        if outermost && let Some(lxc) = name.strip_prefix("lxc.payload.") {
            self.enter_machine(lxc.into(), Runtime::Lxc);
            return true;
        }
        if self.depth == 1 && matches!(self.parent, Some("lxc" | "lxc.payload")) {
            self.enter_machine(name.into(), Runtime::Lxc);
            return true;
        }
        if next == Some("payload")
            && let Some(machine) = unit::machine(name)
        {
            self.enter_machine(machine, Runtime::Nspawn);
            return true;
        }
        false
    }

    fn enter_machine(&mut self, name: Arc<str>, runtime: Runtime) {
        if !name.is_empty() && name.len() <= 255 {
            self.enter(&name, Some(runtime), false);
        }
    }

    /// `pod<uid>` below `kubepods`, or `…kubepods…-pod<uid>.slice`, also before a colon.
    fn pod(&mut self, name: &str) {
        let first = name.split(':').next().unwrap_or(name);
        let stem = first.strip_suffix(".slice").unwrap_or(first);
        let uid = if self.in_kubepods && stem.starts_with("pod") {
            stem.strip_prefix("pod")
        } else if is_kubepods(stem) {
            self.in_kubepods = true;
            stem.rsplit_once("-pod").map(|(_, uid)| uid)
        } else {
            None
        };
        if let Some(uid) = uid.and_then(pod_uid) {
            // The node of a kind cluster is a container; the pod's own container comes further in.
            self.placement.container = None;
            self.placement.unit = None;
            self.placement.pod_uid = Some(uid);
        }
    }

    /// `<allocation>.<task>.scope` below `nomad.slice`.
    fn nomad(&mut self, name: &str) -> bool {
        let Some(id) = name.strip_suffix(".scope") else { return false };
        let Some((allocation, task)) = id.split_once('.') else { return false };
        if !is_uuid(allocation) || task.is_empty() || id.len() > 255 {
            return false;
        }
        self.enter(id, Some(Runtime::Nomad), false);
        true
    }

    /// `/system/<service>` and `/podruntime/<service>` of Talos: two components, nothing else.
    fn talos(&mut self, name: &str, next: Option<&str>) {
        let outer = matches!(self.parent, Some("system" | "podruntime"));
        if self.depth == 1 && outer && next.is_none() && name.len() <= 255 {
            self.unit(name.into());
        }
    }
}

/// `kubepods`, `kubepods-burstable`, `kubelet-kubepods-burstable-pod…`.
fn is_kubepods(stem: &str) -> bool {
    let stem = stem.strip_prefix("kubelet-").unwrap_or(stem);
    stem == "kubepods" || stem.starts_with("kubepods-")
}

/// Kubernetes writes `-` as `_` where systemd would read it as a level.
fn pod_uid(text: &str) -> Option<Arc<str>> {
    let uid = text.replace('_', "-");
    let is_static = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_static || is_uuid(&uid)).then(|| uid.into())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
