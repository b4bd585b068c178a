//! The agent in the container that is shipped, started as docs/INSTALL.md says, reports the same identities as
//! the agent on the host.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use shipwake_tests::{
    agent::{Agent, binary},
    docker::{Container, Daemon},
    otlp::Receiver,
    peer, poll,
};

pub const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
pub const SOON: Duration = Duration::from_secs(60);

/// Attributes and their sources of one process, by key.
pub type Identity = BTreeMap<String, (String, String)>;

/// What `cargo xtask package` prepared for `docker build`.
pub fn context() -> Option<PathBuf> {
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/package/image");
    if context.join("Dockerfile").is_file() && peer::installed("/usr/sbin/dockerd") {
        return Some(context);
    }
    eprintln!("SKIPPED: needs dockerd, and the image's files from `cargo xtask package --check`");
    None
}

/// A bpffs for the agent in the container, as a host has one on `/sys/fs/bpf`.
pub struct Bpffs(pub PathBuf);

impl Bpffs {
    pub fn mount() -> Self {
        let folder = std::env::temp_dir().join(format!("shipwake-bpffs-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&folder).status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }

    /// What agents left there.
    pub fn left_behind(&self) -> usize {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("shipwake")).count()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A service of the host, of another user. Ended when dropped.
pub struct Legacy(pub Child);

impl Legacy {
    pub fn start() -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=4712", "--clear-groups", "/bin/sleep", "1000000"]);
        command.env("OTEL_SERVICE_NAME", "legacy-shop").stdin(Stdio::null());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line of docs/INSTALL.md, with the private daemon's socket and bpffs in place of the host's, and on a
/// port for the test to read.
fn documented(daemon: &Daemon, bpffs: &Bpffs, cgroups: &str) -> Vec<String> {
    let text = include_str!("../../docs/INSTALL.md");
    let start = text.find("docker run --detach").expect("docs/INSTALL.md shows how");
    let line = &text[start..start + text[start..].find("docker exec").unwrap()];
    let words = line.split_whitespace().filter(|word| *word != "\\").skip(3);
    let socket = daemon.socket().display().to_string();
    let mut arguments: Vec<String> = words
        .map(|word| match word {
            "/sys/fs/bpf:/sys/fs/bpf" => format!("{}:/sys/fs/bpf", bpffs.0.display()),
            "/var/run/docker.sock:/var/run/docker.sock:ro" => {
                format!("{socket}:/var/run/docker.sock:ro")
            }
            "/etc/shipwake:/etc/shipwake:ro" => "/etc/machine-id:/etc/machine-id:ro".to_owned(),
            // Restarts would hide a failure.
            "unless-stopped" => "no".to_owned(),
            word => word.to_owned(),
        })
        .collect();
    let major = daemon.docker(&["version", "--format", "{{.Server.Version}}"]).unwrap();
    if major.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < 23 {
        // As docs/INSTALL.md says for such a Docker.
        arguments.retain(|word| word != "PERFMON");
        let bpf = arguments.iter().position(|word| word == "BPF").unwrap();
        arguments[bpf] = "SYS_ADMIN".to_owned();
        arguments.remove(bpf + 1);
    }
    if !Command::new("prlimit").args(["--memlock=unlimited", "true"]).status().unwrap().success() {
        // A build machine that may not lift its own limit cannot lift that of a container.
        let ulimit = arguments.iter().position(|word| word == "--ulimit").unwrap();
        arguments.drain(ulimit..ulimit + 2);
    }
    // Where process 1 guards itself, as on some build machines, the host's files have to be mounted.
    arguments.insert(0, "--volume=/etc/os-release:/etc/os-release:ro".to_owned());
    let place = arguments.iter().position(|word| word == "--cgroupns").unwrap() + 1;
    arguments[place] = cgroups.to_owned();
    if cgroups == "private" {
        // Instead of the host's namespace its tree, to find the own place in.
        arguments.insert(0, "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro".to_owned());
    }
    arguments.push("run".to_owned());
    arguments
}

/// Runs a container with every argument as given; unlike `Daemon::run`, in the host's network.
fn run(daemon: &Daemon, arguments: &[String]) -> Container {
    let mut all = vec!["run", "--detach"];
    all.extend(arguments.iter().map(String::as_str));
    let id = daemon.docker(&all).unwrap().trim().to_owned();
    let pid = daemon.docker(&["inspect", "--format", "{{.State.Pid}}", &id]).unwrap();
    Container { pid: pid.trim().parse().unwrap(), id }
}

/// What a listing of `shipwake ps --json` says of these processes.
pub fn identities(listing: &str, pids: &[u32]) -> Option<Vec<Identity>> {
    let listing: Value = serde_json::from_str(listing).ok()?;
    let processes = listing["processes"].as_array()?;
    let of = |pid: &u32| {
        let process = processes.iter().find(|one| one["pid"] == *pid)?;
        let rows = process["attributes"].as_array()?.iter();
        let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
        rows.map(|row| Some((text(row, "key")?, (text(row, "value")?, text(row, "source")?))))
            .collect()
    };
    pids.iter().map(of).collect()
}

#[test]
fn the_agent_in_its_container_reports_the_same_identities() {
    let Some(context) = context() else { return };
    let daemon = Daemon::start().unwrap();
    let built = daemon
        .docker(&[
            "build",
            "--network=none",
            "--build-arg=VERSION=0.1.0",
            &format!("--build-arg=REVISION={SHA}"),
            "--tag=shipwake:0.1.0",
            &context.display().to_string(),
        ])
        .unwrap();
    let label = "org.opencontainers.image.revision";
    let format = format!("{{{{index .Config.Labels \"{label}\"}}}}");
    let told = daemon.docker(&["inspect", "--format", &format, "shipwake:0.1.0"]).unwrap();
    assert_eq!(told.trim(), SHA, "{built}");

    let revision = format!("{label}={SHA}");
    let (key, value) = revision.split_once('=').unwrap();
    daemon
        .import("shop/web:1.4.2", &[(key, value), ("org.opencontainers.image.version", "1.4.2")])
        .unwrap();
    let work = daemon
        .run(&[
            "--label=com.docker.compose.project=shop",
            "--label=com.docker.compose.service=web",
            "--label=com.docker.compose.container-number=1",
            "--env=OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=staging",
            "--user=4711",
            "shop/web:1.4.2",
        ])
        .unwrap();
    let legacy = Legacy::start();
    let pids = [work.pid, legacy.0.id()];

    let receiver = Receiver::start().unwrap();
    let socket =
        std::env::temp_dir().join(format!("shipwake-installed-{}.sock", std::process::id()));
    let api = format!("api.socket={}", socket.display());
    let docker = format!("workload.docker_sockets={}", daemon.socket().display());
    let host = Agent::start(&receiver, &["--set", &api, "--set", &docker]).unwrap();
    let complete = |identities: &Vec<Identity>| {
        let has = |index: usize, key: &str, value: &str| {
            identities[index].get(key).is_some_and(|(found, _)| found == value)
        };
        has(0, "service.name", "web")
            && has(0, "service.version", "1.4.2")
            && has(0, "vcs.ref.head.revision", SHA)
            && has(0, "deployment.environment.name", "staging")
            && has(1, "service.name", "legacy-shop")
            && identities.iter().all(|one| one.contains_key("process.executable.build_id.gnu"))
    };
    let mut last = String::new();
    let mut expected = poll::until(SOON, || {
        let output = Command::new(binary()).args(["ps", "--json", "--set", &api]).output().unwrap();
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        identities(&last, &pids).filter(complete)
    });
    let expected = expected.take().unwrap_or_else(|| panic!("the agent on the host says {last}"));
    assert!(host.stop().unwrap().success());

    let bpffs = Bpffs::mount();
    for cgroups in ["host", "private"] {
        let agent = run(&daemon, &documented(&daemon, &bpffs, cgroups));
        let mut last = String::new();
        let found = poll::until(SOON, || {
            let told = daemon.docker(&["exec", &agent.id, "/usr/bin/shipwake", "ps", "--json"]);
            last = told.unwrap_or_else(|error| error.to_string());
            // What is still missing is asked for.
            identities(&last, &pids).filter(|found| *found == expected)
        });
        let log = || daemon.docker(&["logs", &agent.id]).unwrap();
        if found.is_none() {
            eprintln!("{}", log());
            assert_eq!(identities(&last, &pids), Some(expected), "cgroupns {cgroups}");
            unreachable!("it was right a moment ago");
        }
        let doctor = doctor(&daemon, &agent);
        for (check, state) in [
            ("CAP_BPF", "ok"),
            ("CAP_PERFMON", "ok"),
            ("CAP_SYS_PTRACE", "ok"),
            ("CAP_DAC_READ_SEARCH", "ok"),
            ("pid namespace", "ok"),
            ("network namespace", "ok"),
            ("cgroup namespace", "ok"),
            ("shared maps", "ok"),
            ("docker", "ok"),
            ("host", "ok"),
        ] {
            assert_eq!(doctor.get(check).map(String::as_str), Some(state), "{check}: {doctor:?}");
        }
        daemon.docker(&["stop", "--time=20", &agent.id]).unwrap();
        let code =
            daemon.docker(&["inspect", "--format", "{{.State.ExitCode}}", &agent.id]).unwrap();
        assert_eq!(code.trim(), "0", "{}", log());
        assert_eq!(bpffs.left_behind(), 0, "pins stay in the bpffs");
        daemon.docker(&["rm", &agent.id]).unwrap();
    }
}

/// The checks of `shipwake doctor` in the container: name and state.
fn doctor(daemon: &Daemon, agent: &Container) -> BTreeMap<String, String> {
    // The exit code says that something is not perfect on this machine; what, is in the answer.
    let told = Command::new("docker")
        .arg(format!("--host=unix://{}", daemon.socket().display()))
        .args(["exec", &agent.id, "/usr/bin/shipwake", "doctor", "--json"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout);
    states(&told)
}

/// The checks in what `shipwake doctor --json` prints.
pub fn states(told: &str) -> BTreeMap<String, String> {
    let report: Value = serde_json::from_str(told).unwrap_or_default();
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    checks.iter().map(|check| (text(check, "name"), text(check, "state"))).collect()
}
