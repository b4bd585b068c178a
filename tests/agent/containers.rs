//! Real containers, started before and after the agent: every series of their processes carries who they are.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use shipwake_tests::{
    agent::{Agent, binary},
    docker::{Container, Daemon},
    otlp::{Receiver, Series},
    peer, poll,
};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const IMAGE: &str = "registry.test:5000/shop/web:1.4.2";
const SERVED: &str = "http.server.request.duration";
/// Serves files to itself, several times a second.
const WORK: &str = "httpd -p 127.0.0.1:8000 -h /bin; \
    while true; do busybox wget -q -O /dev/null http://127.0.0.1:8000/true; busybox sleep 0.1; done";

fn run(daemon: &Daemon, name: &str, number: &str) -> Container {
    let number = format!("--label=com.docker.compose.container-number={number}");
    let arguments = [
        "--name",
        name,
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
        "--label=com.docker.compose.oneoff=False",
        &number,
        IMAGE,
        "/bin/sh",
        "-c",
        WORK,
    ];
    daemon.run(&arguments).unwrap()
}

/// What `conventions` ask of every series of this container.
fn offences(series: &Series, name: &str) -> Vec<String> {
    let expected = [
        ("service.name", "web"),
        ("service.namespace", "shop"),
        ("service.version", "1.4.2"),
        ("vcs.ref.head.revision", SHA),
        ("vcs.repository.url.full", "https://git.test/acme/shop"),
        ("shipwake.deploy.author", "Ada <ada@acme.test>"),
        ("container.name", name),
        ("container.image.name", "registry.test:5000/shop/web"),
        ("container.image.tags", "1.4.2"),
    ];
    expected
        .iter()
        .filter(|(key, value)| series.resource.get(*key).map(String::as_str) != Some(*value))
        .map(|(key, value)| {
            format!("{} {key} is {:?}, not {value}", series.metric, series.resource.get(*key))
        })
        .collect()
}

#[test]
fn every_series_of_a_container_carries_its_deploy() {
    if !peer::installed("/usr/sbin/dockerd") {
        return;
    }
    let daemon = Daemon::start().unwrap();
    let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let created = String::from_utf8(now.stdout).unwrap();
    daemon
        .import(
            IMAGE,
            &[
                ("org.opencontainers.image.version", "1.4.2"),
                ("org.opencontainers.image.revision", SHA),
                ("org.opencontainers.image.source", "https://git.test/acme/shop.git"),
                ("org.opencontainers.image.authors", "Ada <ada@acme.test>"),
                ("org.opencontainers.image.created", created.trim()),
            ],
        )
        .unwrap();
    let before = run(&daemon, "shop-web-1", "1");
    let receiver = Receiver::start().unwrap();
    let socket =
        std::env::temp_dir().join(format!("shipwake-containers-{}.sock", std::process::id()));
    let agent = Agent::start(
        &receiver,
        &[
            "--set",
            &format!("workload.docker_sockets={}", daemon.socket().display()),
            "--set",
            &format!("api.socket={}", socket.display()),
        ],
    )
    .unwrap();
    let of = |container: &Container| {
        let id = container.id.clone();
        move |it: &Series| it.resource.get("container.id").is_some_and(|found| *found == id)
    };
    let mut waited = Vec::new();
    let mut seen = |container: &Container, start: Instant| {
        let found = poll::until(Duration::from_secs(20), || {
            (receiver.sum(SERVED, of(container)) > 0.0).then(|| start.elapsed())
        });
        waited.push(found.expect("no request of the container was reported"));
    };
    seen(&before, Instant::now());
    let start = Instant::now();
    let after = run(&daemon, "shop-web-2", "2");
    let running = start.elapsed();
    seen(&after, start);
    // A process of a few milliseconds in a container is the container's. Nothing else there ends with 77.
    let ended = |receiver: &Receiver| {
        receiver.sum("shipwake.process.exits", |it| {
            of(&after)(it) && it.text("shipwake.process.exit.code") == "77"
        })
    };
    for _ in 0..3 {
        let _ = daemon.docker(&["exec", &after.id, "/bin/sh", "-c", "exit 77"]);
    }
    let exact = poll::until(Duration::from_secs(10), || (ended(&receiver) == 3.0).then_some(()));
    assert!(exact.is_some(), "three processes of `docker exec`: {} ended", ended(&receiver));
    println!(
        "first labelled request: {:?} after the agent's first report; {:?} after `docker run`, \
         which took {running:?}",
        waited[0], waited[1]
    );
    receiver.wait_reports(2, Duration::from_secs(10));

    for (container, name) in [(&before, "shop-web-1"), (&after, "shop-web-2")] {
        let mine: Vec<Series> = receiver.all().into_iter().filter(|it| of(container)(it)).collect();
        assert!(mine.len() > 10, "{name}: only {} series", mine.len());
        for metric in [SERVED, "http.client.request.duration", "shipwake.syscall.count"] {
            assert!(mine.iter().any(|it| it.metric == metric), "{name}: no {metric}");
        }
        let offences: Vec<String> = mine.iter().flat_map(|it| offences(it, name)).collect();
        assert!(offences.is_empty(), "{name}: {offences:?}");
    }
    let strays: Vec<Series> = receiver
        .all()
        .into_iter()
        .filter(|it| ["httpd", "busybox"].contains(&it.text("process.executable.name")))
        .filter(|it| !it.resource.contains_key("container.id"))
        .collect();
    assert!(strays.is_empty(), "series of a container outside of it: {strays:?}");

    let output = Command::new(binary())
        .args(["ps", "--explain", "--json", "--set", &format!("api.socket={}", socket.display())])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    let text = json.to_string();
    assert!(text.contains(&after.id) && text.contains(SHA), "{text}");
    assert!(text.contains("\"docker\""), "no attribute names its source: {text}");
    assert!(agent.stop().unwrap().success());
}
