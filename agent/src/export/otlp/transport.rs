//! One HTTP client for both protocols: TLS, bounds on time and on the size of answers.

use std::{error::Error, io, time::SystemTime};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Protocol, Settings,
    answer::{self, Accepted, Failure, Retry},
    grpc,
    target::Target,
    tls,
};

/// Most bytes of an answer that are read.
const MAX_RESPONSE: usize = 4 << 20;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(super) struct Transport {
    target: Target,
    settings: Settings,
    client: HttpClient,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let target = Target::new(settings)?;
        let client = connect(&target, settings)?;
        Ok(Self { target, settings: settings.clone(), client })
    }

    /// Sends one request body and reads the whole answer.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<Accepted, Failure> {
        let limit = self.settings.timeout.0;
        let outcome = match tokio::time::timeout(limit, self.exchange(body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure {
                kind: "timeout".into(),
                message: format!(
                    "{} did not answer within {} (otlp.timeout)",
                    self.place(),
                    self.settings.timeout
                ),
                retry: Retry::Later(None),
            }),
        };
        if outcome.is_err() {
            // A dead connection would be used again, and certificates may have been renewed.
            if let Ok(client) = connect(&self.target, &self.settings) {
                self.client = client;
            }
        }
        outcome
    }

    async fn exchange(&self, body: Bytes) -> Result<Accepted, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = self.target.headers.clone();
        let response = self.client.request(request).await.map_err(|error| self.broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE)
            .collect()
            .await
            .map_err(|error| self.broken(error.as_ref()))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let body = body.to_bytes();
        let outcome = match self.target.protocol {
            Protocol::Grpc => grpc::read(head.status, &head.headers, &trailers, &body)
                .map(|message| answer::accepted(&message)),
            Protocol::HttpProtobuf => {
                answer::http(head.status, &head.headers, &body, SystemTime::now())
            }
        };
        outcome.map_err(|failure| Failure {
            message: format!("{} answered {}", self.place(), failure.message),
            ..failure
        })
    }

    /// The endpoint as the user knows it: a query may hold credentials.
    fn place(&self) -> String {
        let uri = &self.target.uri;
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        match self.target.protocol {
            Protocol::Grpc => format!("{scheme}://{authority}"),
            Protocol::HttpProtobuf => format!("{scheme}://{authority}{}", uri.path()),
        }
    }

    /// No answer, or not a whole one.
    fn broken(&self, error: &(dyn Error + 'static)) -> Failure {
        let place = self.place();
        let causes: Vec<_> =
            std::iter::successors(Some(error), |error| (*error).source()).collect();
        if causes.iter().any(|cause| cause.is::<LengthLimitError>()) {
            return Failure {
                kind: "response_too_large".into(),
                message: format!("{place} answered with more than {MAX_RESPONSE} bytes"),
                retry: Retry::Never,
            };
        }
        let io_errors = || causes.iter().filter_map(|cause| cause.downcast_ref::<io::Error>());
        let tls = causes.iter().find_map(|cause| tls_error(*cause));
        let text = answer::printable(&causes.last().map(ToString::to_string).unwrap_or_default());
        let (kind, message) = match tls {
            Some(error) => ("tls", format!("{place}: TLS failed: {error}{}", tls_remedy(error))),
            // Over HTTP/2 only the text of a late alert is left.
            None if text.contains("fatal alert") => {
                ("tls", format!("{place}: TLS failed: {text}{}", alert_remedy(&text)))
            }
            None if io_errors().any(|error| error.kind() == io::ErrorKind::ConnectionRefused) => (
                "connection_refused",
                format!("{place} refuses connections; nothing listens there"),
            ),
            None if causes.iter().any(|cause| cause.to_string() == "dns error") => {
                ("name_resolution", format!("{place}: the host name cannot be resolved: {text}"))
            }
            None => ("connection_failed", format!("{place} cannot be reached: {text}")),
        };
        Failure { kind: kind.into(), message, retry: Retry::Later(None) }
    }
}

/// The TLS error inside `error`, which may be wrapped in IO errors that do not name it as their source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

fn tls_remedy(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError;
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "; set otlp.certificate to the authority that signed the receiver's certificate",
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; otlp.endpoint must use a name that the receiver's certificate holds",
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "; renew the receiver's certificate",
        rustls::Error::InvalidMessage(_) => {
            "; the receiver does not speak TLS on this port, use http://"
        }
        rustls::Error::AlertReceived(alert) => alert_remedy(&format!("{alert:?}")),
        _ => "",
    }
}

/// Alerts by which a receiver asks for a client certificate, or refuses the one it was shown.
fn alert_remedy(alert: &str) -> &'static str {
    let asked = ["CertificateRequired", "BadCertificate", "UnknownCA", "CertificateUnknown"];
    if asked.iter().any(|name| alert.contains(name)) {
        "; the receiver asks for a client certificate it trusts: set otlp.client_certificate and otlp.client_key"
    } else {
        ""
    }
}

fn connect(target: &Target, settings: &Settings) -> anyhow::Result<HttpClient> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.timeout.0));
    let tls = if target.tls() { tls::client(settings)? } else { tls::unused()? };
    let tls = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_max_idle_per_host(1);
    Ok(match target.protocol {
        Protocol::Grpc => {
            client.http2_only(true);
            client.build(tls.enable_http2().wrap_connector(tcp))
        }
        Protocol::HttpProtobuf => client.build(tls.enable_http1().wrap_connector(tcp)),
    })
}
