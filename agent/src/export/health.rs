//! How an exporter is doing: self-metrics, status, and log lines that do not repeat.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    metric::{
        AttributeDef, DURATION_BOUNDS, Label, LabelSet, LabelValue, Metric, Shape, Value, Worse,
    },
    signals::{Batch, Loss, Measurement, Subject},
};

const COMPONENT_TYPE: AttributeDef =
    AttributeDef { key: "otel.component.type", help: "Kind of exporter." };
const COMPONENT_NAME: AttributeDef =
    AttributeDef { key: "otel.component.name", help: "Name of the exporter in the configuration." };
const ERROR_TYPE: AttributeDef = AttributeDef {
    key: "error.type",
    help: "Why the points were not exported. Absent on success.",
};

/// Points that left, or did not.
pub static EXPORTED: Metric = Metric {
    name: "otel.sdk.exporter.metric_data_point.exported",
    unit: "{data_point}",
    help: "Data points whose export has ended, successfully or with an error.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[COMPONENT_TYPE, COMPONENT_NAME, ERROR_TYPE],
    bounds: &[],
};

/// Points on their way.
pub static INFLIGHT: Metric = Metric {
    name: "otel.sdk.exporter.metric_data_point.inflight",
    unit: "{data_point}",
    help: "Data points that were sent and not yet answered.",
    shape: Shape::UpDownCounter,
    worse: Worse::Neither,
    attributes: &[COMPONENT_TYPE, COMPONENT_NAME],
    bounds: &[],
};

/// Time per request.
pub static DURATION: Metric = Metric {
    name: "otel.sdk.exporter.operation.duration",
    unit: "s",
    help: "Duration of one export request, failed ones included.",
    shape: Shape::Histogram,
    worse: Worse::Neither,
    attributes: &[COMPONENT_TYPE, COMPONENT_NAME, ERROR_TYPE],
    bounds: DURATION_BOUNDS,
};

/// Bytes that wait.
pub static QUEUE_SIZE: Metric = Metric {
    name: "shipwake.exporter.queue.size",
    unit: "By",
    help: "Memory of the reports that wait for the exporter.",
    shape: Shape::UpDownCounter,
    worse: Worse::Neither,
    attributes: &[COMPONENT_TYPE, COMPONENT_NAME],
    bounds: &[],
};

/// Bytes that may wait.
pub static QUEUE_CAPACITY: Metric = Metric {
    name: "shipwake.exporter.queue.capacity",
    unit: "By",
    help: "Most memory of reports that may wait for the exporter.",
    shape: Shape::UpDownCounter,
    worse: Worse::Neither,
    attributes: &[COMPONENT_TYPE, COMPONENT_NAME],
    bounds: &[],
};

/// Every self-metric of exporters.
pub static METRICS: &[&Metric] = &[&EXPORTED, &INFLIGHT, &DURATION, &QUEUE_SIZE, &QUEUE_CAPACITY];

/// How often the same trouble may be told again.
const REPEAT: Duration = Duration::from_secs(300);
/// Request durations kept between two observations; more than an exporter can make in that time.
const MOST_DURATIONS: usize = 1024;

/// Counts of one exporter, shared by its queue and its task.
pub struct Health {
    name: &'static str,
    component: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    delivered: u64,
    lost: BTreeMap<Cow<'static, str>, u64>,
    delivered_reported: u64,
    lost_reported: BTreeMap<Cow<'static, str>, u64>,
    inflight: u64,
    durations: Vec<(f64, Option<Cow<'static, str>>)>,
    queued: u64,
    capacity: u64,
    trouble: Option<Trouble>,
    /// When each kind of trouble was logged last.
    told: BTreeMap<Cow<'static, str>, Instant>,
}

struct Trouble {
    message: String,
    logged: bool,
}

/// How an exporter is doing, for `status` and `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    pub name: &'static str,
    /// Data points that were accepted.
    pub delivered: u64,
    /// Data points that were not, by reason.
    pub lost: BTreeMap<Cow<'static, str>, u64>,
    /// What is wrong now; `None` when the last attempt worked.
    pub trouble: Option<String>,
}

