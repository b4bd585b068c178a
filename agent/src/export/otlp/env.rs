//! The standard `OTEL_*` variables as settings.

use toml::{Table, Value};

use crate::{
    grpc::percent_decode, signals::http::check_methods, workload::environ::resource_attributes,
};

/// One setting that a variable gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    pub variable: String,
    /// Dotted path: `otlp.endpoint`.
    pub setting: &'static str,
    pub value: Value,
}

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FromEnv {
    pub overrides: Vec<Override>,
    /// Variables that were ignored, and why: one line each, without their values where those may be
    /// secret.
    pub warnings: Vec<String>,
}

type Parse = fn(&str) -> Result<Value, String>;

/// Variables of the OTLP exporter behind `OTEL_EXPORTER_OTLP_` and `OTEL_EXPORTER_OTLP_METRICS_`; the
/// latter wins.
const OTLP: &[(&str, &str, Parse)] = &[
    ("PROTOCOL", "otlp.protocol", protocol),
    ("HEADERS", "otlp.headers", headers),
    ("TIMEOUT", "otlp.timeout", millis),
    ("COMPRESSION", "otlp.compression", compression),
    ("CERTIFICATE", "otlp.certificate", text),
    ("CLIENT_CERTIFICATE", "otlp.client_certificate", text),
    ("CLIENT_KEY", "otlp.client_key", text),
    ("INSECURE", "otlp.insecure", truth),
];

/// Variables with one name.
const PLAIN: &[(&str, &str, Parse)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint", text),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otlp.metrics_endpoint", text),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "otlp.temporality", temporality),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "aggregate.histogram", histogram),
    ("OTEL_METRIC_EXPORT_INTERVAL", "aggregate.interval", millis),
    // These two are about the agent itself, as the same ones of a service are about that.
    ("OTEL_SERVICE_NAME", "workload.own_name", text),
    ("OTEL_RESOURCE_ATTRIBUTES", "workload.own_attributes", attributes),
    ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "http.known_methods", methods),
];

/// Every variable that is read, with the settings it gives, for the documentation.
pub fn variables() -> Vec<(String, &'static str)> {
    let plain = PLAIN.iter().map(|(name, setting, _)| ((*name).to_owned(), *setting));
    let otlp = OTLP.iter().flat_map(|(suffix, setting, _)| {
        ["OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_METRICS_"]
            .map(|prefix| (format!("{prefix}{suffix}"), *setting))
    });
    let others = [
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "prometheus.listen"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "prometheus.listen"),
        ("OTEL_METRICS_EXPORTER", "otlp.enabled, prometheus.enabled, console.enabled"),
        ("OTEL_SDK_DISABLED", "otlp.enabled"),
    ];
    let others = others.map(|(name, setting)| (name.to_owned(), setting));
    plain.chain(otlp).chain(others).collect()
}

/// Reads the variables through `get`. Empty means unset; what cannot be read is ignored with a warning.
pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> FromEnv {
    let mut found = FromEnv::default();
    let get = |name: &str| get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    for (name, setting, parse) in PLAIN {
        if let Some(value) = get(name) {
            found.read(name, setting, *parse, &value);
        }
    }
    for (suffix, setting, parse) in OTLP {
        let own = format!("OTEL_EXPORTER_OTLP_METRICS_{suffix}");
        let common = format!("OTEL_EXPORTER_OTLP_{suffix}");
        if let Some((name, value)) = get(&own)
            .map(|value| (own, value))
            .or_else(|| get(&common).map(|value| (common, value)))
        {
            found.read(&name, setting, *parse, &value);
        }
    }
    let host = get("OTEL_EXPORTER_PROMETHEUS_HOST");
    let port = get("OTEL_EXPORTER_PROMETHEUS_PORT");
    if host.is_some() || port.is_some() {
        found.prometheus(host.as_deref().unwrap_or("localhost"), port.as_deref().unwrap_or("9464"));
    }
    if let Some(list) = get("OTEL_METRICS_EXPORTER") {
        found.exporters(&list);
    }
    if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        found.set("OTEL_SDK_DISABLED", "otlp.enabled", Value::Boolean(false));
    }
    found
}

impl FromEnv {
    fn set(&mut self, variable: &str, setting: &'static str, value: Value) {
        self.overrides.push(Override { variable: variable.to_owned(), setting, value });
    }

    fn read(&mut self, variable: &str, setting: &'static str, parse: Parse, value: &str) {
        match parse(value) {
            Ok(value) => self.set(variable, setting, value),
            Err(why) => self.warnings.push(format!("{variable} is ignored: {why}")),
        }
    }

