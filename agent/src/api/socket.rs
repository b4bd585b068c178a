//! The unix socket: made so that only the owner may connect, and gone when the agent is.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use rustix::fs::Mode;
use tokio::net::UnixListener;

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("an agent is already running and listens on {}", .0.display())]
    InUse(PathBuf),
    #[error("status socket {} cannot be made: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A listening socket. Dropping it removes its file, and its folder when that was made for it.
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
    made_folder: Option<PathBuf>,
}

impl Socket {
    /// Listens on `path`. The socket of an agent that was killed is replaced; that of a running one is
    /// an error. Must be called inside a runtime, before there are other threads: the mode of the socket
    /// is set through the process's umask, so that it is never wider than 0600.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let fails = |source| BindError::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.exists()).map(Path::to_owned);
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).map_err(fails)?;
        }
        if path.exists() {
            match UnixStream::connect(path) {
                Ok(_) => return Err(BindError::InUse(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(fails)?;
                }
                Err(error) => return Err(fails(error)),
            }
        }
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.map_err(fails)?;
        let inode = fs::symlink_metadata(path).map_err(fails)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode, made_folder: folder })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever replaced the file meanwhile keeps theirs.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
        if let Some(folder) = &self.made_folder {
            // Fails when somebody else put something there, and then it has to stay.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("shipwake-socket-{name}-{}", std::process::id()))
    }

    #[tokio::test]
    async fn private_and_gone_afterwards() {
        let folder = folder("gone");
        let path = folder.join("x.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_running_agent_is_not_replaced_and_a_dead_one_is() {
        let folder = folder("stale");
        let path = folder.join("x.sock");
        fs::create_dir_all(&folder).unwrap();
        let running = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(BindError::InUse(_))));
        drop(running);
        assert!(path.exists(), "the file of a killed agent stays");
        drop(Socket::bind(&path).unwrap());
        assert!(!path.exists());
        fs::remove_dir(&folder).unwrap();
    }
}
