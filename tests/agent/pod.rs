//! The agent as a pod of the manifest that is shipped, started through the CRI as a kubelet would, reports the same
//! identities as the agent on the host.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use shipwake_tests::{
    agent::{Agent, binary},
    containerd::{self, Containerd},
    docker::Daemon,
    kubelet::{Node, Pod, REVISION, manifest::Manifest},
    otlp::Receiver,
    poll,
};

use crate::installed::{Bpffs, Identity, Legacy, SHA, SOON, context, identities, states};

const IMAGE: &str = "registry.test/shop/web:1.4.2";
const CREATED: &str = "2024-01-31T10:20:30Z";
const UID: &str = "3f2a8f0e-1c5b-4c59-9d8a-0123456789ac";
const LABELS: [(&str, &str); 2] =
    [("org.opencontainers.image.version", "1.4.2"), ("org.opencontainers.image.revision", SHA)];
/// Where the agent finds the host's files if process 1 guards itself, as on some build machines.
const HOST: &str = "/host";

/// What runs on the node, one of each kind.
struct Work {
    /// Processes: of Docker, of a pod, of nobody.
    pids: [u32; 3],
    _legacy: Legacy,
}

impl Work {
    fn start(docker: &Daemon, containerd: &Containerd) -> Self {
        docker.import(IMAGE, &LABELS).unwrap();
        let container = docker
            .run(&[
                "--label=com.docker.compose.project=shop",
                "--label=com.docker.compose.service=web",
                "--env=OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=staging",
                "--user=4711",
                IMAGE,
            ])
            .unwrap();
        containerd.import_pause().unwrap();
        containerd.import("k8s.io", IMAGE, &LABELS, CREATED).unwrap();
        let pod = containerd::Pod {
            name: "api-7d9f8c6b5d-x2x4z",
            uid: UID,
            labels: &[("pod-template-hash", "7d9f8c6b5d")],
            annotations: &[("resource.opentelemetry.io/deployment.environment.name", "staging")],
            ..containerd::Pod::default()
        };
        let pod = containerd.pod(&pod, "app", IMAGE, 1).unwrap();
        let legacy = Legacy::start();
        Self { pids: [container.pid, pod.pid, legacy.0.id()], _legacy: legacy }
    }

    /// What `shipwake ps --json` says of them, once everything is known.
    fn told(&self, listing: &str) -> Option<Vec<Identity>> {
        let told = identities(listing, &self.pids)?;
        let has = |index: usize, key: &str, value: &str| {
            told[index].get(key).is_some_and(|(found, _)| found == value)
        };
        let complete = has(0, "service.name", "web")
            && has(1, "k8s.deployment.name", "api")
            && has(2, "service.name", "legacy-shop")
            && [0, 1].iter().all(|one| {
                has(*one, "service.version", "1.4.2")
                    && has(*one, "vcs.ref.head.revision", SHA)
                    && has(*one, "deployment.environment.name", "staging")
            })
            && told.iter().all(|one| one.contains_key("process.executable.build_id.htlhash"));
        complete.then_some(told)
    }
}

/// By the agent on the host, with the settings that the sockets of this test take.
fn natively(work: &Work, docker: &Path, containerd: &Path) -> Vec<Identity> {
    let receiver = Receiver::start().unwrap();
    let socket = std::env::temp_dir().join(format!("shipwake-pod-{}.sock", std::process::id()));
    let api = format!("api.socket={}", socket.display());
    let mut settings = vec!["--set".to_owned(), api.clone()];
    for (key, path) in [("docker", docker), ("containerd", containerd), ("cri", containerd)] {
        settings.push("--set".to_owned());
        settings.push(format!("workload.{key}_sockets={}", path.display()));
    }
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let agent = Agent::start(&receiver, &settings).unwrap();
    let mut last = String::new();
    let told = poll::until(SOON, || {
        let output = Command::new(binary()).args(["ps", "--json", "--set", &api]).output().unwrap();
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        work.told(&last)
    });
    let told = told.unwrap_or_else(|| panic!("the agent on the host says {last}"));
    assert!(agent.stop().unwrap().success());
    told
}

/// The manifest that is shipped, with its agent reporting to the test.
fn manifest(receiver: &Receiver, docker: &Path) -> Manifest {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/kubernetes/daemonset.yaml");
    let mut manifest = Manifest::read(&file).unwrap();
    let text = manifest.config_maps.get_mut("shipwake").unwrap().get_mut("shipwake.toml").unwrap();
    let collector = "http://otel-collector.observability.svc.cluster.local:4318";
    assert!(text.contains(collector), "{text}");
    *text = text.replace(collector, &receiver.url());
    text.push_str(&format!(
        "[aggregate]\ninterval = \"1s\"\n[workload]\ndocker_sockets = [{docker:?}]\n"
    ));
    if !may_raise_limits() {
        println!("this machine has no CAP_SYS_RESOURCE to give; the agent runs without it");
        for container in &mut manifest.daemon_set.spec.template.spec.containers {
            container.security_context.capabilities.add.retain(|name| name != "SYS_RESOURCE");
        }
    }
    manifest
}

/// Whether this process may have CAP_SYS_RESOURCE, which some build machines take from everybody.
fn may_raise_limits() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(bounding.trim(), 16).unwrap() & (1 << 24) != 0
}

