//! Rules of the code base that no compiler checks. Each says what to do about it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::command::root;

/// Folders whose every subfolder must be in the list of the folder's `mod.rs`.
const REGISTRIES: [(&str, &str); 3] = [
    ("agent/src/signals", "SIGNAL"),
    ("agent/src/workload", "SOURCE"),
    ("agent/src/export", "EXPORTER"),
];
/// Subfolders of those that are parts of the whole, not entries.
const PARTS: [&str; 4] = [
    "agent/src/workload/cgroup",
    "agent/src/workload/directory",
    "agent/src/workload/resolve",
    "agent/src/workload/runtime",
];
/// Longer files hold more than one thing.
const LONGEST: usize = 800;
/// `unsafe` is allowed here only.
const UNSAFE: [&str; 3] = ["agent-ebpf/", "agent/src/kernel/", "tests/kernel/"];

/// Checks every rule and names every offence.
pub fn check() -> Result<()> {
    let mut offences = Vec::new();
    for (folder, entry) in REGISTRIES {
        registered(folder, entry, &mut offences)?;
    }
    for top in ["agent", "agent-ebpf", "xtask", "tests"] {
        let mut files = Vec::new();
        sources(&root().join(top), &mut files)?;
        for file in files {
            source(&file, &mut offences)?;
        }
    }
    if offences.is_empty() {
        return Ok(());
    }
    bail!("tidy:\n  {}", offences.join("\n  "))
}

fn registered(folder: &str, entry: &str, offences: &mut Vec<String>) -> Result<()> {
    let list = fs::read_to_string(root().join(folder).join("mod.rs"))?;
    for found in fs::read_dir(root().join(folder))? {
        let found = found?;
        let name = found.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if found.path().is_dir()
            && !PARTS.contains(&path.as_str())
            && !list.contains(&format!("{name}::{entry}"))
        {
            offences.push(format!(
                "{path} is not in the list of {folder}/mod.rs: add `&{name}::{entry}`"
            ));
        }
    }
    Ok(())
}

fn source(file: &Path, offences: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let shown = file.strip_prefix(root()).unwrap_or(file).display().to_string();
    if !text.starts_with("//!") {
        offences.push(format!("{shown} does not begin with a line that says what it is (`//! …`)"));
    }
    if text.lines().count() > LONGEST {
        offences.push(format!("{shown} is longer than {LONGEST} lines: does it hold one thing?"));
    }
    let unsafe_allowed = UNSAFE.iter().any(|allowed| shown.starts_with(allowed));
    let uses_unsafe = text.lines().any(|line| {
        let line = line.trim_start();
        !line.starts_with("//")
            && (line.contains(concat!("unsafe", " {")) || line.contains(concat!("unsafe", " impl")))
    });
    if uses_unsafe && !unsafe_allowed {
        offences.push(format!("{shown} uses `unsafe`; only {} may", UNSAFE.join(" and ")));
    }
    Ok(())
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}
