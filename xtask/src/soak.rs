//! `soak`: the agent under load and process churn, its memory and descriptors watched.

use anyhow::Result;

use crate::{packages, run as agent};

/// Runs the soak program of the tests package.
pub fn run(arguments: &[String]) -> Result<()> {
    packages::install(&["nginx-light", "wrk"])?;
    agent::measured_by("soak", arguments)
}
