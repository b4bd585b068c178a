//! The `cri` source and the directory against containerd's CRI plugin: pods as the kubelet makes them.

use std::time::SystemTime;

use shipwake::{time::Mono, workload::SourceState};
use shipwake_tests::containerd::{Containerd, Pod, fresh_id};

use crate::station::{Station, check, list};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const CREATED: &str = "2024-01-31T10:20:30Z";
const IMAGE: &str = "registry.test/shop/web:1.4.2";
const UID: &str = "3f2a8f0e-1c5b-4c59-9d8a-0123456789ab";
const LABELS: [(&str, &str); 4] = [
    ("org.opencontainers.image.version", "1.4.2"),
    ("org.opencontainers.image.revision", SHA),
    ("org.opencontainers.image.source", "https://git.test/acme/shop"),
    ("org.opencontainers.image.created", CREATED),
];
const ALL: &[&str] = &["cri", "containerd", "systemd", "environ", "executable", "host"];

fn daemon() -> Containerd {
    let daemon = Containerd::start().unwrap();
    daemon.import_pause().unwrap();
    daemon.import("k8s.io", IMAGE, &LABELS, CREATED).unwrap();
    daemon
}

fn station(daemon: &Containerd, sources: &[&str]) -> Station {
    let socket = daemon.socket().display().to_string();
    Station::with(sources, |settings| {
        settings.cri_sockets = list(&["/nonexistent/crio.sock", &socket]);
        settings.containerd_sockets = list(&[&socket]);
    })
}

/// Runs the pod and compares the resource of its container.
#[track_caller]
fn check_pod(daemon: &Containerd, station: &mut Station, pod: &Pod<'_>, expected: &str) {
    let running = daemon.pod(pod, "app", IMAGE, 0).unwrap();
    let (process, workload) = station.see(running.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), expected);
}

