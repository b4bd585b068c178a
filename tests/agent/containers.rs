//! Real containers, started before and after the agent: every series of their processes carries who they are,
//! from the first report on.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shipwake_tests::{
    agent::{Agent, binary},
    docker::{self, Container, Daemon, OWN_BUSYBOX},
    otlp::{Receiver, Series},
    peer, poll,
};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const IMAGE: &str = "registry.test:5000/shop/web:1.4.2";
const SERVED: &str = "http.server.request.duration";
const PATIENCE: Duration = Duration::from_secs(20);
/// From the start of a container's first process to the first report of a request that it served.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// Containers that may be started to see one named in time: other work on the machine may delay one.
const TRIES: u32 = 3;

/// A container that serves files to itself, several times a second.
fn run(daemon: &Daemon, name: &str) -> Container {
    let work = format!(
        "{OWN_BUSYBOX} httpd -f -p 127.0.0.1:8000 -h /bin & while true; do \
         {OWN_BUSYBOX} wget -q -O /dev/null http://127.0.0.1:8000/true; {OWN_BUSYBOX} sleep 0.1; done"
    );
    let arguments = [
        "--name",
        name,
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
        "--label=com.docker.compose.oneoff=False",
        IMAGE,
        &format!("/bin/{OWN_BUSYBOX}"),
        "sh",
        "-c",
        &work,
    ];
    daemon.run(&arguments).unwrap()
}

/// The image with the labels that builders give.
fn import(daemon: &Daemon) {
    let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let created = String::from_utf8(now.stdout).unwrap();
    let labels = [
        ("org.opencontainers.image.version", "1.4.2"),
        ("org.opencontainers.image.revision", SHA),
        ("org.opencontainers.image.source", "https://git.test/acme/shop.git"),
        ("org.opencontainers.image.authors", "Ada <ada@acme.test>"),
        ("org.opencontainers.image.created", created.trim()),
    ];
    daemon.import(IMAGE, &labels).unwrap();
}

/// What is known of a container: attribute, value, and who says so.
fn known<'a>(
    container: &'a Container,
    name: &'a str,
) -> [(&'static str, &'a str, &'static str); 11] {
    [
        ("service.name", "web", "label com.docker.compose.service"),
        ("service.namespace", "shop", "label com.docker.compose.project"),
        ("service.version", "1.4.2", "label org.opencontainers.image.version"),
        ("vcs.ref.head.revision", SHA, "label org.opencontainers.image.revision"),
        (
            "vcs.repository.url.full",
            "https://git.test/acme/shop",
            "label org.opencontainers.image.source",
        ),
        ("shipwake.deploy.author", "Ada <ada@acme.test>", "label org.opencontainers.image.authors"),
        ("container.id", &container.id, "cgroup"),
        ("container.runtime.name", "docker", "cgroup"),
        ("container.name", name, "docker"),
        ("container.image.name", "registry.test:5000/shop/web", "docker"),
        ("container.image.tags", "1.4.2", "docker"),
    ]
}

/// Series under the resource of a container.
fn of(container: &Container) -> impl Fn(&Series) -> bool + Copy + '_ {
    |it| it.resource.get("container.id") == Some(&container.id)
}

