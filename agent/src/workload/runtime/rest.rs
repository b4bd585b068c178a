//! HTTP/1.1 over the daemon's unix socket: one connection per question, every wait and every answer
//! bounded.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, sync::mpsc, task::AbortHandle};

use super::problem::{LARGEST_ANSWER, Problem, TIMEOUT};

/// Largest event, in bytes: an event repeats all labels of its container.
const LARGEST_EVENT: usize = 1024 * 1024;

/// A daemon, by its socket.
#[derive(Clone, Debug)]
pub(in crate::workload) struct Client {
    socket: String,
    /// What it should speak, for people.
    api: &'static str,
}

impl Client {
    pub(in crate::workload) fn new(socket: &str, api: &'static str) -> Self {
        Self { socket: socket.to_owned(), api }
    }

    /// The answer to a GET, or `None` when there is no such thing.
    pub(in crate::workload) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, Problem> {
        let answer = async {
            let (response, _connection) = self.send(path).await?;
            let status = response.status();
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if status != StatusCode::OK {
                return Err(Problem::Refused(status.to_string()));
            }
            let body = Limited::new(response.into_body(), LARGEST_ANSWER);
            let body = body.collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Problem::TooLarge
                } else {
                    Problem::Broken(error.to_string())
                }
            })?;
            let body = body.to_bytes();
            serde_json::from_slice(&body).map(Some).map_err(|error| self.nonsense(&error))
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(Problem::Slow))
    }

    /// Sends what `take` makes of each line of an endless answer, until it ends, which it should not,
    /// or nobody listens any more.
    pub(in crate::workload) async fn follow<T: DeserializeOwned>(
        &self,
        path: &str,
        take: impl Fn(T) -> Option<String> + Send,
        events: &mpsc::Sender<String>,
    ) -> Problem {
        match self.lines(path, take, events).await {
            Ok(()) => Problem::Broken("the stream of events ended".to_owned()),
            Err(problem) => problem,
        }
    }

    async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        take: impl Fn(T) -> Option<String> + Send,
        events: &mpsc::Sender<String>,
    ) -> Result<(), Problem> {
        // Some daemons send nothing, not even a status, before the first event: no time limit here.
        let (response, _connection) = self.send(path).await?;
        if response.status() != StatusCode::OK {
            return Err(Problem::Refused(response.status().to_string()));
        }
        let mut body = response.into_body();
        let mut line = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::Broken(error.to_string()))?;
            let Ok(mut data) = frame.into_data() else { continue };
            while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&data.split_to(end));
                bytes::Buf::advance(&mut data, 1);
                let event = self.parse(&line)?.and_then(&take);
                if let Some(event) = event
                    && events.send(event).await.is_err()
                {
                    return Ok(());
                }
                line.clear();
            }
            line.extend_from_slice(&data);
            if line.len() > LARGEST_EVENT {
                return Err(Problem::TooLarge);
            }
        }
        Ok(())
    }

    fn parse<T: DeserializeOwned>(&self, line: &[u8]) -> Result<Option<T>, Problem> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(line).map(Some).map_err(|error| self.nonsense(&error))
    }

    fn nonsense(&self, error: &serde_json::Error) -> Problem {
        Problem::Nonsense { api: self.api, error: error.to_string() }
    }

    async fn send(&self, path: &str) -> Result<(Response<Incoming>, Connection), Problem> {
        let broken = |error: hyper::Error| Problem::Broken(error.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(Problem::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // An error of the connection is an error of the request or of its body as well.
        let connection = Connection(tokio::spawn(async { drop(connection.await) }).abort_handle());
        let request = Request::get(path)
            .header("Host", "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Problem::Broken(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response, connection))
    }
}

/// The task of a connection. It ends when the question is over, however it is over.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
