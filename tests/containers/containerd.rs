//! The `containerd` source and the directory against a real daemon.

use shipwake::{time::Mono, workload::SourceState};
use shipwake_tests::containerd::{Containerd, fresh_id};

use crate::station::{Station, check, list};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const CREATED: &str = "2024-01-31T10:20:30Z";
const IMAGE: &str = "registry.test:5000/shop/web:1.4.2";
const LABELS: [(&str, &str); 5] = [
    ("org.opencontainers.image.version", "1.4.2"),
    ("org.opencontainers.image.revision", SHA),
    ("org.opencontainers.image.source", "https://user:secret@git.test/acme/shop.git"),
    ("org.opencontainers.image.title", "web"),
    ("org.opencontainers.image.created", CREATED),
];
const ALL: &[&str] = &["containerd", "systemd", "environ", "executable", "host"];

fn station(daemon: &Containerd, sources: &[&str]) -> Station {
    let socket = daemon.socket().display().to_string();
    Station::with(sources, |settings| {
        settings.containerd_sockets = list(&["/nonexistent/containerd.sock", &socket]);
    })
}

#[test]
fn containers_from_before_and_after_the_start_carry_their_labels() {
    let daemon = Containerd::start().unwrap();
    let image = daemon.import("blue", IMAGE, &LABELS, CREATED).unwrap();
    let labels = ["--label=team=core", "--label=secret=hunter2", "--env=SECRET=hunter2"];
    let before = daemon.run("blue", &labels, IMAGE).unwrap();
    let mut station = station(&daemon, ALL);
    let (process, workload) = station.see(before.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    let expect = |id: &str| {
        format!(
            "service.name=web
             service.version=1.4.2
             vcs.ref.head.revision={SHA}
             vcs.repository.url.full=https://git.test/acme/shop
             shipwake.deploy.build_time={CREATED}
             container.id={id}
             container.runtime.name=containerd
             container.image.name=registry.test:5000/shop/web
             container.image.tags=1.4.2
             container.image.id={}
             container.image.repo_digests=registry.test:5000/shop/web@{digest}
             oci.manifest.digest={digest}
             container.label.team=core
             container.label.secret=",
            image.id,
            digest = image.digest,
        )
    };
    check(&station.resource(&process), &expect(&before.id));
    assert_eq!(station.health("containerd").state, SourceState::Working);

    // A namespace that did not exist when the source connected.
    daemon.import("green", IMAGE, &LABELS, CREATED).unwrap();
    let after = daemon.run("green", &labels, IMAGE).unwrap();
    let (second, workload) = station.see(after.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&second), &expect(&after.id));
    let instance = |key| station.resource(key).text("service.instance.id").unwrap().to_owned();
    assert_ne!(instance(&process), instance(&second));
    assert!(!format!("{:?}", station.heard).contains("hunter2"), "nothing else leaves the source");
}

#[test]
fn a_container_that_starts_later_is_told_by_its_event() {
    let daemon = Containerd::start().unwrap();
    daemon.import("default", IMAGE, &LABELS, CREATED).unwrap();
    let mut station = station(&daemon, &["containerd"]);
    station
        .until("connected", |station| station.health("containerd").state == SourceState::Working);
    let container = daemon.run("default", &[], IMAGE).unwrap();
    station.until("told", |station| !station.answers(&container.id).is_empty());
    // So its first process has a name at once.
    let (process, workload) = station.see(container.pid);
    assert!(station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), "service.name=web\nservice.version=1.4.2");
}

#[test]
fn a_tag_that_names_another_image_by_now_says_nothing_about_the_old_container() {
    let daemon = Containerd::start().unwrap();
    let latest = "registry.test/shop/web:latest";
    let of = |version| [("org.opencontainers.image.version", version), LABELS[1]];
    let old = daemon.import("default", latest, &of("1"), CREATED).unwrap();
    let first = daemon.run("default", &[], latest).unwrap();
    let new = daemon.import("default", latest, &of("2"), CREATED).unwrap();
    assert_ne!(old.digest, new.digest);
    let second = daemon.run("default", &[], latest).unwrap();
    let mut station = station(&daemon, &["containerd"]);
    let mut resource = |pid: u32| {
        let (process, workload) = station.see(pid);
        station.until("settled", |station| station.directory.settled(workload, Mono(0)));
        station.resource(&process)
    };
    // Its own labels, which containerd copied when it was made, stay true.
    check(&resource(first.pid), "service.version=1\noci.manifest.digest=\ncontainer.image.id=");
    check(&resource(second.pid), &format!("service.version=2\noci.manifest.digest={}", new.digest));
}

