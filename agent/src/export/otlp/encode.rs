//! Points as OTLP protobuf.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        self as proto, AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint,
        Gauge, Histogram, HistogramDataPoint, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    resource::v1 as resource_proto,
};

use crate::{
    export::{PointValue, ResourceReport},
    metric::{LabelSet, LabelValue, Metric, Shape},
    time::Wall,
    workload::{AttributeValue, Resource},
};

/// The version of the semantic conventions that names follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// A point as it will be sent: cumulative, or already the difference to what was sent before.
pub(super) struct Outgoing<'a> {
    pub labels: &'a LabelSet,
    pub start: Wall,
    pub value: Sent<'a>,
}

/// The value of a point as it will be sent. Differences of histograms have no extremes.
pub(super) enum Sent<'a> {
    Whole(&'a PointValue),
    Difference(PointValue),
}

/// Points of one metric.
pub(super) struct OutgoingMetric<'a> {
    pub metric: &'static Metric,
    pub temporality: AggregationTemporality,
    pub points: Vec<Outgoing<'a>>,
}

/// One resource with its metrics, as one OTLP message.
pub(super) fn resource(
    report: &ResourceReport,
    metrics: &[OutgoingMetric<'_>],
    at: Wall,
) -> ResourceMetrics {
    let scope = InstrumentationScope {
        name: "shipwake".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    ResourceMetrics {
        resource: Some(resource_proto::Resource {
            attributes: attributes(&report.resource),
            ..Default::default()
        }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope),
            metrics: metrics.iter().flat_map(|metric| encode(metric, at)).collect(),
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}

fn attributes(resource: &Resource) -> Vec<KeyValue> {
    let pairs = resource.attributes.iter();
    pairs.map(|(key, value, _)| pair(key, attribute(value))).collect()
}

fn attribute(value: &AttributeValue) -> any_value::Value {
    match value {
        AttributeValue::Str(text) => any_value::Value::StringValue(text.to_string()),
        AttributeValue::Strs(texts) => any_value::Value::ArrayValue(ArrayValue {
            values: texts
                .iter()
                .map(|text| AnyValue {
                    value: Some(any_value::Value::StringValue(text.to_string())),
                })
                .collect(),
        }),
        AttributeValue::Int(number) => any_value::Value::IntValue(*number),
        AttributeValue::Bool(truth) => any_value::Value::BoolValue(*truth),
    }
}

fn labels(set: &LabelSet) -> Vec<KeyValue> {
    let pairs = set.labels().iter().map(|label| {
        let value = match &label.value {
            LabelValue::Static(text) => any_value::Value::StringValue((*text).to_owned()),
            LabelValue::Str(text) => any_value::Value::StringValue(text.to_string()),
            LabelValue::Int(number) => any_value::Value::IntValue(*number),
            LabelValue::Bool(truth) => any_value::Value::BoolValue(*truth),
        };
        pair(label.key, value)
    });
    pairs.collect()
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

/// Usually one OTLP metric; a histogram whose points are of both kinds becomes two.
fn encode(outgoing: &OutgoingMetric<'_>, at: Wall) -> Vec<proto::Metric> {
    let (mut numbers, mut exponential, mut explicit) = (Vec::new(), Vec::new(), Vec::new());
    for point in &outgoing.points {
        let (value, whole) = match &point.value {
            Sent::Whole(value) => (*value, true),
            Sent::Difference(value) => (value, false),
        };
        let attributes = labels(point.labels);
        let extreme = |value: f64| (whole && value.is_finite()).then_some(value);
        match value {
            PointValue::Sum(value) | PointValue::Gauge(value) => numbers.push(NumberDataPoint {
                attributes,
                start_time_unix_nano: match outgoing.metric.shape {
                    Shape::Gauge => 0,
                    Shape::Counter | Shape::UpDownCounter | Shape::Histogram => point.start.0,
                },
                time_unix_nano: at.0,
                value: Some(number(outgoing.metric, *value)),
                ..Default::default()
            }),
            PointValue::Exponential(value) => exponential.push(ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: point.start.0,
                time_unix_nano: at.0,
                count: value.count,
                sum: Some(value.sum),
                scale: value.scale,
                zero_count: value.zero,
                positive: Some(Buckets {
                    offset: value.offset,
                    bucket_counts: value.counts.clone(),
                }),
                min: extreme(value.min).filter(|_| value.count > 0),
                max: extreme(value.max).filter(|_| value.count > 0),
                ..Default::default()
            }),
            PointValue::Explicit(value) => explicit.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: point.start.0,
                time_unix_nano: at.0,
                count: value.count,
                sum: Some(value.sum),
                bucket_counts: value.counts.clone(),
                explicit_bounds: outgoing.metric.bounds.to_vec(),
                min: extreme(value.min).filter(|_| value.count > 0),
                max: extreme(value.max).filter(|_| value.count > 0),
                ..Default::default()
            }),
        }
    }
    let aggregation_temporality = outgoing.temporality as i32;
    let mut data = Vec::new();
    if !numbers.is_empty() {
        data.push(match outgoing.metric.shape {
            Shape::Gauge => Data::Gauge(Gauge { data_points: numbers }),
            shape => Data::Sum(Sum {
                data_points: numbers,
                aggregation_temporality,
                is_monotonic: shape == Shape::Counter,
            }),
        });
    }
    if !exponential.is_empty() {
        data.push(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: exponential,
            aggregation_temporality,
        }));
    }
    if !explicit.is_empty() {
        data.push(Data::Histogram(Histogram { data_points: explicit, aggregation_temporality }));
    }
    data.into_iter()
        .map(|data| proto::Metric {
            name: outgoing.metric.name.to_owned(),
            description: outgoing.metric.help.to_owned(),
            unit: outgoing.metric.unit.to_owned(),
            data: Some(data),
            ..Default::default()
        })
        .collect()
}

/// Counted things are integers, measured ones are not; the unit tells which, so that the type of a
/// metric never changes.
fn number(metric: &Metric, value: f64) -> number_data_point::Value {
    if metric.unit.starts_with('{') || metric.unit == "By" {
        number_data_point::Value::AsInt(value.round() as i64)
    } else {
        number_data_point::Value::AsDouble(value)
    }
}
