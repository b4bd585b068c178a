//! A manifest of a DaemonSet, with the fields that the kubelet's part here knows. One that it does not know is an
//! error: nothing that the manifest says may be lost.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::rig;

/// Texts by key.
pub type Texts = BTreeMap<String, String>;

/// What a file describes.
#[derive(Debug)]
pub struct Manifest {
    pub daemon_set: DaemonSet,
    /// Configuration by the name of its map.
    pub config_maps: BTreeMap<String, Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub labels: Texts,
    pub annotations: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Namespace {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceAccount {
    metadata: Metadata,
    automount_service_account_token: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigMap {
    metadata: Metadata,
    data: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonSet {
    pub metadata: Metadata,
    pub spec: DaemonSetSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonSetSpec {
    selector: Selector,
    /// Matters when one pod replaces another.
    update_strategy: UpdateStrategy,
    pub template: Template,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateStrategy {
    r#type: String,
    rolling_update: RollingUpdate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RollingUpdate {
    max_unavailable: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    #[serde(default)]
    pub metadata: Metadata,
    pub spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSpec {
    pub service_account_name: String,
    pub automount_service_account_token: bool,
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    pub host_network: bool,
    pub dns_policy: DnsPolicy,
    pub node_selector: Texts,
    pub tolerations: Vec<Toleration>,
    pub termination_grace_period_seconds: i64,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum DnsPolicy {
    ClusterFirstWithHostNet,
}

/// Of every taint: where a pod may run is not the kubelet's decision.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    pub operator: TolerationOperator,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum TolerationOperator {
    Exists,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub image_pull_policy: PullPolicy,
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<Variable>,
    pub security_context: SecurityContext,
    pub resources: Resources,
    pub volume_mounts: Vec<VolumeMount>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum PullPolicy {
    IfNotPresent,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    pub name: String,
    pub value: Option<String>,
    pub value_from: Option<ValueFrom>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueFrom {
    pub field_ref: FieldRef,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldRef {
    pub field_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityContext {
    pub run_as_user: i64,
    pub run_as_group: i64,
    pub privileged: bool,
    pub allow_privilege_escalation: bool,
    pub read_only_root_filesystem: bool,
    pub capabilities: Capabilities,
    pub app_armor_profile: Profile,
    pub seccomp_profile: Profile,
    pub se_linux_options: SeLinux,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capabilities {
    pub drop: Vec<String>,
    pub add: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub r#type: ProfileKind,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum ProfileKind {
    RuntimeDefault,
    Unconfined,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeLinux {
    pub r#type: String,
}

/// Of a node: `cpu` and `memory` by name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    pub requests: Amounts,
    pub limits: Amounts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Amounts {
    pub cpu: Option<String>,
    pub memory: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    #[serde(default)]
    pub read_only: bool,
}

/// Exactly one of the kinds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    pub name: String,
    pub config_map: Option<ConfigMapVolume>,
    pub empty_dir: Option<EmptyDir>,
    pub host_path: Option<HostPath>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapVolume {
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmptyDir {
    pub medium: Medium,
    pub size_limit: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Medium {
    Memory,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPath {
    pub path: String,
    pub r#type: HostPathKind,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum HostPathKind {
    Directory,
    DirectoryOrCreate,
}

impl Manifest {
    /// Reads a file. Python's YAML parser comes with the program that validates the manifest.
    pub fn read(file: &Path) -> Result<Self> {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
        let python = if venv.is_file() { venv } else { "python3".into() };
        let program = "import json, sys, yaml; \
                       print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
        let json =
            rig::output(Command::new(python).args(["-c", program]).arg(file).stdin(Stdio::null()))
                .context("run `cargo xtask package --check` once: it installs what reads YAML")?;
        Self::of(serde_json::from_str(&json)?)
    }

    /// Takes documents apart. They must be of one piece: one namespace, one account, one DaemonSet.
    pub fn of(documents: Vec<Map<String, Value>>) -> Result<Self> {
        let (mut namespaces, mut accounts) = (Vec::new(), Vec::new());
        let (mut config_maps, mut daemon_sets) = (Vec::new(), Vec::new());
        for mut document in documents {
            let text = |value: Option<Value>| value.and_then(|it| it.as_str().map(str::to_owned));
            let version = text(document.remove("apiVersion")).context("no apiVersion")?;
            let kind = text(document.remove("kind")).context("no kind")?;
            match (version.as_str(), kind.as_str()) {
                ("v1", "Namespace") => namespaces.push(typed::<Namespace>(&kind, document)?),
                ("v1", "ServiceAccount") => {
                    accounts.push(typed::<ServiceAccount>(&kind, document)?);
                }
                ("v1", "ConfigMap") => config_maps.push(typed::<ConfigMap>(&kind, document)?),
                ("apps/v1", "DaemonSet") => daemon_sets.push(typed::<DaemonSet>(&kind, document)?),
                (version, kind) => bail!("{kind} of {version} is not known here"),
            }
        }
        ensure!(daemon_sets.len() == 1, "{} DaemonSets", daemon_sets.len());
        let daemon_set = daemon_sets.remove(0);
        let spec = &daemon_set.spec;
        let namespace = &daemon_set.metadata.namespace;
        ensure!(
            namespaces.iter().any(|one| one.metadata.name == *namespace),
            "the namespace {namespace} is not in the manifest"
        );
        let account = accounts.iter().find(|account| {
            let Metadata { name, namespace: of, .. } = &account.metadata;
            *name == spec.template.spec.service_account_name && of == namespace
        });
        let account = account.context("the service account is not in the manifest")?;
        ensure!(
            !account.automount_service_account_token
                && !spec.template.spec.automount_service_account_token,
            "a token would be mounted; this kubelet has none"
        );
        let labels = &spec.template.metadata.labels;
        let selected = spec.selector.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v));
        ensure!(selected, "the selector does not match the labels of the pods");
        let UpdateStrategy { r#type, rolling_update: RollingUpdate { max_unavailable } } =
            &spec.update_strategy;
        ensure!(r#type == "RollingUpdate" && max_unavailable.ends_with('%'), "an update strategy");
        let own = config_maps.into_iter().filter(|map| map.metadata.namespace == *namespace);
        let config_maps = own.map(|map| (map.metadata.name, map.data)).collect();
        Ok(Self { daemon_set, config_maps })
    }
}

fn typed<T: DeserializeOwned>(kind: &str, document: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(document))
        .with_context(|| format!("{kind}: this test's kubelet must be taught what that means"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_an_error() {
        let of = |spec: &str| {
            let text = format!(
                r#"[{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{}}{spec}}}]"#
            );
            format!("{:#}", Manifest::of(serde_json::from_str(&text).unwrap()).unwrap_err())
        };
        assert!(of("").contains("0 DaemonSets"), "{}", of(""));
        let immutable = of(r#","immutable":true"#);
        assert!(immutable.contains("unknown field `immutable`"), "{immutable}");
    }
}
