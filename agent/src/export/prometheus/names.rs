//! OpenTelemetry names as Prometheus names.

use crate::metric::{Metric, Shape};

/// Name of the metric's family: underscores, unit, `_total` for counters.
pub(super) fn metric(metric: &Metric) -> String {
    let mut name = escape(metric.name, |char| char == ':');
    if let Some(unit) = unit(metric)
        && !name.ends_with(&format!("_{unit}"))
    {
        name.push('_');
        name.push_str(unit);
    }
    if metric.shape == Shape::Counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

/// Name of a label.
pub(super) fn label(key: &str) -> String {
    escape(key, |_| false)
}

fn unit(metric: &Metric) -> Option<&'static str> {
    match metric.unit {
        "s" => Some("seconds"),
        "ms" => Some("milliseconds"),
        "us" => Some("microseconds"),
        "ns" => Some("nanoseconds"),
        "min" => Some("minutes"),
        "h" => Some("hours"),
        "d" => Some("days"),
        "By" => Some("bytes"),
        "By/s" => Some("bytes_per_second"),
        "%" => Some("percent"),
        "1" if metric.shape == Shape::Gauge => Some("ratio"),
        _ => None,
    }
}

/// What is neither letter nor digit becomes one underscore, however much of it there is.
fn escape(name: &str, also: fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(name.len() + 16);
    for char in name.chars() {
        if char.is_ascii_alphanumeric() || also(char) {
            escaped.push(char);
        } else if !escaped.ends_with('_') {
            escaped.push('_');
        }
    }
    if escaped.starts_with(|char: char| char.is_ascii_digit()) {
        escaped.insert(0, '_');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Worse;

    #[track_caller]
    fn check(name: &'static str, unit: &'static str, shape: Shape, expected: &str) {
        let (worse, attributes, bounds) = (Worse::Neither, &[][..], &[][..]);
        let found = Metric { name, unit, help: "", shape, worse, attributes, bounds };
        assert_eq!(metric(&found), expected);
    }

    #[test]
    fn metrics() {
        check(
            "http.server.request.duration",
            "s",
            Shape::Histogram,
            "http_server_request_duration_seconds",
        );
        check("shipwake.syscall.count", "{call}", Shape::Counter, "shipwake_syscall_count_total");
        check("process.disk.io", "By", Shape::Counter, "process_disk_io_bytes_total");
        check("x.bytes", "By", Shape::Gauge, "x_bytes");
        check("x..y__z", "1", Shape::Gauge, "x_y_z_ratio");
        check("x", "1", Shape::Counter, "x_total");
        check("9x", "", Shape::Gauge, "_9x");
    }

    #[test]
    fn labels() {
        assert_eq!(label("http.request.method"), "http_request_method");
        assert_eq!(label("a:b-ü"), "a_b_");
    }
}
