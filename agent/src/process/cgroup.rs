//! `/proc/PID/cgroup`: which path says where a process belongs.

/// Controllers whose v1 hierarchy container runtimes use, in the order in which they are preferred.
pub const CARRIERS: [&str; 5] = ["memory", "pids", "cpu", "freezer", "devices"];

/// The path that tells most: the deepest one of the v1 hierarchies that runtimes use, systemd's own
/// v1 hierarchy, and v2. On equal depth the first of them in this order.
pub fn carrying_path(text: &str) -> Option<&str> {
    let mut best: Option<(usize, usize, &str)> = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Some(rank) = rank(controllers) else { continue };
        let depth = path.split('/').filter(|part| !part.is_empty()).count();
        if best.is_none_or(|(best_depth, best_rank, _)| {
            depth > best_depth || (depth == best_depth && rank < best_rank)
        }) {
            best = Some((depth, rank, path));
        }
    }
    best.map(|(_, _, path)| path)
}

/// The preferred one of [`CARRIERS`] that has a v1 hierarchy, by index. `text` is any process's
/// `/proc/PID/cgroup`: it lists every hierarchy.
pub fn carrier(text: &str) -> Option<usize> {
    let controllers = text.lines().filter_map(|line| line.split(':').nth(1));
    controllers.filter_map(rank).filter(|rank| *rank < CARRIERS.len()).min()
}

fn rank(controllers: &str) -> Option<usize> {
    match controllers {
        "name=systemd" => Some(CARRIERS.len()),
        "" => Some(CARRIERS.len() + 1),
        _ => CARRIERS.iter().position(|carrier| controllers.split(',').any(|one| one == *carrier)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(carrying_path(text), expected, "{text:?}");
    }

    #[test]
    fn version_2() {
        check("0::/system.slice/nginx.service\n", Some("/system.slice/nginx.service"));
        check("0::/\n", Some("/"));
    }

    #[test]
    fn version_1_prefers_the_memory_controller() {
        check(
            "5:devices:/docker/d\n4:memory:/docker/m\n3:cpu,cpuacct:/docker/c\n1:name=systemd:/docker/s\n",
            Some("/docker/m"),
        );
        check("3:cpuacct,cpu:/docker/c\n2:perf_event:/a/b/c\n", Some("/docker/c"));
    }

    #[test]
    fn hybrid_takes_the_deepest() {
        check(
            "4:memory:/system.slice\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",
            Some("/system.slice/a.service"),
        );
        check("4:memory:/\n0::/user.slice/x\n", Some("/user.slice/x"));
    }

    #[test]
    fn carriers() {
        for (text, expected) in [
            ("0::/\n", None),
            ("1:name=systemd:/\n0::/\n", None),
            ("5:cpu,cpuacct:/x\n4:pids:/\n0::/\n", Some(1)),
            ("5:cpu,cpuacct:/x\n4:memory:/\n3:pids:/\n", Some(0)),
        ] {
            assert_eq!(carrier(text), expected, "{text:?}");
        }
    }

    #[test]
    fn colons_belong_to_the_path() {
        check("0::/a:b/c:d\n", Some("/a:b/c:d"));
    }

    #[test]
    fn lines_that_are_no_cgroups_are_left_out() {
        check("", None);
        check("garbage\n::\n7\n", Some(""));
        check("4:memory\n0::/x", Some("/x"));
    }
}
