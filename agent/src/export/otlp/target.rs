//! Where requests go: the endpoint rules of the OTLP exporter specification.

use anyhow::{Context as _, bail, ensure};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
    uri::{PathAndQuery, Scheme},
};

use super::{Protocol, Settings};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A checked endpoint.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub protocol: Protocol,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl Target {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self { protocol: settings.protocol, uri: uri(settings)?, headers: headers(settings)? })
    }

    pub(super) fn tls(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }
}

fn uri(settings: &Settings) -> anyhow::Result<Uri> {
    let own = !settings.metrics_endpoint.is_empty();
    let (name, text) = if own {
        ("otlp.metrics_endpoint", settings.metrics_endpoint.trim())
    } else {
        ("otlp.endpoint", settings.endpoint.trim())
    };
    let with_scheme = match (text.contains("://"), settings.protocol, settings.insecure) {
        (true, _, _) => text.to_owned(),
        (false, Protocol::Grpc, true) => format!("http://{text}"),
        (false, Protocol::Grpc, false) => format!("https://{text}"),
        (false, Protocol::HttpProtobuf, _) => {
            bail!("{name} `{text}` lacks a scheme; write http://{text} or https://{text}")
        }
    };
    let uri: Uri = with_scheme.parse().with_context(|| format!("{name} `{text}` is not a URL"))?;
    let mut parts = uri.into_parts();
    let scheme = parts.scheme.as_ref().map_or("", |scheme| scheme.as_str());
    ensure!(
        matches!(scheme, "http" | "https"),
        "{name} `{text}` has the scheme `{scheme}`; http and https are supported"
    );
    let authority = parts.authority.as_ref().with_context(|| format!("{name} lacks a host"))?;
    ensure!(
        !authority.as_str().contains('@'),
        "{name} holds credentials; put them into otlp.headers as `authorization`"
    );
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    let path = match (settings.protocol, own) {
        (Protocol::Grpc, _) => GRPC_PATH.to_owned(),
        (Protocol::HttpProtobuf, true) => path.to_owned(),
        (Protocol::HttpProtobuf, false) => {
            let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}/v1/metrics{query}", path.trim_end_matches('/'))
        }
    };
    parts.path_and_query =
        Some(path.parse().with_context(|| format!("{name} `{text}` has an unusable path"))?);
    Uri::from_parts(parts).with_context(|| format!("{name} `{text}` is not a URL"))
}

fn headers(settings: &Settings) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let agent = concat!(
        "shipwake/",
        env!("CARGO_PKG_VERSION"),
        " OTel-OTLP-Exporter-Rust/",
        env!("CARGO_PKG_VERSION")
    );
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let content = match settings.protocol {
        Protocol::Grpc => "application/grpc",
        Protocol::HttpProtobuf => "application/x-protobuf",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    let encoding = settings.compression.name();
    match settings.protocol {
        Protocol::Grpc => {
            headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
            if let Some(encoding) = encoding {
                headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
            }
        }
        Protocol::HttpProtobuf => {
            if let Some(encoding) = encoding {
                headers.insert(http::header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
        }
    }
    for (name, value) in &settings.headers.0 {
        let key = HeaderName::try_from(name.as_str())
            .with_context(|| format!("otlp.headers: `{name}` is not a header name"))?;
        // The value is a secret: the message names the header only.
        let mut value = HeaderValue::try_from(value.0.as_str()).map_err(|_| {
            anyhow::anyhow!(
                "otlp.headers: the value of `{name}` has characters a header cannot hold"
            )
        })?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::otlp::{Headers, Secret};

    #[track_caller]
    fn check(settings: Settings, expected: Result<&str, &str>) {
        let found = uri(&settings).map(|uri| uri.to_string()).map_err(|error| format!("{error:#}"));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    fn http(endpoint: &str) -> Settings {
        Settings { endpoint: endpoint.to_owned(), ..Settings::default() }
    }

    fn grpc(endpoint: &str, insecure: bool) -> Settings {
        Settings { protocol: Protocol::Grpc, insecure, ..http(endpoint) }
    }

    #[test]
    fn the_base_path_is_kept_and_the_signal_path_added() {
        check(http("http://h:4318"), Ok("http://h:4318/v1/metrics"));
        check(http("http://h:4318/"), Ok("http://h:4318/v1/metrics"));
        check(http("https://h/otlp/"), Ok("https://h/otlp/v1/metrics"));
        check(http("https://h/otlp?tenant=a"), Ok("https://h/otlp/v1/metrics?tenant=a"));
    }

    #[test]
    fn the_metrics_endpoint_is_used_as_it_is() {
        let own = |url: &str| Settings { metrics_endpoint: url.to_owned(), ..http("http://other") };
        check(own("http://h:1/x"), Ok("http://h:1/x"));
        check(own("http://h:1"), Ok("http://h:1/"));
    }

    #[test]
    fn grpc_takes_endpoints_without_scheme() {
        let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        check(grpc("h:4317", true), Ok(&format!("http://h:4317{path}")));
        check(grpc("h:4317", false), Ok(&format!("https://h:4317{path}")));
        check(grpc("https://h:4317/ignored", true), Ok(&format!("https://h:4317{path}")));
        check(grpc("http://h", false), Ok(&format!("http://h{path}")));
    }

    #[test]
    fn unusable_endpoints_are_named() {
        check(http("h:4318"), Err("write http://h:4318 or https://h:4318"));
        check(http("ftp://h"), Err("http and https are supported"));
        check(http("http://a b"), Err("is not a URL"));
        check(http("http://user:secret@h"), Err("put them into otlp.headers"));
    }

    #[test]
    fn header_values_stay_secret() {
        let mut settings = http("http://h");
        settings.headers = Headers([("x-key".to_owned(), Secret("a\nsecret".to_owned()))].into());
        let error = format!("{:#}", headers(&settings).unwrap_err());
        assert!(error.contains("x-key") && !error.contains("secret"), "{error}");
        settings.headers = Headers([("x-key".to_owned(), Secret("secret".to_owned()))].into());
        let target = Target::new(&settings).unwrap();
        assert_eq!(target.headers.get("x-key").unwrap(), "secret");
        assert!(!format!("{target:?} {settings:?}").contains("\"secret\""));
        assert!(!toml::to_string(&settings).unwrap().contains("secret"));
    }
}
