//! Building the agent and starting it.

use std::{os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, is_root, output, root, run as run_command, say},
    objects,
};

/// Builds the objects and the agent; returns the binary.
pub fn build() -> Result<PathBuf> {
    objects::build()?;
    say("building the agent");
    let commit = output(Command::new("git").current_dir(root()).args(["rev-parse", "HEAD"]));
    let mut command = cargo();
    if let Ok(commit) = commit {
        command.env("SHIPWAKE_COMMIT", commit.trim());
    }
    run_command(command.args(["build", "--release", "--package", "shipwake"]))?;
    let binary = root().join("target/release/shipwake");
    say(format!("built {}", binary.display()));
    Ok(binary)
}

/// Builds, then becomes `shipwake run --console`, as root.
pub fn run(arguments: &[String]) -> Result<()> {
    let binary = build()?;
    let arguments = arguments.iter().skip_while(|argument| *argument == "--");
    let mut command = if is_root() {
        Command::new(&binary)
    } else {
        say("reading the kernel needs root: asking sudo");
        let mut command = Command::new("sudo");
        command.arg("--preserve-env").arg(&binary);
        command
    };
    command.args(["run", "--console"]).args(arguments);
    say("starting `shipwake run --console`; end it with Ctrl-C");
    Err(command.exec()).context("the agent could not be started")
}

/// Builds the agent, then runs a program of the tests package, in release form, that measures it.
pub fn measured_by(program: &str, arguments: &[String]) -> Result<()> {
    let binary = build()?;
    run_command(
        cargo()
            .env("SHIPWAKE_BINARY", binary)
            .env("SHIPWAKE_BPF_DIR", root().join("target/bpf"))
            .args(["run", "--quiet", "--release", "--package", "shipwake-tests", "--bin", program])
            .arg("--")
            .args(arguments),
    )
}
