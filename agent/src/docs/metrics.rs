//! docs/METRICS.md.

use super::{cell, head};
use crate::{
    engine, export,
    metric::{Metric, Shape, Worse},
    signals, telemetry,
};

const INTRODUCTION: &str = "
Names, units and attributes of everything that leaves the host. The resource of a metric is the service
instance it was measured on; metrics of one process carry `process.pid` and `process.executable.name` besides the
attributes named here. *Worse* is the direction that is bad news when two deploys are compared.
";

/// docs/METRICS.md.
pub fn markdown() -> String {
    let mut text = head("Metrics") + INTRODUCTION;
    for signal in signals::ALL {
        group(&mut text, signal.name, signal.help, signal.metrics);
    }
    group(&mut text, "agent", "The agent itself. Resource: `service.name=shipwake`.", &own());
    text
}

fn group(text: &mut String, name: &str, help: &str, metrics: &[&Metric]) {
    text.push_str(&format!("\n## {name}\n\n{}\n", cell(help)));
    for metric in metrics {
        text.push_str(&format!(
            "\n### `{}`\n\n{}\n\n{}, unit `{}`, worse: {}.\n",
            metric.name,
            cell(metric.help),
            shape(metric.shape),
            metric.unit,
            worse(metric.worse),
        ));
        if !metric.attributes.is_empty() {
            text.push_str("\n| attribute | meaning |\n|---|---|\n");
        }
        for attribute in metric.attributes {
            text.push_str(&format!("| `{}` | {} |\n", attribute.key, cell(attribute.help)));
        }
    }
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Counter => "Counter",
        Shape::UpDownCounter => "UpDownCounter",
        Shape::Gauge => "Gauge",
        Shape::Histogram => "Histogram",
    }
}

fn worse(worse: Worse) -> &'static str {
    match worse {
        Worse::Higher => "higher",
        Worse::Lower => "lower",
        Worse::Neither => "neither",
    }
}

/// Every metric of the agent.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    let signals = signals::ALL.iter().flat_map(|signal| signal.metrics);
    signals.copied().chain(own())
}

/// The agent's metrics about itself.
fn own() -> Vec<&'static Metric> {
    [telemetry::metrics::ALL, engine::metrics::ALL, export::METRICS].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for metric in all() {
            assert!(seen.insert(metric.name), "{} is declared twice", metric.name);
        }
    }

    #[test]
    fn every_metric_is_explained() {
        for metric in all() {
            assert!(!metric.help.trim().is_empty(), "{}", metric.name);
            assert!(!metric.unit.is_empty(), "{}", metric.name);
            let histogram = metric.shape == Shape::Histogram;
            assert_eq!(histogram, !metric.bounds.is_empty(), "bounds of {}", metric.name);
        }
    }
}
