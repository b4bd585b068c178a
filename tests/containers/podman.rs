//! The `podman` source and the directory against the real thing, with its API service and without.

use shipwake::{time::Mono, workload::SourceState};
use shipwake_tests::{cgroup::Cgroup, containerd::fresh_id, docker::Container, podman::Podman};

use crate::station::{Station, check, list};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const IMAGE: &str = "registry.test/shop/web:1.4.2";
const LABELS: [(&str, &str); 4] = [
    ("org.opencontainers.image.version", "1.4.2"),
    ("org.opencontainers.image.revision", SHA),
    ("org.opencontainers.image.source", "https://git.test/acme/shop"),
    ("org.opencontainers.image.title", "web"),
];
const ALL: &[&str] = &["podman", "systemd", "environ", "executable", "host"];

fn station(podman: &Podman, sources: &[&str]) -> Station {
    Station::with(sources, |settings| {
        let socket = podman.socket().display().to_string();
        if podman.user_id() == 0 {
            settings.podman_sockets = list(&[&socket]);
            settings.podman_storage = list(&[&podman.storage().display().to_string()]);
        } else {
            settings.podman_users = podman.users().display().to_string();
        }
    })
}

/// What its API and its storage both say.
fn expected(container: &Container, name: &str, image: &str) -> String {
    format!(
        "service.version=1.4.2
         vcs.ref.head.revision={SHA}
         vcs.repository.url.full=https://git.test/acme/shop
         container.id={}
         container.name={name}
         container.runtime.name=podman
         container.image.name=registry.test/shop/web
         container.image.tags=1.4.2
         container.image.id=sha256:{image}",
        container.id
    )
}

#[test]
fn containers_from_before_and_after_the_start_carry_their_labels() {
    let mut podman = Podman::rootful().unwrap();
    let image = podman.import(IMAGE, &LABELS).unwrap();
    podman.serve().unwrap();
    let run = |name: &str| {
        podman
            .run(&[
                "--name",
                name,
                "--label=com.docker.compose.service=checkout",
                "--label=com.docker.compose.project=shop",
                "--label=team=core",
                "--label=secret=hunter2",
                "--env=SECRET=hunter2",
                IMAGE,
            ])
            .unwrap()
    };
    let before = run("one");
    let mut station = station(&podman, ALL);
    let (process, workload) = station.see(before.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), &expected(&before, "one", &image));
    let given = "service.name=checkout
        service.namespace=shop
        container.label.team=core
        container.label.secret=";
    check(&station.resource(&process), given);
    assert!(station.resource(&process).text("oci.manifest.digest").is_some());
    let after = run("two");
    let (second, workload) = station.see(after.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&second), &expected(&after, "two", &image));
    check(&station.resource(&second), given);
    let instance = |key| station.resource(key).text("service.instance.id").unwrap().to_owned();
    assert_ne!(instance(&process), instance(&second));
    assert_eq!(station.health("podman").state, SourceState::Working);
    assert!(!format!("{:?}", station.heard).contains("hunter2"), "nothing else leaves the source");
}

#[test]
fn without_a_service_the_storage_answers_until_there_is_one() {
    let mut podman = Podman::rootful().unwrap();
    let image = podman.import(IMAGE, &LABELS).unwrap();
    let arguments =
        ["--name=one", "--env=DEPLOYMENT=x", "--label=com.docker.compose.service=checkout", IMAGE];
    let container = podman.run(&arguments).unwrap();
    let mut station = station(&podman, ALL);
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), &expected(&container, "one", &image));
    check(&station.resource(&process), "service.name=web");
    assert_eq!(station.health("podman").state, SourceState::Working);

    // Labels are in a database that only Podman reads.
    podman.serve().unwrap();
    station.until("told by the service", |station| {
        station.resource(&process).text("service.name") == Some("checkout")
    });
    check(&station.resource(&process), &expected(&container, "one", &image));
    assert_eq!(station.directory.workload(&process), Some(workload), "and is the same workload");

    podman.unserve().unwrap();
    let second = podman.run(&["--name=two", IMAGE]).unwrap();
    let (second_process, workload) = station.see(second.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&second_process), &expected(&second, "two", &image));
    check(&station.resource(&process), "service.name=checkout");
}