#[test]
fn every_series_of_a_container_carries_its_deploy() {
    if !peer::installed("/usr/sbin/dockerd") {
        return;
    }
    let daemon = Daemon::start().unwrap();
    import(&daemon);
    let mut containers = vec![("shop-web-0".to_owned(), run(&daemon, "shop-web-0"))];
    let receiver = Receiver::start().unwrap();
    let socket =
        std::env::temp_dir().join(format!("shipwake-containers-{}.sock", std::process::id()));
    let docker_socket = format!("workload.docker_sockets={}", daemon.socket().display());
    let api_socket = format!("api.socket={}", socket.display());
    // On a starved machine the daemon may need longer than the agent would wait for it. How long it took is
    // measured below.
    let patience = "workload.patience=20s";
    let settings = ["--set", &docker_socket, "--set", &api_socket, "--set", patience];
    let agent = Agent::start(&receiver, &settings).unwrap();
    serves(&receiver, &containers[0].1);

    let mut waited = Vec::new();
    while waited.last().is_none_or(|last| *last > NAMED_WITHIN) && waited.len() < TRIES as usize {
        let name = format!("shop-web-{}", containers.len());
        let container = run(&daemon, &name);
        let start = docker::started(container.pid).unwrap();
        serves(&receiver, &container);
        let [any, served] = ["", SERVED].map(|metric| first(&receiver, &container, metric, start));
        println!("after the start of {name}: reported {any:?}, its first request {served:?}");
        waited.push(served);
        containers.push((name, container));
    }
    assert!(waited.iter().any(|waited| *waited <= NAMED_WITHIN), "{waited:?}");

    short_processes_belong(&daemon, &receiver, &containers[1].1);
    receiver.wait_reports(2, Duration::from_secs(10));
    for (name, container) in &containers {
        check_series(&receiver, container, name);
        check_explained(container, name, &settings);
    }
    assert!(agent.stop().unwrap().success());
    assert!(!socket.exists());
    // Without an agent the command looks for itself.
    for (name, container) in &containers {
        check_explained(container, name, &settings);
    }
}

/// Waits until a request that the container served is reported as its own.
fn serves(receiver: &Receiver, container: &Container) {
    let served = receiver.wait_sum(PATIENCE, SERVED, 1.0, of(container));
    assert!(served >= 1.0, "no request of container {} was reported", container.id);
}

/// From the start of the container to the first report of a metric, or of any, by the agent's own clock. That
/// every series has the full name from its first point on is looked at by [`check_series`].
fn first(receiver: &Receiver, of_it: &Container, metric: &str, start: SystemTime) -> Duration {
    let is_meant = |it: &Series| of(of_it)(it) && (metric.is_empty() || it.metric == metric);
    let mine = receiver.all().into_iter().filter(is_meant);
    let first = mine.map(|it| it.first_unix_nano).min().unwrap();
    (UNIX_EPOCH + Duration::from_nanos(first)).duration_since(start).unwrap_or_default()
}

/// A process of a few milliseconds in a container is the container's.
fn short_processes_belong(daemon: &Daemon, receiver: &Receiver, container: &Container) {
    let is_one = |it: &Series| it.text("shipwake.process.exit.code") == "77";
    for _ in 0..3 {
        let _ = daemon.docker(&["exec", &container.id, "/bin/sh", "-c", "exit 77"]);
    }
    let ended = || receiver.sum("shipwake.process.exits", |it| is_one(it) && of(container)(it));
    let exact = poll::until(Duration::from_secs(10), || (ended() == 3.0).then_some(()));
    assert!(exact.is_some(), "three processes of `docker exec`: {} ended", ended());
}

/// Every series under the container's resource has all of it, and none of its processes has another.
#[track_caller]
fn check_series(receiver: &Receiver, container: &Container, name: &str) {
    // These live since before the reports that are looked at: their pids mean nobody else meanwhile.
    let members: BTreeMap<String, u64> = container
        .processes()
        .into_iter()
        .filter_map(|pid| {
            let start = docker::started(pid).ok()?.duration_since(UNIX_EPOCH).ok()?;
            // A hundredth of a second is as exact as it gets.
            Some((pid.to_string(), start.as_nanos() as u64 + 20_000_000))
        })
        .collect();
    assert!(members.len() >= 2, "{name}: {members:?}");
    let all = receiver.all();
    let mine: Vec<&Series> = all.iter().filter(|it| of(container)(it)).collect();
    assert!(mine.len() > 10, "{name}: only {} series", mine.len());
    for metric in [SERVED, "http.client.request.duration", "shipwake.syscall.count"] {
        assert!(mine.iter().any(|it| it.metric == metric), "{name}: no {metric}");
    }
    let told: Vec<&&Series> =
        mine.iter().filter(|it| members.contains_key(it.text("process.pid"))).collect();
    assert!(told.len() > 3, "{name}: only {} series of processes that live", told.len());
    for series in &mine {
        for (key, value, _) in known(container, name) {
            let found = series.resource.get(key).map(String::as_str);
            assert_eq!(found, Some(value), "{name}: {key} of {series:?}");
        }
    }
    let is_stray = |it: &&Series| {
        let by_pid = members.get(it.text("process.pid"));
        let of_member = by_pid.is_some_and(|start| it.first_unix_nano > *start);
        // The first process was the runtime's until it executed the program of the container.
        let was_runtime = it.text("process.pid") == container.pid.to_string()
            && it.text("process.executable.name") != OWN_BUSYBOX;
        of_member && !was_runtime && !of(container)(it)
    };
    let strays: Vec<&Series> = all.iter().filter(is_stray).collect();
    assert!(strays.is_empty(), "{name}: series of its processes elsewhere: {strays:?}");
    // Of those that ended, only a program can be told whose name nobody else on the host has.
    let is_stray = |it: &&Series| {
        let names = [it.text("process.executable.name"), it.text("service.name")];
        names.iter().any(|name| name.contains(OWN_BUSYBOX))
            && !it.resource.contains_key("container.id")
    };
    let strays: Vec<&Series> = all.iter().filter(is_stray).collect();
    assert!(strays.is_empty(), "{name}: series of its programs elsewhere: {strays:?}");
}

