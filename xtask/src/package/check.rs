//! Whether what is shipped is right: contents of the package, lintian, the unit, the manifest, the image's files.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::{deb, folder, image, version::Version};
use crate::{
    command::{output, root, run, say},
    packages, run as agent,
};

const PACKAGES: &[&str] = &["lintian", "systemd"];
const PYTHON: &[&str] = &["kubernetes-validate"];
const MANIFEST: &str = "packaging/kubernetes/daemonset.yaml";
/// Oldest and newest API that the manifest is checked against. `appArmorProfile` came with 1.30.
const KUBERNETES: [&str; 2] = ["1.30", "1.35"];
/// What the package contains, apart from documents: mode, owner, path.
const CONTENTS: [(&str, &str); 6] = [
    ("-rwxr-xr-x root/root", "./usr/bin/shipwake"),
    ("-rw-r--r-- root/root", "./lib/systemd/system/shipwake.service"),
    ("-rw-r--r-- root/root", "./etc/shipwake/shipwake.toml"),
    ("drwxr-xr-x root/root", "./etc/shipwake/conf.d/"),
    ("-rw-r--r-- root/root", "./usr/share/doc/shipwake/copyright"),
    ("-rw-r--r-- root/root", "./usr/share/man/man8/shipwake.8.gz"),
];
/// What lintian does not say: who maintains is known to whoever builds (`DEBEMAIL`); the version is a commit's.
const SUPPRESSED: [&str; 2] = ["bogus-mail-host", "bogus-mail-host-in-debian-changelog"];
/// Exposure that `systemd-analyze security` may find at most, in tenths. Most of it is root itself.
const EXPOSURE: u32 = 33;

/// Makes the package and the image's files, and checks them with the unit and the manifest.
pub fn check() -> Result<()> {
    packages::install(PACKAGES)?;
    let python = packages::python(PYTHON)?;
    let binary = agent::build()?;
    let version = Version::of_tree()?;
    let package = deb::build(&binary, &version)?;
    say("checking what is shipped");
    contents(&package)?;
    reproducible(&binary, &version, &package)?;
    run(Command::new("lintian")
        .args(["--fail-on=error,warning", "--suppress-tags", &SUPPRESSED.join(","), "--allow-root"])
        .arg(&package))?;
    unit()?;
    manifest(&python)?;
    let context = image::prepare(&binary)?;
    starts(&context)
}

fn contents(package: &Path) -> Result<()> {
    let listing = output(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    for (mode, path) in CONTENTS {
        let found = listing
            .lines()
            .any(|line| line.starts_with(mode) && line.ends_with(&format!(" {path}")));
        ensure!(found, "{} has no {mode} {path}:\n{listing}", package.display());
    }
    let conffiles = output(Command::new("dpkg-deb").arg("--info").arg(package).arg("conffiles"))?;
    ensure!(conffiles.trim() == "/etc/shipwake/shipwake.toml", "conffiles are {conffiles}");
    Ok(())
}

/// Two packages of one binary have the same bytes.
fn reproducible(binary: &Path, version: &Version, package: &Path) -> Result<()> {
    let first = fs::read(package)?;
    let second = fs::read(deb::build(binary, version)?)?;
    ensure!(first == second, "{} differs each time it is made", package.display());
    Ok(())
}

/// The unit is understood in full, and as closed as it can be.
fn unit() -> Result<()> {
    let unit = folder().join("deb/lib/systemd/system/shipwake.service");
    // `verify` wants the program where the unit says it is.
    let here = folder().join("shipwake.service");
    let binary = root().join("target/release/shipwake");
    let text =
        fs::read_to_string(unit)?.replace("/usr/bin/shipwake", &binary.display().to_string());
    fs::write(&here, text)?;
    let verified =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&here).output()?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("shipwake")).collect();
    ensure!(verified.status.success() && ours.is_empty(), "systemd-analyze verify:\n{said}");
    let exposure = format!("--threshold={EXPOSURE}");
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &exposure])
        .arg(&here)
        .output()?;
    let said = String::from_utf8_lossy(&security.stdout).into_owned();
    ensure!(
        security.status.success(),
        "the unit is more exposed than {EXPOSURE}/10 allows:\n{said}"
    );
    if let Some(line) = said.lines().rfind(|line| line.contains("exposure")) {
        println!("{line}");
    }
    Ok(())
}

/// The manifest is valid, and names the version that is built.
fn manifest(python: &Path) -> Result<()> {
    let validate = python.with_file_name("kubernetes-validate");
    for version in KUBERNETES {
        run(Command::new(&validate)
            .args(["--strict", "--quiet", "--kubernetes-version", version])
            .arg(root().join(MANIFEST)))?;
    }
    let text = fs::read_to_string(root().join(MANIFEST))?;
    let image = format!("image: shipwake:{}", env!("CARGO_PKG_VERSION"));
    if !text.contains(&image) {
        bail!("{MANIFEST} does not say `{image}`");
    }
    Ok(())
}

/// The image's program runs with nothing but the image's files.
fn starts(context: &Path) -> Result<()> {
    let mut command = packages::as_root("chroot");
    let told = output(command.arg(context.join("root")).args(["/usr/bin/shipwake", "version"]))
        .context("the image's files do not suffice")?;
    ensure!(told.contains(env!("CARGO_PKG_VERSION")), "the image says it is {told}");
    Ok(())
}
