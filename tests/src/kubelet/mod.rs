//! What the kubelet of a node makes of a DaemonSet's manifest: volumes, then calls of the CRI. There is no API server:
//! what its controllers would add to the pod is added here.

pub mod cri;
pub mod manifest;
mod security;
mod variables;
mod volumes;

use std::{collections::BTreeMap, collections::HashMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use self::{
    cri::{
        AskImage, ContainerConfig, ContainerName, CreateContainer, Dns, Exec, Executed, Id,
        ImageAnswer, ImageSpec, LinuxContainer, LinuxSandbox, Mount, Nothing, PodName, RunSandbox,
        SandboxConfig, Status, StatusAnswer, Stop,
    },
    manifest::{Container, DnsPolicy, Manifest, PodSpec, PullPolicy, Texts, VolumeMount},
};
use crate::{containerd::Containerd, rig};

/// The revision that a controller would have found for the pods.
pub const REVISION: &str = "6f7d8c9b5";

/// The node, as far as it differs from the machine that the test runs on.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    /// Where each path of the node is that the manifest mounts.
    pub host_paths: BTreeMap<String, PathBuf>,
    /// Mounts that the manifest does not ask for, by path in the container. Read-only.
    pub extra: Vec<(String, PathBuf)>,
}

/// Who a pod is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub service_account: String,
    pub node: String,
}

/// A pod that runs. Its files on the node go when it is dropped; its containers with the daemon.
pub struct Pod<'a> {
    daemon: &'a Containerd,
    directory: PathBuf,
    pub identity: Identity,
    /// Id of its only container.
    pub container: String,
    /// Process id of the container, as the node sees it.
    pub pid: u32,
    grace_seconds: i64,
}

impl<'a> Pod<'a> {
    /// Runs the pod that the manifest has for every node.
    pub fn run(daemon: &'a Containerd, manifest: &Manifest, node: &Node) -> Result<Self> {
        let daemon_set = &manifest.daemon_set;
        let template = &daemon_set.spec.template;
        let spec = &template.spec;
        let PodSpec { node_selector, tolerations: _, containers, .. } = spec;
        let os = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
        ensure!(*node_selector == os, "this node is not selected");
        let [container] = containers.as_slice() else {
            anyhow::bail!("{} containers", containers.len());
        };
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let identity = Identity {
            name: format!("{}-x2x4z", daemon_set.metadata.name),
            namespace: daemon_set.metadata.namespace.clone(),
            uid: uuid.trim().to_owned(),
            service_account: spec.service_account_name.clone(),
            node: node.name.clone(),
        };
        let mut pod = Self {
            daemon,
            directory: rig::directory("kubelet")?,
            identity,
            container: String::new(),
            pid: 0,
            grace_seconds: spec.termination_grace_period_seconds,
        };
        let sandbox = pod.sandbox(manifest, container)?;
        let config = pod.config(manifest, node, container)?;
        let run = RunSandbox { config: Some(sandbox.clone()) };
        let Id { id } = daemon.cri("RuntimeService/RunPodSandbox", run)?;
        let create =
            CreateContainer { sandbox: id, config: Some(config), sandbox_config: Some(sandbox) };
        let Id { id } = daemon.cri("RuntimeService/CreateContainer", create)?;
        let _: Nothing = daemon.cri("RuntimeService/StartContainer", Id { id: id.clone() })?;
        pod.pid = daemon.pid("k8s.io", &id)?;
        pod.container = id;
        Ok(pod)
    }

