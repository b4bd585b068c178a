//! Which of the v1 hierarchies carries containers here.

/// Controllers whose v1 hierarchy container runtimes use, in the order in which they are preferred.
pub const CARRIERS: [&str; 5] = ["memory", "pids", "cpu", "freezer", "devices"];

/// The preferred one of [`CARRIERS`] that has a v1 hierarchy, by index. `text` is any process's
/// `/proc/PID/cgroup`: it lists every hierarchy.
pub fn carrier(text: &str) -> Option<usize> {
    let controllers = text.lines().filter_map(|line| line.split(':').nth(1));
    controllers.filter_map(rank).min()
}

fn rank(controllers: &str) -> Option<usize> {
    CARRIERS.iter().position(|carrier| controllers.split(',').any(|one| one == *carrier))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
