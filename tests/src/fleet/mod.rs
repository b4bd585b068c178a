//! Many containers, each with a deploy of its own, started side by side: the truth about each is kept here, and
//! compared with what the agent reports.

mod judge;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};

pub use judge::{Verdict, unknown, within};

use crate::{
    containerd::{Containerd, Pod, fresh_id},
    docker::{self, Daemon, OWN_BUSYBOX},
    kubelet::cri::{Id, Nothing},
    poll, rig,
};

const IMAGE: &str = "registry.test/fleet:1";
const CREATED: &str = "2024-01-31T10:20:30Z";
/// The namespace of containerd.
const NAMESPACE: &str = "fleet";
/// How long one start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Who runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Containerd,
    /// containerd by its CRI plugin: one pod each.
    Cri,
    Docker,
}

/// How long a container lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until the end of the fleet.
    Long,
    /// One second or two; then it is removed, and its runtime knows nothing about it any more.
    Short,
}

/// A container that was started.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub name: String,
    pub version: String,
    pub commit: String,
    /// When its process was made, as `/proc` tells; `None` when it was gone before that was read.
    pub started: Option<SystemTime>,
}

impl Member {
    fn new(number: usize) -> Self {
        Self {
            id: String::new(),
            name: format!("service-{number}"),
            version: format!("1.{}.{}", number / 10, number % 10),
            commit: format!("{:040x}", 0x5eed_0000_0000_u64 + number as u64),
            started: None,
        }
    }

    /// As whoever builds images says it.
    fn labels(&self) -> [String; 3] {
        let Self { name, version, commit, .. } = self;
        [("title", name), ("version", version), ("revision", commit)]
            .map(|(key, value)| format!("--label=org.opencontainers.image.{key}={value}"))
    }
}

enum Engine {
    Containerd(Containerd),
    Docker(Daemon),
}

/// Where containers are started. They end with it.
pub struct Fleet {
    runtime: Runtime,
    engine: Engine,
    folder: PathBuf,
    /// Sandboxes of pods.
    sandboxes: Mutex<Vec<String>>,
}

impl Fleet {
    /// Starts a daemon of its own, with one small image.
    pub fn new(runtime: Runtime) -> Result<Self> {
        let folder = rig::directory("fleet")?;
        let engine = match runtime {
            Runtime::Docker => {
                let daemon = Daemon::start()?;
                daemon.import(IMAGE, &[])?;
                Engine::Docker(daemon)
            }
            Runtime::Containerd | Runtime::Cri => {
                let daemon = Containerd::start()?;
                daemon.import_pause()?;
                small(&folder)?;
                let image = rig::archive(&folder, IMAGE, &[], CREATED)?;
                let archive = image.archive.display().to_string();
                for namespace in [NAMESPACE, "k8s.io"] {
                    let import = ["images", "import", "--snapshotter", "native", &archive];
                    daemon.ctr(namespace, &import)?;
                }
                Engine::Containerd(daemon)
            }
        };
        Ok(Self { runtime, engine, folder, sandboxes: Mutex::default() })
    }

    /// Settings of the agent that lead it to the daemon.
    pub fn settings(&self) -> Vec<String> {
        let (socket, names) = match &self.engine {
            Engine::Containerd(daemon) => (daemon.socket(), ["containerd", "cri"].as_slice()),
            Engine::Docker(daemon) => (daemon.socket(), ["docker"].as_slice()),
        };
        let settings = names.iter().flat_map(|name| {
            ["--set".to_owned(), format!("workload.{name}_sockets={}", socket.display())]
        });
        settings.collect()
    }

    /// CPU time that the daemon has used.
    pub fn daemon_cpu(&self) -> Duration {
        let pid = match &self.engine {
            Engine::Containerd(daemon) => daemon.process(),
            Engine::Docker(daemon) => daemon.pid(),
        };
        pid.map(crate::agent::cpu_of).unwrap_or_default()
    }