#[test]
fn images_without_labels_and_labels_with_garbage_claim_nothing() {
    let daemon = Containerd::start().unwrap();
    let (plain, garbage) = ("registry.test/plain:latest", "registry.test/garbage:latest");
    daemon.import("default", plain, &[], CREATED).unwrap();
    daemon
        .import(
            "default",
            garbage,
            &[
                ("org.opencontainers.image.version", "${VERSION}"),
                ("org.opencontainers.image.revision", "unknown"),
                ("org.opencontainers.image.source", "javascript:alert(1)"),
                ("org.opencontainers.image.title", "\u{202e}evil"),
                ("org.opencontainers.image.created", "yesterday"),
            ],
            CREATED,
        )
        .unwrap();
    let mut station = station(&daemon, &["containerd"]);
    for image in [plain, garbage] {
        let container = daemon.run("default", &[], image).unwrap();
        let (process, workload) = station.see(container.pid);
        station.until("settled", |station| station.directory.settled(workload, Mono(0)));
        check(
            &station.resource(&process),
            "service.version=\nvcs.ref.head.revision=\nvcs.repository.url.full=\nservice.namespace=",
        );
        let name = station.resource(&process).text("service.name").unwrap().to_owned();
        assert!(name.starts_with("unknown_service"), "{image}: {name}");
    }
}

#[test]
fn after_a_restart_of_the_daemon_everything_is_told_anew() {
    let mut daemon = Containerd::start().unwrap();
    daemon.import("default", IMAGE, &LABELS, CREATED).unwrap();
    let container = daemon.run("default", &[], IMAGE).unwrap();
    let mut station = station(&daemon, &["containerd"]);
    let (process, _) = station.see(container.pid);
    station.until("told", |station| !station.answers(&container.id).is_empty());

    daemon.halt().unwrap();
    station.until("noticed", |station| station.health("containerd").state != SourceState::Working);
    // Meanwhile nobody waits, and what was known stays.
    let stranger = fresh_id().unwrap();
    station.ask(&stranger);
    station.until("declined", |station| !station.answers(&stranger).is_empty());
    assert!(station.answers(&stranger)[0].attributes.is_empty());
    check(&station.resource(&process), "service.version=1.4.2");

    let told = station.answers(&container.id).len();
    daemon.boot().unwrap();
    station.until("told again", |station| station.answers(&container.id).len() > told);
    assert_eq!(station.health("containerd").state, SourceState::Working);
    assert!(station.health("containerd").last_error.is_some(), "what was wrong stays readable");
    let second = daemon.run("default", &[], IMAGE).unwrap();
    station.until("events are followed", |station| !station.answers(&second.id).is_empty());
}

#[test]
fn a_daemon_that_hangs_keeps_nobody_waiting() {
    let daemon = Containerd::start().unwrap();
    daemon.import("default", IMAGE, &[], CREATED).unwrap();
    let container = daemon.run("default", &[], IMAGE).unwrap();
    let mut station = station(&daemon, &["containerd"]);
    station.until("told", |station| !station.answers(&container.id).is_empty());
    daemon.freeze().unwrap();
    let stranger = fresh_id().unwrap();
    station.ask(&stranger);
    station.until("declined", |station| !station.answers(&stranger).is_empty());
    assert_eq!(station.health("containerd").state, SourceState::Failing);
    let told = station.answers(&container.id).len();
    daemon.thaw().unwrap();
    station.until("told again", |station| station.answers(&container.id).len() > told);
    assert_eq!(station.health("containerd").state, SourceState::Working);
}

#[test]
fn without_a_socket_the_bundle_says_what_it_can() {
    let daemon = Containerd::start().unwrap();
    daemon.import("default", IMAGE, &LABELS, CREATED).unwrap();
    let arguments = ["--env=OTEL_SERVICE_NAME=checkout", "--env=SECRET=hunter2"];
    let container = daemon.run("default", &arguments, IMAGE).unwrap();
    let bundles = daemon.bundles().display().to_string();
    let mut station = Station::with(&["containerd"], |settings| {
        settings.containerd_sockets = list(&["/nonexistent/containerd.sock"]);
        settings.containerd_bundles = list(&["/nonexistent", &bundles]);
    });
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(
        &station.resource(&process),
        &format!(
            "service.name=checkout
             container.id={}
             container.runtime.name=containerd
             service.version=",
            container.id
        ),
    );
    assert_eq!(station.health("containerd").state, SourceState::Absent);
    assert!(!format!("{:?}", station.heard).contains("hunter2"));
}

#[test]
fn questions_about_what_nobody_knows_are_answered() {
    let daemon = Containerd::start().unwrap();
    let mut station = station(&daemon, &["containerd", "cri"]);
    let ids = ["f".repeat(64), "lxc-name".to_owned(), "../images".to_owned(), String::new()];
    for id in &ids {
        station.ask(id);
    }
    station.until("answered", |station| ids.iter().all(|id| station.answers(id).len() >= 2));
    assert!(station.heard.iter().all(|change| change.attributes.is_empty()));
}