    fn prometheus(&mut self, host: &str, port: &str) {
        let name = "OTEL_EXPORTER_PROMETHEUS_PORT";
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        match port.parse::<u16>() {
            Ok(port) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
                self.set(name, "prometheus.listen", Value::String(format!("{host}:{port}")));
            }
            Err(_) => self.warnings.push(format!("{name} is ignored: `{port}` is not a port")),
        }
    }

    /// Other exporters than those named here stay as the configuration has them, except OTLP, which the
    /// list decides.
    fn exporters(&mut self, list: &str) {
        let name = "OTEL_METRICS_EXPORTER";
        let mut otlp = false;
        for exporter in list.split(',').map(str::trim).filter(|exporter| !exporter.is_empty()) {
            match exporter {
                "otlp" => otlp = true,
                "none" => {}
                "console" => self.set(name, "console.enabled", Value::Boolean(true)),
                "prometheus" => self.set(name, "prometheus.enabled", Value::Boolean(true)),
                other => {
                    let why = format!("`{other}` is not one of otlp, prometheus, console, none");
                    self.warnings.push(format!("{name} is ignored: {why}"));
                    return;
                }
            }
        }
        self.set(name, "otlp.enabled", Value::Boolean(otlp));
    }
}

fn text(value: &str) -> Result<Value, String> {
    Ok(Value::String(value.to_owned()))
}

/// Only a case-insensitive `true` is true.
fn truth(value: &str) -> Result<Value, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Boolean(true)),
        "false" => Ok(Value::Boolean(false)),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

fn millis(value: &str) -> Result<Value, String> {
    match value.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Value::String(format!("{millis}ms"))),
        _ => Err(format!("`{value}` is not a positive number of milliseconds")),
    }
}

fn one_of(value: &str, known: &[&str]) -> Result<Value, String> {
    if known.contains(&value) {
        Ok(Value::String(value.to_owned()))
    } else {
        Err(format!("`{value}` is not supported; it may be {}", known.join(", ")))
    }
}

fn protocol(value: &str) -> Result<Value, String> {
    one_of(value, &["grpc", "http/protobuf"])
}

fn compression(value: &str) -> Result<Value, String> {
    one_of(value, &["none", "gzip", "zstd"])
}

fn temporality(value: &str) -> Result<Value, String> {
    one_of(&value.to_ascii_lowercase(), &["cumulative", "delta", "lowmemory"])
}

fn histogram(value: &str) -> Result<Value, String> {
    match value.to_ascii_lowercase().as_str() {
        "explicit_bucket_histogram" => Ok(Value::String("explicit".to_owned())),
        "base2_exponential_bucket_histogram" => Ok(Value::String("exponential".to_owned())),
        _ => Err(format!(
            "`{value}` is not supported; it may be explicit_bucket_histogram, base2_exponential_bucket_histogram"
        )),
    }
}

/// `key=value,key=value`, values percent-encoded, as in W3C baggage. An error never repeats the text.
fn headers(value: &str) -> Result<Value, String> {
    let mut table = Table::new();
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or("it is not of the form key=value,key=value")?;
        let key = percent_decode(key.trim().as_bytes());
        let value = percent_decode(value.trim().as_bytes());
        http::HeaderName::try_from(&key).map_err(|_| "a key is not a header name")?;
        http::HeaderValue::try_from(&value)
            .map_err(|_| format!("the value of {key} has characters a header cannot hold"))?;
        table.insert(key, Value::String(value));
    }
    Ok(Value::Table(table))
}

/// Any error makes the whole list void, as the specification asks. An error never repeats the text.
fn attributes(value: &str) -> Result<Value, String> {
    let pairs = resource_attributes(value)
        .ok_or("it is not of the form key=value,key=value with percent-encoded values")?;
    let pairs = pairs.into_iter().map(|(key, value)| (key, Value::String(value)));
    Ok(Value::Table(pairs.collect()))
}

