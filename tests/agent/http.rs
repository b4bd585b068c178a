//! HTTP counts and times under load, against nginx's access log and wrk's count.

use std::{collections::BTreeMap, time::Duration};

use shipwake_tests::{
    agent::Agent,
    otlp::{Receiver, Series, SeriesValue},
    peer,
};

const SERVER: &str = "http.server.request.duration";
const CLIENT: &str = "http.client.request.duration";
const PATIENCE: Duration = Duration::from_secs(20);

fn pid_in(series: &Series, pids: &[u32]) -> bool {
    series.text("process.pid").parse().is_ok_and(|pid| pids.contains(&pid))
}

fn lost(receiver: &Receiver) -> f64 {
    receiver.sum("shipwake.agent.lost", |it| it.text("shipwake.agent.signal") == "http")
}

/// 200,000 keep-alive requests over several workers: every one is reported, on the right process, with the
/// right status, on both sides; or the loss counter says how many are missing.
#[test]
fn every_request_of_nginx_under_wrk_is_counted() {
    let mut nginx = peer::nginx(3, "").unwrap();
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let url = format!("http://127.0.0.1:{}/index.html", nginx.port);
    let (mut requests, mut clients) = (0, Vec::new());
    while requests < 200_000 {
        let wrk = peer::wrk(&url, 16, 5).unwrap();
        println!("{wrk:?}");
        requests += wrk.requests;
        clients.push(wrk.pid);
    }
    let missing = peer::wrk(&format!("http://127.0.0.1:{}/missing", nginx.port), 4, 1).unwrap();
    clients.push(missing.pid);
    let workers = nginx.children();
    let mut truth: BTreeMap<String, f64> = BTreeMap::new();
    for line in peer::access_log(&nginx) {
        *truth.entry(line[0].clone()).or_default() += 1.0;
    }
    println!("access log: {truth:?}");
    let total: f64 = truth.values().sum();
    let seen = receiver.wait_sum(PATIENCE, SERVER, total, |it| pid_in(it, &workers));
    let lost = lost(&receiver);
    println!("server side: seen {seen} of {total}, lost {lost}");
    for (status, count) in &truth {
        let reported = receiver.sum(SERVER, |it| {
            pid_in(it, &workers) && it.text("http.response.status_code") == status
        });
        println!("  {status}: {reported} of {count}");
        if lost == 0.0 {
            assert_eq!(reported, *count, "status {status}");
        }
    }
    assert_eq!(seen + lost.min(total - seen), total, "what is missing must be in the loss counter");
    let wrk_counted = (requests + missing.requests) as f64;
    let client = receiver.wait_sum(PATIENCE, CLIENT, wrk_counted, |it| {
        clients.contains(&it.text("process.pid").parse().unwrap_or(0))
            || it.text("process.executable.name") == "wrk"
    });
    // Requests that were in flight when wrk stopped have no response and carry an error.type instead.
    let answered = receiver.sum(CLIENT, |it| {
        it.text("service.name").contains("wrk") && !it.text("http.response.status_code").is_empty()
    });
    println!("client side: {client} exchanges, {answered} answered, wrk counted {wrk_counted}");
    if lost == 0.0 {
        // wrk stops counting when its time is over; responses that arrive after that are real all the same.
        assert!(answered >= wrk_counted, "{answered} < {wrk_counted}");
        assert!(answered <= wrk_counted + 16.0 * clients.len() as f64);
    }
    nginx.stop();
    assert!(agent.stop().unwrap().success());
}

/// Durations agree with nginx's own, to one bucket of the histogram, at the median and the 99th percentile.
#[test]
fn durations_agree_with_nginx() {
    let backend = SlowBackend::start();
    let nginx = peer::nginx(
        1,
        &format!("location /slow {{ proxy_pass http://127.0.0.1:{}; }}", backend.port),
    )
    .unwrap();
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &[]).unwrap();
    let count = 300;
    for index in 0..count {
        // Most take 10 to 40 ms, few take 200 ms.
        let millis = if index % 50 == 49 { 200 } else { 10 + index % 30 };
        get(nginx.port, &format!("/slow?ms={millis}"));
    }
    let workers = nginx.children();
    let seen = receiver.wait_sum(PATIENCE, SERVER, f64::from(count), |it| pid_in(it, &workers));
    assert_eq!(seen, f64::from(count));
    let mut truth: Vec<f64> =
        peer::access_log(&nginx).iter().map(|line| line[1].parse().unwrap()).collect();
    truth.sort_by(f64::total_cmp);
    let series = receiver.series(SERVER, |it| pid_in(it, &workers));
    for quantile in [0.5, 0.99] {
        let rank = ((truth.len() as f64 * quantile).ceil() as usize).max(1) - 1;
        let (low, high) = bucket_of_rank(&series, rank as u64);
        let expected = truth[rank];
        println!("p{}: nginx {expected} s, bucket ({low:.4}, {high:.4}]", quantile * 100.0);
        // nginx rounds to milliseconds; one neighbouring bucket is allowed on each side.
        let width = high / low;
        assert!(
            expected + 0.0011 >= low / width && expected - 0.0011 <= high * width,
            "p{quantile}: {expected} is outside ({low}, {high}]"
        );
    }
    drop(agent);
}

/// Bounds of the bucket that holds the observation of this rank.
fn bucket_of_rank(series: &[Series], rank: u64) -> (f64, f64) {
    let mut buckets: Vec<(f64, f64, u64)> = Vec::new();
    for it in series {
        let SeriesValue::Histogram { scale, offset, buckets: counts, .. } = &it.value else {
            panic!("not an exponential histogram: {it:?}");
        };
        let base = 2f64.powf(2f64.powi(-scale));
        for (index, count) in counts.iter().enumerate() {
            let power = offset + i32::try_from(index).unwrap();
            buckets.push((base.powi(power), base.powi(power + 1), *count));
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut before = 0;
    for (low, high, count) in buckets {
        before += count;
        if before > rank {
            return (low, high);
        }
    }
    panic!("rank {rank} is beyond the histogram");
}

fn get(port: u16, path: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// A server that answers after the milliseconds that the query asks for.
struct SlowBackend {
    port: u16,
}

impl SlowBackend {
    fn start() -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut head = [0; 2048];
                    let length = stream.read(&mut head).unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let millis = head
                        .split("ms=")
                        .nth(1)
                        .and_then(|rest| rest.split(' ').next()?.parse().ok())
                        .unwrap_or(0);
                    std::thread::sleep(Duration::from_millis(millis));
                    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
                });
            }
        });
        Self { port }
    }
}