impl Health {
    pub fn new(name: &'static str, component: &'static str) -> Self {
        Self { name, component, counts: Mutex::default() }
    }

    /// Points were accepted.
    pub fn delivered(&self, points: u64) {
        self.lock().delivered += points;
    }

    /// Points will never arrive. `why` is the `error.type`: one of few values.
    pub fn lost(&self, points: u64, why: impl Into<Cow<'static, str>>) {
        if points > 0 {
            *self.lock().lost.entry(why.into()).or_default() += points;
        }
    }

    /// Points are being sent; zero when they were answered.
    pub fn set_inflight(&self, points: u64) {
        self.lock().inflight = points;
    }

    /// A request was answered, or given up.
    pub fn took(&self, time: Duration, error: Option<Cow<'static, str>>) {
        let mut counts = self.lock();
        if counts.durations.len() < MOST_DURATIONS {
            counts.durations.push((time.as_secs_f64(), error));
        }
    }

    /// Notes that something is wrong, and logs it unless the same was logged a short while ago.
    pub fn trouble(&self, kind: impl Into<Cow<'static, str>>, message: &str) {
        let kind = kind.into();
        let logged = {
            let mut counts = self.lock();
            let due = counts.told.get(&kind).is_none_or(|told| told.elapsed() >= REPEAT);
            if due {
                counts.told.insert(kind, Instant::now());
            }
            let before = counts.trouble.take().is_some_and(|trouble| trouble.logged);
            counts.trouble = Some(Trouble { message: message.to_owned(), logged: due || before });
            due
        };
        if logged {
            tracing::warn!(exporter = self.name, "{message}");
        }
    }

    /// Notes that it works, and logs so when trouble was logged before.
    pub fn well(&self) {
        let trouble = self.lock().trouble.take();
        if trouble.is_some_and(|trouble| trouble.logged) {
            tracing::info!(exporter = self.name, "export works again");
        }
    }

    pub(crate) fn set_queued(&self, bytes: u64) {
        self.lock().queued = bytes;
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// How the exporter is doing.
    pub fn status(&self) -> Status {
        let counts = self.lock();
        Status {
            name: self.name,
            delivered: counts.delivered,
            lost: counts.lost.clone(),
            trouble: counts.trouble.as_ref().map(|trouble| trouble.message.clone()),
        }
    }

    /// Adds what happened since the last call, for the engine.
    pub fn observe(&self, out: &mut Batch) {
        let mut counts = self.lock();
        let delivered = counts.delivered - counts.delivered_reported;
        if delivered > 0 {
            self.say(out, &EXPORTED, None, Value::Add(delivered as f64));
        }
        counts.delivered_reported = counts.delivered;
        for (why, total) in &counts.lost {
            let new = total - counts.lost_reported.get(why).copied().unwrap_or(0);
            if new > 0 {
                self.say(out, &EXPORTED, Some(why), Value::Add(new as f64));
                out.losses.push(Loss { signal: self.name, cause: "not_exported", count: new });
            }
        }
        counts.lost_reported = counts.lost.clone();
        for (seconds, error) in std::mem::take(&mut counts.durations) {
            self.say(out, &DURATION, error.as_ref(), Value::Observe(seconds));
        }
        self.say(out, &INFLIGHT, None, Value::Set(counts.inflight as f64));
        self.say(out, &QUEUE_SIZE, None, Value::Set(counts.queued as f64));
        self.say(out, &QUEUE_CAPACITY, None, Value::Set(counts.capacity as f64));
    }

    fn say(
        &self,
        out: &mut Batch,
        metric: &'static Metric,
        error: Option<&Cow<'static, str>>,
        value: Value,
    ) {
        let mut labels = vec![
            Label { key: COMPONENT_TYPE.key, value: LabelValue::Static(self.component) },
            Label { key: COMPONENT_NAME.key, value: LabelValue::Static(self.name) },
        ];
        if let Some(error) = error {
            labels.push(Label { key: ERROR_TYPE.key, value: error.to_string().into() });
        }
        out.measurements.push(Measurement {
            metric,
            subject: Subject::Agent,
            labels: LabelSet::new(labels),
            value,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
