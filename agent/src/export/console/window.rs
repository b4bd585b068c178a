//! What happened between two reports, per service.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use rustc_hash::FxBuildHasher;

use crate::{
    export::{MetricReport, Point, PointValue, Report, supersede::ResourceKey},
    metric::{LabelSet, LabelValue, Metric},
    time::Wall,
    workload::{AttributeValue, Resource},
};

const SERVER: &str = "http.server.request.duration";
const CLIENT: &str = "http.client.request.duration";
const SYSCALLS: &str = "shipwake.syscall.count";
const SYSCALL_ERRORS: &str = "shipwake.syscall.errors";
const RETRANSMITS: &str = "shipwake.tcp.retransmits";
const LOST: &str = "shipwake.agent.lost";
const NAMES: [&str; 6] = [SERVER, CLIENT, SYSCALLS, SYSCALL_ERRORS, RETRANSMITS, LOST];

/// What happened in one window.
#[derive(Debug)]
pub(super) struct Window {
    pub at: Wall,
    pub length: Duration,
    pub services: BTreeMap<Service, Row>,
    /// Idle services without a name, which are not among `services`.
    pub hidden: usize,
    /// Events lost since the agent started, by signal and cause.
    pub lost: BTreeMap<String, f64>,
}

/// What a service is called that nothing names: this, then the executable's name.
const UNKNOWN: &str = "unknown_service";

/// Who a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
}

impl Service {
    /// The name, or else the executable's.
    pub(super) fn shown(&self) -> Result<String, &str> {
        match (self.name.strip_prefix(UNKNOWN), &self.namespace) {
            (Some(rest), _) => Err(rest.strip_prefix(':').unwrap_or("?")),
            (None, Some(namespace)) => Ok(format!("{namespace}/{}", self.name)),
            (None, None) => Ok(self.name.to_string()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Row {
    pub instances: BTreeSet<Arc<str>>,
    pub versions: BTreeSet<Arc<str>>,
    pub served: Requests,
    pub sent: Requests,
    pub syscalls: f64,
    pub errors: BTreeMap<String, f64>,
    pub retransmits: f64,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    pub count: f64,
    pub failed: f64,
    /// Durations and the bounds of their metric.
    pub durations: Option<(PointValue, &'static [f64])>,
}

/// Remembers the last report.
#[derive(Default)]
pub(super) struct Windows {
    last: Option<Wall>,
    series: HashMap<Key, (Wall, PointValue), FxBuildHasher>,
}

type Key = (ResourceKey, &'static Metric, LabelSet);

impl Windows {
    /// The window that `report` ends. The first begins with the oldest series.
    pub(super) fn next(&mut self, report: &Report) -> Window {
        let begin = self.last.or_else(|| oldest(report)).unwrap_or(report.at);
        let mut window = Window {
            at: report.at,
            length: Duration::from_nanos(report.at.0.saturating_sub(begin.0)),
            services: BTreeMap::new(),
            hidden: 0,
            lost: BTreeMap::new(),
        };
        let mut series = HashMap::default();
        for resource in &report.resources {
            let key = ResourceKey(resource.resource.clone());
            for metric in &resource.metrics {
                let Some(name) = NAMES.iter().find(|name| **name == metric.metric.name) else {
                    continue;
                };
                for point in &metric.points {
                    let key = (key.clone(), metric.metric, point.labels.clone());
                    let added = self.added(&key, point);
                    series.insert(key, (point.start, point.value.clone()));
                    window.add(name, &resource.resource, metric, point, &added);
                }
            }
            window.meet(&resource.resource, &resource.metrics);
        }
        window.hidden = window.hide_idle();
        self.series = series;
        self.last = Some(report.at);
        window
    }

    /// What a series grew by. One that is new, or began anew, grew by all it has.
    fn added(&self, key: &Key, point: &Point) -> PointValue {
        match self.series.get(key) {
            Some((start, before)) if *start == point.start => point.value.since(before),
            _ => point.value.clone(),
        }
    }
}

impl Window {
    /// Takes away what neither has a name nor did anything, and says how many those were.
    fn hide_idle(&mut self) -> usize {
        let before = self.services.len();
        self.services.retain(|service, row| service.shown().is_ok() || !row.idle());
        before - self.services.len()
    }

    /// An instance is there even when it does nothing.
    fn meet(&mut self, resource: &Resource, metrics: &[MetricReport]) {
        if metrics
            .iter()
            .all(|metric| !NAMES.contains(&metric.metric.name) || metric.metric.name == LOST)
        {
            return;
        }
        let Some(service) = service(resource) else { return };
        let row = self.services.entry(service).or_default();
        if let Some(instance) = text(resource, "service.instance.id") {
            row.instances.insert(instance);
        }
        if let Some(version) = text(resource, "service.version") {
            row.versions.insert(version);
        }
    }

    fn add(
        &mut self,
        name: &str,
        resource: &Resource,
        metric: &MetricReport,
        point: &Point,
        added: &PointValue,
    ) {
        let label = |key| point.labels.get(key).map(ToString::to_string);
        if name == LOST {
            let total = count(&point.value);
            if total > 0.0 {
                let what = [label("shipwake.agent.signal"), label("shipwake.agent.cause")];
                let what: Vec<_> = what.into_iter().flatten().collect();
                *self.lost.entry(what.join(" ")).or_default() += total;
            }
            return;
        }
        let Some(service) = service(resource) else { return };
        let row = self.services.entry(service).or_default();
        match name {
            SERVER => row.served.add(point, added, metric.metric.bounds),
            CLIENT => row.sent.add(point, added, metric.metric.bounds),
            SYSCALLS => row.syscalls += count(added),
            SYSCALL_ERRORS => {
                let errno = label("error.type").unwrap_or_else(|| "unknown".to_owned());
                *row.errors.entry(errno).or_default() += count(added);
            }
            RETRANSMITS => row.retransmits += count(added),
            _ => {}
        }
    }
}

impl Row {
    fn idle(&self) -> bool {
        let errors: f64 = self.errors.values().sum();
        self.served.count + self.sent.count + self.syscalls + errors + self.retransmits == 0.0
    }
}

impl Requests {
    fn add(&mut self, point: &Point, added: &PointValue, bounds: &'static [f64]) {
        let added_count = count(added);
        self.count += added_count;
        let server_error = match point.labels.get("http.response.status_code") {
            Some(LabelValue::Int(status)) => *status >= 500,
            _ => false,
        };
        if server_error || point.labels.get("error.type").is_some() {
            self.failed += added_count;
        }
        match &mut self.durations {
            Some((durations, _)) => durations.merge(added),
            None => self.durations = Some((added.clone(), bounds)),
        }
    }
}

fn count(value: &PointValue) -> f64 {
    match value {
        PointValue::Sum(value) | PointValue::Gauge(value) => value.max(0.0),
        PointValue::Exponential(value) => value.count as f64,
        PointValue::Explicit(value) => value.count as f64,
    }
}

/// The host's own resource has no service and no row.
fn service(resource: &Resource) -> Option<Service> {
    let name = text(resource, "service.name")?;
    Some(Service { namespace: text(resource, "service.namespace"), name })
}

fn text(resource: &Resource, key: &str) -> Option<Arc<str>> {
    match resource.get(key) {
        Some(AttributeValue::Str(text)) => Some(text.clone()),
        _ => None,
    }
}

fn oldest(report: &Report) -> Option<Wall> {
    let metrics = report.resources.iter().flat_map(|resource| &resource.metrics);
    metrics.flat_map(|metric| &metric.points).map(|point| point.start).min()
}
