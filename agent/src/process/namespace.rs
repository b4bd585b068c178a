//! Which of the host's namespaces this process shares: in a container, not all of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A kind of namespace whose privacy changes what can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    Pid,
    Cgroup,
    Mount,
    Network,
    Uts,
}

impl Namespace {
    /// Name below `/proc/PID/ns`, which the links repeat.
    fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Cgroup => "cgroup",
            Self::Mount => "mnt",
            Self::Network => "net",
            Self::Uts => "uts",
        }
    }

    /// Inode of the initial one (`enum init_ns_ino`).
    fn initial(self) -> u32 {
        match self {
            Self::Pid => 0xEFFF_FFFC,
            Self::Cgroup => 0xEFFF_FFFB,
            Self::Mount => 0xEFFF_FFF8,
            Self::Network => 0xEFFF_FFF9,
            Self::Uts => 0xEFFF_FFFE,
        }
    }

    /// Whether the initial one has had its fixed inode for as long as there are such inodes. The others got
    /// one in Linux 6.18.
    fn always_fixed(self) -> bool {
        matches!(self, Self::Pid | Self::Cgroup | Self::Uts)
    }

    /// Whether this process is in the host's; `None` when `/proc` does not tell. The host's pid namespace is
    /// the initial one, because that is what the kernel side counts in; the others are those of process 1.
    pub fn is_the_hosts(self) -> Option<bool> {
        let link = |process| fs::read_link(format!("/proc/{process}/ns/{}", self.name())).ok();
        let own = link("self")?;
        let of_init = if self == Self::Pid { None } else { link("1") };
        self.judge(&own, of_init.as_deref())
    }

    fn judge(self, own: &Path, of_init: Option<&Path>) -> Option<bool> {
        if let Some(of_init) = of_init
            && Self::Pid.is_the_hosts() == Some(true)
        {
            return Some(own == of_init);
        }
        let initial = format!("{}:[{}]", self.name(), self.initial());
        match own == Path::new(&initial) {
            true => Some(true),
            false => self.always_fixed().then_some(false),
        }
    }
}

/// Where a container may have the host's files.
const MOUNTED: &str = "/host";
/// Root folder of process 1: the host's, in its pid namespace.
const OF_INIT: &str = "/proc/1/root";

/// Root folder of the host's files, which are not those of a container that the agent runs in: `/host` when
/// mounted there, else as process 1 sees them, which takes CAP_SYS_PTRACE. The agent's own root is the last
/// resort: single files of the host may be mounted there.
pub fn host_root() -> PathBuf {
    if Namespace::Mount.is_the_hosts() == Some(true) {
        return PathBuf::from("/");
    }
    let of_init = (Namespace::Pid.is_the_hosts() == Some(true)).then_some(OF_INIT);
    let candidates = [Some(MOUNTED), of_init];
    let found = candidates.into_iter().flatten().map(Path::new).find(|root| is_a_system(root));
    found.unwrap_or(Path::new("/")).to_owned()
}

/// A path of the host as it is reached from here: itself where it exists or the agent has the host's files, else
/// below [`host_root`].
pub fn reachable(path: &str) -> String {
    reachable_below(&host_root(), path)
}

fn reachable_below(root: &Path, path: &str) -> String {
    if root == Path::new("/") || Path::new(path).exists() {
        return path.to_owned();
    }
    format!("{}{path}", root.display())
}

/// Whether there is an operating system below `root`.
fn is_a_system(root: &Path) -> bool {
    ["etc/os-release", "usr/lib/os-release", "etc/machine-id"]
        .iter()
        .any(|file| fs::metadata(root.join(file)).is_ok_and(|found| found.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Namespace, own: &str, of_init: Option<&str>, expected: Option<bool>) {
        assert_eq!(kind.judge(Path::new(own), of_init.map(Path::new)), expected, "{own}");
    }

    #[test]
    fn without_a_look_at_process_1_fixed_inodes_tell() {
        check(Namespace::Pid, "pid:[4026531836]", None, Some(true));
        check(Namespace::Pid, "pid:[4026532242]", None, Some(false));
        check(Namespace::Cgroup, "cgroup:[4026531835]", None, Some(true));
        check(Namespace::Cgroup, "cgroup:[4026532300]", None, Some(false));
        check(Namespace::Network, "net:[4026531833]", None, Some(true));
        check(Namespace::Network, "net:[4026531840]", None, None);
        check(Namespace::Mount, "mnt:[4026531841]", None, None);
        check(Namespace::Uts, "uts:[4026531839]", None, Some(false));
    }

    #[test]
    fn process_1_tells_for_certain() {
        if Namespace::Pid.is_the_hosts() != Some(true) {
            return;
        }
        check(Namespace::Network, "net:[4026531840]", Some("net:[4026531840]"), Some(true));
        check(Namespace::Network, "net:[4026532840]", Some("net:[4026531840]"), Some(false));
        check(Namespace::Cgroup, "cgroup:[4026532300]", Some("cgroup:[4026532300]"), Some(true));
    }

    #[test]
    fn what_is_mounted_here_is_taken_from_here() {
        let check = |root: &str, path: &str, expected: &str| {
            assert_eq!(reachable_below(Path::new(root), path), expected);
        };
        check("/", "/run/none.sock", "/run/none.sock");
        check("/proc/1/root", "/run/none.sock", "/proc/1/root/run/none.sock");
        check("/proc/1/root", "/proc/self/stat", "/proc/self/stat");
    }

    #[test]
    fn a_system_has_a_name() {
        let root = std::env::temp_dir().join(format!("shipwake-root-{}", std::process::id()));
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(root.join("etc/machine-id")).unwrap();
        assert!(!is_a_system(&root), "a folder is no machine id");
        fs::write(root.join("usr/lib/os-release"), "").unwrap();
        assert!(is_a_system(&root));
        fs::remove_dir_all(&root).unwrap();
        assert!(is_a_system(&host_root()) || host_root() == Path::new("/"));
    }
}
