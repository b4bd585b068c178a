//! For tests: what a receiver makes of a sequence of reports.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::store::Named;
use crate::{
    export::{PointValue, Report},
    metric::{LabelSet, Metric, Shape},
    time::Wall,
    workload::Resource,
};

/// Keeps the last value of every series ever reported, as a time series database does.
#[derive(Default)]
pub(crate) struct Ledger {
    series: HashMap<(String, &'static str, LabelSet, Wall), f64>,
}

impl Ledger {
    /// Takes a report in and checks what must hold in all of them.
    #[track_caller]
    pub fn take(&mut self, report: &Report) {
        let mut resources = HashSet::new();
        for resource in &report.resources {
            let name = Named::new(&resource.resource).name.to_string();
            assert!(resources.insert(name.clone()), "resource {name} twice in a report");
            let mut metrics = HashSet::new();
            for metric in &resource.metrics {
                assert!(metrics.insert(metric.metric.name), "{} twice", metric.metric.name);
                let mut before: Option<&LabelSet> = None;
                for point in &metric.points {
                    let ordered = before.is_none_or(|one| one.labels() < point.labels.labels());
                    assert!(ordered, "{:?} out of order or twice", point.labels);
                    before = Some(&point.labels);
                    assert!(point.start <= report.at, "starts after its report");
                    if metric.metric.shape == Shape::Gauge {
                        continue;
                    }
                    let key = (name.clone(), metric.metric.name, point.labels.clone(), point.start);
                    let value = amount(&point.value);
                    let earlier = self.series.insert(key, value).unwrap_or(0.0);
                    let counts = metric.metric.shape != Shape::UpDownCounter;
                    assert!(!counts || earlier <= value, "{:?} went down", point.labels);
                }
            }
        }
    }

    /// Sum over all series of a metric that there ever were; number of values for histograms.
    pub fn total(&self, metric: &'static Metric) -> f64 {
        let of_it = self.series.iter().filter(|((_, name, _, _), _)| *name == metric.name);
        of_it.map(|(_, value)| value).sum()
    }

    /// The same for each value of a label; series without it are under "".
    pub fn totals_by(&self, metric: &'static Metric, label: &str) -> BTreeMap<String, f64> {
        let mut totals = BTreeMap::new();
        for ((_, name, labels, _), value) in &self.series {
            if *name == metric.name {
                let key = labels.get(label).map(ToString::to_string).unwrap_or_default();
                *totals.entry(key).or_default() += value;
            }
        }
        totals
    }
}

fn amount(value: &PointValue) -> f64 {
    match value {
        PointValue::Sum(value) | PointValue::Gauge(value) => *value,
        PointValue::Exponential(point) => point.count as f64,
        PointValue::Explicit(point) => point.count as f64,
    }
}

/// Short name of a resource: that of its service; only the host has none.
pub(crate) fn name(resource: &Resource) -> String {
    match resource.text("service.name") {
        Some(name) => {
            let instance = resource.text("service.instance.id").unwrap_or_default();
            format!("{name}/{instance}").trim_end_matches('/').to_owned()
        }
        None => "host".to_owned(),
    }
}

/// A report as text: one line per point, times in milliseconds. Metrics of the agent itself are left out.
pub(crate) fn dump(report: &Report) -> String {
    let mut text = String::new();
    for resource in &report.resources {
        for metric in &resource.metrics {
            if metric.metric.name.starts_with("shipwake.agent.") {
                continue;
            }
            for point in &metric.points {
                let labels: Vec<_> = point
                    .labels
                    .labels()
                    .iter()
                    .map(|label| {
                        let key = label.key.strip_prefix("process.").unwrap_or(label.key);
                        format!("{key}={}", label.value)
                    })
                    .collect();
                let value = match &point.value {
                    PointValue::Sum(value) | PointValue::Gauge(value) => value.to_string(),
                    PointValue::Exponential(point) => {
                        format!("n={} sum={}", point.count, point.sum)
                    }
                    PointValue::Explicit(point) => format!("{:?} sum={}", point.counts, point.sum),
                };
                text += &format!(
                    "{} {}{{{}}} {value} since {}\n",
                    name(&resource.resource),
                    metric.metric.name,
                    labels.join(","),
                    point.start.0 / 1_000_000
                );
            }
        }
    }
    text
}
