//! The package's life on a machine with systemd: install, configure, upgrade, disable, remove, purge. In QEMU, with
//! Debian's kernel and a minimal Debian on a disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{deb, folder, version::Version};
use crate::{
    command::{output, run, say},
    packages, run as agent, vm,
};

const KERNEL: &str = "6.12";
const PACKAGES: &[&str] = &["mmdebstrap", "e2fsprogs"];
/// What the machine has beyond a minimal Debian.
const INCLUDED: &str = "systemd,systemd-sysv,init-system-helpers";
/// What takes the kernel from the initramfs to the disk.
const MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "ext4"];
const DISK: &str = "/dev/vda";
/// The unit that runs the script once the machine is up.
const UNIT: &str = "[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh /test/run
[Install]
WantedBy=multi-user.target
";
const SCRIPT: &str = include_str!("guest.sh");

/// Runs `guest.sh` in a machine that has this version and a newer one of the package.
pub fn test() -> Result<()> {
    packages::install(&vm::MACHINE)?;
    packages::install(PACKAGES)?;
    let binary = agent::build()?;
    let version = Version::of_tree()?;
    let newer = Version { debian: format!("{}+newer", version.debian), ..version.clone() };
    let (first, second) = (deb::build(&binary, &version)?, deb::build(&binary, &newer)?);
    let kernel = vm::fetch(KERNEL)?;
    let disk = disk(&[("first.deb", &first), ("second.deb", &second)])?;
    let mut guest = vm::Guest::new()?;
    guest.modules(&kernel, &MODULES)?;
    guest.system(DISK);
    let initramfs = folder().join("guest/initramfs.cpio");
    guest.write(&initramfs)?;
    say(format!("booting systemd on {} in QEMU", kernel.release));
    let machine = vm::Machine { memory_mib: 1536, cpus: 2, icount: false, disk: Some(disk) };
    let log = vm::boot(&kernel, &initramfs, &machine)?;
    vm::verdict(&log)
}

/// A disk with the system and these files in `/test`.
fn disk(files: &[(&str, &Path)]) -> Result<PathBuf> {
    let folder = folder().join("guest");
    fs::create_dir_all(&folder)?;
    let system = system(&folder)?;
    let extra = super::tree::Tree::new(folder.join("extra"))?;
    extra.file("test/run", SCRIPT)?;
    extra.file("etc/systemd/system/test.service", UNIT)?;
    extra.file("etc/hostname", "shipwake-guest\n")?;
    for (name, file) in files {
        extra.file(&format!("test/{name}"), fs::read(file)?)?;
    }
    // Both together, by a program that makes file systems as root would without being root.
    let all = folder.join("all");
    let disk = folder.join("disk.ext4");
    let _ = fs::remove_file(&disk);
    let script = format!(
        "set -e; rm -rf {all}; mkdir {all}; tar -C {all} -xf {system}; cp -r {extra}/. {all}/; \
         mkdir -p {all}/etc/systemd/system/multi-user.target.wants; \
         ln -s ../test.service {all}/etc/systemd/system/multi-user.target.wants/test.service; \
         : > {all}/etc/machine-id; /usr/sbin/mke2fs -q -t ext4 -d {all} {disk} 1G; rm -rf {all}",
        all = all.display(),
        system = system.display(),
        extra = extra.root().display(),
        disk = disk.display(),
    );
    run(packages::as_root("sh").args(["-c", &script]))?;
    Ok(disk)
}

/// A minimal Debian, made once.
fn system(folder: &Path) -> Result<PathBuf> {
    let archive = folder.join("system.tar");
    if archive.is_file() {
        return Ok(archive);
    }
    say("making a Debian with systemd (once, about a minute)");
    let release = fs::read_to_string("/etc/os-release")?;
    let release = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release names no release of Debian")?;
    let unfinished = folder.join("system.part.tar");
    output(
        packages::as_root("mmdebstrap")
            .arg("--variant=minbase")
            .arg(format!("--include={INCLUDED}"))
            .arg(release)
            .arg(&unfinished)
            .arg(vm::mirror()?),
    )?;
    fs::rename(&unfinished, &archive)?;
    Ok(archive)
}
