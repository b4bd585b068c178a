//! Asks a running agent.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// How long a running agent may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// No answer is longer: 10,000 processes with 40 attributes of 100 bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no agent is running")]
    NoAgent,
    #[error("the agent's socket may be used by its owner only")]
    Denied,
    #[error("the agent answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("the agent did not answer: {0}")]
    Failed(String),
}

/// Gets one JSON document from the agent that listens on `socket`.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    match tokio::time::timeout(PATIENCE, exchange(socket, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(ClientError::Failed(format!("not within {} s", PATIENCE.as_secs()))),
    }
}

async fn exchange<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let failed = |error: &dyn std::fmt::Display| ClientError::Failed(error.to_string());
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoAgent,
        io::ErrorKind::PermissionDenied => ClientError::Denied,
        _ => failed(&error),
    })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let request = Request::get(path).header(HOST, "shipwake").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(ClientError::Refused { status: status.as_u16(), text });
        }
        serde_json::from_slice(&body).map_err(|error| failed(&error))
    };
    tokio::pin!(ask);
    tokio::select! {
        biased;
        answer = &mut ask => answer,
        // The connection ends before or with the answer; the answer decides.
        _ = connection => ask.await,
    }
}
