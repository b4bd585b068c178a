//! The package on a machine with systemd: its life from the first installation to the purge, and the identities that
//! its agent reports. In QEMU, with Debian's kernel and a Debian on a disk.

mod disk;
mod workloads;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail, ensure};

use super::{deb, folder, image, tree::Tree, version::Version};
use crate::{
    command::{run, say},
    packages, run as agent, vm,
};

const KERNEL: &str = "6.12";
/// What makes the disk, and the programs on it that are watched.
const PACKAGES: &[&str] = &["mmdebstrap", "e2fsprogs", "dpkg-dev", "gcc", "libc6-dev"];
/// What takes the kernel from the initramfs to the disk, and what containers are made of.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "ext4", "overlay"];
/// What may be tested by itself. The package is installed in each.
const PARTS: [&str; 3] = ["identities", "container", "life"];
const CONFIGURATION: &str = "etc/shipwake/shipwake.toml";
/// In the order in which the shell reads them.
const SCRIPTS: [&str; 6] = [
    include_str!("common.sh"),
    include_str!("install.sh"),
    include_str!("identities.sh"),
    include_str!("container.sh"),
    include_str!("life.sh"),
    include_str!("main.sh"),
];

/// Runs the scripts in a machine that has this version and a newer one of the package; `parts` of them, or all.
pub fn test(parts: &[String]) -> Result<()> {
    if let Some(other) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("there is no part `{other}`; known: {}", PARTS.join(" "));
    }
    packages::install(&vm::MACHINE)?;
    packages::install(PACKAGES)?;
    let binary = agent::build()?;
    let version = Version::of_tree()?;
    let first = deb::build(&binary, &version)?;
    let second = newer(&first, &format!("{}+newer", version.debian))?;
    let kernel = vm::fetch(KERNEL)?;

    let extra = Tree::new(folder().join("guest/extra"))?;
    extra.file("test/run", script(parts))?;
    extra.file("test/first.deb", fs::read(first)?)?;
    extra.file("test/second.deb", fs::read(second)?)?;
    workloads::put(&extra)?;
    let disk = disk::make(&extra, &image::prepare(&binary)?)?;

    let mut guest = vm::Guest::new()?;
    guest.modules(&kernel, &MODULES)?;
    guest.system(disk::DEVICE);
    let initramfs = folder().join("guest/initramfs.cpio");
    guest.write(&initramfs)?;
    say(format!("booting systemd on {} in QEMU", kernel.release));
    let machine = vm::Machine {
        memory_mib: 2048,
        cpus: 2,
        icount: false,
        disk: Some(disk),
        deadline: 2 * vm::DEADLINE,
    };
    let log = vm::boot(&kernel, &initramfs, &machine)?;
    vm::verdict(&log)
}

fn script(parts: &[String]) -> String {
    let parts = if parts.is_empty() { PARTS.join(" ") } else { parts.join(" ") };
    format!("parts='{parts}'\n{}", SCRIPTS.concat())
}

/// The package as a later version of it, whose configuration file is another one.
fn newer(package: &Path, version: &str) -> Result<PathBuf> {
    let unpacked = Tree::new(folder().join("guest/newer"))?;
    let root = unpacked.root();
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(root))?;
    let control = fs::read_to_string(root.join("DEBIAN/control"))?;
    let lines = control.lines().map(|line| match line.starts_with("Version: ") {
        true => format!("Version: {version}\n"),
        false => format!("{line}\n"),
    });
    fs::write(root.join("DEBIAN/control"), lines.collect::<String>())?;
    let configuration = fs::read_to_string(root.join(CONFIGURATION))?;
    ensure!(configuration.starts_with('#'), "{CONFIGURATION} begins with a comment");
    fs::write(root.join(CONFIGURATION), format!("# The newer one.\n{configuration}"))?;
    let newer = folder().join("guest/newer.deb");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zgzip", "--build"])
        .arg(root)
        .arg(&newer)
        .stdout(Stdio::null()))?;
    Ok(newer)
}
