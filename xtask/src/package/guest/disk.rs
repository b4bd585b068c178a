//! The machine's disk: a Debian with systemd and container runtimes, and what is tested on it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::super::{folder, tree::Tree};
use crate::{
    command::{output, run, say},
    packages, vm,
};

/// The name that the machine has for it.
pub const DEVICE: &str = "/dev/vda";
/// Its Podman has quadlets, and its Docker knows the capabilities that docs/INSTALL.md gives.
const RELEASE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What the machine has beyond a minimal Debian.
const INCLUDED: &str = "systemd,systemd-sysv,init-system-helpers,dbus,jq,uuid-runtime,bpftool,podman,crun,docker.io,docker-cli";
/// The unit that runs the script once the machine is up.
const UNIT: &str = "[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/bash /test/run
[Install]
WantedBy=multi-user.target
";
/// What the machine would do beside the test, minutes long.
const MASKED: [&str; 10] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "podman-auto-update.timer",
    "podman-clean-transient.service",
    "podman-restart.service",
    "serial-getty@ttyS0.service",
];
/// Docker without networks of its own: the machine's kernel has no modules for them.
const DOCKER: &str = "{\"bridge\": \"none\", \"iptables\": false, \"ip6tables\": false}\n";

/// A disk with the system, `extra`, and the folder that the agent's image is built from in `/test/image`.
pub fn make(extra: &Tree, image: &Path) -> Result<PathBuf> {
    let folder = folder().join("guest");
    let system = system(&folder)?;
    extra.file("etc/systemd/system/test.service", UNIT)?;
    extra.file("etc/hostname", "shipwake-guest\n")?;
    extra.file("etc/docker/daemon.json", DOCKER)?;
    // Both together, by a program that makes file systems as root would without being root.
    let all = folder.join("all");
    let disk = folder.join("disk.ext4");
    let _ = fs::remove_file(&disk);
    let script = format!(
        "set -e; rm -rf {all}; mkdir {all}; tar -C {all} -xf {system}; cp -r {extra}/. {all}/; \
         cp -r {image} {all}/test/image; mkdir -p {all}/etc/systemd/system/multi-user.target.wants; \
         ln -s ../test.service {all}/etc/systemd/system/multi-user.target.wants/test.service; \
         for unit in {masked}; do ln -sf /dev/null {all}/etc/systemd/system/$unit; done; \
         : > {all}/etc/machine-id; /usr/sbin/mke2fs -q -t ext4 -d {all} {disk} 4G; rm -rf {all}",
        all = all.display(),
        system = system.display(),
        extra = extra.root().display(),
        image = image.display(),
        disk = disk.display(),
        masked = MASKED.join(" "),
    );
    run(packages::as_root("sh").args(["-c", &script]))?;
    Ok(disk)
}

/// A Debian, made once for each list of packages.
fn system(folder: &Path) -> Result<PathBuf> {
    let (archive, list) = (folder.join("system.tar"), folder.join("system.txt"));
    let wanted = format!("{RELEASE} {INCLUDED}\n");
    if archive.is_file() && fs::read_to_string(&list).is_ok_and(|made| made == wanted) {
        return Ok(archive);
    }
    say("making a Debian with systemd, Podman and Docker (once, some minutes)");
    let unfinished = folder.join("system.part.tar");
    output(
        packages::as_root("mmdebstrap")
            .args(["--variant=minbase", "--quiet"])
            .arg(format!("--keyring={KEYRING}"))
            .arg(format!("--include={INCLUDED}"))
            .arg(RELEASE)
            .arg(&unfinished)
            .arg(vm::mirror()?),
    )?;
    fs::rename(&unfinished, &archive)?;
    fs::write(list, wanted)?;
    Ok(archive)
}
