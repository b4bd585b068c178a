//! The libraries in the binary, their licences and what those ask to be shipped with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{cargo, output};

/// Names, versions and licences, then every text with the libraries it is for.
pub fn text() -> Result<String> {
    let platform = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = ["metadata", "--quiet", "--format-version=1", "--locked", &platform];
    let metadata = output(cargo().args(arguments))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut list = String::new();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked(&metadata)? {
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        let name = format!("{} {}", field("name"), field("version"));
        list.push_str(&format!("{name}: {}\n  {}\n", field("license"), field("repository")));
        let folder = Path::new(field("manifest_path")).parent().unwrap_or(Path::new("/"));
        for text in notices(folder)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for (text, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        let line = "-".repeat(78);
        list.push_str(&format!("\n{line}\n{}\n{line}\n\n{}\n", names.join(", "), text.trim_end()));
    }
    Ok(list)
}

/// The packages that the agent is linked with, those of the project left out, sorted.
fn linked(metadata: &Value) -> Result<Vec<&Value>> {
    let list = |value: &'static str, of: &Value| of[value].as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"].as_array().context("cargo names no package")?;
    let nodes: BTreeMap<String, Vec<Value>> = list("nodes", &metadata["resolve"])
        .iter()
        .map(|node| (node["id"].as_str().unwrap_or_default().to_owned(), list("deps", node)))
        .collect();
    let agent = packages.iter().find(|package| package["name"] == "shipwake");
    let agent = agent.and_then(|package| package["id"].as_str()).context("there is no agent")?;
    let (mut seen, mut left) = (BTreeSet::new(), vec![agent.to_owned()]);
    while let Some(id) = left.pop() {
        let dependencies = nodes.get(&id);
        if !seen.insert(id) {
            continue;
        }
        for dependency in dependencies.into_iter().flatten() {
            let is_linked = list("dep_kinds", dependency).iter().any(|kind| kind["kind"].is_null());
            if is_linked && let Some(id) = dependency["pkg"].as_str() {
                left.push(id.to_owned());
            }
        }
    }
    let mut found: Vec<&Value> = packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| seen.contains(id)))
        .filter(|package| package["source"].is_string())
        .collect();
    found.sort_by_key(|package| package["id"].as_str());
    Ok(found)
}

/// Licence texts and notices in the folder of a library.
fn notices(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is_notice = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if is_notice && path.is_file() {
            found.push(String::from_utf8_lossy(&fs::read(&path)?).into_owned());
        }
    }
    found.sort();
    Ok(found)
}
