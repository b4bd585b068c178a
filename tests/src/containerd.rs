//! A private containerd with its CRI plugin: its own socket, state and images, no network. Needs root
//! and the packages `containerd`, `runc` and `busybox-static`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use tokio::runtime::Runtime;
use tonic::{
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use crate::{poll, rig};

/// How long a daemon may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// The image of the containers that hold the namespaces of pods.
const PAUSE: &str = "registry.test/pause:1";

/// A running daemon. It and its containers end when it is dropped.
pub struct Containerd {
    directory: PathBuf,
    child: Option<Child>,
    runtime: Runtime,
}

/// What a pod is made of.
#[derive(Clone, Debug, Default)]
pub struct Pod<'a> {
    pub name: &'a str,
    pub uid: &'a str,
    pub labels: &'a [(&'a str, &'a str)],
    pub annotations: &'a [(&'a str, &'a str)],
    /// What the container runs instead of what the image says.
    pub command: &'a [&'a str],
}

/// A container that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Id of the sandbox.
    pub sandbox: String,
    /// Process id of its first process, as the host sees it.
    pub pid: u32,
}

impl Containerd {
    /// Starts a daemon and waits until it answers.
    pub fn start() -> Result<Self> {
        let directory = rig::directory("ctrd")?;
        let shown = directory.display();
        fs::write(
            directory.join("config.toml"),
            format!(
                r#"version = 2
root = "{shown}/root"
state = "{shown}/run"
[grpc]
address = "{shown}/run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{shown}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
stream_server_port = "0"
# A machine without CAP_SYS_RESOURCE cannot make a sandbox as safe from the kernel as it should be.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{shown}/cni"
"#
            ),
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut daemon = Self { directory, child: None, runtime };
        daemon.boot()?;
        Ok(daemon)
    }

    /// What a host has in `/run/containerd`: its socket, and what it knows of running containers.
    pub fn state(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Its socket, of its own API and of the CRI.
    pub fn socket(&self) -> PathBuf {
        self.state().join("containerd.sock")
    }

    /// Where the bundles of containers are, by namespace.
    pub fn bundles(&self) -> PathBuf {
        self.state().join("io.containerd.runtime.v2.task")
    }

    /// Starts the daemon, again after [`Self::halt`].
    pub fn boot(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(self.directory.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("containerd could not be started; install the package containerd")?;
        self.child = Some(child);
        let ready = poll::until(START, || {
            let exited =
                self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            (exited || self.version().is_ok()).then_some(!exited)
        });
        let said = || fs::read_to_string(self.log()).unwrap_or_default();
        ensure!(ready == Some(true), "containerd does not start; it said:\n{}", said());
        Ok(())
    }

    /// Process id of the daemon.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Stops the daemon. Its containers go on without it.
    pub fn halt(&mut self) -> Result<()> {
        self.child.take().map_or(Ok(()), rig::end)
    }

    /// Stops the daemon from answering, as a stuck one does.
    pub fn freeze(&self) -> Result<()> {
        self.child.as_ref().map_or(Ok(()), |child| rig::freeze(child.id()))
    }

    /// Ends [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.child.as_ref().map_or(Ok(()), |child| rig::signal(child.id(), "CONT"))
    }

    /// What `ctr` prints.
    pub fn ctr(&self, namespace: &str, arguments: &[&str]) -> Result<String> {
        rig::output(self.client(namespace).args(arguments))
    }

    /// Adds a program to the images that are made from now on.
    pub fn add(&self, program: &Path) -> Result<()> {
        rig::add(&self.directory, program)
    }

    /// Makes an image of busybox with these labels. It sleeps.
    pub fn import(
        &self,
        namespace: &str,
        name: &str,
        labels: &[(&str, &str)],
        created: &str,
    ) -> Result<rig::Image> {
        let image = rig::archive(&self.directory, name, labels, created)?;
        let archive = image.archive.display().to_string();
        self.ctr(namespace, &["images", "import", "--snapshotter", "native", &archive])?;
        Ok(image)
    }

    /// Runs a container of an image by `ctr run <arguments> <image> <id>`.
    pub fn run(&self, namespace: &str, arguments: &[&str], image: &str) -> Result<Running> {
        self.run_as(namespace, arguments, image, &[])
    }

    /// The same with a command: `ctr run <arguments> <image> <id> <command>`.
    pub fn run_as(
        &self,
        namespace: &str,
        arguments: &[&str],
        image: &str,
        command: &[&str],
    ) -> Result<Running> {
        let id = fresh_id()?;
        let mut all = vec!["run", "--detach", "--snapshotter", "native"];
        all.extend(arguments);
        all.extend([image, &id]);
        all.extend(command);
        self.ctr(namespace, &all)?;
        let pid = self.pid(namespace, &id)?;
        Ok(Running { sandbox: String::new(), id, pid })
    }

    /// Process id of a container's first process.
    pub fn pid(&self, namespace: &str, id: &str) -> Result<u32> {
        let file = self.bundles().join(namespace).join(id).join("init.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Runs a pod with one container as the kubelet does, without network and in the host's namespaces
    /// of it.
    pub fn pod(
        &self,
        pod: &Pod<'_>,
        container: &str,
        image: &str,
        attempt: u32,
    ) -> Result<Running> {
        let map = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let logs = self.directory.join("pods").join(pod.uid);
        fs::create_dir_all(&logs)?;
        let identity = [
            ("io.kubernetes.pod.name", pod.name),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", pod.uid),
        ];
        let mut labels = map(pod.labels);
        labels.extend(map(&identity));
        let config = SandboxConfig {
            metadata: Some(PodName {
                name: pod.name.to_owned(),
                uid: pod.uid.to_owned(),
                namespace: "shop".to_owned(),
                attempt: 0,
            }),
            log_directory: logs.display().to_string(),
            labels,
            annotations: map(pod.annotations),
            linux: Some(LinuxSandbox {
                cgroup_parent: format!("/kubepods/besteffort/pod{}", pod.uid),
                security: Some(Security {
                    namespaces: Some(Namespaces { network: 2, pid: 1, ipc: 0 }),
                }),
            }),
        };
        let run = RunSandbox { config: Some(config.clone()) };
        let Id { id: sandbox } = self.cri("RuntimeService/RunPodSandbox", run)?;
        let mut labels = map(&identity);
        labels.insert("io.kubernetes.container.name".to_owned(), container.to_owned());
        let attempts = attempt.to_string();
        let annotations = map(&[
            ("io.kubernetes.container.hash", "5f1b7c4a"),
            ("io.kubernetes.container.restartCount", &attempts),
        ]);
        let create = CreateContainer {
            sandbox: sandbox.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerName { name: container.to_owned(), attempt }),
                image: Some(ImageSpec { image: image.to_owned() }),
                command: pod.command.iter().map(|word| (*word).to_owned()).collect(),
                labels,
                annotations,
                log_path: format!("{container}.log"),
                linux: Some(LinuxContainer {
                    security: Some(ContainerSecurity {
                        namespaces: Some(Namespaces { network: 2, pid: 1, ipc: 0 }),
                    }),
                }),
            }),
            sandbox_config: Some(config),
        };
        let Id { id } = self.cri("RuntimeService/CreateContainer", create)?;
        let _: Nothing = self.cri("RuntimeService/StartContainer", Id { id: id.clone() })?;
        let pid = self.pid("k8s.io", &id)?;
        Ok(Running { id, sandbox, pid })
    }

    /// The image that sandboxes run. Needed before the first pod.
    pub fn import_pause(&self) -> Result<()> {
        let created = "2024-01-31T10:20:30Z";
        self.import("k8s.io", PAUSE, &[("org.opencontainers.image.title", "pause")], created)
            .map(drop)
    }

    fn version(&self) -> Result<Version> {
        self.cri("RuntimeService/Version", Nothing {})
    }

    /// One call of the CRI by an independent client.
    pub fn cri<Q, A>(&self, method: &str, question: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let socket = format!("unix://{}", self.socket().display());
        let path: PathAndQuery = format!("/runtime.v1.{method}").parse()?;
        self.runtime.block_on(async {
            let channel: Channel = Endpoint::from_shared(socket)?.connect().await?;
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await?;
            let codec = tonic_prost::ProstCodec::<Q, A>::default();
            let answer = client.unary(tonic::Request::new(question), path, codec).await?;
            Ok(answer.into_inner())
        })
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn client(&self, namespace: &str) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", namespace]);
        command.stdin(Stdio::null());
        command
    }

    /// Ends everything, whatever of it goes wrong on the way. Returns the first thing that did.
    fn clear(&mut self) -> Result<()> {
        if self.child.is_none() {
            self.boot()?;
        }
        let emptied = self.thaw().and_then(|()| self.empty());
        emptied.and(self.halt())
    }

    fn empty(&self) -> Result<()> {
        let mut outcome = Ok(());
        let mut remove = |namespace: &str, kind: &str, arguments: &[&str]| -> Result<()> {
            for id in self.ctr(namespace, &[kind, "list", "--quiet"])?.split_whitespace() {
                let removed = self.ctr(namespace, &[&[kind], arguments, &[id]].concat());
                // The CRI plugin clears away itself what ends.
                let removed = removed
                    .or_else(|error| if is_gone(&error) { Ok(String::new()) } else { Err(error) });
                outcome = std::mem::replace(&mut outcome, Ok(())).and(removed.map(drop));
            }
            Ok(())
        };
        for namespace in self.ctr("default", &["namespaces", "list", "--quiet"])?.split_whitespace()
        {
            remove(namespace, "tasks", &["delete", "--force"])?;
            remove(namespace, "containers", &["delete"])?;
        }
        outcome
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("containerd in {} did not end well: {error:#}", self.directory.display());
        }
        rig::remove(&self.directory);
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.to_string().contains("not found")
}

/// 64 hexadecimal digits that no other test uses.
pub fn fresh_id() -> Result<String> {
    let uuid = || -> Result<String> {
        let text = fs::read_to_string(Path::new("/proc/sys/kernel/random/uuid"))?;
        Ok(text.trim().replace('-', ""))
    };
    Ok(uuid()? + &uuid()?)
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(string, tag = "2")]
    runtime_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunSandbox {
    #[prost(message, optional, tag = "1")]
    config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodName>,
    #[prost(string, tag = "3")]
    log_directory: String,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "7")]
    annotations: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodName {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxSandbox {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
}

#[derive(Clone, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

/// 0: the pod's, 1: the container's, 2: the host's.
#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(int32, tag = "3")]
    ipc: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerName>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "10")]
    annotations: HashMap<String, String>,
    #[prost(string, tag = "11")]
    log_path: String,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerName {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainer {
    #[prost(message, optional, tag = "2")]
    security: Option<ContainerSecurity>,
}

/// Like [`Security`], with another number for the same field.
#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, optional, tag = "3")]
    namespaces: Option<Namespaces>,
}
