//! The BPF objects: `agent-ebpf`'s binaries, built for BPF and stripped to what the kernel reads.

use std::{env, ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, root, run, say},
    toolchain::{self, Toolchain},
};

/// Names of the objects: the folders of `agent-ebpf/src/bin`.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("agent-ebpf/src/bin"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A cargo command for the BPF target: `build`, `clippy`.
pub fn cargo_for_bpf(subcommand: &str, toolchain: &Toolchain) -> Result<Command> {
    let mut command = match toolchain {
        Toolchain::Source { .. } => cargo(),
        Toolchain::Debian => {
            let mut command = Command::new("/usr/bin/cargo");
            command.current_dir(root()).env("RUSTC", "/usr/bin/rustc");
            command
        }
    };
    let mut path = OsString::from(toolchain::linker_folder());
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    command
        .env("PATH", path)
        // The verifier needs type information, and the linker makes it from debug information.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            ["-Clinker=bpf-linker", "-Clink-arg=--btf", "-Cdebuginfo=2"].join("\x1f"),
        )
        // `core` for this target is built from source, which stable compilers do not offer.
        .env("RUSTC_BOOTSTRAP", "1")
        .args([subcommand, "--quiet", "--release", "--package", "shipwake-ebpf"])
        .args(["--target", "bpfel-unknown-none", "--target-dir"])
        .arg(root().join("target/bpf-build"));
    if matches!(toolchain, Toolchain::Source { .. }) {
        command.arg("-Zbuild-std=core");
    }
    Ok(command)
}

/// Builds every object into `target/bpf`.
pub fn build() -> Result<()> {
    let toolchain = toolchain::ensure()?;
    say("building the BPF objects");
    run(cargo_for_bpf("build", &toolchain)?.arg("--bins"))?;
    let to = root().join("target/bpf");
    fs::create_dir_all(&to)?;
    for name in names()? {
        let built = root().join("target/bpf-build/bpfel-unknown-none/release").join(&name);
        let stripped = root().join("target/bpf-build").join(format!("{name}.stripped"));
        strip(&built, &stripped, &toolchain)?;
        replace_if_changed(&stripped, &to.join(&name))?;
    }
    Ok(())
}

/// Removes DWARF, which only the making of BTF needs: a third of the size remains.
fn strip(from: &Path, to: &Path, toolchain: &Toolchain) -> Result<()> {
    let Toolchain::Source { sysroot } = toolchain else {
        return run(Command::new("/usr/lib/llvm-22/bin/llvm-objcopy")
            .arg("--strip-debug")
            .args([from, to]));
    };
    let tool = sysroot.join("lib/rustlib").join(host()).join("bin/rust-objcopy");
    if tool.is_file() {
        run(Command::new(tool)
            .env("LD_LIBRARY_PATH", sysroot.join("lib"))
            .arg("--strip-debug")
            .args([from, to]))
    } else {
        fs::copy(from, to).map(drop).with_context(|| format!("{} was not built", from.display()))
    }
}

fn host() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}

/// Leaves the time stamp of an unchanged object alone, so that the agent is not built again.
fn replace_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("{} was not built", from.display()))?;
    if fs::read(to).ok().as_deref() != Some(&new) {
        fs::write(to, new)?;
    }
    Ok(())
}
