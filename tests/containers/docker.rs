//! The `docker` source and the directory against a real daemon.

use std::time::Duration;

use shipwake::{time::Mono, workload::SourceState};
use shipwake_tests::{docker::Daemon, poll};

use crate::station::{SOON, Station, check};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const ALL: &[&str] = &["docker", "systemd", "environ", "executable", "host"];

fn station(daemon: &Daemon, sources: &[&str]) -> Station {
    Station::start(sources, &["/nonexistent/docker.sock", &daemon.socket().display().to_string()])
}

fn now() -> String {
    // The clock of the images: labels must not be older than they are.
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn containers_from_before_and_after_the_start_carry_their_labels() {
    let daemon = Daemon::start().unwrap();
    let created = now();
    let image = daemon
        .import(
            "registry.test:5000/shop/web:1.4.2",
            &[
                ("org.opencontainers.image.version", "1.4.2"),
                ("org.opencontainers.image.revision", SHA),
                ("org.opencontainers.image.source", "https://user:secret@git.test/acme/shop.git"),
                ("org.opencontainers.image.authors", "Ada <ada@acme.test>"),
                ("org.opencontainers.image.created", &created),
            ],
        )
        .unwrap();
    let labels = [
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
        "--label=com.docker.compose.oneoff=False",
        "--label=team=core",
        "--label=secret=hunter2",
        "--env=SECRET=hunter2",
    ];
    let run = |name: &str| {
        let mut arguments = vec!["--name", name];
        arguments.extend(labels);
        arguments.push("registry.test:5000/shop/web:1.4.2");
        daemon.run(&arguments).unwrap()
    };
    let before = run("shop-web-1");
    let mut station = station(&daemon, ALL);
    let (process, workload) = station.see(before.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    station.until("host", |station| station.resource(&process).text("host.name").is_some());
    let expect = |name: &str, id: &str| {
        format!(
            "service.name=web
             service.namespace=shop
             service.version=1.4.2
             vcs.ref.head.revision={SHA}
             vcs.repository.url.full=https://git.test/acme/shop
             shipwake.deploy.author=Ada <ada@acme.test>
             shipwake.deploy.build_time={created}
             container.id={id}
             container.name={name}
             container.runtime.name=docker
             container.image.name=registry.test:5000/shop/web
             container.image.tags=1.4.2
             container.image.id={image}
             container.label.team=core
             container.label.secret="
        )
    };
    check(&station.resource(&process), &expect("shop-web-1", &before.id));
    assert_eq!(
        station.resource(&process).source("service.name"),
        Some("label com.docker.compose.service")
    );
    assert_eq!(station.health("docker").state, SourceState::Working);

    let after = run("shop-web-2");
    let (second, workload) = station.see(after.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&second), &expect("shop-web-2", &after.id));
    let instance = |key| station.resource(key).text("service.instance.id").unwrap().to_owned();
    assert_ne!(instance(&process), instance(&second));
    assert!(!format!("{:?}", station.heard).contains("hunter2"), "nothing else leaves the source");
}

#[test]
fn a_container_that_starts_later_is_told_by_its_event() {
    let daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let mut station = station(&daemon, &["docker"]);
    station.until("connected", |station| station.health("docker").state == SourceState::Working);
    let container = daemon.run(&["--label=com.docker.compose.service=web", "app:1"]).unwrap();
    station.until("told", |station| !station.answers(&container.id).is_empty());
    // So its first process has a name at once.
    let (process, workload) = station.see(container.pid);
    assert!(station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), "service.name=web");
}

#[test]
fn a_new_name_is_followed_and_an_end_takes_nothing_away() {
    let daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let mut station = station(&daemon, &["docker"]);
    let container = daemon.run(&["--name=old", "app:1"]).unwrap();
    let (process, workload) = station.see(container.pid);
    station
        .until("named", |station| station.resource(&process).text("container.name") == Some("old"));
    daemon.docker(&["rename", "old", "new"]).unwrap();
    station.until("renamed", |station| {
        station.resource(&process).text("container.name") == Some("new")
    });
    assert_eq!(station.directory.workload(&process), Some(workload), "and is the same workload");

    daemon.docker(&["rm", "--force", "new"]).unwrap();
    let other = daemon.run(&["--name=other", "app:1"]).unwrap();
    station.until("the daemon is listened to", |station| !station.answers(&other.id).is_empty());
    assert_eq!(station.resource(&process).text("container.name"), Some("new"));
    station.directory.exit(&process, Mono::now());
    assert_eq!(station.directory.ended(Mono::now(), Duration::ZERO), [workload]);
    assert_eq!(station.directory.resource(workload).text("container.name"), Some("new"));
}

