//! What the sources of container runtimes make of sockets that are no such daemon.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use shipwake::workload::SourceState;

use crate::station::{Station, list};

/// A socket with a path of its own. The file goes when it is dropped.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("shipwake-socket-{}-{number}", std::process::id())))
    }

    /// Answers every connection by `answer`, on a thread that ends with the process.
    fn serve(answer: impl Fn(UnixStream, &str) + Send + 'static) -> Self {
        let socket = Self::new();
        let listener = UnixListener::bind(&socket.0).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                answer(stream, request.split(' ').nth(1).unwrap_or_default());
            }
        });
        socket
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn id() -> String {
    "a".repeat(64)
}

/// The source answers with nothing, is in `state`, and says `error`.
#[track_caller]
fn check(socket: &str, state: SourceState, error: &str) {
    let mut station = Station::start(&["docker"], &[socket]);
    station.ask(&id());
    station.until("answered", |station| !station.answers(&id()).is_empty());
    assert!(station.answers(&id())[0].attributes.is_empty());
    let health = station.health("docker");
    assert_eq!(health.state, state, "{health:?}");
    let last = health.last_error.unwrap_or_default();
    assert!(last.contains(error), "{last:?} does not say {error:?}");
}

#[test]
fn no_socket() {
    check("/nonexistent/docker.sock", SourceState::Absent, "no socket at /nonexistent/docker.sock");
}

#[test]
fn nobody_listens() {
    let socket = Socket::new();
    drop(UnixListener::bind(&socket.0).unwrap());
    check(&socket.path(), SourceState::Failing, "refused");
}

#[test]
fn no_socket_but_a_file() {
    let socket = Socket::new();
    std::fs::write(&socket.0, "").unwrap();
    check(&socket.path(), SourceState::Failing, &socket.path());
}

#[test]
fn a_listener_that_never_answers() {
    let socket = Socket::new();
    let _listener = UnixListener::bind(&socket.0).unwrap();
    check(&socket.path(), SourceState::Failing, "no answer within");
}

#[test]
fn nonsense() {
    for (answer, error) in [
        ("", "broke"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "broke"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "broke"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>no</html>",
            "does not speak the Docker API",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "does not speak the Docker API"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "does not know /containers/json"),
        ("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "500"),
        ("HTTP/1.1 301 Moved\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "301"),
    ] {
        let socket = Socket::serve(move |mut stream, _| drop(stream.write_all(answer.as_bytes())));
        check(&socket.path(), SourceState::Failing, error);
    }
}

#[test]
fn an_answer_without_end() {
    let socket = Socket::serve(|mut stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut chunk = b"100000\r\n".to_vec();
        chunk.extend(vec![b' '; 0x10_0000]);
        chunk.extend(b"\r\n");
        let mut written = stream.write_all(head);
        while written.is_ok() {
            written = stream.write_all(&chunk);
        }
    });
    let mut station = Station::start(&["docker"], &[&socket.path()]);
    station.ask(&id());
    station.until("answered", |station| !station.answers(&id()).is_empty());
    // On a slow machine the time runs out before the size does.
    let last = station.health("docker").last_error.unwrap_or_default();
    assert!(last.contains("larger than") || last.contains("no answer within"), "{last}");
}

#[test]
fn a_daemon_that_cannot_tell_about_one_container() {
    for answer in ["[]", "{\"Id\":5}", "null", "{}", "{\"Id\":\"other\"}"] {
        let socket = Socket::serve(move |mut stream, path| {
            let body = match path {
                "/containers/json" => "[]",
                path if path.starts_with("/events") => {
                    // Stays open without a word, until the other side is gone.
                    thread::spawn(move || stream.read(&mut [0; 1]));
                    return;
                }
                _ => answer,
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            drop(stream.write_all(head.as_bytes()));
        });
        let mut station = Station::start(&["docker"], &[&socket.path()]);
        station.ask(&id());
        station.until("answered", |station| !station.answers(&id()).is_empty());
        assert!(station.answers(&id())[0].attributes.is_empty(), "{answer}");
        let health = station.health("docker");
        assert_eq!(health.state, SourceState::Working, "{answer}: {health:?}");
    }
}

#[test]
fn events_of_any_content() {
    for line in
        ["garbage\n", "{}\n\n\n", "{\"Actor\":null}\n", "{\"Actor\":{\"ID\":\"../x\"}}\n", "[1]\n"]
    {
        let socket = Socket::serve(move |mut stream, path| {
            let body = if path.starts_with("/events") { line } else { "[]" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            drop(stream.write_all(head.as_bytes()));
        });
        let mut station = Station::start(&["docker"], &[&socket.path()]);
        // The stream ends, which is trouble, whatever was in it; questions are answered.
        station.until("noticed", |station| station.health("docker").last_error.is_some());
        station.ask(&id());
        station.until("answered", |station| !station.answers(&id()).is_empty());
        assert!(station.heard.iter().all(|change| change.attributes.is_empty()), "{line}");
    }
}

/// The sources that speak gRPC answer with nothing, are in `state`, and say `error`.
#[track_caller]
fn check_grpc(socket: &str, state: SourceState, error: &str) {
    for source in ["containerd", "cri"] {
        let mut station = Station::with(&[source], |settings| {
            settings.containerd_sockets = list(&[socket]);
            settings.cri_sockets = list(&[socket]);
        });
        station.ask(&id());
        station.until("answered", |station| !station.answers(&id()).is_empty());
        assert!(station.answers(&id())[0].attributes.is_empty());
        let health = station.health(source);
        assert_eq!(health.state, state, "{source}: {health:?}");
        let last = health.last_error.unwrap_or_default();
        assert!(last.contains(error), "{source}: {last:?} does not say {error:?}");
    }
}

#[test]
fn no_socket_of_grpc() {
    let path = "/nonexistent/containerd.sock";
    check_grpc(path, SourceState::Absent, "no socket at /nonexistent/containerd.sock");
}

#[test]
fn nobody_listens_for_grpc() {
    let socket = Socket::new();
    drop(UnixListener::bind(&socket.0).unwrap());
    check_grpc(&socket.path(), SourceState::Failing, "refused");
}

#[test]
fn a_listener_that_never_answers_grpc() {
    let socket = Socket::new();
    let _listener = UnixListener::bind(&socket.0).unwrap();
    check_grpc(&socket.path(), SourceState::Failing, "no answer within");
}

#[test]
fn nonsense_instead_of_grpc() {
    for answer in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\0\0\0\x04\0\0\0\0\0\xff\xff\xff\xff",
    ] {
        let socket = Socket::serve(move |mut stream, _| drop(stream.write_all(answer)));
        check_grpc(&socket.path(), SourceState::Failing, "broke");
    }
}
