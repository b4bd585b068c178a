//! `bench`: what this machine's own clock says, in interleaved pairs.

use anyhow::Result;

use crate::{command::say, packages, run as agent};

/// Runs the bench program of the tests package against the release binary.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    packages::install(&["nginx-light", "wrk"])?;
    say("measuring in pairs on this machine; figures are ratios within one run");
    agent::measured_by("bench", arguments)
}
