//! The scrape endpoint: few connections, each for a short time.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use super::{Settings, buckets::Shown, text};
use crate::export::{Feed, Report};

/// Scrapes at once. More wait in the listen backlog.
const MOST_CONNECTIONS: usize = 16;
/// From the first byte of a request to the last of its answer.
const LONGEST_CONNECTION: Duration = Duration::from_secs(30);
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");

struct Page {
    settings: Settings,
    feed: Feed,
    newest: Mutex<(Arc<Report>, Shown)>,
}

pub(super) async fn run(listener: TcpListener, settings: Settings, feed: Feed) {
    let newest = Mutex::new((Arc::new(text::empty()), Shown::default()));
    let page = Arc::new(Page { settings, feed, newest });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            reports = page.feed.queue.take() => match reports {
                Some(reports) => page.set(reports),
                None => return,
            },
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(LONGEST_CONNECTION, serve(stream, page.clone())));
                }
                Err(error) => {
                    let text = format!("scrapes cannot be accepted: {error}");
                    page.feed.health.trouble("accept", &text);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer. What goes wrong here is the client's doing and its alone.
async fn serve(stream: TcpStream, page: Arc<Page>) {
    let answer = service_fn(move |request| {
        let response = page.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let outcome = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = outcome {
        tracing::debug!("scrape ended early: {error}");
    }
}

impl Page {
    fn set(&self, reports: Vec<Arc<Report>>) {
        if let Some(report) = reports.into_iter().next_back() {
            self.newest.lock().unwrap_or_else(PoisonError::into_inner).0 = report;
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, self.text()),
            (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET is supported\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response
    }

    fn text(&self) -> String {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, shown) = &mut *newest;
        let (text, points) = text::page(report, &self.settings, shown);
        self.feed.health.delivered(points);
        text
    }
}
