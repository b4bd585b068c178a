//! `/proc/PID/cgroup`: one line per hierarchy; which one tells where the process runs.

use std::sync::Arc;

use super::{Bases, Placement, base::Line, place};

/// The path that tells most: one inside a pod, else inside a container, else inside a service, else
/// any that is not the root. Among equals v2 goes first, then systemd's own hierarchy, then the
/// controllers that runtimes use.
///
/// Judged by what the paths say and not by hierarchy, because on a hybrid host the v2 line may be
/// `/` or the service of the runtime while the v1 lines name the container, or the other way round.
pub fn choose(text: &str) -> Option<&str> {
    text.lines()
        .filter_map(Line::parse)
        .map(|Line { hierarchy: _, controllers, path }| {
            (weight(path), preference(controllers), path)
        })
        .max_by_key(|(weight, preference, _)| (*weight, *preference))
        .map(|(_, _, path)| path)
}

/// The same for the bytes of the file, which need not be text, and as the host writes the path wherever this
/// process runs.
pub fn choose_bytes(bytes: &[u8]) -> Option<Arc<str>> {
    let text = String::from_utf8_lossy(bytes);
    let bases = Bases::own();
    if bases.is_empty() {
        choose(&text).map(Arc::from)
    } else {
        choose(&rewritten(&text, bases)).map(Arc::from)
    }
}

/// The file as a process in the host's cgroup namespace reads it.
fn rewritten(text: &str, bases: &Bases) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.lines() {
        let absolute = Line::parse(line).and_then(|Line { hierarchy, controllers, path }| {
            let path = bases.absolute(hierarchy, path)?;
            Some(format!("{hierarchy}:{controllers}:{path}"))
        });
        written.push_str(absolute.as_deref().unwrap_or(line));
        written.push('\n');
    }
    written
}

fn weight(path: &str) -> u8 {
    let Placement { container, pod_uid, unit, slice: _ } = place(path);
    match (container, pod_uid, unit) {
        (Some(_), Some(_), _) => 4,
        (Some(_), None, _) => 3,
        (None, _, Some(_)) => 2,
        (None, _, None) => u8::from(path.len() > 1),
    }
}

fn preference(controllers: &str) -> u8 {
    const ORDER: [&str; 3] = ["pids", "memory", "cpu"];
    match controllers {
        "" => 9,
        "name=systemd" => 8,
        _ => controllers
            .split(',')
            .filter_map(|one| ORDER.iter().position(|known| *known == one))
            .max()
            .and_then(|position| u8::try_from(position + 1).ok())
            .unwrap_or(0),
    }
}
