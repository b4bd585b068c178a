//! What does not need to run: format, lints, generated files.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{cargo, output, root, run, say},
    objects, tidy, toolchain,
};

/// Documents that the agent writes about itself: file and the word that asks for it.
const GENERATED: [(&str, &str); 4] = [
    ("docs/METRICS.md", "metrics-md"),
    ("docs/CONFIG.md", "config-md"),
    ("docs/KERNELS.md", "kernels-md"),
    ("packaging/shipwake.toml", "config-toml"),
];

/// Formatting, clippy with warnings denied for the host and for BPF, fresh generated files.
pub fn lint() -> Result<()> {
    say("checking the rules of the code base and the format");
    tidy::check()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    objects::build()?;
    say("clippy for BPF");
    let toolchain = toolchain::ensure()?;
    run(objects::cargo_for_bpf("clippy", &toolchain)?
        .args(["--bins", "--lib", "--", "-D", "warnings"]))?;
    say("clippy for the host");
    run(cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    generate(true)
}

/// Writes the generated files; with `check`, fails when one differs instead.
pub fn generate(check: bool) -> Result<()> {
    objects::build()?;
    say(if check { "checking generated files" } else { "writing generated files" });
    run(cargo().args(["build", "--quiet", "--package", "shipwake"]))?;
    for (file, word) in GENERATED {
        let text =
            output(Command::new(root().join("target/debug/shipwake")).args(["generate", word]))?;
        let path = root().join(file);
        if check {
            let have = fs::read_to_string(&path).with_context(|| format!("{file} is missing"))?;
            if have != text {
                bail!("{file} is stale; run `cargo xtask gen` and commit it");
            }
        } else {
            fs::write(&path, text).with_context(|| format!("{file} cannot be written"))?;
        }
    }
    Ok(())
}
