//! The same little service, run in every way that there is on one host: name, version, commit, build and
//! instance are right for each, whether it was there before the agent or came after it, as the agent shows
//! them, as it exports them, and as `shipwake ps` finds them without an agent.

mod hosts;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    thread,
    time::Duration,
};

use shipwake_tests::{
    agent::{Agent, binary},
    otlp::{Receiver, Series},
    poll, rig,
};

use hosts::{BUILD, Hosts, SHA, Work};
use rows::{Group, OF_IMAGE, ROWS, Row, suffix};

/// Long enough for any answer on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// On a starved machine daemons and disks may need longer than the agent would wait for them.
const PATIENCE: &str = "workload.patience=20s";

/// Attributes and their origins of processes, as `ps` tells them.
type Told = BTreeMap<u32, BTreeMap<String, (String, String)>>;

/// A row that runs.
struct Case {
    row: &'static Row,
    when: &'static str,
    work: Work,
}

#[test]
fn the_same_service_in_every_runtime() {
    let hosts = Hosts::start();
    let socket = std::env::temp_dir().join(format!("shipwake-matrix-{}.sock", std::process::id()));
    let settings = settings(&hosts, &socket.display().to_string());
    let arguments: Vec<&str> = settings.iter().flat_map(|one| ["--set", one]).collect();

    let mut cases = start(&hosts, "before");
    let receiver = Receiver::start().unwrap();
    let agent = Agent::start(&receiver, &arguments).unwrap();
    cases.extend(start(&hosts, "after"));
    let told = check_told(&hosts, &cases, &arguments);
    check_instances(&cases, &told);
    check_exported(&hosts, &cases, &receiver, &told);
    assert!(agent.stop().unwrap().success());

    // Without an agent the command looks for itself; and without any socket the cgroup still tells.
    check_told(&hosts, &cases, &arguments);
    check_reduced(&hosts, &cases);
}

fn settings(hosts: &Hosts, api: &str) -> Vec<String> {
    let containerd = hosts.containerd.socket();
    let (podman, crun) = (hosts.podman.socket(), hosts.crun.socket());
    let storages = [hosts.podman.storage(), hosts.crun.storage()];
    vec![
        format!("api.socket={api}"),
        format!("workload.docker_sockets={}", hosts.docker.socket().display()),
        format!("workload.cri_sockets={}", containerd.display()),
        format!("workload.containerd_sockets={}", containerd.display()),
        format!("workload.containerd_bundles={}", hosts.containerd.bundles().display()),
        format!("workload.podman_sockets={},{}", podman.display(), crun.display()),
        format!("workload.podman_storage={},{}", storages[0].display(), storages[1].display()),
        format!("workload.podman_users={}", hosts.user.users().display()),
        PATIENCE.to_owned(),
    ]
}

/// Starts every row, each group on its own.
fn start(hosts: &Hosts, when: &'static str) -> Vec<Case> {
    let of = |group: Group| {
        let rows = ROWS.iter().filter(move |row| row.group == group);
        rows.map(|row| Case { row, when, work: (row.start)(hosts, when) }).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let groups = Group::ALL.map(|group| scope.spawn(move || of(group)));
        groups.into_iter().flat_map(|group| group.join().unwrap()).collect()
    })
}

impl Case {
    fn shown(&self) -> String {
        format!("{}, {} the agent", self.row.name, self.when)
    }

    /// Attributes and their values, empty for what must be absent.
    fn expected(&self, hosts: &Hosts, host: &str) -> Vec<(&'static str, String)> {
        let Work { place, image, pod, .. } = &self.work;
        let instance = || match pod {
            Some(pod) => format!("shop.{pod}.app"),
            None => uuid(&format!("{host}/{place}")),
        };
        let of_image = if image.is_empty() { "" } else { OF_IMAGE };
        let lines = of_image.lines().chain(self.row.expected.lines());
        let lines = lines.map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let (key, value) = line.split_once('=').unwrap();
                let value = match value {
                    "{instance}" => instance(),
                    value => value
                        .replace("{place}", place)
                        .replace("{image}", image)
                        .replace("{digest}", hosts.digest())
                        .replace("{sha}", SHA)
                        .replace("{build}", BUILD)
                        .replace("{go.commit}", &hosts.go.0)
                        .replace("{go.build}", &hosts.go.1)
                        .replace("{when}", self.when)
                        .replace("{suffix}", suffix(self.when)),
                };
                (key, value)
            })
            .collect()
    }
}

/// By another implementation than the agent's, in the namespace that the conventions give.
fn uuid(name: &str) -> String {
    let script = "import sys, uuid\nprint(uuid.uuid5(uuid.UUID('4d63009a-8d0f-11ee-aad7-4c796ed8e320'), sys.argv[1]))";
    rig::output(Command::new("/usr/bin/python3").args(["-c", script, name]))
        .unwrap()
        .trim()
        .to_owned()
}

fn ps(arguments: &[&str]) -> Told {
    let output =
        rig::output(Command::new(binary()).args(["ps", "--json"]).args(arguments)).unwrap();
    let listing: serde_json::Value = serde_json::from_str(&output).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row = |process: &serde_json::Value| {
        let attributes = process["attributes"].as_array().unwrap().iter();
        let attributes =
            attributes.map(|it| (text(&it["key"]), (text(&it["value"]), text(&it["source"]))));
        (process["pid"].as_u64().unwrap() as u32, attributes.collect())
    };
    listing["processes"].as_array().unwrap().iter().map(row).collect()
}

/// What is not as expected, in lines.
fn mistakes(expected: &[(&str, String)], told: &BTreeMap<String, (String, String)>) -> Vec<String> {
    let mistake = |(key, value): &(&str, String)| {
        let (found, source) = told.get(*key).cloned().unwrap_or_default();
        (found != *value).then(|| format!("{key} is {found:?} ({source}) and not {value:?}"))
    };
    expected.iter().filter_map(mistake).collect()
}

