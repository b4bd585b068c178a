//! gRPC over a daemon's unix socket: one connection for all calls, every wait and every answer bounded.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    net::UnixStream,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use super::problem::{LARGEST_ANSWER, Problem, TIMEOUT};
use crate::grpc::{self, Code, FrameError, Frames};

/// A message that says nothing. For calls without arguments.
#[derive(Clone, PartialEq, Message)]
pub(in crate::workload) struct Empty {}

/// A connection. Cheap to clone; it ends with the last clone.
#[derive(Clone)]
pub(in crate::workload) struct Channel {
    sender: SendRequest<Full<Bytes>>,
    /// Closed when the connection is.
    open: watch::Receiver<()>,
    _driver: Arc<Driver>,
}

/// The task that moves bytes.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Channel {
    /// Connects to the socket at this path.
    pub(in crate::workload) async fn connect(socket: &str) -> Result<Self, Problem> {
        let connect = async {
            let stream = UnixStream::connect(socket).await.map_err(Problem::Connect)?;
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(broken)?;
            let (alive, open) = watch::channel(());
            // An error of the connection is an error of every call on it as well.
            let driver: JoinHandle<()> = tokio::spawn(async move {
                drop(connection.await);
                drop(alive);
            });
            Ok(Self { sender, open, _driver: Arc::new(Driver(driver.abort_handle())) })
        };
        timely(TIMEOUT, connect).await
    }

    /// One question, one answer. `namespace` is one of containerd's.
    pub(in crate::workload) async fn call<A: Message + Default>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: &impl Message,
    ) -> Result<A, Problem> {
        let mut answer = None;
        let take = |message: A| {
            answer = Some(message);
            true
        };
        timely(TIMEOUT, self.exchange(path, namespace, question, LARGEST_ANSWER, take)).await?;
        answer.ok_or_else(|| Problem::Broken("a call was answered without a message".to_owned()))
    }

    /// One question, and the whole stream of answers within the time and size of one.
    pub(in crate::workload) async fn collect<A: Message + Default>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: &impl Message,
        mut take: impl FnMut(A) -> bool,
    ) -> Result<(), Problem> {
        timely(TIMEOUT, self.exchange(path, namespace, question, LARGEST_ANSWER, &mut take)).await
    }

    /// One question and an endless stream of answers, until `take` wants no more.
    pub(in crate::workload) async fn follow<A: Message + Default>(
        &self,
        path: &'static str,
        question: &impl Message,
        take: impl FnMut(A) -> bool,
    ) -> Result<(), Problem> {
        self.exchange(path, None, question, LARGEST_ANSWER, take).await
    }

    /// Waits for the end of the connection.
    pub(in crate::workload) async fn closed(mut self) {
        while self.open.changed().await.is_ok() {}
    }

    async fn exchange<A: Message + Default>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: &impl Message,
        largest: usize,
        mut take: impl FnMut(A) -> bool,
    ) -> Result<(), Problem> {
        let response = self.send(path, namespace, question).await?;
        let (head, mut body) = response.into_parts();
        check(head.status, &head.headers)?;
        let mut frames = Frames::new(largest);
        let mut end = None;
        while let Some(frame) = body.frame().await {
            let frame = match frame.map_err(broken)?.into_data() {
                Ok(data) => {
                    frames.push(&data);
                    while let Some(message) = frames.next_message().map_err(unframed)? {
                        let message = A::decode(message).map_err(|error| Problem::Nonsense {
                            api: "API",
                            error: error.to_string(),
                        })?;
                        if !take(message) {
                            return Ok(());
                        }
                    }
                    continue;
                }
                Err(frame) => frame,
            };
            end = frame.into_trailers().ok().or(end);
        }
        let end = end.unwrap_or_default();
        match grpc::code(&end).or_else(|| grpc::code(&head.headers)) {
            Some(Code::OK) => Ok(()),
            Some(code) => Err(failed(code, &end)),
            None => Err(Problem::Broken("a call ended without a status".to_owned())),
        }
    }

    async fn send(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: &impl Message,
    ) -> Result<Response<Incoming>, Problem> {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", concat!("shipwake/", env!("CARGO_PKG_VERSION")));
        if let Some(namespace) = namespace {
            request = request.header("containerd-namespace", namespace);
        }
        let body = Full::new(grpc::frame(&question.encode_to_vec(), false));
        let request = request.body(body).map_err(|error| Problem::Broken(error.to_string()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

async fn timely<T>(
    within: Duration,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(within, work).await.unwrap_or(Err(Problem::Slow))
}

/// Whether a head begins an answer.
fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Problem> {
    match grpc::code(headers) {
        None | Some(Code::OK) if status == StatusCode::OK => Ok(()),
        Some(code) if code != Code::OK => Err(failed(code, headers)),
        _ => Err(Problem::Refused(format!("HTTP status {status} and no gRPC status"))),
    }
}

fn failed(code: Code, end: &HeaderMap) -> Problem {
    let message = grpc::message(end).unwrap_or_default();
    let printable = message.chars().filter(|c| !c.is_control()).take(200).collect();
    Problem::Failed(code, printable)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn broken(error: hyper::Error) -> Problem {
    let source = std::error::Error::source(&error);
    Problem::Broken(source.map_or_else(|| error.to_string(), ToString::to_string))
}

fn unframed(error: FrameError) -> Problem {
    match error {
        FrameError::TooLarge => Problem::TooLarge,
        FrameError::Compressed => {
            Problem::Broken("a message is compressed, which was not offered".to_owned())
        }
    }
}
