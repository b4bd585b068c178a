//! The agent's own place in the host's cgroup trees, when it lives in a cgroup namespace of its own.
//!
//! There the kernel writes paths relative to that place: `/../../system.slice/x.service`. Leading `/..` can be
//! left out as long as the other path shares nothing with the agent's; beside it, in the same pod or slice,
//! the parts they share would be lost. Knowing the place brings them back.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::process::Namespace;

/// Most folders that are looked at to find the own place. A node with 500 containers has about 2000.
const LOOKS: usize = 65_536;

/// The own place in every hierarchy where it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases(Vec<Base>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    /// As in the first field of `/proc/PID/cgroup`; 0 is v2.
    hierarchy: u32,
    /// Components of the root of the own namespace, as the host names them.
    components: Vec<String>,
}

/// A line of `/proc/PID/cgroup`.
pub(super) struct Line<'a> {
    pub hierarchy: &'a str,
    pub controllers: &'a str,
    pub path: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with('/').then_some(Self { hierarchy, controllers, path })
    }
}

impl Bases {
    /// Those of this process, found once. Empty in the host's cgroup namespace, where nothing is missing.
    pub fn own() -> &'static Self {
        static OWN: OnceLock<Bases> = OnceLock::new();
        OWN.get_or_init(|| {
            let private = Namespace::Cgroup.is_the_hosts() == Some(false);
            if private { Self::find() } else { Self::default() }
        })
    }

    /// The own place in the hierarchy that tells most, for people.
    pub fn shown(&self) -> Option<String> {
        let longest = self.0.iter().max_by_key(|base| base.components.len())?;
        Some(format!("/{}", longest.components.join("/")))
    }

    /// Whether every path is already what the host would write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `path` of `hierarchy` as the host writes it; `None` when the own place in it is unknown.
    pub(super) fn absolute(&self, hierarchy: &str, path: &str) -> Option<String> {
        let hierarchy: u32 = hierarchy.parse().ok()?;
        let base = self.0.iter().find(|base| base.hierarchy == hierarchy)?;
        let above = components(path).take_while(|name| *name == "..").count();
        let kept = base.components.len().checked_sub(above)?;
        let mut absolute = String::new();
        let shared = base.components.iter().take(kept).map(String::as_str);
        for name in shared.chain(components(path).skip(above)) {
            absolute.push('/');
            absolute.push_str(name);
        }
        if absolute.is_empty() {
            absolute.push('/');
        }
        Some(absolute)
    }

    fn find() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (own, init) = (read("/proc/self/cgroup"), read("/proc/1/cgroup"));
        let (of_init, mounts) = (read("/proc/1/mountinfo"), read("/proc/self/mountinfo"));
        let mut bases = Vec::new();
        for line in own.lines().filter_map(Line::parse) {
            let Ok(hierarchy) = line.hierarchy.parse() else { continue };
            let above = init
                .lines()
                .filter_map(Line::parse)
                .find(|init| init.hierarchy == line.hierarchy)
                .map(|init| components(init.path).take_while(|name| *name == "..").count());
            let Some(above) = above.filter(|above| *above > 0) else { continue };
            let below: Vec<&str> = components(line.path).collect();
            let found = mounted(&of_init, &mounts, &line)
                .iter()
                .find_map(|root| search(root, above + below.len(), &below, std::process::id()));
            if let Some(mut components) = found {
                components.truncate(above);
                bases.push(Base { hierarchy, components });
            }
        }
        Self(bases)
    }
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// Folders where the host's tree of a hierarchy may be visible: where process 1 has it, seen through that process
/// or through a mount of the host's files, and where this process has it.
fn mounted(of_init: &str, own: &str, line: &Line<'_>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (mounts, roots) in [(of_init, ["/proc/1/root", "/host"].as_slice()), (own, &[""])] {
        for point in mounts.lines().filter_map(|mount| mount_point(mount, line)) {
            found.extend(roots.iter().map(|root| PathBuf::from(format!("{root}{point}"))));
        }
    }
    found
}