/// Waits until `ps` tells everything about everyone.
#[track_caller]
fn check_told(hosts: &Hosts, cases: &[Case], arguments: &[&str]) -> Told {
    let mut expected = Vec::new();
    let mut wrong = Vec::new();
    let complete = poll::until(SOON, || {
        let told = ps(arguments);
        if expected.is_empty() {
            let host = told
                .values()
                .find_map(|one| one.get("host.id").or_else(|| one.get("host.name")))?;
            expected = cases.iter().map(|case| case.expected(hosts, &host.0)).collect();
        }
        wrong = cases
            .iter()
            .zip(&expected)
            .flat_map(|(case, expected)| {
                let nothing = BTreeMap::new();
                let mistakes = mistakes(expected, told.get(&case.work.pid).unwrap_or(&nothing));
                mistakes.into_iter().map(|mistake| format!("{}: {mistake}", case.shown()))
            })
            .collect();
        wrong.is_empty().then_some(told)
    });
    complete.unwrap_or_else(|| panic!("within {SOON:?}, {arguments:?}:\n{}", wrong.join("\n")))
}

/// Instances of different services are different; of a service of the host, which is started again or more
/// than once in one place, they are the same.
fn check_instances(cases: &[Case], told: &Told) {
    let mut of_rows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases {
        let (instance, _) = &told[&case.work.pid]["service.instance.id"];
        of_rows.entry(case.row.name).or_default().insert(instance);
    }
    for (name, instances) in &of_rows {
        let in_containers =
            cases.iter().any(|it| it.row.name == *name && !it.work.image.is_empty());
        assert_eq!(instances.len(), if in_containers { 2 } else { 1 }, "{name}: {instances:?}");
    }
    let all: BTreeSet<_> = of_rows.values().flatten().collect();
    assert_eq!(all.len(), of_rows.values().map(BTreeSet::len).sum::<usize>(), "{of_rows:?}");
}

/// What leaves the host is the same, and never another version, commit or image, from the first report on.
fn check_exported(hosts: &Hosts, cases: &[Case], receiver: &Receiver, told: &Told) {
    for case in cases {
        let told = &told[&case.work.pid];
        let host = told.get("host.id").unwrap_or_else(|| &told["host.name"]);
        let expected = case.expected(hosts, &host.0);
        let pid = case.work.pid.to_string();
        let mut wrong = Vec::new();
        let is_whole = |it: &Series| {
            let resource = it.resource.iter();
            let told = resource.map(|(key, value)| (key.clone(), (value.clone(), String::new())));
            mistakes(&expected, &told.collect())
        };
        let exported = poll::until(SOON, || {
            let mine =
                receiver.series("shipwake.syscall.count", |it| it.text("process.pid") == pid);
            wrong = mine.iter().map(&is_whole).collect();
            wrong.iter().any(Vec::is_empty).then_some(())
        });
        assert!(exported.is_some(), "{}: no series is as expected: {wrong:?}", case.shown());
        for series in receiver.all().iter().filter(|it| it.text("process.pid") == pid) {
            for key in ["service.version", "vcs.ref.head.revision", "container.image.id"] {
                let expected = expected.iter().find(|(one, _)| *one == key);
                let (Some(found), Some((_, expected))) = (series.resource.get(key), expected)
                else {
                    continue;
                };
                // The first process of a container is the runtime's until it executes the service.
                let is_runtime =
                    !series.resource.contains_key("container.id") && !case.work.image.is_empty();
                assert!(found == expected || is_runtime, "{}: {key} of {series:?}", case.shown());
            }
        }
    }
}

/// Without any socket: the container from the cgroup, the pod as well; names of pods from the bundle, where
/// it may be read.
fn check_reduced(hosts: &Hosts, cases: &[Case]) {
    let nowhere = ["docker_sockets", "cri_sockets", "containerd_sockets", "podman_sockets"];
    let mut settings: Vec<String> =
        nowhere.iter().map(|key| format!("workload.{key}=/nonexistent/socket")).collect();
    settings.push("api.socket=/nonexistent/api.sock".to_owned());
    settings.push("workload.podman_storage=/nonexistent".to_owned());
    settings.push("workload.podman_users=".to_owned());
    settings.push(PATIENCE.to_owned());
    for bundles in ["/nonexistent".to_owned(), hosts.containerd.bundles().display().to_string()] {
        let bundle = format!("workload.containerd_bundles={bundles}");
        let settings = settings.iter().chain([&bundle]).flat_map(|one| ["--set", one]);
        let told = ps(&settings.collect::<Vec<_>>());
        for case in cases.iter().filter(|case| !case.work.image.is_empty()) {
            let Work { pid, place, pod, pod_uid, .. } = &case.work;
            let told = &told[pid];
            let mut expected = vec![
                ("container.id", place.clone()),
                ("k8s.pod.uid", pod_uid.clone()),
                ("service.version", String::new()),
                ("vcs.ref.head.revision", String::new()),
                ("process.executable.build_id.gnu", BUILD.to_owned()),
            ];
            let pod = pod.clone().filter(|_| bundles != "/nonexistent");
            let name = pod.as_ref().map_or("unknown_service:checkout", |_| "app");
            expected.push(("service.name", name.to_owned()));
            expected.push(("k8s.pod.name", pod.unwrap_or_default()));
            let mistakes = mistakes(&expected, told);
            assert!(mistakes.is_empty(), "{}, bundles in {bundles}: {mistakes:?}", case.shown());
            assert_eq!(told["container.id"].1, "cgroup", "{}", case.shown());
        }
    }
}
