//! From everything that is known about a service instance to its resource: per attribute, the
//! first giver in a fixed order wins, and the resource remembers which one it was.

mod built;
mod form;
mod guard;
mod identity;
mod known;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

pub use form::{describes_service, form};
pub use identity::{Identity, identity};
pub use known::{Facts, Known, Place};

use super::{AttributeValue, Origin, Resource, Settings, names, rules as user, text};

/// Namespace of `service.instance.id`, given by the OpenTelemetry conventions.
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63009a_8d0f_11ee_aad7_4c796ed8e320);

/// Most attributes that one variable or a set of labels may add.
const MOST_OTEL_ATTRIBUTES: usize = 64;

/// Who gives attributes, highest precedence first.
static GIVERS: &[fn(&Known<'_>, &mut Draft)] = &[
    user::give,
    context,
    otel_variables,
    otel_labels,
    files,
    rules::give,
    built::built,
    built::packaged,
    told_of_place,
    told_of_process,
    told_of_container,
    told_of_host,
    allowed_labels,
    configured_environment,
    last_name,
    instance,
    producer,
];

/// The resource of a service instance.
pub fn resolve(known: &Known<'_>) -> Resource {
    let mut draft = Draft::default();
    for give in GIVERS {
        give(known, &mut draft);
    }
    Resource { facts: facts(known), ..draft.finish() }
}

/// The resource of the host itself.
pub fn resolve_host(host: &Facts) -> Resource {
    let mut draft = Draft::default();
    host_attributes(host, &mut draft);
    producer_attributes(&mut draft);
    draft.finish()
}

/// The resource of the agent. The user's own words about it win.
pub fn resolve_agent(host: &Facts, settings: &Settings) -> Resource {
    let mut draft = Draft::default();
    if let Some(name) = text::name(&settings.own_name) {
        draft.give("service.name", name, "configuration");
    }
    for (key, value) in settings.own_attributes.iter().take(MOST_OTEL_ATTRIBUTES) {
        if describes_service(key)
            && let Some(value) = text::clean(value)
        {
            draft.give(key, value, "configuration");
        }
    }
    draft.give("service.name", "shipwake", "agent");
    draft.give("service.version", env!("CARGO_PKG_VERSION"), "agent");
    if let Some(host) = host_identity(host) {
        draft.give("service.instance.id", uuid(&format!("{host}/shipwake")), "agent");
    }
    if let Some(environment) = text::name(&settings.environment) {
        draft.give("deployment.environment.name", environment, "configuration");
    }
    host_attributes(host, &mut draft);
    producer_attributes(&mut draft);
    draft.finish()
}

/// A resource in the making: what was given first stays.
#[derive(Default)]
pub(in crate::workload) struct Draft(BTreeMap<Arc<str>, (AttributeValue, Origin)>);

impl Draft {
    pub(in crate::workload) fn give(
        &mut self,
        key: &str,
        value: impl Into<AttributeValue>,
        source: impl Into<Origin>,
    ) {
        if !self.0.contains_key(key) {
            self.0.insert(key.into(), (value.into(), source.into()));
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some((AttributeValue::Str(text), _)) => Some(text),
            _ => None,
        }
    }

    fn finish(self) -> Resource {
        let attributes =
            self.0.into_iter().map(|(key, (value, source))| (key, value, source)).collect();
        Resource { attributes, facts: Vec::new() }
    }
}

/// What a process publishes about itself: the resource of the SDK in it.
fn context(known: &Known<'_>, draft: &mut Draft) {
    let Some(context) = known.context else { return };
    for (key, value) in context.values(names::CONTEXT) {
        let value = match value {
            AttributeValue::Str(value) => form(key, value),
            other => Some(other.clone()),
        };
        if describes_service(key)
            && !is_seen_from_inside(key)
            && let Some(value) = value
        {
            draft.give(key, value, "process context OTEL_CTX");
        }
    }
}

/// What an SDK says about host and container is what it sees from inside of the container.
fn is_seen_from_inside(key: &str) -> bool {
    ["host.", "os.", "container."].iter().any(|prefix| key.starts_with(prefix))
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`: the user's own words about the service.
fn otel_variables(known: &Known<'_>, draft: &mut Draft) {
    if let Some(name) =
        known.variable("OTEL_SERVICE_NAME").and_then(|name| form("service.name", name))
    {
        draft.give("service.name", name, "environment OTEL_SERVICE_NAME");
    }
    for (key, value) in known.otel_attributes().take(MOST_OTEL_ATTRIBUTES) {
        if describes_service(key)
            && let Some(value) = form(key, value)
        {
            draft.give(key, value, "environment OTEL_RESOURCE_ATTRIBUTES");
        }
    }
}

/// Labels that name an attribute themselves.
fn otel_labels(known: &Known<'_>, draft: &mut Draft) {
    let prefix = format!("{}{}", names::LABEL, names::OTEL_LABEL);
    for (key, value) in known.container_texts(&prefix).take(MOST_OTEL_ATTRIBUTES) {
        if describes_service(key)
            && let Some(value) = form(key, value)
        {
            draft.give(key, value, "label resource.opentelemetry.io");
        }
    }
}

/// Descriptions in files: `deploys.d`, or next to the program.
fn files(known: &Known<'_>, draft: &mut Draft) {
    for (_, facts) in known.process {
        for (key, value) in facts.texts(names::FILE) {
            let path = facts.text(&format!("{}{key}", names::FILE_PATH)).unwrap_or_default();
            if describes_service(key)
                && let Some(value) = form(key, value)
            {
                draft.give(key, value, format!("file {path}"));
            }
        }
    }
}

/// What a source says about the main process in the words of the conventions.
fn told_of_process(known: &Known<'_>, draft: &mut Draft) {
    for (source, facts) in known.process {
        for (key, value) in facts.plain() {
            draft.give(key, value.clone(), *source);
        }
    }
}

/// What is known and would make a new series of every start.
fn facts(known: &Known<'_>) -> Vec<(Arc<str>, AttributeValue, Origin)> {
    let process = known.process.iter().map(|(source, facts)| (*source, &**facts));
    let unit = known.unit.iter().map(|(source, facts)| (*source, facts));
    let container = known.container.iter().map(|(source, facts)| (*source, facts));
    let mut draft = Draft::default();
    for (source, facts) in unit.chain(process).chain(container) {
        for (key, value) in facts.values(names::FACT) {
            draft.give(key, value.clone(), source);
        }
    }
    if matches!(known.place, Place::Unit(_))
        && let Some(id) = known.variable("INVOCATION_ID").filter(|id| is_invocation_id(id))
    {
        draft.give("shipwake.systemd.invocation_id", id, "environment INVOCATION_ID");
    }
    draft.finish().attributes
}

/// 128 bits in hexadecimal.
pub(super) fn is_invocation_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a source says about the container in the words of the conventions.
fn told_of_container(known: &Known<'_>, draft: &mut Draft) {
    for (source, facts) in known.container {
        for (key, value) in facts.plain() {
            draft.give(key, value.clone(), *source);
        }
    }
}

/// What the cgroup tells without anybody's help.
fn told_of_place(known: &Known<'_>, draft: &mut Draft) {
    if let Some(container) = &known.placement.container {
        let has_id = container.runtime.is_none_or(super::cgroup::Runtime::has_ids);
        let key = if has_id { "container.id" } else { "container.name" };
        draft.give(key, container.id.0.clone(), "cgroup");
        if let Some(runtime) = container.runtime {
            draft.give("container.runtime.name", runtime.as_str(), "cgroup");
        }
    }
    if let Some(uid) = &known.placement.pod_uid {
        draft.give("k8s.pod.uid", uid.clone(), "cgroup");
    }
    for (source, facts) in known.unit {
        for (key, value) in facts.plain() {
            draft.give(key, value.clone(), *source);
        }
    }
    if let Some(slice) = &known.placement.slice
        && matches!(known.place, Place::Unit(_))
    {
        draft.give("shipwake.systemd.slice", slice.clone(), "cgroup");
    }
    if let Some(path) = known.executable
        && matches!(known.place, Place::Executable(_))
    {
        draft.give("process.executable.name", basename(path), "executable");
        draft.give("process.executable.path", path, "executable");
    }
}

fn told_of_host(known: &Known<'_>, draft: &mut Draft) {
    host_attributes(known.host, draft);
}

fn host_attributes(host: &Facts, draft: &mut Draft) {
    for (key, value) in host.plain() {
        draft.give(key, value.clone(), "host");
    }
}

/// `container.label.<key>` for the labels that the user named.
fn allowed_labels(known: &Known<'_>, draft: &mut Draft) {
    for key in &known.settings.container_labels {
        if let Some(value) = known.label(key) {
            draft.give(&format!("container.label.{key}"), value, "label");
        }
    }
}

fn configured_environment(known: &Known<'_>, draft: &mut Draft) {
    if let Some(environment) = text::name(&known.settings.environment) {
        draft.give("deployment.environment.name", environment, "configuration");
    }
}

/// The form by which backends recognise that nobody named the service.
fn last_name(known: &Known<'_>, draft: &mut Draft) {
    let name = known.executable.map(basename).and_then(text::name);
    let name = name.map_or("unknown_service".to_owned(), |name| format!("unknown_service:{name}"));
    draft.give("service.name", name, "executable");
}

/// One id per container, unit or executable and host: a restart in place continues the series.
fn instance(known: &Known<'_>, draft: &mut Draft) {
    let pod = ["k8s.namespace.name", "k8s.pod.name", "k8s.container.name"];
    if let [Some(namespace), Some(pod), Some(container)] = pod.map(|key| draft.text(key)) {
        let mut id = format!("{namespace}.{pod}.{container}");
        if let Place::Container { unit: Some(unit), .. } = known.place {
            id = format!("{id}.{}", unit.name);
        }
        draft.give("service.instance.id", id, "kubernetes labels");
        return;
    }
    if let (Some(host), Some(mut place)) = (host_identity(known.host), known.place.identity()) {
        // Programs that one interpreter runs.
        if matches!(known.place, Place::Executable(_)) {
            let apart = known.process.iter().flat_map(|(_, facts)| facts.texts(names::APART));
            apart.for_each(|(_, apart)| place = format!("{place}\n{apart}"));
        }
        draft.give("service.instance.id", uuid(&format!("{host}/{place}")), known.place.source());
    }
}

/// What tells hosts apart: the id, or the name where there is no id.
fn host_identity(host: &Facts) -> Option<&str> {
    host.text("host.id").or_else(|| host.text("host.name"))
}

fn uuid(name: &str) -> String {
    Uuid::new_v5(&INSTANCE_NAMESPACE, name.as_bytes()).to_string()
}

fn producer(_: &Known<'_>, draft: &mut Draft) {
    producer_attributes(draft);
}

/// The producer of the telemetry is the agent, in its own name: `opentelemetry` is reserved for the
/// SDKs of that project.
fn producer_attributes(draft: &mut Draft) {
    draft.give("telemetry.sdk.name", "shipwake", "agent");
    draft.give("telemetry.sdk.language", "rust", "agent");
    draft.give("telemetry.sdk.version", env!("CARGO_PKG_VERSION"), "agent");
    draft.give("telemetry.distro.name", "shipwake", "agent");
    draft.give("telemetry.distro.version", env!("CARGO_PKG_VERSION"), "agent");
}

/// The last component of a path. Programs without a file have a made-up name for each run: they are
/// all called `memfd`.
pub fn basename(path: &str) -> &str {
    if path.starts_with("/memfd:") {
        return "memfd";
    }
    path.rsplit('/').next().unwrap_or(path)
}