    /// Runs a command in the container, as `kubectl exec` does.
    pub fn exec(&self, command: &[&str]) -> Result<Executed> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let exec = Exec { id: self.container.clone(), command, timeout: 20 };
        self.daemon.cri("RuntimeService/ExecSync", exec)
    }

    /// What the container printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("logs/0.log")).unwrap_or_default()
    }

    /// Ends the container within the time that the manifest gives it, and returns its exit code.
    pub fn stop(&self) -> Result<i32> {
        let id = self.container.clone();
        let stop = Stop { id: id.clone(), timeout: self.grace_seconds };
        let _: Nothing = self.daemon.cri("RuntimeService/StopContainer", stop)?;
        let answer: StatusAnswer = self.daemon.cri("RuntimeService/ContainerStatus", Id { id })?;
        let Status { state, exit_code } = answer.status.context("no status")?;
        ensure!(state == cri::EXITED, "the container is in state {state}");
        Ok(exit_code)
    }

    fn sandbox(&self, manifest: &Manifest, container: &Container) -> Result<SandboxConfig> {
        let template = &manifest.daemon_set.spec.template;
        let spec = &template.spec;
        let Identity { name, namespace, uid, .. } = &self.identity;
        let mut labels = owned(&template.metadata.labels);
        labels.extend(self.labels());
        // By the controller of DaemonSets.
        labels.insert("controller-revision-hash".to_owned(), REVISION.to_owned());
        labels.insert("pod-template-generation".to_owned(), "1".to_owned());
        let mut annotations = owned(&template.metadata.annotations);
        annotations.insert("kubernetes.io/config.source".to_owned(), "api".to_owned());
        let logs = self.directory.join("logs");
        fs::create_dir_all(&logs)?;
        let DnsPolicy::ClusterFirstWithHostNet = spec.dns_policy;
        let domain = "svc.cluster.local";
        let class = security::class(&container.resources);
        Ok(SandboxConfig {
            metadata: Some(PodName {
                name: name.clone(),
                uid: uid.clone(),
                namespace: namespace.clone(),
                attempt: 0,
            }),
            // Of a pod in the node's network it is the node's.
            hostname: if spec.host_network { String::new() } else { name.clone() },
            log_directory: logs.display().to_string(),
            dns: Some(Dns {
                servers: vec!["10.96.0.10".to_owned()],
                searches: vec![format!("{namespace}.{domain}"), domain.to_owned()],
                options: vec!["ndots:5".to_owned()],
            }),
            labels,
            annotations,
            linux: Some(LinuxSandbox {
                cgroup_parent: format!("/kubepods{}/pod{uid}", class.folder()),
                security: Some(security::sandbox(spec, container)),
            }),
        })
    }

    fn config(
        &self,
        manifest: &Manifest,
        node: &Node,
        container: &Container,
    ) -> Result<ContainerConfig> {
        let spec = &manifest.daemon_set.spec.template.spec;
        let volumes = volumes::prepare(manifest, node, &self.directory)?;
        let Container {
            name,
            image,
            image_pull_policy: PullPolicy::IfNotPresent,
            args,
            env,
            security_context,
            resources,
            volume_mounts,
        } = container;
        let asked = ImageSpec { image: image.clone(), user_specified_image: String::new() };
        let answer: ImageAnswer =
            self.daemon.cri("ImageService/ImageStatus", AskImage { image: Some(asked) })?;
        let found = answer.image.with_context(|| format!("{image} is not on the node"))?;
        let mut labels: HashMap<_, _> = self.labels().collect();
        labels.insert("io.kubernetes.container.name".to_owned(), name.clone());
        let grace = self.grace_seconds.to_string();
        let annotations = [
            ("io.kubernetes.container.hash", "5f1b7c4a"),
            ("io.kubernetes.container.restartCount", "0"),
            ("io.kubernetes.container.terminationMessagePath", "/dev/termination-log"),
            ("io.kubernetes.container.terminationMessagePolicy", "File"),
            ("io.kubernetes.pod.terminationGracePeriod", &grace),
        ];
        Ok(ContainerConfig {
            metadata: Some(ContainerName { name: name.clone(), attempt: 0 }),
            image: Some(ImageSpec { image: found.id, user_specified_image: image.clone() }),
            args: args.clone(),
            variables: variables::of(env, &self.identity)?,
            mounts: self.mounts(node, volume_mounts, &volumes)?,
            labels,
            annotations: annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            log_path: "0.log".to_owned(),
            linux: Some(LinuxContainer {
                resources: Some(security::resources(resources)?),
                security: Some(security::container(spec, security_context)),
            }),
        })
    }

    fn mounts(
        &self,
        node: &Node,
        wanted: &[VolumeMount],
        volumes: &BTreeMap<String, PathBuf>,
    ) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for VolumeMount { name, mount_path, read_only } in wanted {
            let place = volumes.get(name).with_context(|| format!("there is no volume {name}"))?;
            mounts.push(mount(mount_path, place.clone(), *read_only));
        }
        for name in volumes.keys() {
            ensure!(wanted.iter().any(|one| one.name == *name), "nobody mounts volume {name}");
        }
        // What the kubelet adds by itself.
        for (path, content) in
            [("/etc/hosts", fs::read("/etc/hosts")?), ("/dev/termination-log", Vec::new())]
        {
            let file = self.directory.join(path.replace('/', "_"));
            fs::write(&file, content)?;
            mounts.push(mount(path, file, false));
        }
        for (path, place) in &node.extra {
            mounts.push(mount(path, place.clone(), true));
        }
        Ok(mounts)
    }

    /// By which the kubelet knows the pod again.
    fn labels(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let Identity { name, namespace, uid, .. } = self.identity.clone();
        let identity = [("name", name), ("namespace", namespace), ("uid", uid)];
        identity.into_iter().map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value))
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // A process that writes on must not keep the volumes.
        if !self.container.is_empty()
            && let Err(error) = self.stop()
        {
            eprintln!("the pod did not end well: {error:#}");
        }
        rig::remove(&self.directory);
    }
}

fn mount(container_path: &str, host_path: PathBuf, readonly: bool) -> Mount {
    let container_path = container_path.to_owned();
    let host_path = host_path.display().to_string();
    Mount { container_path, host_path, readonly, relabel: false }
}

fn owned(texts: &Texts) -> HashMap<String, String> {
    texts.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