/// The machine as the node of a cluster whose runtime is the private one.
fn node(containerd: &Containerd, bpffs: &Bpffs, crio: &Path, docker: &Path) -> Node {
    let host_paths = BTreeMap::from(
        [
            ("/sys/fs/bpf", bpffs.0.clone()),
            ("/sys/fs/cgroup", PathBuf::from("/sys/fs/cgroup")),
            ("/run/containerd", containerd.state()),
            ("/run/crio", crio.to_owned()),
        ]
        .map(|(path, place)| (path.to_owned(), place)),
    );
    let mut extra = Vec::new();
    if fs::read_dir("/proc/1/root").is_err() {
        let files = [Path::new("/etc/machine-id"), Path::new("/etc/os-release"), docker];
        let there = files.into_iter().filter(|file| file.exists());
        extra.extend(there.map(|file| (format!("{HOST}{}", file.display()), file.to_owned())));
    }
    Node { name: "node-1".to_owned(), host_paths, extra }
}

#[test]
fn the_agent_as_a_pod_of_the_manifest_reports_the_same_identities() {
    let Some(context) = context() else { return };
    let docker = Daemon::start().unwrap();
    let containerd = Containerd::start().unwrap();
    let work = Work::start(&docker, &containerd);
    let folder = std::env::temp_dir().join(format!("shipwake-pod-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    import(&docker, &containerd, &context, &folder.join("image.tar"));
    let (socket, runtime) = (docker.socket(), containerd.socket());
    let expected = natively(&work, &socket, &runtime);

    let bpffs = Bpffs::mount();
    let receiver = Receiver::start().unwrap();
    let manifest = manifest(&receiver, &socket);
    let node = node(&containerd, &bpffs, &folder.join("crio"), &socket);
    let pod = Pod::run(&containerd, &manifest, &node).unwrap();
    let mut last = String::new();
    let found = poll::until(SOON, || {
        last = match pod.exec(&["/usr/bin/shipwake", "ps", "--json"]) {
            Ok(executed) => String::from_utf8_lossy(&executed.stdout).into_owned(),
            Err(error) => format!("{error:#}"),
        };
        work.told(&last).filter(|found| *found == expected)
    });
    if found.is_none() {
        eprintln!("{}\n{last}", pod.log());
        assert_eq!(identities(&last, &work.pids), Some(expected));
        unreachable!("it was right a moment ago");
    }
    check_itself(&pod, &receiver, &last);
    check_doctor(&pod);
    assert_eq!(pod.stop().unwrap(), 0, "{}", pod.log());
    assert_eq!(bpffs.left_behind(), 0, "pins stay in the bpffs");
    drop(pod);
    fs::remove_dir_all(&folder).unwrap();
}

/// Brings the image that is shipped to the node, without a registry.
fn import(docker: &Daemon, containerd: &Containerd, context: &Path, archive: &Path) {
    let revision = format!("--build-arg=REVISION={SHA}");
    let context = context.display().to_string();
    let archive = archive.display().to_string();
    let image = "shipwake:0.1.0";
    let version = "--build-arg=VERSION=0.1.0";
    let tag = ["--tag", image];
    let build = ["build", "--network=none", version, &revision, tag[0], tag[1], &context];
    docker.docker(&build).unwrap();
    docker.docker(&["save", "--output", &archive, image]).unwrap();
    containerd.ctr("k8s.io", &["images", "import", "--snapshotter", "native", &archive]).unwrap();
}

/// The pod is one like others to the agent in it; and its own metrics say in which pod it is.
#[track_caller]
fn check_itself(pod: &Pod<'_>, receiver: &Receiver, listing: &str) {
    let told = identities(listing, &[pod.pid]).expect("the agent sees itself");
    let identity = &pod.identity;
    for (key, value) in [
        ("k8s.daemonset.name", "shipwake"),
        ("k8s.namespace.name", &identity.namespace),
        ("k8s.pod.name", &identity.name),
        ("k8s.pod.uid", &identity.uid),
        ("shipwake.k8s.workload.revision_hash", REVISION),
        ("service.name", "shipwake"),
        ("service.version", "0.1.0"),
        ("vcs.ref.head.revision", SHA),
    ] {
        let found = told[0].get(key).map(|(value, _)| value.as_str());
        assert_eq!(found, Some(value), "{key} of the agent's own process: {told:#?}");
    }
    let own = poll::until(SOON, || receiver.series("shipwake.agent.processes", |_| true).pop());
    let own = own.unwrap_or_else(|| panic!("nothing reported; it said {}", pod.log())).resource;
    for (key, value) in [
        ("service.name", "shipwake"),
        ("k8s.node.name", &identity.node),
        ("k8s.namespace.name", &identity.namespace),
        ("k8s.pod.name", &identity.name),
        ("k8s.pod.uid", &identity.uid),
    ] {
        assert_eq!(own.get(key).map(String::as_str), Some(value), "{key} of {own:#?}");
    }
}

#[track_caller]
fn check_doctor(pod: &Pod<'_>) {
    // The exit code says that something is not perfect on this machine; what, is in the answer.
    let told = pod.exec(&["/usr/bin/shipwake", "doctor", "--json"]).unwrap();
    let told = states(&String::from_utf8_lossy(&told.stdout));
    for check in [
        "CAP_BPF",
        "CAP_PERFMON",
        "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH",
        "pid namespace",
        "network namespace",
        "cgroup namespace",
        "shared maps",
        "cri",
        "containerd",
        "host",
    ] {
        assert_eq!(told.get(check).map(String::as_str), Some("ok"), "{check}: {told:?}");
    }
}
