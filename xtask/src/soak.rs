//! `soak`: the agent under load and process churn, its memory and descriptors watched.

use anyhow::Result;

use crate::{
    command::{cargo, run as run_command},
    packages, run as agent,
};

/// Runs the soak program of the tests package.
pub fn run(arguments: &[String]) -> Result<()> {
    packages::install(&["nginx-light", "wrk"])?;
    let binary = agent::build()?;
    run_command(
        cargo()
            .env("SHIPWAKE_BINARY", binary)
            .args([
                "run",
                "--quiet",
                "--release",
                "--package",
                "shipwake-tests",
                "--bin",
                "soak",
                "--",
            ])
            .args(arguments),
    )
}
