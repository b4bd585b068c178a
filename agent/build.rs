//! Hands the BPF objects that `cargo xtask build-ebpf` made to the compiler.

use std::{env, fs, path::PathBuf};

const OBJECTS: [&str; 3] = ["process", "syscalls", "tcp"];

fn main() {
    println!("cargo::rerun-if-env-changed=SHIPWAKE_BPF_DIR");
    let from = env::var_os("SHIPWAKE_BPF_DIR").map_or_else(
        || {
            PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default())
                .join("../target/bpf")
        },
        PathBuf::from,
    );
    let to = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for object in OBJECTS {
        let source = from.join(object);
        println!("cargo::rerun-if-changed={}", source.display());
        if let Err(error) = fs::copy(&source, to.join(object)) {
            println!(
                "cargo::error=BPF object {} cannot be read ({error}); run `cargo xtask build-ebpf` first",
                source.display()
            );
        }
    }
}
