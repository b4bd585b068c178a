//! What building for BPF needs beyond a stable compiler: the source of `core`, and a linker.
//!
//! rustup brings the source where it is in use. Where it cannot, Debian's packages bring a compiler
//! with a ready-made `core` for BPF. The linker is built by cargo either way.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{
    command::{cargo, output, root, run, say},
    packages,
};

/// With the LLVM that comes inside rustc: nothing of the system is needed.
const LINKER: &str = "bpf-linker@0.10.3";
/// With Debian's LLVM, for Debian's compiler.
const DEBIAN_LINKER: &str = "bpf-linker@0.13.0";
const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
];

/// A compiler that can build the BPF objects.
pub enum Toolchain {
    /// The compiler in use, with the source of `core`.
    Source { sysroot: PathBuf },
    /// Debian's compiler, with `core` for BPF ready-made.
    Debian,
}

/// Where `bpf-linker` is.
pub fn linker_folder() -> PathBuf {
    root().join("target/tools/bin")
}

/// Finds or installs everything.
pub fn ensure() -> Result<Toolchain> {
    let toolchain = ensure_core()?;
    ensure_linker(&toolchain)?;
    Ok(toolchain)
}

fn ensure_core() -> Result<Toolchain> {
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    let source = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if source.is_file() {
        return Ok(Toolchain::Source { sysroot });
    }
    say("getting the source of Rust's core library (rustup component rust-src)");
    let added = run(Command::new("rustup").args(["component", "add", "rust-src"]));
    if added.is_ok() && source.is_file() {
        return Ok(Toolchain::Source { sysroot });
    }
    say("rustup cannot give it; installing Debian's compiler for BPF instead");
    packages::install(DEBIAN_PACKAGES)?;
    if !PathBuf::from("/usr/bin/rustc").is_file() {
        bail!(
            "no way to build for BPF: run `rustup component add rust-src`, \
             or on Debian `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        );
    }
    Ok(Toolchain::Debian)
}

fn ensure_linker(toolchain: &Toolchain) -> Result<()> {
    if linker_folder().join("bpf-linker").is_file() {
        return Ok(());
    }
    say("building bpf-linker into target/tools (once, about two minutes)");
    let mut command = cargo();
    command.arg("install").arg("--quiet").arg("--root").arg(root().join("target/tools"));
    match toolchain {
        Toolchain::Source { .. } => command.arg(LINKER),
        Toolchain::Debian => command.env("LLVM_PREFIX", "/usr/lib/llvm-22").args([
            DEBIAN_LINKER,
            "--no-default-features",
            "--features",
            "llvm-22",
        ]),
    };
    run(&mut command)
}
