//! Source `systemd`: what the name of a unit says. Asks nobody: the unit is in the cgroup path.

use tokio::sync::mpsc;

use super::{About, Ask, Attribute, Change, Health, SourceDef, resolve::basename};
use crate::config::Config;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "systemd",
    help: "Service names from systemd units, as the cgroup path names them",
    concerns: |ask| matches!(ask, Ask::Unit(_)),
    tells_host: false,
    start,
};

fn start(_: &Config, mut asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    health.works();
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let Ask::Unit(unit) = ask else { continue };
            let change = Change {
                source: SOURCE.name,
                attributes: describe(basename(&unit)),
                about: About::Unit(unit),
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    });
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
