//! Single exchanges whose right reading is not obvious, against real servers and hand-written ones.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use shipwake_tests::{
    agent::Agent,
    otlp::{Receiver, Series},
    peer::{self, Server},
};

const SERVER: &str = "http.server.request.duration";
const CLIENT: &str = "http.client.request.duration";
const PATIENCE: Duration = Duration::from_secs(20);

fn own(series: &Series) -> bool {
    series.text("process.pid") == std::process::id().to_string()
}

fn sum_seconds(series: &[Series]) -> f64 {
    series
        .iter()
        .map(|it| match &it.value {
            shipwake_tests::otlp::SeriesValue::Histogram { sum, .. }
            | shipwake_tests::otlp::SeriesValue::Explicit { sum, .. } => *sum,
            shipwake_tests::otlp::SeriesValue::Number(value) => *value,
        })
        .sum()
}

fn ask(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn path_is<'a>(path: &'a str) -> impl Fn(&Series) -> bool + 'a {
    move |it| it.text("shipwake.http.path_template") == path
}

/// One connection of a hand-written server.
fn serve_once(serve: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    port
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    head
}

#[test]
fn awkward_exchanges_are_read_right() {
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();

    // A response streamed over two seconds takes two seconds.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for _ in 0..4 {
            thread::sleep(Duration::from_millis(500));
            stream.write_all(b"2\r\nok\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    ask(port, b"GET /streamed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    // A connection idle for two seconds before its first request: the idle time is not part of it.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    thread::sleep(Duration::from_secs(2));
    stream.write_all(b"GET /idle-first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());

    // A head written byte by byte, and read byte by byte.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"GET /byte-by-byte HTTP/1.1\r\nHost: a\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let _ = stream.read_to_end(&mut Vec::new());

    // A body that looks like a request is a body.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        let mut body = [0; 35];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let body = b"GET /fake HTTP/1.1\r\nHost: fake\r\n\r\n\r\n";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"POST /with-body HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n").unwrap();
    stream.write_all(&body[..35]).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());

    // A server that closes without answering.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
    });
    ask(port, b"GET /no-answer HTTP/1.1\r\nHost: a\r\n\r\n");

    // A client that gives up while it waits.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        thread::sleep(Duration::from_secs(1));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /gave-up HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);

    // 100-continue, then the body, then the answer.
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"PUT /continue HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    read_head(&mut stream);
    stream.write_all(b"hello").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());

    // HEAD has a length and no body; the connection goes on.
    let nginx = peer::nginx(1, "").unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.port)).unwrap();
    stream.write_all(b"HEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_head(&mut stream);
    stream.write_all(b"GET /status204 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_head(&mut stream);

    // Ten requests in one write.
    let ten = b"GET /index.html?pipelined HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10);
    stream.write_all(&ten).unwrap();
    let mut answers = 0;
    while answers < 10 {
        let head = String::from_utf8(read_head(&mut stream)).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse().ok())
            .unwrap();
        stream.read_exact(&mut vec![0; length]).unwrap();
        answers += 1;
    }
    drop(stream);

    // Three megabytes by sendfile to a reader that takes its time.
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.port)).unwrap();
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut chunk = vec![0; 300_000];
    let mut total = 0;
    loop {
        let length = stream.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        total += length;
        if total < 2_700_000 {
            thread::sleep(Duration::from_millis(50));
        }
    }
    let slow_reader = start.elapsed().as_secs_f64();
    drop(stream);

    let workers = nginx.children();
    let nginx_side =
        |it: &Series| it.text("process.pid").parse().is_ok_and(|pid| workers.contains(&pid));
    receiver.wait_sum(PATIENCE, SERVER, 13.0, nginx_side);
    receiver.wait_sum(PATIENCE, SERVER, 7.0, own);
    // Connections that are still open report their last exchange once they have been idle for a while.
    receiver.wait_sum(PATIENCE, CLIENT, 21.0, own);
    receiver.wait_reports(3, PATIENCE);

    let one = |metric: &str, path: &str| -> Series {
        let found = receiver.series(metric, |it| own(it) && path_is(path)(it));
        assert_eq!(found.len(), 1, "{metric} {path}: {found:?}");
        assert_eq!(found[0].number(), 1.0, "{metric} {path}");
        found[0].clone()
    };
    for metric in [SERVER, CLIENT] {
        let streamed = one(metric, "/streamed");
        let seconds = sum_seconds(&[streamed]);
        assert!((2.0..3.0).contains(&seconds), "streamed: {seconds}");
        let seconds = sum_seconds(&[one(metric, "/idle-first")]);
        assert!(seconds < 1.0, "idle time counted: {seconds}");
        assert_eq!(one(metric, "/byte-by-byte").text("http.response.status_code"), "200");
        let with_body = one(metric, "/with-body");
        assert_eq!(with_body.text("http.response.status_code"), "201");
        assert_eq!(with_body.text("http.request.method"), "POST");
        assert!(
            receiver.series(metric, path_is("/fake")).is_empty(),
            "a body was taken for a request"
        );
        let no_answer = one(metric, "/no-answer");
        assert_eq!(no_answer.text("http.response.status_code"), "");
        assert_ne!(no_answer.text("error.type"), "");
        assert_eq!(one(metric, "/continue").text("http.response.status_code"), "200");
    }
    assert_ne!(one(CLIENT, "/gave-up").text("error.type"), "");

    let of_nginx = |path: &str, status: &str| {
        receiver.sum(SERVER, |it| {
            nginx_side(it) && path_is(path)(it) && it.text("http.response.status_code") == status
        })
    };
    assert_eq!(of_nginx("/large.bin", "200"), 2.0, "HEAD and GET");
    assert_eq!(of_nginx("/status204", "204"), 1.0);
    assert_eq!(of_nginx("/index.html", "200"), 10.0, "ten requests in one write");
    let large = receiver.series(CLIENT, |it| {
        own(it) && path_is("/large.bin")(it) && it.text("http.request.method") == "GET"
    });
    let seconds = sum_seconds(&large);
    assert!(
        (seconds - slow_reader).abs() < 0.1,
        "slow reader took {slow_reader}, reported {seconds}"
    );
    assert!(agent.stop().unwrap().success());
}

