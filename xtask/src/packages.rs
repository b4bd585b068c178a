//! What is installed from outside: Debian packages, and a Python environment under `target/`.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::command::{installed, is_root, output, root, run, say};

/// Installs Debian packages that are missing. Starts no service.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !installed("apt-get") {
        bail!(
            "these are needed and this is no Debian: install them by hand: {}",
            missing.join(" ")
        );
    }
    say(format!("installing Debian packages: {}", missing.join(" ")));
    let policy = NoServices::begin()?;
    run(as_root("apt-get").args(["update", "-qq"]))?;
    let outcome = run(as_root("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing));
    drop(policy);
    outcome
}

/// A Python interpreter with these packages, in `target/venv`.
pub fn python(packages: &[&str]) -> Result<PathBuf> {
    let venv = root().join("target/venv");
    let python = venv.join("bin/python");
    if !python.is_file() {
        install(&["python3-venv"])?;
        say("making a Python environment in target/venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let have = output(Command::new(&python).args([
        "-m",
        "pip",
        "list",
        "--format=freeze",
        "--disable-pip-version-check",
    ]))?;
    let missing: Vec<&&str> = packages
        .iter()
        .filter(|name| !have.lines().any(|line| line.split("==").next() == Some(**name)))
        .collect();
    if !missing.is_empty() {
        say(format!("installing Python packages: {missing:?}"));
        run(Command::new(&python).args(["-m", "pip", "--quiet", "install"]).args(missing))?;
    }
    Ok(python)
}

/// A command that runs as root, through sudo where needed.
pub fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn has(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

/// Keeps freshly installed packages from starting their services: the tests start their own.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<Self> {
        let ours = is_root() && !PathBuf::from(POLICY).exists();
        if ours {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            run(Command::new("chmod").args(["755", POLICY]))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
