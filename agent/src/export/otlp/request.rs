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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    use super::*;
    use crate::export::fixture::{counted, exponential, report, service};

    fn settings(limit: u64) -> Settings {
        Settings { max_request_bytes: limit, compression: Compression::None, ..Settings::default() }
    }

    /// Every point of every request, as `service key value`.
    fn points(built: &Built) -> Vec<String> {
        let mut points = Vec::new();
        for payload in &built.payloads {
            let request = ExportMetricsServiceRequest::decode(payload.body.as_ref()).unwrap();
            let before = points.len();
            for resource in request.resource_metrics {
                let name = format!("{:?}", resource.resource.unwrap().attributes[0].value);
                for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                    let Some(Data::Sum(sum)) = metric.data else { panic!("not a sum") };
                    points.extend(sum.data_points.iter().map(|point| format!("{name} {point:?}")));
                }
            }
            assert_eq!(payload.points, (points.len() - before) as u64);
        }
        points
    }

    #[track_caller]
    fn check(limit: u64, requests: std::ops::RangeInclusive<usize>, too_large: u64) {
        let keys: Vec<_> = (0..50).map(|at| format!("key-{at}")).collect();
        let values: Vec<_> = keys.iter().map(|key| (key.as_str(), 1.0)).collect();
        let services = ["a", "b", "c"].map(|name| counted(service(name), &values));
        let report = Arc::new(report(7, services));
        let built = build(std::slice::from_ref(&report), &settings(limit), None).unwrap();
        assert!(requests.contains(&built.payloads.len()), "{} requests", built.payloads.len());
        assert!(built.payloads.iter().all(|payload| payload.body.len() as u64 <= limit));
        assert_eq!(built.too_large, too_large);
        let mut found = points(&built);
        assert_eq!(found.len() as u64, report.points() - too_large);
        found.sort();
        found.dedup();
        assert_eq!(found.len() as u64, report.points() - too_large);
    }

    #[test]
    fn requests_are_as_few_as_the_limit_allows() {
        check(4 << 20, 1..=1, 0);
        check(6000, 2..=2, 0);
        check(4000, 3..=3, 0);
        check(2000, 6..=24, 0);
        check(600, 15..=40, 0);
        check(100, 0..=0, 150);
    }

    #[test]
    fn bodies_are_compressed_and_framed() {
        let report = Arc::new(report(7, [exponential(service("a"), 3, -10, &[1; 100])]));
        let plain = build(std::slice::from_ref(&report), &settings(4 << 20), None).unwrap();
        for (compression, protocol) in [
            (Compression::Gzip, Protocol::HttpProtobuf),
            (Compression::Zstd, Protocol::HttpProtobuf),
            (Compression::Gzip, Protocol::Grpc),
        ] {
            let settings = Settings { compression, protocol, ..Settings::default() };
            let built = build(std::slice::from_ref(&report), &settings, None).unwrap();
            let mut body = built.payloads[0].body.clone();
            if protocol == Protocol::Grpc {
                assert_eq!(body[0], 1);
                body = body.slice(5..);
            }
            let mut message = Vec::new();
            match compression {
                Compression::Gzip => {
                    flate2::read::GzDecoder::new(body.as_ref()).read_to_end(&mut message).unwrap();
                }
                _ => message = zstd::decode_all(body.as_ref()).unwrap(),
            }
            assert_eq!(message, plain.payloads[0].body);
        }
    }
}
