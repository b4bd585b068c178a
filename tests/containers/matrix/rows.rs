//! The rows of the matrix: how the service is run, and what must be known of it.

use shipwake_tests::containerd::Pod;

use super::hosts::{Hosts, Work};

/// One way to run the service.
pub struct Row {
    pub name: &'static str,
    /// Rows of one group are started one after the other, groups at the same time.
    pub group: Group,
    /// Starts it; the text tells the one from before the agent and the one from after it apart.
    pub start: fn(&Hosts, &str) -> Work,
    /// Lines of `attribute=value`; nothing behind `=` for what must be absent. See [`super::filled`].
    pub expected: &'static str,
}

/// Who starts a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Docker,
    Containerd,
    Podman,
    Crun,
    Host,
}

impl Group {
    pub const ALL: [Self; 5] =
        [Self::Docker, Self::Containerd, Self::Podman, Self::Crun, Self::Host];
}

/// What the image says wherever it runs.
pub const OF_IMAGE: &str = "
    service.version=1.4.2
    vcs.ref.head.revision={sha}
    vcs.repository.url.full=https://git.test/acme/checkout
    service.instance.id={instance}
    process.executable.build_id.gnu={build}
    container.id={place}
    container.image.id={image}
    container.image.name=registry.test:5000/acme/checkout
    container.image.tags=1.4.2";

macro_rules! rows {
    ($($name:literal $group:ident $start:expr => $expected:literal)*) => {
        &[$(Row { name: $name, group: Group::$group, start: $start, expected: $expected }),*]
    };
}

