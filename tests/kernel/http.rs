//! HTTP capture against exchanges that this program itself had, as server and as client.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    thread,
    time::{Duration, Instant},
};

use shipwake::{
    config::Config,
    kernel::{self, Loaded, btf::Btf, features::Features},
    metric::Value,
    signals::{Batch, Collector, Object, Setup, Subject, http, syscalls},
    time::Mono,
};

use super::net;

const DEADLINE: Duration = Duration::from_secs(20);

/// Both signals of the object, and everything that the second has said.
struct Running {
    collector: Box<dyn Collector>,
    said: Batch,
    /// First segment of the paths of this test; the others run at the same time.
    prefix: &'static str,
    _loaded: Loaded,
}

impl Running {
    /// Loads and attaches the object; `None`, with the reason printed, where that is not allowed.
    fn start(prefix: &'static str) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            println!("SKIPPED: needs root");
            return None;
        }
        let Object::Own(object) = syscalls::SIGNAL.object else { panic!("owns its object") };
        let features = Features::probe();
        let btf = Btf::of_kernel().ok();
        let offsets = btf.as_ref().map_or(shipwake_ebpf::offsets::Offsets::ABSENT, Btf::offsets);
        let config = Config::default();
        let setup = Setup {
            config: &config,
            features: &features,
            btf: btf.as_ref(),
            offsets: &offsets,
            cpus: thread::available_parallelism().unwrap().get().try_into().unwrap(),
            own_tgid: 0,
        };
        let types = kernel::kernel_btf().ok();
        let mut loaded = kernel::load(&syscalls::SIGNAL, object, &setup, types.as_ref(), None)
            .unwrap_or_else(|(error, health)| panic!("{error:?}\n{health:#?}"));
        let collector = (http::SIGNAL.collector)(&mut loaded, &setup).unwrap();
        Some(Self { collector, said: Batch::default(), prefix, _loaded: loaded })
    }

    /// Collects until this process has as many exchanges on each side, or fails.
    fn until(&mut self, servers: u64, clients: u64) {
        let start = Instant::now();
        loop {
            self.collector.collect(Mono::now(), &mut self.said);
            // Others on this host may be busy.
            self.said.measurements.retain(|measurement| {
                matches!(measurement.subject, Subject::Process(process)
                    if process.tgid == std::process::id())
            });
            let count = |side: &str| {
                self.own().filter(|(name, ..)| *name == format!("{side} duration")).count() as u64
            };
            let found = (count("server"), count("client"));
            if found == (servers, clients) {
                return;
            }
            let mut labels: Vec<String> = self.own().map(|(_, _, labels)| labels).collect();
            labels.dedup();
            assert!(start.elapsed() < DEADLINE, "{found:?} {labels:?} {:?}", self.said.losses);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Measurements of this process: `server duration`, value, and the labels that matter.
    fn own(&self) -> impl Iterator<Item = (String, f64, String)> {
        let single = self.said.measurements.iter().flat_map(|measurement| {
            let values = match &measurement.value {
                Value::Observe(value) | Value::Add(value) => vec![*value],
                Value::Observations(list) => {
                    list.iter().flat_map(|(value, times)| (0..*times).map(|_| *value)).collect()
                }
                Value::Buckets(_) | Value::Set(_) => Vec::new(),
            };
            values.into_iter().map(move |value| (measurement, value))
        });
        single.filter_map(|(measurement, value)| {
            let Subject::Process(process) = measurement.subject else { return None };
            let name = match measurement.metric.name {
                "http.server.request.duration" => "server duration",
                "http.client.request.duration" => "client duration",
                "shipwake.http.server.request.size" => "server request",
                "shipwake.http.client.request.size" => "client request",
                "shipwake.http.server.response.size" => "server response",
                "shipwake.http.client.response.size" => "client response",
                other => other,
            };
            let labels: Vec<String> = [
                "http.request.method",
                "shipwake.http.path_template",
                "http.response.status_code",
                "error.type",
            ]
            .iter()
            .filter_map(|key| measurement.labels.get(key))
            .map(ToString::to_string)
            .collect();
            let own = process.tgid == std::process::id()
                && labels.iter().any(|label| label.starts_with(self.prefix));
            own.then(|| (name.to_owned(), value, labels.join(" ")))
        })
    }

    /// How many measurements of `name` have these labels.
    fn count(&self, name: &str, labels: &str) -> usize {
        self.own().filter(|(known, _, text)| known == name && text == labels).count()
    }

    fn values(&self, name: &str, labels: &str) -> Vec<f64> {
        let found = self.own().filter(|(known, _, text)| known == name && text == labels);
        found.map(|(_, value, _)| value).collect()
    }
}

/// Serves one connection in a thread, with blocking calls.
fn serve(serve: impl FnOnce(TcpStream) + Send + 'static) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    let client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    // Goes on after a signal, as children of other tests send them.
    while !bytes.ends_with(end) && stream.read_exact(&mut byte).is_ok() {
        bytes.push(byte[0]);
    }
    bytes
}

const BLANK: &[u8] = b"\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers every request on the connection with [`OK`].
fn answer_all(mut stream: TcpStream) {
    while read_until(&mut stream, BLANK).ends_with(BLANK) {
        stream.write_all(OK).unwrap();
    }
}

/// Answers a request with a body of 26 bytes, and then others without.
fn answer_with_body(mut stream: TcpStream) {
    read_until(&mut stream, BLANK);
    stream.read_exact(&mut [0; 26]).unwrap();
    stream.write_all(OK).unwrap();
    answer_all(stream);
}

#[test]
fn exchanges_of_this_process_are_measured_on_both_sides() {
    let Some(mut running) = Running::start("/all") else { return };

    // Keep-alive: the last one is only known to be over when the connection closes.
    let mut client = serve(answer_all);
    for number in 0..100 {
        let request = format!("GET /all/items/{number}?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        read_until(&mut client, b"ok");
    }
    drop(client);

    // A head byte by byte.
    let mut client = serve(answer_all);
    for byte in b"GET /all/bytewise HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.write_all(&[*byte]).unwrap();
    }
    read_until(&mut client, b"ok");
    drop(client);

    // Ten at once.
    let mut client = serve(|mut stream| {
        let mut bytes = vec![0; 10_000];
        let mut requests = 0;
        while requests < 10 {
            let read = stream.read(&mut bytes).unwrap();
            let found = bytes[..read].windows(4).filter(|window| *window == BLANK).count();
            stream.write_all(&OK.repeat(found)).unwrap();
            requests += found;
        }
        // Until the client closes, so that nobody resets the connection.
        let _ = stream.read(&mut bytes);
    });
    client.write_all(&b"GET /all/ten HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10)).unwrap();
    let mut answers = [0; 10 * OK.len()];
    client.read_exact(&mut answers).unwrap();
    drop(client);

    // A streamed response, a body that looks like a request, and a head longer than what is kept.
    let mut client = serve(|mut stream| {
        read_until(&mut stream, BLANK);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for _ in 0..4 {
            thread::sleep(Duration::from_millis(50));
            stream.write_all(b"2\r\nok\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        answer_with_body(stream);
    });
    client.write_all(b"GET /all/streamed HTTP/1.1\r\n\r\n").unwrap();
    read_until(&mut client, b"0\r\n\r\n");
    let body = "GET /all/fake HTTP/1.1\r\n\r\n";
    let post = format!("POST /all/body HTTP/1.1\r\nContent-Length: 26\r\n\r\n{body}");
    client.write_all(post.as_bytes()).unwrap();
    read_until(&mut client, b"ok");
    drop(client);
    let mut client = serve(answer_with_body);
    client.write_all(b"POST /all/split HTTP/1.1\r\nContent-Length: 26\r\n\r\n").unwrap();
    client.write_all(body.as_bytes()).unwrap();
    read_until(&mut client, b"ok");
    let long = format!("GET /all/long HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(2000));
    client.write_all(long.as_bytes()).unwrap();
    read_until(&mut client, b"ok");
    drop(client);

    // A server that closes without an answer, and one that resets.
    let mut client = serve(|mut stream| drop(read_until(&mut stream, BLANK)));
    client.write_all(b"GET /all/closed HTTP/1.1\r\n\r\n").unwrap();
    read_until(&mut client, b"never");
    drop(client);
    // A reset that comes before the write of the request returns finds no exchange yet.
    let (written, is_written) = std::sync::mpsc::channel();
    let mut client = serve(move |mut stream| {
        read_until(&mut stream, BLANK);
        is_written.recv().unwrap();
        net::reset_on_close(stream.as_raw_fd()).unwrap();
    });
    client.write_all(b"GET /all/reset HTTP/1.1\r\n\r\n").unwrap();
    written.send(()).unwrap();
    read_until(&mut client, b"never");
    drop(client);

    running.until(117, 117);
    let mut expected = BTreeMap::from([
        ("GET /all/items/{id} 200", 100),
        ("GET /all/bytewise 200", 1),
        ("GET /all/ten 200", 10),
        ("GET /all/streamed 200", 1),
        ("POST /all/body 200", 1),
        ("POST /all/split 200", 1),
        ("GET /all/long 200", 1),
        ("GET /all/closed connection_closed", 1),
        ("GET /all/reset connection_reset", 1),
    ]);
    for side in ["server", "client"] {
        for (labels, count) in &expected {
            let found = running.count(&format!("{side} duration"), labels);
            assert_eq!(found, *count, "{side} {labels}");
        }
        let streamed = running.values(&format!("{side} duration"), "GET /all/streamed 200");
        assert!((0.2..2.0).contains(&streamed[0]), "{streamed:?}");
        let sizes = |what: &str, labels: &str| running.values(&format!("{side} {what}"), labels);
        assert_eq!(sizes("request", "POST /all/split 200"), [74.0]);
        assert_eq!(sizes("request", "GET /all/long 200"), [long.len() as f64]);
        assert_eq!(sizes("response", "GET /all/bytewise 200"), [OK.len() as f64]);
    }
    assert_eq!(expected.remove("GET /all/fake 200"), None);
}

/// An exchange after which the connection stays open and silent is reported all the same, once.
#[test]
fn a_silent_connection_is_reported_once() {
    let Some(mut running) = Running::start("/quiet") else { return };
    let mut client = serve(answer_all);
    client.write_all(b"GET /quiet/silent HTTP/1.1\r\n\r\n").unwrap();
    read_until(&mut client, b"ok");
    running.until(1, 1);
    drop(client);
    let mut client = serve(answer_all);
    client.write_all(b"GET /quiet/after HTTP/1.1\r\n\r\n").unwrap();
    read_until(&mut client, b"ok");
    drop(client);
    running.until(2, 2);
    for side in ["server duration", "client duration"] {
        assert_eq!(running.count(side, "GET /quiet/silent 200"), 1);
        assert_eq!(running.count(side, "GET /quiet/after 200"), 1);
    }
}
