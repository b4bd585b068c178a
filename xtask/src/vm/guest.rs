//! What is inside the guest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{cpio::Archive, image::Kernel};
use crate::command::output;

const BUSYBOX: &str = "/bin/busybox";

/// Mounts what a host has, loads modules, runs the script, says how it ended, powers off.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/log/nginx /var/lib/nginx /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/shm /dev/pts
/bin/busybox mount -t devpts pts /dev/pts
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox mount -t tmpfs run /run
/bin/busybox mount -t tmpfs shm /dev/shm
/bin/busybox mount -t bpf bpf /sys/fs/bpf
/bin/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/bin/busybox mount -t tracefs tracing /sys/kernel/tracing
/bin/busybox mount -t securityfs security /sys/kernel/security
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
ip link set lo up
for module in /modules/*.ko; do [ -e \"$module\" ] && insmod \"$module\"; done
";

/// The guest's file system under construction.
pub struct Guest {
    files: BTreeMap<String, Vec<u8>>,
    script: String,
    /// Device of the file system to go on with; the script is not used then.
    disk: Option<String>,
}

impl Guest {
    /// With busybox and users, nothing else.
    pub fn new() -> Result<Self> {
        let mut files = BTreeMap::new();
        let busybox = fs::read(BUSYBOX).or_else(|_| fs::read("/usr/bin/busybox"));
        files.insert(BUSYBOX.to_owned(), busybox.context("busybox-static is not installed")?);
        files.insert(
            "/etc/passwd".to_owned(),
            b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nwww-data:x:33:33::/:/bin/false\n".to_vec(),
        );
        files.insert(
            "/etc/group".to_owned(),
            b"root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\n".to_vec(),
        );
        files.insert("/etc/hosts".to_owned(), b"127.0.0.1 localhost\n::1 localhost\n".to_vec());
        files.insert("/etc/machine-id".to_owned(), b"0123456789abcdef0123456789abcdef\n".to_vec());
        if let Ok(release) = fs::read("/etc/os-release") {
            files.insert("/etc/os-release".to_owned(), release);
        }
        Ok(Self { files, script: String::new(), disk: None })
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), content.into());
    }

    /// Adds a program of this machine under `path`, with the shared libraries it needs.
    pub fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("{} is missing", from.display()))?;
        self.files.insert(path.to_owned(), content);
        for library in libraries(from)? {
            if let std::collections::btree_map::Entry::Vacant(entry) =
                self.files.entry(library.display().to_string())
            {
                entry.insert(fs::read(&library)?);
            }
        }
        Ok(())
    }

    /// Adds kernel modules, with those they depend on, in loading order.
    pub fn modules(&mut self, kernel: &Kernel, names: &[&str]) -> Result<()> {
        for (index, module) in kernel.modules(names)?.iter().enumerate() {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            let plain = name.trim_end_matches(".xz").trim_end_matches(".zst");
            let content = if name.ends_with(".xz") {
                Command::new("xz").args(["-dc"]).arg(module).output()?.stdout
            } else {
                fs::read(module)?
            };
            if content.is_empty() {
                bail!("{} could not be unpacked", module.display());
            }
            self.files.insert(format!("/modules/{index:02}-{plain}"), content);
        }
        Ok(())
    }

    /// What runs in the guest; its last exit code is the verdict.
    pub fn script(&mut self, script: &str) {
        self.script = script.to_owned();
    }

    /// Instead of running a script, becomes the system that is installed on the first disk.
    pub fn system(&mut self, device: &str) {
        self.disk = Some(device.to_owned());
    }

    /// Writes the initramfs.
    pub fn write(&self, to: &Path) -> Result<()> {
        let mut archive = Archive::default();
        let mut folders = BTreeSet::new();
        let end = match &self.disk {
            None => "sh /script\necho \"shipwake-guest: exit $?\"\npoweroff -f\n".to_owned(),
            Some(device) => format!(
                "mkdir /system && mount -t ext4 {device} /system && exec switch_root /system /sbin/init\n\
                 echo \"shipwake-guest: exit the disk is not a system\"\npoweroff -f\n"
            ),
        };
        let init = format!("{INIT}{end}");
        let init = [
            ("/init".to_owned(), init.into_bytes()),
            ("/script".to_owned(), self.script.clone().into_bytes()),
        ];
        let own = self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()));
        let all = own.chain(init.iter().map(|(path, content)| (path.as_str(), content.as_slice())));
        for (path, content) in all {
            let parents: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
            for parent in parents.into_iter().rev() {
                let parent = parent.display().to_string();
                if parent != "/" && !parent.is_empty() && folders.insert(parent.clone()) {
                    archive.folder(&parent);
                }
            }
            archive.file(path, content);
        }
        for folder in ["/sbin", "/proc", "/sys", "/dev", "/tmp", "/run"] {
            if folders.insert(folder.to_owned()) {
                archive.folder(folder);
            }
        }
        archive.link("/var/run", "/run");
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(to, archive.finish())
            .with_context(|| format!("{} cannot be written", to.display()))
    }
}

/// The shared libraries of a program, the loader included; none for a static one.
pub fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let Ok(listing) = output(Command::new("ldd").arg(program)) else {
        return Ok(Vec::new());
    };
    Ok(listing
        .lines()
        .filter_map(|line| {
            let path = line.split("=>").last()?.trim().split(" (").next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect())
}
