//! A private Docker daemon: its own socket, data and containerd, no network, no bridge. Needs root and
//! the packages `docker.io` and `busybox-static`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};

pub use crate::rig::OWN_BUSYBOX;
use crate::{poll, rig};

/// How long a daemon may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The address of the node of a swarm: one for documentation, on the loopback interface.
const SWARM: &str = "192.0.2.1";

/// A running daemon. It and its containers end when it is dropped.
pub struct Daemon {
    directory: PathBuf,
    child: Option<Child>,
    /// It is the only node of a swarm, in a network of its own.
    is_swarm: bool,
}

/// A container that runs.
#[derive(Clone, Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Process id of its first process, as the host sees it.
    pub pid: u32,
}

impl Container {
    /// The processes in it now, as `/proc` tells, by their ids on the host.
    pub fn processes(&self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.has(*pid) == Some(true)).collect()
    }

    /// Whether a process is in it; `None` when there is no such process.
    pub fn has(&self, pid: u32) -> Option<bool> {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Some(cgroup.contains(&self.id))
    }
}

/// When a process that is there was started, as `/proc` tells: to a hundredth of a second.
pub fn started(pid: u32) -> Result<SystemTime> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("no command in stat")?.1;
    let ticks: f64 = fields.split_whitespace().nth(19).context("a short stat")?.parse()?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split_whitespace().next().context("an empty uptime")?.parse()?;
    Ok(SystemTime::now() - Duration::from_secs_f64((uptime - ticks / 100.0).max(0.0)))
}

impl Daemon {
    /// Starts a daemon and waits until it answers.
    pub fn start() -> Result<Self> {
        let directory = rig::directory("dock")?;
        fs::write(directory.join("daemon.json"), "{}")?;
        let mut daemon = Self { directory, child: None, is_swarm: false };
        daemon.boot()?;
        Ok(daemon)
    }

    /// The same as a swarm of one node. Its networks are in a network namespace of its own.
    pub fn swarm() -> Result<Self> {
        let directory = rig::directory("swrm")?;
        fs::write(directory.join("daemon.json"), "{}")?;
        let mut daemon = Self { directory, child: None, is_swarm: true };
        daemon.boot()?;
        daemon.docker(&["swarm", "init", "--advertise-addr", SWARM])?;
        Ok(daemon)
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Stops the daemon. Its containers go on without it.
    pub fn halt(&mut self) -> Result<()> {
        self.child.take().map_or(Ok(()), rig::end)
    }

    /// Starts the daemon again after [`Self::halt`].
    pub fn boot(&mut self) -> Result<()> {
        let path = |name: &str| self.directory.join(name);
        let log = fs::File::options().create(true).append(true).open(path("log"))?;
        let mut command = match self.is_swarm {
            false => Command::new("dockerd"),
            true => {
                let network =
                    format!("ip link set lo up; ip addr add {SWARM}/32 dev lo; exec \"$@\"");
                let mut command = Command::new("unshare");
                command.args(["--net", "sh", "-c", &network, "sh", "dockerd"]);
                command
            }
        };
        if !self.is_swarm {
            // A swarm does not go together with it.
            command.arg("--live-restore");
        }
        let child = command
            .arg("--config-file")
            .arg(path("daemon.json"))
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(["--bridge=none", "--iptables=false", "--ip-masq=false"])
            // Works on every file system, also on an overlay.
            .arg("--storage-driver=vfs")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("dockerd could not be started; install the package docker.io")?;
        self.child = Some(child);
        let ready = poll::until(START, || {
            let exited =
                self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            (exited || self.docker(&["version"]).is_ok()).then_some(!exited)
        });
        ensure!(ready == Some(true), "dockerd does not start; it said:\n{}", self.log());
        Ok(())
    }

    /// Stops the daemon from answering, as a stuck one does.
    pub fn freeze(&self) -> Result<()> {
        self.pid().map_or(Ok(()), rig::freeze)
    }

    /// Ends [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.pid().map_or(Ok(()), |pid| rig::signal(pid, "CONT"))
    }

    /// What the client prints.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        rig::output(self.client().args(arguments))
    }

    /// Makes an image of busybox with these labels and returns its id. It sleeps.
    pub fn import(&self, name: &str, labels: &[(&str, &str)]) -> Result<String> {
        let tar = rig::busybox(&self.directory)?;
        let mut command = self.client();
        command.args(["import", "--change", r#"CMD ["/bin/sleep","1000000"]"#]);
        for (key, value) in labels {
            command.arg("--change").arg(format!("LABEL {key}={}", quoted(value)));
        }
        rig::output(command.arg(&tar).arg(name)).map(|id| id.trim().to_owned())
    }

    /// Adds a program to the images that are made from now on.
    pub fn add(&self, program: &Path) -> Result<()> {
        rig::add(&self.directory, program)
    }

    /// Builds an image by a Dockerfile without context, with the classic builder.
    pub fn build(&self, name: &str, dockerfile: &str) -> Result<()> {
        let context = self.directory.join("context");
        fs::create_dir_all(&context)?;
        fs::write(context.join("Dockerfile"), dockerfile)?;
        rig::output(
            self.client().env("DOCKER_BUILDKIT", "0").args(["build", "--tag", name]).arg(&context),
        )?;
        Ok(())
    }

    /// Runs a container without network: `docker run --detach --network none <arguments>`.
    pub fn run(&self, arguments: &[&str]) -> Result<Container> {
        let id = rig::output(
            self.client().args(["run", "--detach", "--network", "none"]).args(arguments),
        )?;
        let id = id.trim().to_owned();
        let pid = self.docker(&["inspect", "--format", "{{.State.Pid}}", &id])?;
        let pid = pid.trim().parse()?;
        ensure!(pid != 0, "container {id} is not running: {}", self.docker(&["logs", &id])?);
        Ok(Container { id, pid })
    }

    /// Runs a service of the swarm with one task, in the network of the node:
    /// `docker service create --network host <arguments>`.
    pub fn service(&self, name: &str, arguments: &[&str]) -> Result<Container> {
        let create = ["service", "create", "--detach", "--no-resolve-image", "--network", "host"];
        self.docker(&[&create[..], &["--name", name], arguments].concat())?;
        let filter = format!("label=com.docker.swarm.service.name={name}");
        let list = ["ps", "--quiet", "--no-trunc", "--filter", &filter];
        let running = poll::until(START, || {
            let id = self.docker(&list).ok()?.trim().to_owned();
            let pid = self.docker(&["inspect", "--format", "{{.State.Pid}}", &id]).ok()?;
            let pid = pid.trim().parse().ok().filter(|pid| *pid != 0)?;
            Some(Container { id, pid })
        });
        running.with_context(|| format!("no task of {name} runs; the daemon said:\n{}", self.log()))
    }

    /// What the daemon printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .stdin(Stdio::null());
        command
    }

    fn clear(&mut self) -> Result<()> {
        if self.child.is_none() {
            self.boot()?;
        }
        self.thaw()?;
        if self.is_swarm {
            // Otherwise it starts its tasks again.
            self.docker(&["swarm", "leave", "--force"])?;
        }
        let containers = self.docker(&["ps", "--all", "--quiet"])?;
        for id in containers.split_whitespace() {
            self.docker(&["rm", "--force", id])?;
        }
        self.halt()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!(
                "the Docker daemon in {} did not end well: {error:#}",
                self.directory.display()
            );
        }
        rig::remove(&self.directory);
    }
}

/// A value as Dockerfiles write it.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}
