//! Source `executable`: the executable of a process where the kernel's record did not have a whole
//! path.

use std::{fs, sync::Arc};

use tokio::sync::mpsc;

use super::{About, Ask, Attribute, Change, Health, SourceDef, names, text};
use crate::{
    config::Config,
    process::{ProcessInfo, ProcessKey},
};

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "executable",
    help: "The executable, which names a service that nothing else names",
    concerns: |ask| matches!(ask, Ask::Process(info) if is_incomplete(info)),
    tells_host: false,
    start,
};

fn is_incomplete(info: &ProcessInfo) -> bool {
    info.executable.as_ref().is_none_or(|path| !path.starts_with('/'))
}

fn start(_: &Config, mut asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    health.works();
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let Ask::Process(info) = ask else { continue };
            let path = read(&info.key);
            let change = Change {
                source: SOURCE.name,
                about: About::Process(info.key),
                attributes: path
                    .map(|path| Attribute::text(names::EXECUTABLE, path))
                    .into_iter()
                    .collect(),
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    });
}

/// Path of the executable, unless the process is gone or is a thread of the kernel.
fn read(key: &ProcessKey) -> Option<Arc<str>> {
    let path = fs::read_link(format!("/proc/{}/exe", key.tgid)).ok()?;
    super::living::is_same(key).then_some(())?;
    plain(path.to_str()?)
}

/// Without the mark of a file that was replaced; only text that may be exported.
fn plain(path: &str) -> Option<Arc<str>> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    text::clean(path).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/usr/bin/python3.11", Some("/usr/bin/python3.11")),
            ("/usr/sbin/nginx (deleted)", Some("/usr/sbin/nginx")),
            ("/tmp/a\nb", None),
        ] {
            assert_eq!(plain(path).as_deref(), expected, "{path:?}");
        }
    }
}
