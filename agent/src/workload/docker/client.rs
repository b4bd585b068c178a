//! HTTP/1.1 over the daemon's unix socket: one connection per question, every wait and every answer
//! bounded.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, sync::mpsc, task::AbortHandle};

use super::model::Event;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer, in bytes: a list of a thousand containers with all their labels.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// Largest event, in bytes: an event repeats all labels of its container.
const LARGEST_EVENT: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Problem {
    /// The socket cannot be connected to.
    Connect(io::Error),
    /// No answer within [`TIMEOUT`].
    Slow,
    /// The connection broke, or what came was not HTTP.
    Broken(String),
    TooLarge,
    /// HTTP, but not what was asked for.
    Refused(StatusCode),
    /// Not the JSON of the Docker API.
    Nonsense(String),
}

impl Problem {
    /// The daemon is there; only this answer is no good.
    pub(super) fn is_of_one_answer(&self) -> bool {
        matches!(self, Self::TooLarge | Self::Refused(_) | Self::Nonsense(_))
    }

    /// There is no socket at all.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => f.write_str(
                "permission denied (run as root or as a member of the group that owns it)",
            ),
            Self::Connect(error) => write!(f, "{error}"),
            Self::Slow => write!(f, "no answer within {TIMEOUT:?} (is the daemon stuck?)"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::TooLarge => write!(f, "an answer is larger than {LARGEST_ANSWER} bytes"),
            Self::Refused(status) => write!(f, "it answers {status}"),
            Self::Nonsense(error) => write!(f, "it does not speak the Docker API: {error}"),
        }
    }
}

/// A daemon, by its socket.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: String,
}

impl Client {
    pub(super) fn new(socket: &str) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub(super) fn socket(&self) -> &str {
        &self.socket
    }

    /// The answer to a GET, or `None` when there is no such thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Problem> {
        let answer = async {
            let (response, _connection) = self.send(path).await?;
            let status = response.status();
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if status != StatusCode::OK {
                return Err(Problem::Refused(status));
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
            serde_json::from_slice(&body).map(Some).map_err(|e| Problem::Nonsense(e.to_string()))
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(Problem::Slow))
    }

    /// Sends events until the stream ends, which it should not, or nobody listens any more.
    pub(super) async fn events(self, path: String, events: mpsc::Sender<Event>) -> Problem {
        match self.follow(&path, &events).await {
            Ok(()) => Problem::Broken("the stream of events ended".to_owned()),
            Err(problem) => problem,
        }
    }

    async fn follow(&self, path: &str, events: &mpsc::Sender<Event>) -> Result<(), Problem> {
        // Some daemons send nothing, not even a status, before the first event: no time limit here.
        let (response, _connection) = self.send(path).await?;
        if response.status() != StatusCode::OK {
            return Err(Problem::Refused(response.status()));
        }
        let mut body = response.into_body();
        let mut line = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::Broken(error.to_string()))?;
            let Ok(mut data) = frame.into_data() else { continue };
            while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&data.split_to(end));
                bytes::Buf::advance(&mut data, 1);
                if let Some(event) = parse(&line)?
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

    async fn send(&self, path: &str) -> Result<(Response<Incoming>, Connection), Problem> {
        let broken = |error: hyper::Error| Problem::Broken(error.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(Problem::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // An error of the connection is an error of the request or of its body as well.
        let connection = Connection(tokio::spawn(async { drop(connection.await) }).abort_handle());
        let request = Request::get(path)
            .header("Host", "docker")
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

fn parse(line: &[u8]) -> Result<Option<Event>, Problem> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(line).map(Some).map_err(|error| Problem::Nonsense(error.to_string()))
}
