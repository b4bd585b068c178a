//! A folder of files with exact modes, made anew each time.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::command::output;

/// The folder under construction.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Empties `root`.
    pub fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("{} stays", root.display()))?;
        }
        fs::create_dir_all(&root)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder that anybody may enter, with all above it.
    pub fn folder(&self, path: &str) -> Result<()> {
        let mut folder = self.root.clone();
        for name in Path::new(path) {
            folder.push(name);
            if !folder.is_dir() {
                fs::create_dir(&folder)?;
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// A file that anybody may read.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.put(path, content.as_ref(), 0o644)
    }

    /// A file that anybody may run.
    pub fn program(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.put(path, content.as_ref(), 0o755)
    }

    /// A file, compressed so that the same content gives the same bytes.
    pub fn gzipped(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.file(path, content)?;
        let file = self.root.join(path);
        let zipped = self.root.join(format!("{path}.gz"));
        output(Command::new("gzip").args(["-9n", "--force"]).arg(file))?;
        fs::set_permissions(zipped, fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        if let Some(parent) = Path::new(path).parent() {
            self.folder(&parent.display().to_string())?;
        }
        let file = self.root.join(path);
        fs::write(&file, content)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Every file below `folder`, sorted, relative to the root.
    pub fn files(&self, folder: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut left = vec![self.root.join(folder)];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    let path = path.strip_prefix(&self.root).unwrap_or(&path);
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}
