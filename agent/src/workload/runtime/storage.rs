//! The directories in which Podman and CRI-O keep containers and images, laid out by containers/storage.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::workload::cgroup;

/// Entries of a storage directory that are looked at.
const MOST_ENTRIES: usize = 64;

/// A container in a storage directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workload) struct Stored {
    /// `<storage>/<driver>-containers/<id>`.
    pub directory: PathBuf,
    /// `<storage>/<driver>`: names of siblings begin with it.
    stem: PathBuf,
}

impl Stored {
    /// `<storage>/<driver>-<kind>`.
    pub(in crate::workload) fn sibling(&self, kind: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push("-");
        path.push(kind);
        path.into()
    }
}

/// The container with this id, in the first of these storages that has it.
pub(in crate::workload) fn container(
    mut storages: impl Iterator<Item = PathBuf>,
    id: &str,
) -> Option<Stored> {
    // Ids become part of a path: nothing but ids.
    if !cgroup::hex64(id) {
        return None;
    }
    storages.find_map(|storage| in_storage(&storage, id))
}

fn in_storage(storage: &Path, id: &str) -> Option<Stored> {
    let entries = fs::read_dir(storage).ok()?.filter_map(Result::ok).take(MOST_ENTRIES);
    entries.map(|entry| entry.path()).find_map(|path| {
        let driver = path.file_name()?.to_str()?.strip_suffix("-containers")?.to_owned();
        let directory = path.join(id);
        directory.is_dir().then(|| Stored { directory, stem: storage.join(driver) })
    })
}