pub static ROWS: &[Row] = rows! {
    "docker" Docker |hosts, when| hosts.docker(&["--name", &format!("plain-{when}")]) =>
        "service.name=checkout
         service.namespace=
         container.name=plain-{when}
         container.runtime.name=docker"

    "compose project" Docker |hosts, when| hosts.compose(&format!("shop-{when}")) =>
        "service.name=web
         service.namespace=shop-{when}
         container.runtime.name=docker"

    "labels of Compose 2" Docker |hosts, when| hosts.docker(&[
        "--name", &format!("mall-web-{when}"),
        "--label=com.docker.compose.project=mall",
        "--label=com.docker.compose.service=web",
        "--label=com.docker.compose.container-number=1",
        "--label=com.docker.compose.oneoff=False",
        "--label=com.docker.compose.version=2.27.1",
        "--label=com.docker.compose.config-hash=8f2b6f0a7c1d4e5f8f2b6f0a7c1d4e5f8f2b6f0a7c1d4e5f8f2b6f0a7c1d4e5f",
        "--label=com.docker.compose.depends_on=",
        "--label=com.docker.compose.image=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "--label=com.docker.compose.project.config_files=/srv/mall/compose.yaml",
        "--label=com.docker.compose.project.working_dir=/srv/mall",
    ]) =>
        "service.name=web
         service.namespace=mall
         container.name=mall-web-{when}
         container.runtime.name=docker"

    "labels of Swarm" Docker |hosts, when| hosts.docker(&[
        "--name", &format!("stack_web.1.{when}"),
        "--label=com.docker.stack.namespace=stack",
        "--label=com.docker.swarm.node.id=kf2t2m4e6n0p5r1s9u3w7x8z0",
        "--label=com.docker.swarm.service.id=q1w2e3r4t5y6u7i8o9p0a1s2d",
        "--label=com.docker.swarm.service.name=stack_web",
        "--label=com.docker.swarm.task=",
        "--label=com.docker.swarm.task.id=z9x8c7v6b5n4m3a2s1d0f9g8h",
        "--label=com.docker.swarm.task.name=stack_web.1.z9x8c7v6b5n4m3a2s1d0f9g8h",
    ]) =>
        "service.name=web
         service.namespace=stack
         container.name=stack_web.1.{when}
         container.runtime.name=docker"

    "service of a Swarm" Docker |hosts, when| hosts.service(&format!("stall_api_{when}"), &[
        "--label=com.docker.stack.namespace=stall",
        "--container-label=com.docker.stack.namespace=stall",
    ]) =>
        "service.name=api_{when}
         service.namespace=stall
         container.runtime.name=docker"

    "containerd by ctr" Containerd |hosts, _| hosts.containerd("blue", &[]) =>
        "service.name=checkout
         service.namespace=
         oci.manifest.digest={digest}
         container.runtime.name=containerd"

    "containerd with nerdctl's labels" Containerd |hosts, when| hosts.containerd("default", &[
        &format!("--label=nerdctl/name=till-{when}"),
        "--label=nerdctl/namespace=default",
        "--label=nerdctl/hostname=alpha",
        "--label=nerdctl/platform=linux/amd64",
        "--label=com.docker.compose.project=till",
        "--label=com.docker.compose.service=api",
    ]) =>
        "service.name=api
         service.namespace=till
         oci.manifest.digest={digest}
         container.name=till-{when}
         container.runtime.name=containerd"

    "pod of a Deployment" Containerd |hosts, when| hosts.pod(&Pod {
        name: &format!("front-7d9f8c6b5d-{}", suffix(when)),
        uid: &uid(1, when),
        labels: &[("app", "front"), ("pod-template-hash", "7d9f8c6b5d")],
        annotations: &[("kubernetes.io/config.source", "api")],
        ..Pod::default()
    }) =>
        "service.name=front
         service.namespace=shop
         k8s.pod.name=front-7d9f8c6b5d-{suffix}
         k8s.deployment.name=front
         k8s.replicaset.name=front-7d9f8c6b5d
         k8s.container.name=app
         shipwake.k8s.workload.revision_hash=7d9f8c6b5d
         oci.manifest.digest={digest}
         container.runtime.name=containerd"

    "pod of a StatefulSet" Containerd |hosts, when| hosts.pod(&Pod {
        name: &format!("db-{}", ordinal(when)),
        uid: &uid(2, when),
        labels: &[
            ("app", "db"),
            ("apps.kubernetes.io/pod-index", ordinal(when)),
            ("controller-revision-hash", "db-6f7d8c9b5"),
            ("statefulset.kubernetes.io/pod-name", &format!("db-{}", ordinal(when))),
        ],
        ..Pod::default()
    }) =>
        "service.name=db
         service.namespace=shop
         k8s.statefulset.name=db
         k8s.deployment.name=
         shipwake.k8s.workload.revision_hash=6f7d8c9b5
         oci.manifest.digest={digest}
         container.runtime.name=containerd"

    "pod of a DaemonSet" Containerd |hosts, when| hosts.pod(&Pod {
        name: &format!("log-agent-{}", suffix(when)),
        uid: &uid(3, when),
        labels: &[
            ("app", "log-agent"),
            ("controller-revision-hash", "6f7d8c9b5"),
            ("pod-template-generation", "1"),
        ],
        ..Pod::default()
    }) =>
        "service.name=log-agent
         service.namespace=shop
         k8s.daemonset.name=log-agent
         k8s.statefulset.name=
         shipwake.k8s.workload.revision_hash=6f7d8c9b5
         oci.manifest.digest={digest}
         container.runtime.name=containerd"

    "pod of a Job" Containerd |hosts, when| hosts.pod(&Pod {
        name: &format!("migrate-{}", suffix(when)),
        uid: &uid(4, when),
        labels: &[
            ("batch.kubernetes.io/controller-uid", "3f2a8f0e-1c5b-4c59-9d8a-0123456789ab"),
            ("batch.kubernetes.io/job-name", "migrate"),
            ("controller-uid", "3f2a8f0e-1c5b-4c59-9d8a-0123456789ab"),
            ("job-name", "migrate"),
        ],
        ..Pod::default()
    }) =>
        "service.name=migrate
         service.namespace=shop
         k8s.job.name=migrate
         k8s.cronjob.name=
         oci.manifest.digest={digest}
         container.runtime.name=containerd"

    "podman of root" Podman |hosts, when| hosts.podman(&["--name", &format!("root-{when}")]) =>
        "service.name=checkout
         container.name=root-{when}
         container.runtime.name=podman"

    "podman, labels of a quadlet" Podman |hosts, when| hosts.podman(&[
        "--name", &format!("systemd-pay-{when}"),
        "--label=PODMAN_SYSTEMD_UNIT=pay.service",
    ]) =>
        "service.name=pay
         container.name=systemd-pay-{when}
         container.runtime.name=podman"

    "podman of a user" Podman |hosts, when| hosts.user(&["--name", &format!("user-{when}")]) =>
        "service.name=checkout
         container.name=user-{when}
         container.runtime.name=podman"

    "podman with crun" Crun |hosts, when| hosts.crun(&["--name", &format!("crun-{when}")]) =>
        "service.name=checkout
         container.name=crun-{when}
         container.runtime.name=podman"

    "program of a Debian package" Host |hosts, _| hosts.program("/usr/lib/shipwake-test", "bare", &[]) =>
        "service.name=unknown_service:bare
         service.version=1.4.2-1
         vcs.ref.head.revision=
         process.executable.build_id.gnu={build}
         shipwake.package.manager=dpkg
         shipwake.package.name=shipwake-test-checkout
         service.instance.id={instance}"

    "program of a Debian package, described beside it" Host
    |hosts, _| hosts.program("/usr/lib/shipwake-test", "checkout", &[]) =>
        "service.name=checkout
         service.version=1.4.2-1
         vcs.ref.head.revision={sha}
         process.executable.build_id.gnu={build}
         shipwake.package.name=shipwake-test-checkout
         service.instance.id={instance}"

    "Go" Host |hosts, _| hosts.program("", "bin/ledger", &[]) =>
        "service.name=ledger
         service.version=1.7.0
         vcs.ref.head.revision={go.commit}
         process.executable.build_id.go={go.build}
         process.runtime.name=go
         service.instance.id={instance}"

    "jar" Host |hosts, _| hosts.program("stock", "../java/bin/java", &["-jar", "stock.jar", "0"]) =>
        "service.name=stock
         service.version=5.2.0
         vcs.ref.head.revision={sha}
         process.runtime.name=java"

    "Python" Host |hosts, _| hosts.program("", "venv/bin/python", &[&hosts.folder.path("venv/bin/invoice")]) =>
        "service.name=invoice
         service.version=3.1.0
         vcs.ref.head.revision={sha}
         process.runtime.name=cpython"

    "Node" Host |hosts, _| hosts.program("mail", "/usr/bin/node", &["main.js"]) =>
        "service.name=@acme/mail
         service.version=2.0.1
         vcs.ref.head.revision={sha}
         process.runtime.name=nodejs"
};

/// The end of the name of a pod.
pub fn suffix(when: &str) -> &'static str {
    if when == "before" { "x2x4z" } else { "q7w5r" }
}

fn ordinal(when: &str) -> &'static str {
    if when == "before" { "0" } else { "1" }
}

fn uid(row: u32, when: &str) -> String {
    format!("3f2a8f0e-1c5b-4c59-9d8a-00000000{row}00{}", ordinal(when))
}
