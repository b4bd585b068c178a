//! `bench`: what this machine's own clock says, in interleaved pairs.

use anyhow::Result;

use crate::{
    command::{cargo, root, run as run_command, say},
    packages, run as agent,
};

/// Runs the bench program of the tests package against the release binary.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    packages::install(&["nginx-light", "wrk"])?;
    let binary = agent::build()?;
    say("measuring in pairs on this machine; figures are ratios within one run");
    run_command(
        cargo()
            .env("SHIPWAKE_BINARY", binary)
            .env("SHIPWAKE_BPF_DIR", root().join("target/bpf"))
            .args([
                "run",
                "--quiet",
                "--release",
                "--package",
                "shipwake-tests",
                "--bin",
                "bench",
                "--",
            ])
            .args(arguments),
    )
}
