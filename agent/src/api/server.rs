//! Answers requests on the socket by asking the engine's owner.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, oneshot};

use super::{
    Socket,
    model::{Ps, Status},
};

/// What the API asks the task that owns the state.
pub enum Question {
    Status(oneshot::Sender<Status>),
    Ps(oneshot::Sender<Ps>),
}

/// A connection that has said nothing for this long is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after `accept` failed, for example because there are no file descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until it is dropped, one connection at a time: who keeps one open makes only others wait.
pub async fn serve(socket: Socket, questions: mpsc::Sender<Question>) {
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("status socket: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let service = service_fn(|request| answer(request, &questions));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(2 * PATIENCE, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("status socket: {error}"),
            Err(_) => tracing::debug!("status socket: the peer took too long"),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    questions: &mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    Ok(match request.uri().path() {
        "/status" => json(ask(questions, Question::Status).await),
        "/ps" => json(ask(questions, Question::Ps).await),
        _ => text(StatusCode::NOT_FOUND, "there is /status and /ps\n"),
    })
}

/// `None` while the agent stops.
async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: fn(oneshot::Sender<T>) -> Question,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    questions.send(question(sender)).await.ok()?;
    receiver.await.ok()
}

fn json(value: Option<impl serde::Serialize>) -> Response<Full<Bytes>> {
    match value.map(|value| serde_json::to_vec(&value)) {
        Some(Ok(body)) => response(StatusCode::OK, "application/json", body.into()),
        Some(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n"),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain", Bytes::copy_from_slice(text.as_bytes()))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::api::{ClientError, get};

    fn path() -> PathBuf {
        std::env::temp_dir().join(format!("shipwake-api-{}.sock", std::process::id()))
    }

    #[tokio::test]
    async fn a_client_gets_what_the_owner_says() {
        let (sender, mut receiver) = mpsc::channel(1);
        let server = tokio::spawn(serve(Socket::bind(&path()).unwrap(), sender));
        let owner = tokio::spawn(async move {
            if let Some(Question::Ps(answer)) = receiver.recv().await {
                answer.send(Ps { denied: 7, ..Ps::default() }).unwrap();
            }
        });
        let ps: Ps = get(&path(), "/ps").await.unwrap();
        assert_eq!(ps.denied, 7);
        owner.await.unwrap();
        let gone = get::<Ps>(&path(), "/ps").await;
        assert!(matches!(gone, Err(ClientError::Refused { .. })), "the owner is gone: {gone:?}");
        let nowhere = get::<Ps>(&path(), "/nowhere").await;
        assert!(matches!(nowhere, Err(ClientError::Refused { .. })), "{nowhere:?}");
        server.abort();
        assert!(server.await.is_err());
        assert!(matches!(get::<Ps>(&path(), "/ps").await, Err(ClientError::NoAgent)));
    }
}
