//! The Debian package: binary, unit, commented configuration, documents. Made with dpkg-deb; the same tree
//! and compiler give the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{folder, licences, tree::Tree, version::Version};
use crate::{
    command::{output, root, run, say},
    packages,
};

/// What makes a package.
const PACKAGES: &[&str] = &["dpkg-dev"];
/// Documents, and what they are called in the package.
const DOCUMENTS: [(&str, &str); 4] = [
    ("docs/INSTALL.md", "README.md"),
    ("docs/CONFIG.md", "CONFIG.md"),
    ("docs/METRICS.md", "METRICS.md"),
    ("docs/KERNELS.md", "KERNELS.md"),
];
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// The only file that belongs to the administrator.
const CONFIGURATION: &str = "etc/shipwake/shipwake.toml";

/// Makes the package of `binary`; returns its path.
pub fn build(binary: &Path, version: &Version) -> Result<PathBuf> {
    packages::install(PACKAGES)?;
    say(format!("making the Debian package of {}", version.debian));
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let tree = Tree::new(folder().join("deb"))?;
    files(&tree, binary, version)?;
    control(&tree, binary, version, architecture)?;
    let package = folder().join(format!("shipwake_{}_{architecture}.deb", version.debian));
    run(Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", version.epoch.to_string())
        .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
        .arg(tree.root())
        .arg(&package)
        .stdout(std::process::Stdio::null()))?;
    Ok(package)
}

/// A file of the repository.
fn source(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("{path} is missing"))
}

fn files(tree: &Tree, binary: &Path, version: &Version) -> Result<()> {
    tree.program("usr/bin/shipwake", fs::read(binary)?)?;
    tree.file(
        "lib/systemd/system/shipwake.service",
        source("packaging/systemd/shipwake.service")?,
    )?;
    tree.file(CONFIGURATION, source("packaging/shipwake.toml")?)?;
    tree.folder("etc/shipwake/conf.d")?;
    let manual = output(Command::new(binary).args(["generate", "man"]))?;
    tree.gzipped("usr/share/man/man8/shipwake.8", manual)?;
    let documents = "usr/share/doc/shipwake";
    for (document, name) in DOCUMENTS {
        tree.file(&format!("{documents}/{name}"), source(document)?)?;
    }
    tree.file(
        "usr/share/lintian/overrides/shipwake",
        source("packaging/debian/lintian-overrides")?,
    )?;
    let mit: String = source("LICENSE-MIT")?
        .lines()
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    let copyright = source("packaging/debian/copyright")?.replace("@MIT@\n", &mit);
    tree.file(&format!("{documents}/copyright"), copyright)?;
    tree.gzipped(&format!("{documents}/changelog"), changelog(version)?)?;
    tree.gzipped(&format!("{documents}/THIRD-PARTY"), licences::text()?)
}

fn changelog(version: &Version) -> Result<String> {
    let commit = if version.commit.is_empty() { "an unknown commit" } else { &version.commit };
    Ok(format!(
        "shipwake ({}) unstable; urgency=medium\n\n  * Built from {commit}.\n\n -- {}  {}\n",
        version.debian,
        maintainer(),
        version.date("--rfc-email")?
    ))
}

/// As Debian's tools take it from the environment.
fn maintainer() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    format!(
        "{} <{}>",
        variable("DEBFULLNAME").unwrap_or_else(|| "Shipwake maintainers".to_owned()),
        variable("DEBEMAIL").unwrap_or_else(|| "shipwake@localhost.localdomain".to_owned()),
    )
}

fn control(tree: &Tree, binary: &Path, version: &Version, architecture: &str) -> Result<()> {
    let files = tree.files("")?;
    let mut bytes = 0;
    for file in &files {
        bytes += fs::metadata(tree.root().join(file))?.len().next_multiple_of(4096);
    }
    let control = source("packaging/debian/control")?
        .replace("@VERSION@", &version.debian)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@MAINTAINER@", &maintainer())
        .replace("@SIZE@", &(bytes / 1024).to_string())
        .replace("@DEPENDS@", &dependencies(binary)?);
    let sums = output(
        Command::new("md5sum")
            .current_dir(tree.root())
            .args(files.iter().filter(|file| *file != CONFIGURATION)),
    )?;
    tree.file("DEBIAN/control", control)?;
    tree.file("DEBIAN/conffiles", format!("/{CONFIGURATION}\n"))?;
    tree.file("DEBIAN/md5sums", sums)?;
    for script in SCRIPTS {
        tree.program(&format!("DEBIAN/{script}"), source(&format!("packaging/debian/{script}"))?)?;
    }
    Ok(())
}

/// The packages of the libraries that the binary is linked with, in the versions that it needs.
fn dependencies(binary: &Path) -> Result<String> {
    let work = Tree::new(folder().join("shlibdeps"))?;
    work.file("debian/control", "Source: shipwake\n\nPackage: shipwake\nArchitecture: any\n")?;
    let told = output(
        Command::new("dpkg-shlibdeps")
            .current_dir(work.root())
            .args(["-O", "--warnings=0"])
            .arg(binary),
    )?;
    let told = told.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    told.map(str::to_owned).context("dpkg-shlibdeps names no library")
}
