//! Debian's kernels: found through the package lists of the release that ships them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::folder;
use crate::command::{output, run, say};

/// Which release of Debian ships which kernel line.
const RELEASES: [(&str, &str); 3] = [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie")];
const META: &str = "linux-image-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked kernel.
pub struct Kernel {
    pub release: String,
    pub image: PathBuf,
    folder: PathBuf,
}

/// Downloads and unpacks the kernel of a line, once.
pub fn fetch(line: &str) -> Result<Kernel> {
    let folder = folder(line);
    if let Some(kernel) = unpacked(&folder) {
        return Ok(kernel);
    }
    let Some((_, release)) = RELEASES.iter().find(|(known, _)| *known == line) else {
        let known: Vec<&str> = RELEASES.iter().map(|(known, _)| *known).collect();
        bail!("there is no kernel line `{line}` here; known: {}", known.join(" "));
    };
    say(format!("downloading Debian's kernel {line}"));
    let apt = Apt::new(&folder, release)?;
    apt.command("apt-get").args(["update", "-qq"]).status()?;
    let depends = output(apt.command("apt-cache").args(["depends", META]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .map(|rest| format!("linux-image-{rest}"))
        .with_context(|| format!("{META} of {release} names no kernel"))?;
    run(apt.command("apt-get").current_dir(&folder).args(["download", "-qq", &package]))?;
    let archive = fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("the kernel package was not downloaded")?;
    run(Command::new("dpkg").arg("-x").arg(&archive).arg(folder.join("root")))?;
    fs::remove_file(archive)?;
    unpacked(&folder).with_context(|| format!("{package} contains no kernel"))
}

fn unpacked(folder: &Path) -> Option<Kernel> {
    let boot = fs::read_dir(folder.join("root/boot")).ok()?;
    boot.filter_map(|entry| entry.ok().map(|entry| entry.path())).find_map(|image| {
        let release = image.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some(Kernel { release, image: image.clone(), folder: folder.to_path_buf() })
    })
}

impl Kernel {
    /// Files of the modules and of what they depend on, dependencies first. A module that the kernel has
    /// built in, or does not have, is left out.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let roots = ["root/lib/modules", "root/usr/lib/modules"];
        let Some(base) = roots
            .iter()
            .map(|root| self.folder.join(root).join(&self.release))
            .find(|path| path.is_dir())
        else {
            bail!("kernel {} has no modules", self.release);
        };
        let mut files = Vec::new();
        collect(&base, &mut files)?;
        let mut wanted = Vec::new();
        for name in names {
            self.module(name, &files, &mut wanted);
        }
        Ok(wanted)
    }

    fn module(&self, name: &str, files: &[PathBuf], wanted: &mut Vec<PathBuf>) {
        let Some(file) = files.iter().find(|file| module_name(file) == name) else { return };
        if wanted.contains(file) {
            return;
        }
        let info = output(Command::new("/usr/sbin/modinfo").args(["-F", "depends"]).arg(file));
        for dependency in info.unwrap_or_default().trim().split(',').filter(|name| !name.is_empty())
        {
            self.module(dependency, files, wanted);
        }
        wanted.push(file.clone());
    }
}

fn module_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.to_string_lossy().contains(".ko") {
            files.push(path);
        }
    }
    Ok(())
}

/// apt with package lists of its own, so that another release's do not mix with the machine's.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, release: &str) -> Result<Self> {
        let own = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(own.join(part))?;
        }
        let list = own.join("sources.list");
        fs::write(&list, format!("deb [signed-by={KEYRING}] {} {release} main\n", mirror()?))?;
        let own = own.display();
        Ok(Self {
            options: vec![
                format!("Dir::Etc::SourceList={}", list.display()),
                "Dir::Etc::SourceParts=-".to_owned(),
                format!("Dir::State::Lists={own}/lists"),
                format!("Dir::Cache={own}/cache"),
                "APT::Sandbox::User=root".to_owned(),
            ],
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// The Debian archive that this machine is set up to use.
pub fn mirror() -> Result<String> {
    let targets = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(REPO_URI)",
    ]))?;
    targets
        .lines()
        .filter_map(|line| line.strip_prefix("Debian "))
        .find(|uri| !uri.contains("security") && !uri.contains("backports"))
        .map(|uri| uri.trim().to_owned())
        .context("apt knows no Debian archive; run `apt-get update` on a Debian machine")
}