/// Requests through other servers and a proxy: counts on every side equal what was asked.
#[test]
fn other_servers_and_a_proxy_are_counted() {
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let mut servers: Vec<(&str, Server)> = Vec::new();
    if let Some(server) = python() {
        servers.push(("python", server));
    }
    if let Some(server) = node() {
        servers.push(("node", server));
    }
    if let Some(server) = apache() {
        servers.push(("apache", server));
    }
    let nginx = peer::nginx(1, "").unwrap();
    if let Some(server) = haproxy(nginx.port) {
        servers.push(("haproxy", server));
    }
    for (name, server) in &servers {
        for _ in 0..200 {
            ask(server.port, b"GET /index.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        let mut keep_alive = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        if *name == "node" || *name == "apache" || *name == "haproxy" {
            for _ in 0..100 {
                keep_alive.write_all(b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let head =
                    String::from_utf8(read_head(&mut keep_alive)).unwrap().to_ascii_lowercase();
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
                    .unwrap_or_else(|| panic!("{name}: {head}"));
                keep_alive.read_exact(&mut vec![0; length]).unwrap();
            }
        }
        drop(keep_alive);
        let large =
            ask(server.port, b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(large.len() > 3_000_000, "{name}: {}", large.len());
    }
    for (name, server) in &servers {
        let mut pids = descendants(server.pid());
        pids.push(server.pid());
        let of = |it: &Series| it.text("process.pid").parse().is_ok_and(|pid| pids.contains(&pid));
        let expected = if *name == "python" { 201.0 } else { 301.0 };
        let ok = |it: &Series| of(it) && it.text("http.response.status_code") == "200";
        let seen = receiver.wait_sum(PATIENCE, SERVER, expected, ok);
        assert_eq!(seen, expected, "{name} as a server");
        if *name == "haproxy" {
            let seen = receiver.wait_sum(PATIENCE, CLIENT, expected, ok);
            assert_eq!(seen, expected, "{name} as a client");
        }
    }
    assert!(agent.stop().unwrap().success());
}

fn descendants(pid: u32) -> Vec<u32> {
    let children: Vec<u32> = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.clone()).collect()
}

fn files(name: &str) -> std::path::PathBuf {
    let folder = peer::folder(name).unwrap();
    fs::write(folder.join("index.html"), "x".repeat(612)).unwrap();
    fs::write(folder.join("large.bin"), vec![b'y'; 3_000_000]).unwrap();
    folder
}

fn python() -> Option<Server> {
    if !peer::installed("python3") {
        return None;
    }
    let folder = files("python");
    let port = peer::free_port().unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"])
        .arg(&folder);
    Some(Server::start(command, port, folder).unwrap())
}

fn node() -> Option<Server> {
    if !peer::installed("node") {
        return None;
    }
    let folder = files("node");
    let port = peer::free_port().unwrap();
    let program = format!(
        "const http = require('http'), fs = require('fs');
         http.createServer((q, r) => {{
           const body = fs.readFileSync('.' + q.url);
           r.writeHead(200, {{'Content-Length': body.length}}); r.end(body);
         }}).listen({port}, '127.0.0.1');"
    );
    let mut command = Command::new("node");
    command.args(["-e", &program]).current_dir(&folder);
    Some(Server::start(command, port, folder).unwrap())
}

fn apache() -> Option<Server> {
    if !peer::installed("/usr/sbin/apache2") {
        return None;
    }
    let folder = files("apache");
    let port = peer::free_port().unwrap();
    let at = folder.display();
    let modules = "/usr/lib/apache2/modules";
    let config = format!(
        "ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/error.log\n\
         LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         DefaultRuntimeDir {at}\nDocumentRoot {at}\nKeepAlive On\nMaxKeepAliveRequests 0\n\
         <Directory {at}>\nRequire all granted\n</Directory>\n"
    );
    fs::write(folder.join("apache.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(folder.join("apache.conf"));
    Some(Server::start(command, port, folder).unwrap())
}

fn haproxy(backend: u16) -> Option<Server> {
    if !peer::installed("/usr/sbin/haproxy") {
        return None;
    }
    let folder = files("haproxy");
    let port = peer::free_port().unwrap();
    let config = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         listen web\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{backend}\n"
    );
    fs::write(folder.join("haproxy.cfg"), config).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    Some(Server::start(command, port, folder).unwrap())
}
