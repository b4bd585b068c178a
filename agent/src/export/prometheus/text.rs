//! A report in the Prometheus text format 0.0.4.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use super::{Settings, buckets::Shown, names};
use crate::{
    export::{Point, PointValue, Report, supersede::ResourceKey},
    metric::{LabelSet, Metric, Shape},
    time::Wall,
    workload::{AttributeValue, Resource},
};

/// What a family of series is called and looks like.
struct Family<'a> {
    metric: &'static Metric,
    /// By labels: two resources may share `job` and `instance`, and a scraper takes each series once.
    series: HashMap<String, Series<'a>>,
    order: Vec<String>,
}

struct Series<'a> {
    resource: ResourceKey,
    point: &'a Point,
}

/// Writes the whole page. Also says how many data points are on it.
pub(super) fn page(report: &Report, settings: &Settings, shown: &mut Shown) -> (String, u64) {
    let mut families = BTreeMap::<String, Family<'_>>::new();
    let mut targets = Vec::new();
    let mut known = HashSet::new();
    for resource in &report.resources {
        let identity = identity(&resource.resource);
        if known.insert(identity.clone()) {
            targets.push((identity.clone(), &resource.resource));
        }
        let key = ResourceKey(resource.resource.clone());
        for metric in &resource.metrics {
            let family = families.entry(names::metric(metric.metric)).or_insert_with(|| Family {
                metric: metric.metric,
                series: HashMap::new(),
                order: Vec::new(),
            });
            // Two metrics with one Prometheus name: the first keeps it if they differ in kind.
            if family.metric.shape != metric.metric.shape {
                continue;
            }
            for point in &metric.points {
                family.add(labels(&identity, &point.labels, settings), &key, point);
            }
        }
    }
    let mut out = String::new();
    if !targets.is_empty() {
        out.push_str(
            "# HELP target_info Attributes of the service instance.\n# TYPE target_info gauge\n",
        );
    }
    for (identity, resource) in targets {
        let _ = writeln!(out, "target_info{{{}}} 1", target(&identity, resource));
    }
    let mut points = 0;
    for (name, family) in &families {
        points += family.series.len() as u64;
        family.write(name, &mut out, shown);
    }
    shown.end();
    (out, points)
}

impl<'a> Family<'a> {
    fn add(&mut self, labels: String, resource: &ResourceKey, point: &'a Point) {
        let series = Series { resource: resource.clone(), point };
        match self.series.get_mut(&labels) {
            None => {
                self.order.push(labels.clone());
                self.series.insert(labels, series);
            }
            // The instance was replaced; what the newer one counts goes on.
            Some(older) if older.point.start < point.start => *older = series,
            Some(_) => {}
        }
    }

    fn write(&self, name: &str, out: &mut String, shown: &mut Shown) {
        let kind = match self.metric.shape {
            Shape::Counter => "counter",
            Shape::UpDownCounter | Shape::Gauge => "gauge",
            Shape::Histogram => "histogram",
        };
        let help = self.metric.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for labels in &self.order {
            if let Some(series) = self.series.get(labels) {
                series.write(name, labels, self.metric, out, shown);
            }
        }
    }
}