/// Case-sensitive, separated by commas; the list replaces the default.
fn methods(value: &str) -> Result<Value, String> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    check_methods(&names)?;
    Ok(Value::Array(names.into_iter().map(Value::String).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(env: &[(&str, &str)], expected: &[(&str, &str, &str)], warnings: &[&str]) {
        let found = from_env(&|name| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        });
        let overrides: Vec<_> = found
            .overrides
            .iter()
            .map(|o| (o.variable.as_str(), o.setting, o.value.to_string()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, setting, value)| (*name, *setting, (*value).to_owned()))
            .collect();
        assert_eq!(overrides, expected);
        assert_eq!(found.warnings, warnings);
    }

    #[test]
    fn variables_become_settings() {
        check(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"),
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b/x"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "60000"),
            ],
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint", "\"http://a:4318\""),
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otlp.metrics_endpoint", "\"http://b/x\""),
                ("OTEL_METRIC_EXPORT_INTERVAL", "aggregate.interval", "\"60000ms\""),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "otlp.timeout", "\"2500ms\""),
            ],
            &[],
        );
    }

    #[test]
    fn the_variable_for_metrics_wins() {
        check(
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", ""),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ],
            &[
                ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "otlp.protocol", "\"grpc\""),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "otlp.compression", "\"zstd\""),
            ],
            &[],
        );
    }

    #[test]
    fn bad_values_are_ignored_with_a_warning() {
        check(
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
                ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
                ("OTEL_METRICS_EXPORTER", "zipkin"),
            ],
            &[],
            &[
                "OTEL_EXPORTER_OTLP_PROTOCOL is ignored: `http/json` is not supported; it may be grpc, http/protobuf",
                "OTEL_EXPORTER_OTLP_HEADERS is ignored: it is not of the form key=value,key=value",
                "OTEL_EXPORTER_OTLP_TIMEOUT is ignored: `10s` is not a positive number of milliseconds",
                "OTEL_EXPORTER_OTLP_INSECURE is ignored: `yes` is neither true nor false",
                "OTEL_METRICS_EXPORTER is ignored: `zipkin` is not one of otlp, prometheus, console, none",
            ],
        );
    }

    #[test]
    fn headers_are_percent_decoded() {
        check(
            &[("OTEL_EXPORTER_OTLP_HEADERS", " authorization=Basic%20YTpi , x-a = b=c ,")],
            &[(
                "OTEL_EXPORTER_OTLP_HEADERS",
                "otlp.headers",
                "{ authorization = \"Basic YTpi\", x-a = \"b=c\" }",
            )],
            &[],
        );
        check(
            &[("OTEL_EXPORTER_OTLP_HEADERS", "x-a=b%0d%0aevil")],
            &[],
            &[
                "OTEL_EXPORTER_OTLP_HEADERS is ignored: the value of x-a has characters a header cannot hold",
            ],
        );
    }

    #[test]
    fn the_agent_is_described_by_its_own_variables() {
        check(
            &[
                ("OTEL_SERVICE_NAME", "the-agent"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=ops,team=a%20b"),
            ],
            &[
                ("OTEL_SERVICE_NAME", "workload.own_name", "\"the-agent\""),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "workload.own_attributes",
                    "{ \"service.namespace\" = \"ops\", team = \"a b\" }",
                ),
            ],
            &[],
        );
        check(
            &[("OTEL_RESOURCE_ATTRIBUTES", "a=1,b")],
            &[],
            &[
                "OTEL_RESOURCE_ATTRIBUTES is ignored: it is not of the form key=value,key=value with percent-encoded values",
            ],
        );
    }

    #[test]
    fn known_methods_are_checked_as_in_the_file() {
        let name = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";
        let setting = "http.known_methods";
        check(&[(name, "GET, PURGE,")], &[(name, setting, "[\"GET\", \"PURGE\"]")], &[]);
        check(
            &[(name, "GET,PO ST")],
            &[],
            &[
                "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS is ignored: `PO ST` is not a method; write letters, digits and !#$%&'*+-.^_`|~, at most 32",
            ],
        );
    }

    #[test]
    fn exporters_are_chosen() {
        let name = "OTEL_METRICS_EXPORTER";
        check(&[(name, "none")], &[(name, "otlp.enabled", "false")], &[]);
        check(
            &[(name, "otlp,prometheus")],
            &[(name, "prometheus.enabled", "true"), (name, "otlp.enabled", "true")],
            &[],
        );
        check(
            &[("OTEL_SDK_DISABLED", "True")],
            &[("OTEL_SDK_DISABLED", "otlp.enabled", "false")],
            &[],
        );
        check(
            &[("OTEL_EXPORTER_PROMETHEUS_HOST", "::")],
            &[("OTEL_EXPORTER_PROMETHEUS_PORT", "prometheus.listen", "\"[::]:9464\"")],
            &[],
        );
    }

    #[test]
    fn values_fit_the_settings() {
        let env = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory"),
        ];
        let found = from_env(&|name| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        });
        let mut table = Table::new();
        for o in found.overrides {
            table.insert(o.setting.trim_start_matches("otlp.").to_owned(), o.value);
        }
        let settings: super::super::Settings = table.try_into().unwrap();
        assert_eq!(settings.protocol, super::super::Protocol::Grpc);
        assert_eq!(settings.headers.0["a"].0, "b");
        assert_eq!(settings.temporality, super::super::Temporality::LowMemory);
    }
}