#[test]
fn everything_about_a_pod_of_a_deployment() {
    let daemon = daemon();
    let pod = Pod {
        name: "web-7d9f8c6b5d-x2x4z",
        uid: UID,
        labels: &[("pod-template-hash", "7d9f8c6b5d"), ("team", "core"), ("secret", "hunter2")],
        annotations: &[("app.gitlab.com/env", "production"), ("other", "hunter2")],
        ..Pod::default()
    };
    let before = daemon.pod(&pod, "app", IMAGE, 3).unwrap();
    let mut station = station(&daemon, ALL);
    let (process, workload) = station.see(before.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(
        &station.resource(&process),
        &format!(
            "service.name=web
             service.namespace=shop
             service.version=1.4.2
             service.instance.id=shop.web-7d9f8c6b5d-x2x4z.app
             deployment.environment.name=production
             vcs.ref.head.revision={SHA}
             vcs.repository.url.full=https://git.test/acme/shop
             shipwake.deploy.build_time={CREATED}
             k8s.pod.name=web-7d9f8c6b5d-x2x4z
             k8s.pod.uid={UID}
             k8s.namespace.name=shop
             k8s.container.name=app
             k8s.container.restart_count=3
             k8s.deployment.name=web
             k8s.replicaset.name=web-7d9f8c6b5d
             k8s.pod.label.team=core
             shipwake.k8s.workload.revision_hash=7d9f8c6b5d
             shipwake.k8s.container.hash=5f1b7c4a
             container.id={}
             container.name=app
             container.runtime.name=containerd
             container.image.name=registry.test/shop/web
             container.image.tags=1.4.2",
            before.id
        ),
    );
    let resource = station.resource(&process);
    assert_eq!(resource.source("service.name"), Some("kubernetes workload"));
    assert!(resource.text("container.runtime.version").is_some());
    assert!(resource.text("oci.manifest.digest").is_some(), "containerd knows it");
    assert!(!format!("{:?}", station.heard).contains("hunter2"), "nothing else leaves the source");
    assert_eq!(station.health("cri").state, SourceState::Working);
}

#[test]
fn workloads_of_every_kind() {
    let daemon = daemon();
    let mut station = station(&daemon, ALL);
    check_pod(
        &daemon,
        &mut station,
        &Pod {
            name: "db-0",
            uid: "3f2a8f0e-1c5b-4c59-9d8a-000000000001",
            labels: &[
                ("controller-revision-hash", "db-6f7d8c9b5"),
                ("statefulset.kubernetes.io/pod-name", "db-0"),
            ],
            ..Pod::default()
        },
        "service.name=db
         service.instance.id=shop.db-0.app
         k8s.statefulset.name=db
         k8s.deployment.name=
         shipwake.k8s.workload.revision_hash=6f7d8c9b5",
    );
    check_pod(
        &daemon,
        &mut station,
        &Pod {
            name: "log-agent-x2x4z",
            uid: "3f2a8f0e-1c5b-4c59-9d8a-000000000002",
            labels: &[("controller-revision-hash", "6f7d8c9b5"), ("pod-template-generation", "1")],
            ..Pod::default()
        },
        "service.name=log-agent\nk8s.daemonset.name=log-agent\nk8s.statefulset.name=",
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let job = format!("backup-{}", now / 60);
    check_pod(
        &daemon,
        &mut station,
        &Pod {
            name: &format!("{job}-x2x4z"),
            uid: "3f2a8f0e-1c5b-4c59-9d8a-000000000003",
            labels: &[("batch.kubernetes.io/job-name", &job)],
            ..Pod::default()
        },
        &format!("service.name=backup\nk8s.job.name={job}\nk8s.cronjob.name=backup"),
    );
    check_pod(
        &daemon,
        &mut station,
        &Pod {
            name: "named",
            uid: "3f2a8f0e-1c5b-4c59-9d8a-000000000004",
            labels: &[("app.kubernetes.io/name", "shop-name"), ("app.kubernetes.io/version", "9")],
            annotations: &[
                ("resource.opentelemetry.io/service.version", "10"),
                ("resource.opentelemetry.io/deployment.environment.name", "staging"),
            ],
            ..Pod::default()
        },
        "service.name=shop-name
         service.version=10
         deployment.environment.name=staging
         k8s.deployment.name=",
    );
    check_pod(
        &daemon,
        &mut station,
        &Pod { name: "bare", uid: "3f2a8f0e-1c5b-4c59-9d8a-000000000005", ..Pod::default() },
        "service.name=app\nservice.version=1.4.2\nservice.instance.id=shop.bare.app",
    );
}

#[test]
fn garbage_labels_claim_nothing() {
    let daemon = daemon();
    let mut station = station(&daemon, ALL);
    let huge = "x".repeat(60_000);
    check_pod(
        &daemon,
        &mut station,
        &Pod {
            name: "web-7d9f8c6b5d-x2x4z",
            uid: UID,
            labels: &[
                ("pod-template-hash", "other"),
                ("app.kubernetes.io/version", "${VERSION}"),
                ("app.kubernetes.io/name", "\u{202e}evil"),
            ],
            annotations: &[
                ("resource.opentelemetry.io/service.version", &huge),
                ("resource.opentelemetry.io/process.pid", "1"),
                ("resource.opentelemetry.io/größe", "1"),
            ],
            ..Pod::default()
        },
        "service.name=app\nservice.version=1.4.2\nk8s.deployment.name=\nprocess.pid=\ngröße=",
    );
}

#[test]
fn the_sandbox_of_a_pod_is_not_its_service() {
    let daemon = daemon();
    let pod = Pod {
        name: "named",
        uid: UID,
        labels: &[("app.kubernetes.io/name", "shop-name"), ("app.kubernetes.io/version", "9")],
        ..Pod::default()
    };
    let running = daemon.pod(&pod, "app", IMAGE, 0).unwrap();
    let pause = daemon.pid("k8s.io", &running.sandbox).unwrap();
    let mut station = station(&daemon, ALL);
    let (process, workload) = station.see(pause);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(
        &station.resource(&process),
        &format!(
            "service.name=unknown_service:sleep
             service.version=
             k8s.pod.name=named
             k8s.pod.uid={UID}
             k8s.container.name=
             container.id={}",
            running.sandbox
        ),
    );
}

#[test]
fn another_image_under_the_same_tag_is_another_image() {
    let daemon = daemon();
    let pod = |name, uid| Pod { name, uid, ..Pod::default() };
    let first = daemon.pod(&pod("a", "3f2a8f0e-1c5b-4c59-9d8a-000000000001"), "app", IMAGE, 0);
    let newer = [("org.opencontainers.image.version", "1.5"), LABELS[1]];
    daemon.import("k8s.io", IMAGE, &newer, CREATED).unwrap();
    let second = daemon.pod(&pod("b", "3f2a8f0e-1c5b-4c59-9d8a-000000000002"), "app", IMAGE, 0);
    let mut station = station(&daemon, ALL);
    let mut resource = |pid: u32| {
        let (process, workload) = station.see(pid);
        station.until("settled", |station| station.directory.settled(workload, Mono(0)));
        station.resource(&process)
    };
    let (first, second) = (resource(first.unwrap().pid), resource(second.unwrap().pid));
    check(&first, "service.version=1.4.2");
    check(&second, "service.version=1.5");
    assert_ne!(first.text("container.image.id"), second.text("container.image.id"));
}

#[test]
fn after_a_restart_of_the_daemon_everything_is_told_anew() {
    let mut daemon = daemon();
    let pod = Pod { name: "web-0", uid: UID, ..Pod::default() };
    let running = daemon.pod(&pod, "app", IMAGE, 0).unwrap();
    let mut station = station(&daemon, &["cri"]);
    let (process, _) = station.see(running.pid);
    station.until("told", |station| !station.answers(&running.id).is_empty());
    daemon.halt().unwrap();
    station.until("noticed", |station| station.health("cri").state != SourceState::Working);
    let stranger = fresh_id().unwrap();
    station.ask(&stranger);
    station.until("declined", |station| !station.answers(&stranger).is_empty());
    check(&station.resource(&process), "k8s.pod.name=web-0");
    let told = station.answers(&running.id).len();
    daemon.boot().unwrap();
    station.until("told again", |station| station.answers(&running.id).len() > told);
    assert_eq!(station.health("cri").state, SourceState::Working);
}

#[test]
fn without_a_socket_the_bundle_and_the_cgroup_name_the_pod() {
    let daemon = daemon();
    let pod = Pod { name: "web-0", uid: UID, ..Pod::default() };
    let running = daemon.pod(&pod, "app", IMAGE, 0).unwrap();
    let bundles = daemon.bundles().display().to_string();
    let mut station =
        Station::with(ALL, |settings| settings.containerd_bundles = list(&[&bundles]));
    let (process, workload) = station.see(running.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(
        &station.resource(&process),
        &format!(
            "service.name=app
             service.namespace=shop
             service.instance.id=shop.web-0.app
             k8s.pod.name=web-0
             k8s.pod.uid={UID}
             k8s.container.name=app
             container.id={}
             container.image.name=registry.test/shop/web",
            running.id
        ),
    );
    assert_eq!(
        station.resource(&process).source("k8s.pod.uid"),
        Some("label io.kubernetes.pod.uid")
    );
    assert_eq!(station.health("cri").state, SourceState::Absent, "it was given nothing to ask");
}