#[test]
fn containers_of_a_user_are_found_in_the_home_of_the_user() {
    let mut podman = Podman::rootless().unwrap();
    let image = podman.import(IMAGE, &LABELS).unwrap();
    let user = podman.user_id();
    let run = |podman: &Podman, name: &str| {
        let container =
            podman.run(&["--name", name, "--label=com.docker.compose.service=web", IMAGE]).unwrap();
        // Where systemd would put it; without systemd a user may not make cgroups.
        let slice = format!("user.slice/user-{user}.slice/user@{user}.service/user.slice");
        let cgroup =
            Cgroup::make(&format!("{slice}/libpod-{}.scope/container", container.id)).unwrap();
        cgroup.take(container.pid).unwrap();
        (container, cgroup)
    };
    let mut station = station(&podman, ALL);
    let (stored, _cgroup) = run(&podman, "one");
    let (process, workload) = station.see(stored.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), &expected(&stored, "one", &image));

    podman.serve().unwrap();
    let (served, _other) = run(&podman, "two");
    let (process, workload) = station.see(served.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), &expected(&served, "two", &image));
    check(&station.resource(&process), "service.name=web");
    for container in [stored, served] {
        podman.podman(&["rm", "--force", "--time", "0", &container.id]).unwrap();
    }
}

#[test]
fn a_container_of_a_quadlet_is_its_unit() {
    let mut podman = Podman::rootful().unwrap();
    podman.import(IMAGE, &[]).unwrap();
    podman.serve().unwrap();
    let container = podman.run(&["--label=PODMAN_SYSTEMD_UNIT=shop-web.service", IMAGE]).unwrap();
    let mut station = station(&podman, ALL);
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), "service.name=shop-web\nservice.version=");
    assert_eq!(
        station.resource(&process).source("service.name"),
        Some("label PODMAN_SYSTEMD_UNIT")
    );
}

#[test]
fn a_service_that_hangs_keeps_nobody_waiting() {
    let mut podman = Podman::rootful().unwrap();
    let image = podman.import(IMAGE, &LABELS).unwrap();
    podman.serve().unwrap();
    let container = podman.run(&["--name=one", IMAGE]).unwrap();
    podman.freeze().unwrap();
    let mut station = station(&podman, ALL);
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), &expected(&container, "one", &image));
    let health = station.health("podman");
    assert_eq!(health.state, SourceState::Failing, "{health:?}");
    assert!(health.last_error.unwrap_or_default().contains("no answer within"));
    podman.thaw().unwrap();
    station.until("told", |station| station.health("podman").state == SourceState::Working);
}

#[test]
fn images_without_labels_and_labels_with_garbage_claim_nothing() {
    let mut podman = Podman::rootful().unwrap();
    podman.import(IMAGE, &[]).unwrap();
    podman.serve().unwrap();
    let container = podman
        .run(&[
            "--label=org.opencontainers.image.version=${VERSION}",
            "--label=org.opencontainers.image.revision=unknown",
            "--label=PODMAN_SYSTEMD_UNIT=",
            "--label=com.docker.compose.service=\u{202e}evil",
            IMAGE,
        ])
        .unwrap();
    let mut station = station(&podman, ALL);
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    let nothing = "service.version=\nvcs.ref.head.revision=\nservice.name=unknown_service:sleep";
    check(&station.resource(&process), nothing);
}

#[test]
fn containers_of_others_are_nobodys_and_a_host_without_podman_is_fine() {
    let podman = Podman::rootful().unwrap();
    podman.import(IMAGE, &[]).unwrap();
    let mut station = station(&podman, &["podman"]);
    let ids = [fresh_id().unwrap(), "lxc-name".to_owned(), "../images".to_owned(), String::new()];
    for id in &ids {
        station.ask(id);
    }
    station.until("answered", |station| ids.iter().all(|id| !station.answers(id).is_empty()));
    assert!(station.heard.iter().all(|change| change.attributes.is_empty()));
    assert_eq!(station.health("podman").state, SourceState::Working);

    let mut without = Station::with(&["podman"], |settings| {
        settings.podman_sockets = list(&["/nonexistent/podman.sock"]);
    });
    without.ask(&ids[0]);
    without.until("answered", |station| !station.answers(&ids[0]).is_empty());
    assert_eq!(without.health("podman").state, SourceState::Absent);
}
