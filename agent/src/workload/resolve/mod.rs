//! From everything that is known about a service instance to its resource: per attribute, the
//! first giver in a fixed order wins, and the resource remembers which one it was.

mod guard;
mod known;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

pub use known::{Facts, Known, Place};
pub(super) use rules::identity;

use super::{AttributeValue, Resource, Settings, names, text};

/// Namespace of `service.instance.id`, given by the OpenTelemetry conventions.
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63009a_8d0f_11ee_aad7_4c796ed8e320);

/// Most attributes that one variable or a set of labels may add.
const MOST_OTEL_ATTRIBUTES: usize = 64;

/// Who gives attributes, highest precedence first.
static GIVERS: &[fn(&Known<'_>, &mut Draft)] = &[
    otel_variables,
    otel_labels,
    rules::give,
    told_of_place,
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
    draft.finish()
}

/// The resource of the host itself.
pub fn resolve_host(host: &Facts) -> Resource {
    let mut draft = Draft::default();
    host_attributes(host, &mut draft);
    producer_attributes(&mut draft);
    draft.finish()
}

/// The resource of the agent.
pub fn resolve_agent(host: &Facts, settings: &Settings) -> Resource {
    let mut draft = Draft::default();
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
pub(super) struct Draft(BTreeMap<Arc<str>, (AttributeValue, &'static str)>);

impl Draft {
    fn give(&mut self, key: &str, value: impl Into<AttributeValue>, source: &'static str) {
        if !self.0.contains_key(key) {
            self.0.insert(key.into(), (value.into(), source));
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
        Resource { attributes }
    }
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`: the user's own words about the service.
fn otel_variables(known: &Known<'_>, draft: &mut Draft) {
    if let Some(name) = known.variable("OTEL_SERVICE_NAME").and_then(text::name) {
        draft.give("service.name", name, "environment OTEL_SERVICE_NAME");
    }
    for (key, value) in known.otel_attributes().take(MOST_OTEL_ATTRIBUTES) {
        if describes_service(key)
            && let Some(value) = text::clean(value)
        {
            draft.give(key, value, "environment OTEL_RESOURCE_ATTRIBUTES");
        }
    }
}

/// Attributes of one process, and of the producer of the telemetry, are not the service's.
fn describes_service(key: &str) -> bool {
    let foreign = ["process.", "telemetry.", "thread.", "shipwake."];
    key.len() <= text::LONGEST_NAME
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && !foreign.iter().any(|prefix| key.starts_with(prefix))
        && !matches!(key, "deployment.environment" | "")
}

/// Labels that name an attribute themselves.
fn otel_labels(known: &Known<'_>, draft: &mut Draft) {
    let prefix = format!("{}{}", names::LABEL, names::OTEL_LABEL);
    for (key, value) in known.container_texts(&prefix).take(MOST_OTEL_ATTRIBUTES) {
        if describes_service(key)
            && let Some(value) = text::clean(value)
        {
            draft.give(key, value, "label resource.opentelemetry.io");
        }
    }
}

/// What a source says about the container in the words of the conventions.
fn told_of_container(known: &Known<'_>, draft: &mut Draft) {
    for (source, facts) in known.container {
        for (key, value) in facts.plain() {
            draft.give(key, value.clone(), source);
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
            draft.give(key, value.clone(), source);
        }
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
    if let (Some(host), Some(place)) = (host_identity(known.host), known.place.identity()) {
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