    /// Starts so many containers, evenly over `within`, or as fast as this machine can when that is slower.
    /// `number` is the first one's.
    pub fn launch(
        &self,
        number: usize,
        count: usize,
        within: Duration,
        life: Life,
    ) -> Result<Vec<Member>> {
        // Those that are waited for until they end need more threads.
        let width = if life == Life::Short { 24 } else { 6 };
        let (next, members) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let begin = Instant::now();
        thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return Ok(());
                    }
                    let due = begin + within.mul_f64(index as f64 / count as f64);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let member = self.start(number + index, life)?;
                    members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
                }
            };
            let threads: Vec<_> = (0..width).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(done) => done,
                Err(_) => bail!("a thread that starts containers broke"),
            })
        })?;
        Ok(members.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&self, number: usize, life: Life) -> Result<Member> {
        let member = Member::new(number);
        match (&self.engine, self.runtime) {
            (Engine::Docker(daemon), _) => with_docker(daemon, member, life, number),
            (Engine::Containerd(daemon), Runtime::Cri) => {
                ensure!(life == Life::Long, "pods that end are not started here");
                let (member, sandbox) = as_pod(daemon, member, number)?;
                self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).push(sandbox);
                Ok(member)
            }
            (Engine::Containerd(daemon), _) => {
                let pid_file = self.folder.join(format!("{number}.pid"));
                with_containerd(daemon, member, life, number, &pid_file)
            }
        }
    }

    /// Ends the containers: many at once is faster than one by one.
    fn clear(&self) -> Result<()> {
        let Engine::Containerd(daemon) = &self.engine else { return Ok(()) };
        for (kind, force) in [("tasks", ["--force"].as_slice()), ("containers", &[])] {
            let listed = daemon.ctr(NAMESPACE, &[kind, "list", "--quiet"])?;
            let ids: Vec<&str> = listed.split_whitespace().collect();
            for some in ids.chunks(50) {
                daemon.ctr(NAMESPACE, &[&[kind, "delete"], force, some].concat())?;
            }
        }
        for id in self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let id = Id { id };
            let _: Nothing = daemon.cri("RuntimeService/StopPodSandbox", id.clone())?;
            let _: Nothing = daemon.cri("RuntimeService/RemovePodSandbox", id)?;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("containers of {:?} did not end well: {error:#}", self.runtime);
        }
        rig::remove(&self.folder);
    }
}

/// A file system of one program under its names, for [`rig::archive`].
fn small(folder: &Path) -> Result<()> {
    let root = folder.join("root/bin");
    fs::create_dir_all(&root)?;
    fs::copy("/bin/busybox", root.join(OWN_BUSYBOX)).context("install busybox-static")?;
    fs::hard_link(root.join(OWN_BUSYBOX), root.join("sleep"))?;
    let tar = folder.join("root.tar");
    rig::output(
        Command::new("tar").arg("-C").arg(folder.join("root")).arg("-cf").arg(tar).arg("."),
    )?;
    Ok(())
}

/// How long the program of a container sleeps, in seconds.
fn seconds(life: Life, number: usize) -> &'static str {
    match (life, number % 2) {
        (Life::Long, _) => "1000000",
        (Life::Short, 0) => "1",
        (Life::Short, _) => "2",
    }
}

fn with_containerd(
    daemon: &Containerd,
    mut member: Member,
    life: Life,
    number: usize,
    pid_file: &Path,
) -> Result<Member> {
    member.id = fresh_id()?;
    let stays = if life == Life::Long { "--detach" } else { "--rm" };
    let mut command = Command::new("ctr");
    command.arg("--address").arg(daemon.socket()).args(["--namespace", NAMESPACE, "run", stays]);
    command.args(["--null-io", "--snapshotter", "native", "--pid-file"]).arg(pid_file);
    command.args(member.labels()).args([IMAGE, &member.id]);
    command.args([&format!("/bin/{OWN_BUSYBOX}"), "sleep", seconds(life, number)]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // The process may be gone before the command is.
    poll::until(START, || {
        let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.parse().ok());
        member.started = pid.and_then(|pid| docker::started(pid).ok());
        let ended = !matches!(child.try_wait(), Ok(None));
        (pid.is_some() || ended).then_some(())
    });
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ctr run of {}: {}: {said}", member.name, output.status);
    Ok(member)
}

fn with_docker(daemon: &Daemon, mut member: Member, life: Life, number: usize) -> Result<Member> {
    let labels = member.labels();
    let mut arguments = vec!["run", "--detach", "--network", "none"];
    if life == Life::Short {
        arguments.push("--rm");
    }
    arguments.extend(labels.iter().map(String::as_str));
    let program = format!("/bin/{OWN_BUSYBOX}");
    arguments.extend([IMAGE, &program, "sleep", seconds(life, number)]);
    member.id = daemon.docker(&arguments)?.trim().to_owned();
    // One that lives shortly may be gone by now.
    let pid = daemon.docker(&["inspect", "--format", "{{.State.Pid}}", &member.id]);
    let pid = pid.ok().and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid != 0_u32);
    member.started = pid.and_then(|pid| docker::started(pid).ok());
    Ok(member)
}

/// Also returns the sandbox.
fn as_pod(daemon: &Containerd, mut member: Member, number: usize) -> Result<(Member, String)> {
    let name = format!("{}-{number}", member.name);
    let uid = format!("3f2a8f0e-1c5b-4c59-9d8a-{number:012}");
    let pod = Pod {
        name: &name,
        uid: &uid,
        labels: &[
            ("app.kubernetes.io/name", &member.name),
            ("app.kubernetes.io/version", &member.version),
        ],
        annotations: &[("resource.opentelemetry.io/vcs.ref.head.revision", &member.commit)],
        ..Pod::default()
    };
    let running = daemon.pod(&pod, "app", IMAGE, 0)?;
    member.id = running.id;
    member.started = docker::started(running.pid).ok();
    Ok((member, running.sandbox))
}
