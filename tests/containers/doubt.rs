//! Images and labels that mislead, with the real daemons: what is not sure stays unset, and no wrong version is
//! ever claimed.

use shipwake::time::Mono;
use shipwake_tests::{containerd::Containerd, docker::Daemon, podman::Podman};

use crate::{
    local::Folder,
    station::{Station, check, list},
};

const VERSION: &str = "org.opencontainers.image.version";
const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";
const CREATED: &str = "2024-01-31T10:20:30Z";
const LATEST: &str = "registry.test/shop/web:latest";
const NOTHING: &str = "service.version=\nvcs.ref.head.revision=\nvcs.repository.url.full=";

/// The resource of the first process of a container, once everything about it is known.
#[track_caller]
fn check_one(station: &mut Station, pid: u32, expected: &str) {
    let (process, workload) = station.see(pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(&station.resource(&process), expected);
}

/// What an image says that was built of this commit.
fn of<'a>(version: &'a str, commit: &'a str) -> [(&'a str, &'a str); 3] {
    [(VERSION, version), (REVISION, commit), (SOURCE, "https://git.test/acme/shop")]
}

/// 64 KiB in many labels, none longer than containerd takes, and one that is unlike all others.
fn many_labels() -> Vec<String> {
    let filler = "x".repeat(1000);
    let mut labels: Vec<String> =
        (0..64).map(|number| format!("--label=filler.{number}={filler}")).collect();
    labels.push("--label=com.docker.compose.service=größe-商店".to_owned());
    labels
}

fn with_image<'a>(labels: &'a [String], image: &'a str) -> Vec<&'a str> {
    labels.iter().map(String::as_str).chain([image]).collect()
}

#[test]
fn docker() {
    let daemon = Daemon::start().unwrap();
    let old = daemon.import(LATEST, &of("1", SHA)).unwrap();
    let first = daemon.run(&[LATEST]).unwrap();
    // The same tag, another image.
    let new = daemon.import(LATEST, &of("2", OTHER)).unwrap();
    let second = daemon.run(&[LATEST]).unwrap();
    // The same image under a tag that says another version.
    daemon.docker(&["tag", LATEST, "registry.test/shop/web:9.9"]).unwrap();
    let retagged = daemon.run(&["registry.test/shop/web:9.9"]).unwrap();
    // A tag alone is no version, and labels may be nonsense or many.
    daemon.import("registry.test/plain:3.1", &[]).unwrap();
    let plain = daemon.run(&["registry.test/plain:3.1"]).unwrap();
    let garbage = format!("--label={VERSION}=${{VERSION}}");
    let revision = format!("--label={REVISION}=latest");
    let huge = format!("--label={SOURCE}=https://{}", "x".repeat(65_536));
    let evil = "--label=com.docker.compose.service=\u{202e}evil";
    let bad = daemon.run(&[&garbage, &revision, &huge, evil, "registry.test/plain:3.1"]).unwrap();
    let many = daemon.run(&with_image(&many_labels(), LATEST)).unwrap();
    // The same names in two projects are two services.
    let named = |project: &str| {
        let project = format!("--label=com.docker.compose.project={project}");
        daemon.run(&["--label=com.docker.compose.service=web", &project, LATEST]).unwrap()
    };
    let (blue, green) = (named("blue"), named("green"));

    let socket = daemon.socket().display().to_string();
    let mut station = Station::start(&["docker", "executable", "host"], &[&socket]);
    let is = |version: &str, commit: &str, image: &str| {
        format!(
            "service.version={version}\nvcs.ref.head.revision={commit}\ncontainer.image.id={image}"
        )
    };
    let unknown = format!("{NOTHING}\nservice.name=unknown_service:sleep");
    for (container, expected) in [
        (first, &*is("1", SHA, &old)),
        (second, &is("2", OTHER, &new)),
        (retagged, &is("2", OTHER, &new)),
        (plain, &unknown),
        (bad, &unknown),
        (many, "service.name=größe-商店\nservice.version=2"),
        (blue, "service.name=web\nservice.namespace=blue"),
        (green, "service.name=web\nservice.namespace=green"),
    ] {
        check_one(&mut station, container.pid, expected);
    }
}

#[test]
fn containerd() {
    let daemon = Containerd::start().unwrap();
    let check = |pid: u32, expected: &str| {
        let socket = daemon.socket().display().to_string();
        let mut station = Station::with(&["containerd", "executable", "host"], |settings| {
            settings.containerd_sockets = list(&[&socket]);
        });
        check_one(&mut station, pid, expected);
    };
    daemon.import("default", LATEST, &of("2", OTHER), CREATED).unwrap();
    let two = format!("service.version=2\nvcs.ref.head.revision={OTHER}");
    let retagged = "registry.test/shop/web:9.9";
    daemon.ctr("default", &["images", "tag", LATEST, retagged]).unwrap();
    let container = daemon.run("default", &[], retagged).unwrap();
    check(container.pid, &two);
    let labels = many_labels();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let many = daemon.run("default", &labels, LATEST).unwrap();
    check(many.pid, &format!("{two}\nservice.name=größe-商店"));
    // Labels of a base image, in the configuration of an image that was built on it elsewhere and later.
    let inheriting = "registry.test/till/desk:latest";
    let base = [&of("2", OTHER)[..], &[("org.opencontainers.image.created", CREATED)]].concat();
    daemon.import("default", inheriting, &base, "2024-03-01T00:00:00Z").unwrap();
    let inherits = daemon.run("default", &[], inheriting).unwrap();
    check(inherits.pid, NOTHING);
    // One name in two namespaces, and two images of one name.
    daemon.import("other", LATEST, &of("1", SHA), CREATED).unwrap();
    for (namespace, expected) in [("default", two), ("other", "service.version=1".to_owned())] {
        let container = daemon.run(namespace, &["--label=nerdctl/name=web"], LATEST).unwrap();
        check(container.pid, &format!("{expected}\ncontainer.name=web"));
    }
}

/// Images that share all of their layers, built one upon the other: Podman's API names any of them as the parent.
#[test]
fn podman() {
    let mut podman = Podman::rootful().unwrap();
    podman.import("registry.test/base/os:1", &of("9.9", OTHER)).unwrap();
    let folder = Folder::new("doubt-podman");
    let build = |name: &str, steps: &str| {
        folder.write("Containerfile", steps);
        let folder = folder.path("");
        podman.podman(&["build", "--network=none", "--tag", name, &folder]).unwrap();
    };
    let based = "registry.test/shop/based:latest";
    build(based, "FROM registry.test/base/os:1\nLABEL team=core\n");
    let own = "registry.test/shop/own:latest";
    build(own, &format!("FROM registry.test/base/os:1\nLABEL {VERSION}=2 {REVISION}={SHA}\n"));
    let bare = "registry.test/shop/bare:latest";
    build(bare, &format!("FROM registry.test/base/os:1\nLABEL {VERSION}= {REVISION}= {SOURCE}=\n"));
    let containers = [based, own, bare].map(|image| podman.run(&[image]).unwrap());
    let expected = [NOTHING, &*format!("service.version=2\nvcs.ref.head.revision={SHA}"), NOTHING];
    let check_all = |podman: &Podman| {
        for (container, expected) in containers.iter().zip(expected) {
            let mut station = Station::with(&["podman", "executable", "host"], |settings| {
                settings.podman_sockets = list(&[&podman.socket().display().to_string()]);
                settings.podman_storage = list(&[&podman.storage().display().to_string()]);
            });
            check_one(&mut station, container.pid, expected);
        }
    };
    check_all(&podman);
    podman.serve().unwrap();
    check_all(&podman);
}
