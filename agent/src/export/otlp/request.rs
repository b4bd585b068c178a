//! Reports as request bodies: as few as the size limit allows, each encoded and compressed once.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{AggregationTemporality, ResourceMetrics},
};
use prost::Message as _;

use super::{
    Compression, Protocol, Settings, compress,
    delta::{self, Ledger},
    encode::{self, Outgoing, OutgoingMetric, Sent},
    grpc,
};
use crate::{
    export::{MetricReport, Report, ResourceReport},
    time::Wall,
};

/// One request body, ready to be sent as often as needed.
pub(super) struct Payload {
    pub body: Bytes,
    pub points: u64,
    /// What the ledger learns when the receiver accepts; empty without one.
    pub parts: Vec<(Wall, ResourceReport)>,
}

/// What became of reports.
#[derive(Default)]
pub(super) struct Built {
    pub payloads: Vec<Payload>,
    /// Points that no request can hold: a single one is larger than the limit.
    pub too_large: u64,
}

/// Encodes reports. With a ledger, counters and histograms become differences.
pub(super) fn build(
    reports: &[Arc<Report>],
    settings: &Settings,
    ledger: Option<&Ledger>,
) -> std::io::Result<Built> {
    let mut packer = Packer {
        limit: usize::try_from(settings.max_request_bytes).unwrap_or(usize::MAX),
        protocol: settings.protocol,
        compression: settings.compression,
        ledger,
        open: Open::default(),
        built: Built::default(),
    };
    for report in reports {
        for resource in &report.resources {
            packer.add(report.at, resource)?;
        }
    }
    packer.close()?;
    Ok(packer.built)
}

struct Packer<'a> {
    limit: usize,
    protocol: Protocol,
    compression: Compression,
    ledger: Option<&'a Ledger>,
    open: Open,
    built: Built,
}

/// The request that is being filled.
#[derive(Default)]
struct Open {
    resources: Vec<ResourceMetrics>,
    bytes: usize,
    points: u64,
    parts: Vec<(Wall, ResourceReport)>,
}

impl Packer<'_> {
    fn add(&mut self, at: Wall, report: &ResourceReport) -> std::io::Result<()> {
        let metrics = self.outgoing(at, report);
        let points = metrics.iter().map(|metric| metric.points.len() as u64).sum::<u64>();
        if points == 0 {
            return Ok(());
        }
        let message = encode::resource(report, &metrics, at);
        let bytes = message.encoded_len();
        let bytes = 1 + prost::length_delimiter_len(bytes) + bytes;
        if bytes > self.limit {
            drop(message);
            match halves(report) {
                Some([first, second]) => {
                    self.add(at, &first)?;
                    self.add(at, &second)?;
                }
                None => self.built.too_large += points,
            }
            return Ok(());
        }
        if self.open.bytes + bytes > self.limit {
            self.close()?;
        }
        self.open.resources.push(message);
        self.open.bytes += bytes;
        self.open.points += points;
        if self.ledger.is_some() {
            self.open.parts.push((at, report.clone()));
        }
        Ok(())
    }

    fn outgoing<'r>(&self, at: Wall, report: &'r ResourceReport) -> Vec<OutgoingMetric<'r>> {
        let metrics = report.metrics.iter().map(|metric| {
            let ledger = self.ledger.filter(|_| delta::applies(metric.metric.shape));
            let points = metric.points.iter().filter_map(|point| {
                let (start, value) = match ledger {
                    Some(ledger) => {
                        ledger.difference(&report.resource, metric.metric, point, at)?
                    }
                    None => (point.start, Sent::Whole(&point.value)),
                };
                Some(Outgoing { labels: &point.labels, start, value })
            });
            OutgoingMetric {
                metric: metric.metric,
                temporality: match ledger {
                    Some(_) => AggregationTemporality::Delta,
                    None => AggregationTemporality::Cumulative,
                },
                points: points.collect(),
            }
        });
        metrics.filter(|metric| !metric.points.is_empty()).collect()
    }

    fn close(&mut self) -> std::io::Result<()> {
        let Open { resources, bytes: _, points, parts } = std::mem::take(&mut self.open);
        if resources.is_empty() {
            return Ok(());
        }
        let message = ExportMetricsServiceRequest { resource_metrics: resources }.encode_to_vec();
        let message = compress::compress(self.compression, message)?;
        let body = match self.protocol {
            Protocol::Grpc => grpc::frame(&message, self.compression != Compression::None),
            Protocol::HttpProtobuf => message.into(),
        };
        self.built.payloads.push(Payload { body, points, parts });
        Ok(())
    }
}

/// The same points in two: by metrics, or by points where there is one metric. `None` for one point.
fn halves(report: &ResourceReport) -> Option<[ResourceReport; 2]> {
    let part = |metrics| ResourceReport { resource: report.resource.clone(), metrics };
    match report.metrics.as_slice() {
        [] => None,
        [metric] => {
            let (first, second) = metric.points.split_at(metric.points.len() / 2);
            if first.is_empty() {
                return None;
            }
            let half = |points: &[_]| {
                part(vec![MetricReport { metric: metric.metric, points: points.to_vec() }])
            };
            Some([half(first), half(second)])
        }
        metrics => {
            let (first, second) = metrics.split_at(metrics.len() / 2);
            Some([part(first.to_vec()), part(second.to_vec())])
        }
    }
}
