//! Whose containers there are on a host: root's and those of users, each with a storage and a socket.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::workload::{
    Settings,
    runtime::storage::{self, Stored},
};

/// Users that are looked at.
const MOST_USERS: usize = 1024;
/// Largest list of users that is read.
const LARGEST_LIST: u64 = 1024 * 1024;

/// One who runs containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub storage: PathBuf,
    /// Any of these is its socket.
    pub sockets: Vec<String>,
}

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Places {
    sockets: Vec<String>,
    storages: Vec<PathBuf>,
    /// `/etc/passwd`, for the homes of users.
    users: PathBuf,
    /// `/run/user`, for the sockets of users.
    runtime: PathBuf,
}

impl Places {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut storages: Vec<_> = settings.podman_storage.iter().map(PathBuf::from).collect();
        storages.extend(configured_storage(Path::new("/etc/containers/storage.conf")));
        Self {
            sockets: settings.podman_sockets.clone(),
            storages,
            users: "/etc/passwd".into(),
            runtime: settings.podman_users.clone().into(),
        }
    }

    /// Everybody who may run containers now: users come and go.
    pub(super) fn owners(&self) -> Vec<Owner> {
        let root = self
            .storages
            .iter()
            .map(|storage| Owner { storage: storage.clone(), sockets: self.sockets.clone() });
        root.chain(self.users()).collect()
    }

    /// Users with a storage at the usual place in their home.
    fn users(&self) -> Vec<Owner> {
        if self.runtime.as_os_str().is_empty() {
            return Vec::new();
        }
        let list = fs::metadata(&self.users)
            .ok()
            .filter(|list| list.len() <= LARGEST_LIST)
            .and_then(|_| fs::read_to_string(&self.users).ok())
            .unwrap_or_default();
        let users = list.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (id, home) = (fields.nth(2)?, fields.nth(2)?);
            let id: u32 = id.parse().ok().filter(|id| *id > 0)?;
            let storage = Path::new(home).join(".local/share/containers/storage");
            let socket = self.runtime.join(id.to_string()).join("podman/podman.sock");
            (home.starts_with('/') && storage.is_dir())
                .then(|| Owner { storage, sockets: vec![socket.display().to_string()] })
        });
        users.take(MOST_USERS).collect()
    }

    /// Whose container this is, and where it is kept.
    pub(super) fn find(&self, id: &str) -> Option<(Owner, Stored)> {
        self.owners().into_iter().find_map(|owner| {
            let stored = storage::container([owner.storage.clone()].into_iter(), id)?;
            Some((owner, stored))
        })
    }

    /// Sockets of those whose storage cannot be seen: the only way to learn what they run.
    pub(super) fn sockets_without_storage(&self) -> Vec<String> {
        let seen = self.owners();
        let users = fs::read_dir(&self.runtime).into_iter().flatten().filter_map(Result::ok);
        let users = users
            .take(MOST_USERS)
            .map(|user| user.path().join("podman/podman.sock").display().to_string());
        let hidden = |socket: &String| {
            !seen.iter().any(|owner| owner.storage.is_dir() && owner.sockets.contains(socket))
        };
        let all = self.sockets.iter().cloned().chain(users);
        all.filter(hidden).filter(|socket| Path::new(socket).exists()).collect()
    }

    /// Whether anything of Podman is on this host.
    pub(super) fn any(&self) -> bool {
        self.owners().iter().any(|owner| owner.storage.is_dir())
            || !self.sockets_without_storage().is_empty()
    }

    /// Whether anybody has a socket now.
    pub(super) fn any_socket(&self) -> bool {
        let owners = self.owners();
        owners.iter().flat_map(|owner| &owner.sockets).any(|socket| Path::new(socket).exists())
    }

    /// The places that were looked at, for people.
    pub(super) fn shown(&self) -> String {
        self.sockets.join(", ")
    }
}

/// `graphroot` of root's configuration, when it says one.
fn configured_storage(path: &Path) -> Option<PathBuf> {
    let table: toml::Table = fs::read_to_string(path).ok()?.parse().ok()?;
    table.get("storage")?.get("graphroot")?.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_a_storage_and_a_socket() {
        let directory =
            std::env::temp_dir().join(format!("shipwake-owners-{}", std::process::id()));
        let home = directory.join("home/ada");
        let id = "a".repeat(64);
        let stored = home.join(".local/share/containers/storage/vfs-containers").join(&id);
        fs::create_dir_all(&stored).unwrap();
        let socket = directory.join("run/1000/podman/podman.sock");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        fs::write(&socket, "").unwrap();
        fs::create_dir_all(directory.join("run/1001/podman")).unwrap();
        fs::write(directory.join("run/1001/podman/podman.sock"), "").unwrap();
        let users = directory.join("passwd");
        fs::write(
            &users,
            format!(
                "root:x:0:0::/root:/bin/sh\ngarbage\nada:x:1000:1000::{}:/bin/sh\n",
                home.display()
            ),
        )
        .unwrap();
        let places = Places {
            sockets: vec!["/nonexistent.sock".to_owned()],
            storages: vec!["/nonexistent".into()],
            users,
            runtime: directory.join("run"),
        };
        let (owner, found) = places.find(&id).unwrap();
        assert_eq!(owner.sockets, [socket.display().to_string()]);
        assert_eq!(found.directory, stored);
        assert!(found.sibling("images").ends_with("vfs-images"));
        assert_eq!(places.find(&"b".repeat(64)), None);
        assert_eq!(places.find("../x"), None);
        let hidden = directory.join("run/1001/podman/podman.sock").display().to_string();
        assert_eq!(places.sockets_without_storage(), [hidden]);
        assert!(places.any() && places.any_socket());
        fs::remove_file(&socket).unwrap();
        assert!(!places.any_socket());
        fs::remove_dir_all(&directory).unwrap();
    }
}