impl Series<'_> {
    fn write(
        &self,
        name: &str,
        labels: &str,
        metric: &'static Metric,
        out: &mut String,
        shown: &mut Shown,
    ) {
        let (cumulative, count, sum) = match &self.point.value {
            PointValue::Sum(value) | PointValue::Gauge(value) => {
                let _ = writeln!(out, "{name}{{{labels}}} {}", number(*value));
                return;
            }
            PointValue::Exponential(value) => {
                let counts = shown.cumulative(&self.resource, metric, self.point, value);
                (counts, value.count, value.sum)
            }
            PointValue::Explicit(value) => {
                let counts = value.counts.iter().scan(0u64, |total, count| {
                    *total = total.saturating_add(*count);
                    Some(*total)
                });
                (counts.take(metric.bounds.len()).collect(), value.count, value.sum)
            }
        };
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in metric.bounds.iter().zip(cumulative) {
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", number(sum));
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// `job` and `instance`, written as labels.
fn identity(resource: &Resource) -> String {
    let name = resource.text("service.name").unwrap_or("unknown_service");
    let job = match resource.text("service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let mut out = pair("job", &job);
    if let Some(instance) = resource.text("service.instance.id") {
        out.push(',');
        out.push_str(&pair("instance", instance));
    }
    out
}

fn target(identity: &str, resource: &Resource) -> String {
    let attributes = resource
        .attributes
        .iter()
        .filter(|(key, _, _)| {
            !matches!(&**key, "service.name" | "service.namespace" | "service.instance.id")
        })
        .map(|(key, value, _)| (&**key, shown(value)));
    join(identity.to_owned(), attributes)
}

fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Str(text) => text.to_string(),
        AttributeValue::Strs(texts) => {
            serde_json::json!(texts.iter().map(|text| &**text).collect::<Vec<_>>()).to_string()
        }
        AttributeValue::Int(number) => number.to_string(),
        AttributeValue::Bool(truth) => truth.to_string(),
    }
}

fn labels(identity: &str, set: &LabelSet, settings: &Settings) -> String {
    let mut start = identity.to_owned();
    if settings.scope_labels {
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(start, ",otel_scope_name=\"shipwake\",otel_scope_version=\"{version}\"");
    }
    join(start, set.labels().iter().map(|label| (label.key, label.value.to_string())))
}

/// Appends pairs in the order of their keys. Keys that become the same label are one label with both
/// values; keys that would hide `job`, `instance` or `le` are marked, as scrapers do it.
fn join<'a>(mut out: String, pairs: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut joined = BTreeMap::<String, String>::new();
    for (key, value) in pairs {
        let mut label = names::label(key);
        if matches!(label.as_str(), "job" | "instance" | "le") {
            label.insert_str(0, "exported_");
        }
        joined
            .entry(label)
            .and_modify(|joined| {
                joined.push(';');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    for (label, value) in joined {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&pair(&label, &value));
    }
    out
}

fn pair(label: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{label}=\"{value}\"")
}

/// A report with nothing in it.
pub(super) fn empty() -> Report {
    Report { at: Wall(0), resources: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::{counted, exponential, report, resource, service};

    #[track_caller]
    fn check(report: &Report, expected: &[&str]) {
        let settings = Settings { scope_labels: false, ..Settings::default() };
        let (page, _) = page(report, &settings, &mut Shown::default());
        for line in expected {
            assert!(page.lines().any(|found| found == *line), "no line `{line}` in\n{page}");
        }
    }

    #[test]
    fn series_carry_job_and_instance() {
        let shop = resource(&[
            ("service.name", "cart"),
            ("service.namespace", "shop"),
            ("service.instance.id", "i1"),
            ("container.name", "c\"\\\n"),
        ]);
        check(
            &report(9, [counted(shop, &[("k.a", 3.0)])]),
            &[
                r#"target_info{job="shop/cart",instance="i1",container_name="c\"\\\n"} 1"#,
                "# TYPE test_count_total counter",
                r#"test_count_total{job="shop/cart",instance="i1",test_key="k.a"} 3"#,
            ],
        );
    }

    #[test]
    fn histograms_have_classic_buckets() {
        // Scale 0: (0.5,1] (1,2].
        check(
            &report(9, [exponential(service("a"), 0, -1, &[4, 6])]),
            &[
                "# TYPE http_server_request_duration_seconds histogram",
                r#"http_server_request_duration_seconds_bucket{job="a",le="0.5"} 0"#,
                r#"http_server_request_duration_seconds_bucket{job="a",le="1"} 4"#,
                r#"http_server_request_duration_seconds_bucket{job="a",le="2.5"} 10"#,
                r#"http_server_request_duration_seconds_bucket{job="a",le="+Inf"} 10"#,
                r#"http_server_request_duration_seconds_count{job="a"} 10"#,
            ],
        );
    }

    #[test]
    fn buckets_never_shrink_while_a_series_lives() {
        let mut shown = Shown::default();
        let settings = Settings::default();
        let bucket = |page: &str| {
            let line = page.lines().find(|line| line.contains("le=\"0.75\"")).unwrap();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        // Scale 2 says that everything is below 0.6; scale 0 only that it is below 1.
        let fine = report(9, [exponential(service("a"), 2, -4, &[100])]);
        let coarse = report(19, [exponential(service("a"), 0, -1, &[100])]);
        let before = bucket(&page(&fine, &settings, &mut shown).0);
        assert_eq!(before, 100);
        assert_eq!(bucket(&page(&coarse, &settings, &mut Shown::default()).0), 58);
        assert_eq!(bucket(&page(&coarse, &settings, &mut shown).0), 100);
    }

    #[test]
    fn a_series_is_written_once() {
        let old = resource(&[("service.name", "a"), ("service.version", "1")]);
        let new = resource(&[("service.name", "a"), ("service.version", "2")]);
        let mut newer = counted(new, &[("k", 5.0)]);
        newer.metrics[0].points[0].start = Wall(7);
        let report = report(9, [counted(old, &[("k", 900.0)]), newer]);
        let (page, points) = page(&report, &Settings::default(), &mut Shown::default());
        let lines: Vec<_> = page.lines().filter(|line| line.starts_with("test_count")).collect();
        assert_eq!((lines.len(), points), (1, 1));
        assert!(lines[0].ends_with(" 5"), "{page}");
        assert_eq!(page.lines().filter(|line| line.starts_with("target_info")).count(), 1);
    }
}
