//! `bench --containers N`: how soon each of many containers is attributed, and what that costs the agent.

use anyhow::Result;

use crate::{command::say, packages, run as agent};

/// Runs the measuring program of the tests package against the release binary, as root.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    packages::install(&["containerd", "runc", "docker.io", "busybox-static"])?;
    say("starting containers of a private daemon");
    agent::measured_by("containers", arguments)
}
