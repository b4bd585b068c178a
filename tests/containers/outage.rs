//! A socket that disappears, denies and comes back: series go on under the identity that was known last, the
//! agent says so, and nobody has to restart it.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use shipwake_tests::{
    agent::{Agent, binary},
    docker::{Container, Daemon},
    otlp::{Receiver, Series},
    poll,
};

use crate::local::Folder;

const SOON: Duration = Duration::from_secs(60);
const COUNT: &str = "shipwake.syscall.count";

/// What the agent says of the daemon.
struct View {
    folder: Folder,
    settings: Vec<String>,
    api: PathBuf,
}

impl View {
    fn arguments(&self) -> Vec<&str> {
        self.settings.iter().flat_map(|one| ["--set", one]).collect()
    }

    /// `/status` says this of the source.
    fn source(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(&self.api).ok()?;
        stream.write_all(b"GET /status HTTP/1.0\r\nHost: agent\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        status["sources"].as_array()?.iter().find(|one| one["name"] == "docker").cloned()
    }

    /// Waits for a state of the source in which it keeps so many services for somebody who is gone.
    #[track_caller]
    fn until(&self, state: &str, last_known: u64, error: &str) {
        let mut last = None;
        let reached = poll::until(SOON, || {
            last = self.source();
            let source = last.as_ref()?;
            let said = source["last_error"].as_str().unwrap_or_default().contains(error);
            (source["state"] == state && source["last_known"] == last_known && said).then_some(())
        });
        assert!(reached.is_some(), "not {state}, {last_known}, {error:?} but {last:?}");
    }

    /// Attributes of a process, and the sources that are only known from before, as `ps` tells.
    fn told(&self, pid: u32) -> (Value, Value) {
        let mut ps = Command::new(binary());
        let output = ps.args(["ps", "--json"]).args(self.arguments()).output().unwrap();
        let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut processes = listing["processes"].as_array().unwrap().iter();
        let process = processes.find(|one| one["pid"] == pid).expect("the process is listed");
        (process["attributes"].clone(), process["last_known"].clone())
    }

    /// What `doctor` says of the source.
    fn doctor(&self) -> (String, String) {
        let mut doctor = Command::new(binary());
        let output = doctor.args(["doctor", "--json"]).args(self.arguments()).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["name"] == "docker").expect("there is such a check");
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("detail"))
    }

    /// Where the agent looks for the daemon.
    fn link(&self) -> PathBuf {
        self.folder.0.join("docker.sock")
    }
}

fn of(container: &Container) -> impl Fn(&Series) -> bool + Copy + '_ {
    |it| it.resource.get("container.id") == Some(&container.id)
}

/// The series of a container go on: the count grows, under one identity and without beginning anew.
#[track_caller]
fn goes_on(receiver: &Receiver, container: &Container) {
    let before = receiver.sum(COUNT, of(container));
    let now = receiver.wait_sum(SOON, COUNT, before + 5.0, of(container));
    assert!(now >= before + 5.0, "{before} calls before, {now} now");
    let pid = container.pid.to_string();
    let series = receiver.series(COUNT, |it| of(container)(it) && it.text("process.pid") == pid);
    for one in &series {
        let others = series.iter().filter(|it| it.attributes == one.attributes);
        assert_eq!(others.count(), 1, "one series, not several: {series:#?}");
        assert_eq!(one.text("service.name"), "web", "{one:?}");
        assert_eq!(one.text("service.version"), "1.4.2", "{one:?}");
    }
}

fn mark(receiver: &Receiver, services: f64) {
    let is_docker = |it: &Series| it.text("shipwake.agent.source") == "docker";
    let marked = || {
        let of_docker = receiver.series("shipwake.agent.source.last_known", is_docker);
        (of_docker.last()?.number() == services).then_some(())
    };
    assert!(poll::until(SOON, marked).is_some(), "the agent does not report {services} services");
}

fn run(daemon: &Daemon, name: &str) -> Container {
    let labels = ["--label=com.docker.compose.service=web", "--name", name, "shop/web:1.4.2"];
    let work = ["/bin/sh", "-c", "while :; do sleep 0.1; done"];
    daemon.run(&[&labels[..], &work].concat()).unwrap()
}

#[test]
fn a_socket_that_goes_denies_and_comes_back() {
    let mut daemon = Daemon::start().unwrap();
    daemon.import("shop/web:1.4.2", &[("org.opencontainers.image.version", "1.4.2")]).unwrap();
    let folder = Folder::new("outage");
    let api = folder.0.join("api.sock");
    let settings = vec![
        format!("api.socket={}", api.display()),
        format!("workload.docker_sockets={}", folder.path("docker.sock")),
        "workload.patience=20s".to_owned(),
    ];
    let view = View { folder, settings, api };
    symlink(daemon.socket(), view.link()).unwrap();
    let first = run(&daemon, "first");
    let receiver = Receiver::start().unwrap();
    // Root may connect to everything; the shipped unit and pod do not run with that right.
    let unprivileged = ["setpriv", "--bounding-set=-dac_override", "--"];
    let agent = Agent::spawn_by(&unprivileged, &receiver.url(), &view.arguments()).unwrap();
    view.until("working", 0, "");
    goes_on(&receiver, &first);
    let (known, last_known) = view.told(first.pid);
    assert_eq!(last_known, Value::Null);

    daemon.halt().unwrap();
    fs::remove_file(view.link()).unwrap();
    view.until("absent", 1, "no socket at");
    check_kept(&view, &receiver, &first, &known);

    daemon.boot().unwrap();
    deny(&daemon.socket(), 0o600);
    symlink(daemon.socket(), view.link()).unwrap();
    view.until("failing", 1, "permission denied");
    check_kept(&view, &receiver, &first, &known);

    deny(&daemon.socket(), 0o666);
    view.until("working", 0, "permission denied");
    assert_eq!(view.told(first.pid), (known, Value::Null));
    mark(&receiver, 0.0);
    assert_eq!(view.doctor(), ("ok".to_owned(), "working".to_owned()));
    goes_on(&receiver, &first);
    goes_on(&receiver, &run(&daemon, "second"));
    assert!(agent.stop().unwrap().success());
}

/// Gives the socket to somebody else.
fn deny(socket: &Path, mode: u32) {
    chown(socket, Some(4711), Some(4711)).unwrap();
    fs::set_permissions(socket, fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn check_kept(view: &View, receiver: &Receiver, container: &Container, known: &Value) {
    let (told, last_known) = view.told(container.pid);
    assert_eq!(told, *known);
    assert_eq!(last_known[0]["source"], "docker", "{last_known}");
    let (state, detail) = view.doctor();
    assert_eq!(state, "degraded");
    assert!(detail.contains("keeps the last known identity of 1 services"), "{detail}");
    mark(receiver, 1.0);
    goes_on(receiver, container);
}
