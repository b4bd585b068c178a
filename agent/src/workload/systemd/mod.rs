//! Source `systemd`: what the name of a unit says, and the files that systemd keeps and reads about it.
//! Asks no bus: all of it is on disk.
//!
//! What changes with every start (the invocation) or is about its configuration is known and not exported:
//! a series must not end with every restart.

mod files;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    About, Ask, Attribute, Change, Health, SourceDef, names,
    resolve::basename,
    worker::{self, Work},
};
use crate::config::Config;
use files::{Manager, Told};

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "systemd",
    help: "systemd units: names, instances, invocations, and when their files were changed",
    concerns: |ask| matches!(ask, Ask::Unit(_)),
    tells_host: false,
    start,
};

/// Between two looks at the units that run.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Units that are looked at again. Above that, those that appear later are not.
const MOST_UNITS: usize = 4096;
/// How often a unit that does not run is looked at.
const MOST_MISSED: u32 = 30;
/// The host as its first process sees it: the agent may run in a container.
const HOST: &str = "/proc/1/root";

fn start(_: &Config, asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    health.works();
    let root = if Path::new(HOST).join("proc").exists() { HOST } else { "/" };
    let units = Units { root: root.into(), known: BTreeMap::new(), next_look: Instant::now() };
    worker::start(SOURCE.name, units, asks, changes, &health);
}

/// The units that were asked about.
struct Units {
    root: PathBuf,
    known: BTreeMap<Arc<str>, Known>,
    next_look: Instant,
}

struct Known {
    told: Told,
    /// How often it was looked at since it ran.
    missed: u32,
}

impl Work for Units {
    fn hear(&mut self, ask: Ask, changes: &mut Vec<Change>) {
        let Ask::Unit(unit) = ask else { return };
        let told = self.look(&unit);
        changes.push(change(&unit, &told));
        if self.known.len() < MOST_UNITS || self.known.contains_key(&unit) {
            self.known.insert(unit, Known { told, missed: 0 });
        }
    }

    fn due(&self) -> Option<Instant> {
        (!self.known.is_empty()).then_some(self.next_look)
    }

    fn wake(&mut self, changes: &mut Vec<Change>) {
        self.next_look = Instant::now() + LOOK_AGAIN;
        let units: Vec<Arc<str>> = self.known.keys().cloned().collect();
        for unit in units {
            let told = self.look(&unit);
            let Some(known) = self.known.get_mut(&unit) else { continue };
            if told.invocation.is_none() {
                // One that does not run is what it was; after a while it is asked about anew.
                known.missed += 1;
                if known.missed > MOST_MISSED {
                    self.known.remove(&unit);
                }
            } else if known.told != told {
                changes.push(change(&unit, &told));
                *known = Known { told, missed: 0 };
            }
        }
    }
}

impl Units {
    /// A unit inside of a container has its files there: nothing of the host is about it.
    fn look(&self, unit: &str) -> Told {
        match unit.rsplit_once('/') {
            None => files::look(&self.root, Manager::System, unit),
            Some((place, name)) => match place.strip_prefix("user@") {
                Some(id) => files::look(&self.root, Manager::User(id), name),
                None => Told::default(),
            },
        }
    }
}

fn change(unit: &Arc<str>, told: &Told) -> Change {
    let mut attributes = describe(basename(unit));
    let Told { invocation, started, changed } = told;
    for (key, value) in [("invocation_id", invocation), ("started", started), ("changed", changed)]
    {
        if let Some(value) = value {
            let key = format!("{}shipwake.systemd.{key}", names::FACT);
            attributes.push(Attribute::text(key, value.as_str()));
        }
    }
    Change { source: SOURCE.name, about: About::Unit(unit.clone()), attributes }
}

/// `foo@instance.service`: the unit, and its instance.
fn describe(unit: &str) -> Vec<Attribute> {
    let mut attributes = vec![Attribute::text("shipwake.systemd.unit", unit)];
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    if let Some((template, instance)) = stem.split_once('@')
        && !template.is_empty()
        && !instance.is_empty()
    {
        attributes.push(Attribute::text("shipwake.systemd.instance", instance));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(key, value)| Attribute::text(*key, *value)).collect();
        assert_eq!(describe(unit), expected, "{unit}");
    }

    #[test]
    fn units() {
        check("nginx.service", &[("shipwake.systemd.unit", "nginx.service")]);
        check(
            "postgresql@15-main.service",
            &[
                ("shipwake.systemd.unit", "postgresql@15-main.service"),
                ("shipwake.systemd.instance", "15-main"),
            ],
        );
        check("@.service", &[("shipwake.systemd.unit", "@.service")]);
    }
}
