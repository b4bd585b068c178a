//! Groups in the cgroup v2 hierarchy, as systemd would make them where there is no systemd.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::poll;

/// A directory in the cgroup v2 hierarchy. Removed when dropped, with what is below it and the parents
/// that were made for it.
pub struct Cgroup {
    leaf: PathBuf,
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes it, and the groups above it that are not there.
    pub fn make(path: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut fields = mounts.lines().map(|line| line.split(' '));
        let root = fields.find_map(|mut field| {
            let path = field.nth(1)?;
            (field.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        let mut cgroup = Self { leaf: root.context("cgroup v2 is mounted")?, made: Vec::new() };
        for part in path.split('/') {
            cgroup.leaf.push(part);
            if !cgroup.leaf.exists() {
                fs::create_dir(&cgroup.leaf)?;
                cgroup.made.push(cgroup.leaf.clone());
            }
        }
        Ok(cgroup)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.leaf
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.leaf.join("cgroup.procs"), pid.to_string())?)
    }

    /// Lets a user make groups below it, and move processes between those.
    pub fn delegate(&self, user: u32) -> Result<()> {
        for path in [self.leaf.clone(), self.leaf.join("cgroup.procs")] {
            chown(path, Some(user), Some(user))?;
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.made.contains(&self.leaf) {
            remove_below(&self.leaf);
        }
        self.made.iter().rev().for_each(|path| remove(path));
    }
}

fn remove_below(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for below in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_below(&below);
        remove(&below);
    }
}

/// A process that was killed leaves its cgroup a moment later than it is reaped.
fn remove(path: &Path) {
    if poll::until(Duration::from_secs(5), || fs::remove_dir(path).ok()).is_none() {
        eprintln!("{} stays", path.display());
    }
}
