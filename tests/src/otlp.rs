//! A small OTLP/HTTP receiver inside the test: keeps the newest value of every series.
//!
//! It exists to look values up; that a receiver of somebody else's making understands the agent is shown
//! in `tests/backends`.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message as _;

use crate::poll;

/// Attributes as text, sorted.
pub type Attributes = BTreeMap<String, String>;

/// One series as last received.
#[derive(Clone, Debug)]
pub struct Series {
    pub resource: Attributes,
    pub metric: String,
    pub attributes: Attributes,
    pub start_unix_nano: u64,
    pub time_unix_nano: u64,
    /// Time of the first point of the series that was received.
    pub first_unix_nano: u64,
    pub value: SeriesValue,
}

/// Value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    Number(f64),
    /// Exponential histogram: count, sum, scale, offset, zero count, buckets.
    Histogram {
        count: u64,
        sum: f64,
        scale: i32,
        offset: i32,
        zero: u64,
        buckets: Vec<u64>,
    },
    /// Explicit-bucket histogram: bounds and counts.
    Explicit {
        count: u64,
        sum: f64,
        bounds: Vec<f64>,
        buckets: Vec<u64>,
    },
}

impl Series {
    /// The number of a sum or gauge, the count of a histogram.
    pub fn number(&self) -> f64 {
        match &self.value {
            SeriesValue::Number(value) => *value,
            SeriesValue::Histogram { count, .. } | SeriesValue::Explicit { count, .. } => {
                *count as f64
            }
        }
    }

    /// The value of an attribute, of the point or else of the resource; empty when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.attributes.get(key).or_else(|| self.resource.get(key)).map_or("", String::as_str)
    }
}

type Key = (Attributes, String, Attributes, u64);

/// The receiver. Ends with the test process.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    series: HashMap<Key, Series>,
    requests: u64,
    malformed: u64,
}

impl Receiver {
    /// Listens on a free port of the loopback interface.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Ok(Self { address, state })
    }

    /// Base URL for `otlp.endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests received so far.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Requests that could not be decoded.
    pub fn malformed(&self) -> u64 {
        self.state().malformed
    }

    /// Every series of a metric that fulfils a condition.
    pub fn series(&self, metric: &str, matching: impl Fn(&Series) -> bool) -> Vec<Series> {
        let state = self.state();
        state.series.values().filter(|it| it.metric == metric && matching(it)).cloned().collect()
    }

    /// Every series received.
    pub fn all(&self) -> Vec<Series> {
        self.state().series.values().cloned().collect()
    }

    /// Sum of the numbers of a metric over the series that fulfil a condition.
    pub fn sum(&self, metric: &str, matching: impl Fn(&Series) -> bool) -> f64 {
        // The sum of nothing would be negative zero.
        self.series(metric, matching).iter().map(Series::number).fold(0.0, |sum, one| sum + one)
    }

    /// Waits until the sum reaches `at_least`; returns the sum reached when the time is over.
    pub fn wait_sum(
        &self,
        within: Duration,
        metric: &str,
        at_least: f64,
        matching: impl Fn(&Series) -> bool,
    ) -> f64 {
        poll::until(within, || Some(self.sum(metric, &matching)).filter(|sum| *sum >= at_least))
            .unwrap_or_else(|| self.sum(metric, &matching))
    }

    /// Waits for one more report than there are now, and a second one to be sure that it began later.
    pub fn wait_reports(&self, more: u64, within: Duration) -> bool {
        let wanted = self.requests() + more;
        poll::until(within, || (self.requests() >= wanted).then_some(())).is_some()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Ok(Some(body)) = request(&mut reader) {
        let answer = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match ExportMetricsServiceRequest::decode(body.as_slice()) {
                Ok(request) => {
                    keep(&mut state, request);
                    state.requests += 1;
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                }
                Err(_) => {
                    state.malformed += 1;
                    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
                }
            }
        };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One HTTP request with a sized body, unpacked; `None` at the end of the stream.
fn request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut gzip = false;
    let mut first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() && !first {
            break;
        }
        first = false;
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if let Some(value) = line.strip_prefix("content-encoding:") {
            gzip = value.trim() == "gzip";
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if gzip {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
        body = plain;
    }
    Ok(Some(body))
}

fn keep(state: &mut State, request: ExportMetricsServiceRequest) {
    for resource_metrics in request.resource_metrics {
        let resource =
            attributes(resource_metrics.resource.map(|it| it.attributes).unwrap_or_default());
        for metric in resource_metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let name = metric.name;
            let mut put = |point: Vec<KeyValue>, start: u64, time: u64, value: SeriesValue| {
                let attributes = attributes(point);
                let key = (resource.clone(), name.clone(), attributes.clone(), start);
                let first = state.series.get(&key).map_or(time, |known| known.first_unix_nano);
                let series = Series {
                    resource: resource.clone(),
                    metric: name.clone(),
                    attributes,
                    start_unix_nano: start,
                    time_unix_nano: time,
                    first_unix_nano: first,
                    value,
                };
                state.series.insert(key, series);
            };
            match metric.data {
                Some(Data::Sum(sum)) => {
                    for point in sum.data_points {
                        put(
                            point.attributes,
                            point.start_time_unix_nano,
                            point.time_unix_nano,
                            SeriesValue::Number(number(point.value)),
                        );
                    }
                }
                Some(Data::Gauge(gauge)) => {
                    for point in gauge.data_points {
                        put(
                            point.attributes,
                            0,
                            point.time_unix_nano,
                            SeriesValue::Number(number(point.value)),
                        );
                    }
                }
                Some(Data::ExponentialHistogram(histogram)) => {
                    for point in histogram.data_points {
                        let positive = point.positive.unwrap_or_default();
                        let value = SeriesValue::Histogram {
                            count: point.count,
                            sum: point.sum.unwrap_or_default(),
                            scale: point.scale,
                            offset: positive.offset,
                            zero: point.zero_count,
                            buckets: positive.bucket_counts,
                        };
                        put(
                            point.attributes,
                            point.start_time_unix_nano,
                            point.time_unix_nano,
                            value,
                        );
                    }
                }
                Some(Data::Histogram(histogram)) => {
                    for point in histogram.data_points {
                        let value = SeriesValue::Explicit {
                            count: point.count,
                            sum: point.sum.unwrap_or_default(),
                            bounds: point.explicit_bounds,
                            buckets: point.bucket_counts,
                        };
                        put(
                            point.attributes,
                            point.start_time_unix_nano,
                            point.time_unix_nano,
                            value,
                        );
                    }
                }
                Some(Data::Summary(_)) | None => {}
            }
        }
    }
}

fn number(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs.into_iter().map(|pair| (pair.key, pair.value.map(text).unwrap_or_default())).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(value)) => value.to_string(),
        Some(any_value::Value::BoolValue(value)) => value.to_string(),
        Some(any_value::Value::DoubleValue(value)) => value.to_string(),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.into_iter().map(text).collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}
