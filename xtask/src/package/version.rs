//! Which version this is: what Cargo says, and the commit.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{output, root};

/// Version, commit and date of the tree.
#[derive(Clone, Debug)]
pub struct Version {
    /// As in `Cargo.toml`.
    pub cargo: String,
    /// As Debian orders versions: `0.1.0` on the commit that is tagged `v0.1.0`, before that
    /// `0.1.0~git20260102030405.abcdef1`.
    pub debian: String,
    /// Empty outside of a repository.
    pub commit: String,
    /// Seconds since 1970: `SOURCE_DATE_EPOCH`, else the date of the commit.
    pub epoch: u64,
    /// Where the repository is, without credentials; empty when it was not cloned from a web address.
    pub source: String,
}

impl Version {
    /// Of the tree as it is.
    pub fn of_tree() -> Result<Self> {
        let cargo = env!("CARGO_PKG_VERSION").to_owned();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            let output = command.current_dir(root()).args(arguments).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success() && !text.is_empty()).then_some(text)
        };
        let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
        let committed = git(&["log", "-1", "--format=%ct"]);
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().or(committed);
        let epoch = epoch
            .context("the date is unknown outside of a git repository: set SOURCE_DATE_EPOCH")?;
        let epoch =
            epoch.parse().with_context(|| format!("`{epoch}` is no time in seconds since 1970"))?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some();
        let tag = format!("v{cargo}");
        let tagged = git(&["tag", "--points-at", "HEAD"])
            .is_some_and(|tags| tags.lines().any(|one| one == tag));
        let debian = if commit.is_empty() || (tagged && !changed) {
            cargo.clone()
        } else {
            let short: String = commit.chars().take(7).collect();
            let dirty = if changed { "+dirty" } else { "" };
            format!("{cargo}~git{}.{short}{dirty}", date(epoch, "+%Y%m%d%H%M%S")?)
        };
        let source = git(&["config", "--get", "remote.origin.url"]).and_then(|url| web(&url));
        Ok(Self { cargo, debian, commit, epoch, source: source.unwrap_or_default() })
    }

    /// The date in a format of date(1), in UTC.
    pub fn date(&self, format: &str) -> Result<String> {
        date(self.epoch, format)
    }
}

fn date(epoch: u64, format: &str) -> Result<String> {
    let mut command = Command::new("date");
    command.env("LC_ALL", "C").args(["-u", "-d", &format!("@{epoch}"), format]);
    Ok(output(&mut command)?.trim().to_owned())
}

/// A web address without user and password.
fn web(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let rest = match rest.split_once('@') {
        Some((user, host)) if !user.contains('/') => host,
        _ => rest,
    };
    Some(format!("https://{}", rest.trim_end_matches(".git")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_shipped_and_without_secrets() {
        for (url, expected) in [
            ("https://user:secret@git.test/a/b.git", Some("https://git.test/a/b")),
            ("https://git.test/a/b@c", Some("https://git.test/a/b@c")),
            ("git@git.test:a/b.git", None),
            ("/some/folder", None),
        ] {
            assert_eq!(web(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(0, "+%Y%m%d%H%M%S").ok().as_deref(), Some("19700101000000"));
    }
}
