//! What works on which kernel: docs/KERNELS.md, and the promise that the kernel tests hold us to.

use super::{cell, head};
use crate::{kernel::plan::Need, signals};

/// Kernel lines that are tested, oldest first.
pub const LINES: [&str; 4] = ["5.10", "6.1", "6.12", "6.18"];

/// What is promised of a feature on a kernel line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Supported,
    /// Works, but less well: how.
    Degraded(&'static str),
    /// Does not work: why.
    Absent(&'static str),
}

/// Something the agent can do that depends on the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Stable name, for tests: `signal.what`.
    pub name: &'static str,
    pub help: &'static str,
    /// In the order of [`LINES`].
    pub support: [Support; LINES.len()],
}

use Support::Supported;

/// A test that is skipped on a kernel where the feature is promised fails.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "process.lifecycle",
        help: "Processes are known from fork and exec to exit, however short they live.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "syscalls.counts",
        help: "System calls and their errors per process.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "syscalls.latency",
        help: "Latency of selected system calls.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "tcp.retransmits",
        help: "Retransmitted segments per process and peer.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "tcp.connects",
        help: "Connects, accepts, failures and resets per process and peer.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "tcp.opened_before",
        help: "Connections that were open before the agent started are attributed.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "http.server",
        help: "HTTP/1 requests served, with status and duration.",
        support: [Supported; LINES.len()],
    },
    Feature {
        name: "http.client",
        help: "HTTP/1 requests made, with status and duration.",
        support: [Supported; LINES.len()],
    },
];

/// What is promised of a feature on a kernel release such as `6.12.41-cloud-amd64`: the promise of the newest
/// tested line that is not newer. `None` for an unknown feature and for a kernel older than all lines.
pub fn promise(feature: &str, release: &str) -> Option<Support> {
    let feature = FEATURES.iter().find(|known| known.name == feature)?;
    let version = version(release)?;
    let index =
        LINES.iter().rposition(|line| self::version(line).is_some_and(|it| it <= version))?;
    feature.support.get(index).copied()
}

/// Major and minor number.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

const INTRODUCTION: &str = "
Shipwake asks the kernel what it can do and tries; it never decides by version. This table is what the
kernel tests hold it to on the kernel lines they run on. `shipwake doctor` says what works on one host.
Type information (BTF, `/sys/kernel/btf/vmlinux`) makes most probes cheaper and finds the fields of kernel structures;
a kernel built without it runs only what the second table names a `raw_tp` variant for, without what needs fields.
";

/// docs/KERNELS.md.
pub fn markdown() -> String {
    let mut text = head("Kernels") + INTRODUCTION;
    text.push_str(&format!("\n| feature | {} |\n|---|", LINES.join(" | ")));
    text.push_str(&"---|".repeat(LINES.len()));
    text.push('\n');
    for feature in FEATURES {
        let support: Vec<String> = feature.support.iter().map(support).collect();
        text.push_str(&format!("| {} | {} |\n", cell(feature.help), support.join(" | ")));
    }
    text.push_str("\n## Probes\n\nVariants are tried from left to right; the first that the kernel takes serves.\n");
    text.push_str("\n| signal | probe | without it | variants |\n|---|---|---|---|\n");
    for signal in signals::ALL {
        for probe in signal.probes {
            let need = match probe.need {
                Need::Required => "the signal is off",
                Need::Optional => "the signal works in part",
                Need::Asked(_) => "tried only when the settings ask for it",
            };
            let variants: Vec<String> =
                probe.variants.iter().map(|variant| format!("`{}`", variant.hook)).collect();
            text.push_str(&format!(
                "| {} | {} | {need} | {} |\n",
                signal.name,
                probe.name,
                variants.join(", ")
            ));
        }
    }
    text
}

fn support(support: &Support) -> String {
    match support {
        Supported => "yes".to_owned(),
        Support::Degraded(how) => format!("in part: {}", cell(how)),
        Support::Absent(why) => format!("no: {}", cell(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(feature: &str, release: &str, expected: Option<Support>) {
        assert_eq!(promise(feature, release), expected, "{feature} on {release}");
    }

    #[test]
    fn promises_by_release() {
        check("syscalls.latency", "5.10.0-32-cloud-amd64", Some(Supported));
        check("syscalls.latency", "6.1.0", Some(Supported));
        check("http.server", "6.12.41+deb13-amd64", Some(Supported));
        check("syscalls.counts", "7.2.0-rc1", Some(Supported));
        check("syscalls.counts", "5.9.16", None);
        check("syscalls.counts", "4.19.0", None);
        check("unknown", "6.1.0", None);
        check("syscalls.counts", "nonsense", None);
    }
}