/// Where a line of `mountinfo` mounts the hierarchy, if it does.
fn mount_point<'a>(mount: &'a str, line: &Line<'_>) -> Option<&'a str> {
    let (place, kind) = mount.split_once(" - ")?;
    let point = place.split(' ').nth(4)?;
    let (kind, options) = (kind.split(' ').next()?, kind.rsplit(' ').next()?);
    let carried = |name: &str| options.split(',').any(|option| option == name);
    let is_it = match line.controllers {
        "" => kind == "cgroup2",
        controllers => kind == "cgroup" && controllers.split(',').all(carried),
    };
    is_it.then_some(point)
}

/// The folder `depth` levels below `root` whose last components are `below` and that holds `pid`.
fn search(root: &Path, depth: usize, below: &[&str], pid: u32) -> Option<Vec<String>> {
    let mut level: Vec<Vec<String>> = vec![Vec::new()];
    let mut looks = 0;
    let folder = |names: &[String]| root.join(names.iter().collect::<PathBuf>());
    for at in 1..=depth {
        let wanted = (at + below.len()).checked_sub(depth + 1).and_then(|index| below.get(index));
        let mut next = Vec::new();
        for names in &level {
            for entry in fs::read_dir(folder(names)).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let is_wanted = wanted.is_none_or(|wanted| name == **wanted);
                if is_wanted && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    looks += 1;
                    next.push(names.iter().cloned().chain([name]).collect());
                }
            }
            if looks > LOOKS {
                return None;
            }
        }
        level = next;
    }
    let holds = |names: &Vec<String>| {
        let text = fs::read_to_string(folder(names).join("cgroup.procs")).unwrap_or_default();
        text.lines().any(|line| line.parse() == Ok(pid))
    };
    level.into_iter().find(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "/kubepods.slice/kubepods-podabc.slice/cri-containerd-me.scope";

    fn bases() -> Bases {
        let components = components(POD).map(str::to_owned).collect();
        Bases(vec![Base { hierarchy: 0, components }])
    }

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(bases().absolute("0", path).as_deref(), expected, "{path}");
    }

    #[test]
    fn paths_become_those_of_the_host() {
        check("/", Some(POD));
        check("/sub", Some(&format!("{POD}/sub")));
        check(
            "/../cri-containerd-you.scope",
            Some("/kubepods.slice/kubepods-podabc.slice/cri-containerd-you.scope"),
        );
        check("/../../../system.slice/x.service", Some("/system.slice/x.service"));
        check("/../../..", Some("/"));
        check("/../../../..", None);
        assert_eq!(bases().absolute("5", "/"), None);
        assert_eq!(Bases::default().absolute("0", "/"), None);
        assert_eq!(bases().shown().as_deref(), Some(POD));
    }

    #[test]
    fn the_own_place_is_where_the_own_pid_is() {
        let root = std::env::temp_dir().join(format!("shipwake-base-{}", std::process::id()));
        for (path, pids) in
            [("a/x/leaf", "1\n"), ("a/y/leaf", "7\n42\n"), ("b/y", "42\n"), ("c/y/other", "42\n")]
        {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("cgroup.procs"), pids).unwrap();
        }
        let found = |depth, below: &[&str], pid| {
            search(&root, depth, below, pid).map(|names| names.join("/"))
        };
        assert_eq!(found(3, &["leaf"], 42).as_deref(), Some("a/y/leaf"));
        assert_eq!(found(2, &[], 42).as_deref(), Some("b/y"));
        assert_eq!(found(3, &["y", "other"], 42).as_deref(), Some("c/y/other"));
        assert_eq!(found(3, &["leaf"], 43), None);
        assert_eq!(found(9, &[], 42), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn trees_are_found_where_they_are_mounted() {
        let host = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
30 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate
31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
";
        let own = "40 39 0:27 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate\n";
        for (line, expected) in [
            ("0::/", "/proc/1/root/sys/fs/cgroup /host/sys/fs/cgroup /sys/fs/cgroup"),
            (
                "3:cpu,cpuacct:/",
                "/proc/1/root/sys/fs/cgroup/cpu,cpuacct /host/sys/fs/cgroup/cpu,cpuacct",
            ),
            ("1:name=systemd:/", ""),
        ] {
            let found = mounted(host, own, &Line::parse(line).unwrap());
            let found: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
            assert_eq!(found.join(" "), expected, "{line}");
        }
    }
}
