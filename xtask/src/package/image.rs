//! The container image: the same binary as everywhere, with the libraries it is linked with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{folder, licences, tree::Tree, version::Version};
use crate::{
    command::{installed, root, run, say},
    vm,
};

/// Certificate authorities, for OTLP over TLS.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Debian packages whose files are in the image, for their copyright.
const INCLUDED: [&str; 3] = ["libc6", "libgcc-s1", "ca-certificates"];

/// Makes the folder that the image is built from: `Dockerfile`, `root/`.
pub fn prepare(binary: &Path) -> Result<PathBuf> {
    let tree = Tree::new(folder().join("image"))?;
    tree.program("root/usr/bin/shipwake", fs::read(binary)?)?;
    for library in vm::libraries(binary)? {
        let place = library.display().to_string();
        tree.program(&format!("root{place}"), fs::read(&library)?)?;
    }
    if let Ok(authorities) = fs::read(Path::new("/").join(AUTHORITIES)) {
        tree.file(&format!("root/{AUTHORITIES}"), authorities)?;
    }
    tree.file("root/etc/nsswitch.conf", "hosts: files dns\n")?;
    tree.folder("root/run/shipwake")?;
    tree.folder("root/etc/shipwake")?;
    tree.folder("root/tmp")?;
    let documents = "root/usr/share/doc";
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        tree.file(&format!("{documents}/shipwake/{name}"), fs::read(root().join(name))?)?;
    }
    tree.gzipped(&format!("{documents}/shipwake/THIRD-PARTY"), licences::text()?)?;
    for package in INCLUDED {
        if let Ok(copyright) = fs::read(format!("/usr/share/doc/{package}/copyright")) {
            tree.file(&format!("{documents}/{package}/copyright"), copyright)?;
        }
    }
    let dockerfile = "packaging/docker/Dockerfile";
    let text =
        fs::read(root().join(dockerfile)).with_context(|| format!("{dockerfile} is missing"))?;
    tree.file("Dockerfile", text)?;
    Ok(tree.root().to_owned())
}

/// Builds the image without network.
pub fn build(context: &Path) -> Result<()> {
    let version = Version::of_tree()?;
    let mut command = Command::new("docker");
    command.args(["build", "--network", "none"]);
    for (name, value) in [
        ("VERSION", version.cargo.as_str()),
        ("REVISION", &version.commit),
        ("CREATED", &version.date("+%Y-%m-%dT%H:%M:%SZ")?),
        ("SOURCE", &version.source),
    ] {
        command.arg("--build-arg").arg(format!("{name}={value}"));
    }
    command.arg("--tag").arg(format!("shipwake:{}", version.cargo)).arg(context);
    if !installed("docker") {
        say(format!("docker is not installed; {} is ready for `docker build`", context.display()));
        return Ok(());
    }
    run(&mut command)
}
