//! Source `host`: which machine this is.

use std::{fs, path::Path};

use tokio::sync::mpsc;

use super::{About, Ask, Attribute, Change, Health, SourceDef, SourceState, text};
use crate::{
    config::Config,
    process::{Namespace, host_root},
};

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "host",
    help: "host.* and os.* from machine-id, os-release and the kernel",
    concerns: |_| false,
    tells_host: true,
    start,
};

fn start(_: &Config, mut asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    tokio::spawn(async move {
        let attributes = describe(&host_root());
        if attributes.iter().any(|attribute| &*attribute.key == "host.id") {
            health.works();
        } else {
            let error = "no machine id in /etc/machine-id or /var/lib/dbus/machine-id; service instances are told apart by host name (run systemd-machine-id-setup to get one; in a container give CAP_SYS_PTRACE or mount the host's /etc/machine-id)";
            health.fails(SourceState::Failing, error.to_owned());
            tracing::warn!(source = SOURCE.name, "{error}");
        }
        let change = Change { source: SOURCE.name, about: About::Host, attributes };
        if changes.send(change).await.is_ok() {
            while asks.recv().await.is_some() {}
        }
    });
}

/// What the files below `root` and the kernel say.
fn describe(root: &Path) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    let mut give = |key: &str, value: Option<String>| {
        if let Some(value) = value.as_deref().and_then(text::clean) {
            attributes.push(Attribute::text(key, value));
        }
    };
    let kernel = rustix::system::uname();
    give("host.id", machine_id(root));
    let private = Namespace::Uts.is_the_hosts() == Some(false);
    give("host.name", name(root, kernel.nodename().to_str().ok(), private));
    give("host.arch", kernel.machine().to_str().ok().map(|machine| arch(machine).to_owned()));
    give("os.type", Some("linux".to_owned()));
    let release = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| fs::read_to_string(root.join(path)).ok())
        .unwrap_or_default();
    give("os.name", field(&release, "NAME"));
    give("os.version", field(&release, "VERSION_ID"));
    give("os.description", field(&release, "PRETTY_NAME"));
    give(
        "os.build_id",
        field(&release, "BUILD_ID").or_else(|| kernel.release().to_str().ok().map(str::to_owned)),
    );
    attributes
}

/// The kernel's word, unless it is about a container (`private`): then what the host is configured to be
/// called, where that can be read.
fn name(root: &Path, kernel: Option<&str>, private: bool) -> Option<String> {
    let configured = || {
        let text = fs::read_to_string(root.join("etc/hostname")).ok()?;
        let name =
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        name.map(str::to_owned)
    };
    let configured = if private && root != Path::new("/") { configured() } else { None };
    configured.or_else(|| kernel.map(str::to_owned))
}

/// 32 hexadecimal digits; an image that nobody has booted yet says `uninitialized`.
fn machine_id(root: &Path) -> Option<String> {
    ["etc/machine-id", "var/lib/dbus/machine-id"].iter().find_map(|path| {
        let id = fs::read_to_string(root.join(path)).ok()?;
        let id = id.trim().to_ascii_lowercase();
        let good = id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && id.bytes().any(|byte| byte != b'0');
        good.then_some(id)
    })
}

/// The conventions' name of a machine type.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "x86",
        "armv6l" | "armv7l" | "armv8l" => "arm32",
        "ppc64" | "ppc64le" => "ppc64",
        other => other,
    }
}

/// One field of an os-release file: shell syntax, without expansion.
fn field(release: &str, name: &str) -> Option<String> {
    let value =
        release.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    let value = value.trim();
    let quoted =
        ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut plain = String::new();
    let mut chars = quoted.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_os_release() {
        let release =
            "NAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nID=debian\n# X=1\nP=\"a \\\"b\\\"\"\n";
        for (name, expected) in [
            ("NAME", Some("Debian GNU/Linux")),
            ("VERSION_ID", Some("12")),
            ("ID", Some("debian")),
            ("P", Some("a \"b\"")),
            ("X", None),
            ("VERSION", None),
        ] {
            assert_eq!(field(release, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn machine_ids() {
        let root = std::env::temp_dir().join(format!("shipwake-host-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("var/lib/dbus")).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(machine_id(&root), None);
        fs::write(root.join("var/lib/dbus/machine-id"), format!("{id}\n")).unwrap();
        for text in ["uninitialized\n", "", "0000", &"0".repeat(32)] {
            fs::write(root.join("etc/machine-id"), text).unwrap();
            assert_eq!(machine_id(&root).as_deref(), Some(id), "falls back from {text:?}");
        }
        let other = "f".repeat(32);
        fs::write(root.join("etc/machine-id"), &other).unwrap();
        assert_eq!(machine_id(&root), Some(other));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_container_has_another_name_than_its_host() {
        let root = std::env::temp_dir().join(format!("shipwake-name-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        let check = |root: &Path, private, expected: &str| {
            assert_eq!(name(root, Some("c0ffee"), private).as_deref(), Some(expected));
        };
        check(&root, true, "c0ffee");
        fs::write(root.join("etc/hostname"), "# written by hand\n\nnode-7\n").unwrap();
        check(&root, true, "node-7");
        check(&root, false, "c0ffee");
        check(Path::new("/"), true, "c0ffee");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn this_host() {
        let attributes = describe(Path::new("/"));
        let get = |key: &str| {
            attributes.iter().find(|one| &*one.key == key).map(|one| one.value.to_string())
        };
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(get("host.name").as_deref(), Some(name.trim()));
        assert_eq!(get("os.type").as_deref(), Some("linux"));
    }
}
