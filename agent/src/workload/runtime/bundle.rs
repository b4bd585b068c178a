//! The description that a low-level runtime is started with, `config.json` of an OCI bundle: what can
//! be read about a container when nobody answers for it.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

/// Largest file that is read.
const LARGEST: u64 = 1024 * 1024;

/// The few fields that are read. Everything may be missing or null.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::workload) struct Bundle {
    pub process: Option<Process>,
    pub annotations: Option<HashMap<String, String>>,
}

/// The first process of the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::workload) struct Process {
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
}

impl Bundle {
    pub(in crate::workload) fn environment(&self) -> impl Iterator<Item = &str> {
        let process = self.process.iter();
        process.flat_map(|process| process.env.iter().flatten()).map(String::as_str)
    }

    pub(in crate::workload) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// A JSON file of reasonable size; `None` when it is not there or not that.
pub(in crate::workload) fn read<T: DeserializeOwned>(path: &Path, largest: u64) -> Option<T> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    // One byte more, so that a cut file is no JSON.
    file.take(largest + 1).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The bundle in this file.
pub(in crate::workload) fn bundle(path: &Path) -> Option<Bundle> {
    read(path, LARGEST)
}