/// Attributes of processes with their sources, as `shipwake ps` tells them.
type Told = BTreeMap<u32, BTreeMap<String, (String, String)>>;

fn ps(settings: &[&str], extra: &[&str]) -> String {
    let output = Command::new(binary()).arg("ps").args(extra).args(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `ps --json`, all processes.
fn ps_all(settings: &[&str]) -> Told {
    let json: serde_json::Value = serde_json::from_str(&ps(settings, &["--json"])).unwrap();
    let row = |process: &serde_json::Value| {
        let attributes = process["attributes"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let of_one =
            |it: &serde_json::Value| (text(&it["key"]), (text(&it["value"]), text(&it["source"])));
        (process["pid"].as_u64().unwrap() as u32, attributes.iter().map(of_one).collect())
    };
    json["processes"].as_array().unwrap().iter().map(row).collect()
}

/// `ps --explain --pid`, as people read it: `key  = value  (source)` below a line with the process.
fn ps_explained(settings: &[&str], pid: u32) -> BTreeMap<String, (String, String)> {
    let text = ps(settings, &["--explain", "--pid", &pid.to_string()]);
    assert!(text.starts_with(&format!("{pid} ")), "{text}");
    let line = |line: &str| {
        let (key, rest) = line.split_once("= ")?;
        let (value, source) = rest.rsplit_once('(')?;
        let source = source.strip_suffix(')')?;
        Some((key.trim().to_owned(), (value.trim().to_owned(), source.to_owned())))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// What `ps` says of a container's processes: each attribute with its own source, for them and nobody else.
#[track_caller]
fn check_explained(container: &Container, name: &str, settings: &[&str]) {
    let whole = ps_explained(settings, container.pid);
    for (key, value, source) in known(container, name) {
        let expected = (value.to_owned(), source.to_owned());
        assert_eq!(whole.get(key), Some(&expected), "{name}, process {}: {key}", container.pid);
    }
    let before = lasting(container);
    let all = ps_all(settings);
    let lasting: Vec<u32> =
        lasting(container).into_iter().filter(|pid| before.contains(pid)).collect();
    assert!(lasting.len() >= 2, "{name}: {lasting:?}");
    for pid in lasting {
        let told = all.get(&pid).unwrap_or_else(|| panic!("{name}: no process {pid}: {all:?}"));
        for (key, value, source) in known(container, name) {
            let expected = (value.to_owned(), source.to_owned());
            assert_eq!(told.get(key), Some(&expected), "{name}, process {pid}: {key}");
        }
    }
    assert!(all.contains_key(&std::process::id()), "no row for a process outside: {all:?}");
    for (pid, told) in all {
        let claimed = told.get("container.id").is_some_and(|(id, _)| *id == container.id);
        // One that ended meanwhile cannot be asked.
        assert!(!claimed || container.has(pid) != Some(false), "{name}: {pid} is not in it");
    }
}

/// The processes of a container that have been there for a while.
fn lasting(container: &Container) -> Vec<u32> {
    let aged = |pid: &u32| {
        let start = docker::started(*pid).ok();
        start.and_then(|it| it.elapsed().ok()).is_some_and(|age| age > Duration::from_secs(1))
    };
    container.processes().into_iter().filter(aged).collect()
}