#[test]
fn a_version_of_the_base_image_is_nobodys_version() {
    let daemon = Daemon::start().unwrap();
    let (version, revision) =
        ("org.opencontainers.image.version", "org.opencontainers.image.revision");
    daemon
        .import("distro:22", &[(version, "22.04"), (revision, SHA), ("maintainer", "distro")])
        .unwrap();
    daemon.build("inheriting:latest", "FROM distro:22\nLABEL unrelated=1\nENV X=1\n").unwrap();
    daemon
        .build("own:latest", &format!("FROM distro:22\nLABEL {version}=3.1\nLABEL maintainer=us\n"))
        .unwrap();
    let mut station = station(&daemon, &["docker"]);
    let mut resource = |arguments: &[&str]| {
        let container = daemon.run(arguments).unwrap();
        let (process, _) = station.see(container.pid);
        station.until("told", |station| {
            station.resource(&process).text("container.image.name").is_some()
        });
        station.resource(&process)
    };
    check(
        &resource(&["inheriting:latest"]),
        "service.version=\nvcs.ref.head.revision=\nshipwake.deploy.author=",
    );
    check(
        &resource(&["own:latest"]),
        "service.version=3.1\nvcs.ref.head.revision=\nshipwake.deploy.author=us",
    );
    check(
        &resource(&["--label", &format!("{version}=4"), "inheriting:latest"]),
        "service.version=4\nvcs.ref.head.revision=",
    );
    check(
        &resource(&["distro:22"]),
        &format!("service.version=22.04\nvcs.ref.head.revision={SHA}"),
    );
}

#[test]
fn the_environment_of_a_container_names_its_service() {
    let daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let mut station = station(&daemon, ALL);
    let container = daemon
        .run(&[
            "--env=OTEL_SERVICE_NAME=checkout",
            "--env=OTEL_RESOURCE_ATTRIBUTES=service.version=2%2E0,team=core",
            "--label=com.docker.compose.service=web",
            "app:1",
        ])
        .unwrap();
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), "service.name=checkout\nservice.version=2.0\nteam=core");
    assert_eq!(station.directory.workload(&process), Some(workload), "no move was needed");

    // A process of the container with another name is another service instance in it.
    daemon
        .docker(&[
            "exec",
            "--detach",
            "--env=OTEL_SERVICE_NAME=worker",
            &container.id,
            "/bin/sleep",
            "777777",
        ])
        .unwrap();
    let worker = poll::until(SOON, || find("sleep 777777")).expect("the worker runs");
    let (worker, _) = station.see(worker);
    station
        .until("named", |station| station.resource(&worker).text("service.name") == Some("worker"));
    assert_ne!(station.directory.workload(&worker), Some(workload));
    check(&station.resource(&worker), &format!("container.id={}", container.id));
    check(&station.resource(&process), "service.name=checkout");
}

#[test]
fn after_a_restart_of_the_daemon_everything_is_told_anew() {
    let mut daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let container = daemon.run(&["--name=first", "app:1"]).unwrap();
    let mut station = station(&daemon, &["docker"]);
    station.until("told", |station| !station.answers(&container.id).is_empty());

    daemon.halt().unwrap();
    station.until("noticed", |station| station.health("docker").state != SourceState::Working);
    // Meanwhile nobody waits.
    let stranger = "f".repeat(64);
    station.ask(&stranger);
    station.until("declined", |station| !station.answers(&stranger).is_empty());
    assert!(station.answers(&stranger)[0].attributes.is_empty());

    let told = station.answers(&container.id).len();
    daemon.boot().unwrap();
    station.until("told again", |station| station.answers(&container.id).len() > told);
    assert_eq!(station.health("docker").state, SourceState::Working);
    assert!(station.health("docker").last_error.is_some(), "what was wrong stays readable");
    assert!(!station.answers(&container.id).last().unwrap().attributes.is_empty());
    let second = daemon.run(&["--name=second", "app:1"]).unwrap();
    station.until("events are followed", |station| !station.answers(&second.id).is_empty());
}

#[test]
fn a_daemon_that_hangs_keeps_nobody_waiting() {
    let daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let container = daemon.run(&["app:1"]).unwrap();
    let mut station = station(&daemon, &["docker"]);
    station.until("told", |station| !station.answers(&container.id).is_empty());
    daemon.freeze().unwrap();
    let stranger = "e".repeat(64);
    station.ask(&stranger);
    station.until("declined", |station| !station.answers(&stranger).is_empty());
    assert_eq!(station.health("docker").state, SourceState::Failing);
    let told = station.answers(&container.id).len();
    daemon.thaw().unwrap();
    station.until("told again", |station| station.answers(&container.id).len() > told);
    assert_eq!(station.health("docker").state, SourceState::Working);
}

#[test]
fn questions_about_what_docker_does_not_know_are_answered() {
    let daemon = Daemon::start().unwrap();
    let mut station = station(&daemon, &["docker"]);
    let ids = ["f".repeat(64), "lxc-name".to_owned(), "../images".to_owned(), String::new()];
    for id in &ids {
        station.ask(id);
    }
    station.until("answered", |station| ids.iter().all(|id| !station.answers(id).is_empty()));
    assert!(station.heard.iter().all(|change| change.attributes.is_empty()));
}

/// The process with exactly this command line.
fn find(command: &str) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let line = line.trim_end_matches('\0').replace('\0', " ");
        line.ends_with(command).then_some(pid)
    })
}
