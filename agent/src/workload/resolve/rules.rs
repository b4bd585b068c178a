//! The precedence table: one line per attribute and place to find it, first come first kept.

use super::{Draft, Known};
use crate::workload::{AttributeValue, names, text};

/// One place where one attribute may be found.
struct Rule {
    attribute: &'static str,
    /// Shown by `ps --explain`.
    source: &'static str,
    need: Need,
    find: fn(&Known<'_>) -> Option<AttributeValue>,
}

/// Whether a rule applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    /// Only when the user lets vendor and Kubernetes labels and variables name services.
    Labels,
}

pub(super) fn give(known: &Known<'_>, draft: &mut Draft) {
    for rule in RULES {
        let applies = rule.need == Need::Always || known.settings.labels;
        if applies && let Some(value) = (rule.find)(known) {
            draft.give(rule.attribute, value, rule.source);
        }
    }
}

/// `variable(attribute, need, key, form)`, `label(…)`: the common kinds of lines, where `form` makes
/// the value exportable or refuses it.
macro_rules! rules {
    ($($kind:ident($attribute:literal, $need:ident, $key:literal, $form:expr);)*) => {
        &[$(rules!(@$kind $attribute, $need, $key, $form)),*]
    };
    (@variable $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("environment ", $key), need: Need::$need,
               find: |known| known.variable($key).and_then($form) }
    };
    (@otel $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("environment OTEL_RESOURCE_ATTRIBUTES ", $key),
               need: Need::$need, find: |known| known.otel($key).and_then($form) }
    };
    (@dd_tag $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("environment DD_TAGS ", $key), need: Need::$need,
               find: |known| known.dd_tag($key).and_then($form) }
    };
    (@label $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("label ", $key), need: Need::$need,
               find: |known| known.label($key).and_then($form) }
    };
    (@own_label $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("label ", $key), need: Need::$need,
               find: |known| known.own_label($key).and_then($form) }
    };
    (@given_label $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("label ", $key), need: Need::$need,
               find: |known| known.given_label($key).and_then($form) }
    };
    (@version_label $attribute:literal, $need:ident, $key:literal, $form:expr) => {
        Rule { attribute: $attribute, source: concat!("label ", $key), need: Need::$need,
               find: |known| known.version_label($key).and_then($form) }
    };
    (@derived $attribute:literal, $need:ident, $source:literal, $form:expr) => {
        Rule { attribute: $attribute, source: $source, need: Need::$need, find: $form }
    };
}

#[rustfmt::skip]
static RULES: &[Rule] = rules! {
    variable("service.name", Labels, "DD_SERVICE", name);
    dd_tag("service.name", Labels, "service", name);
    variable("service.name", Labels, "ELASTIC_APM_SERVICE_NAME", name);
    variable("service.name", Labels, "NEW_RELIC_APP_NAME", first_name);
    label("service.name", Labels, "tags.datadoghq.com/service", name);
    label("service.name", Labels, "com.datadoghq.tags.service", name);
    label("service.name", Labels, "app.kubernetes.io/instance", name);
    label("service.name", Labels, "app.kubernetes.io/name", name);
    variable("service.name", Always, "HEROKU_APP_NAME", name);
    variable("service.name", Always, "K_SERVICE", name);
    variable("service.name", Always, "FLY_APP_NAME", name);
    derived("service.name", Always, "kubernetes workload", |known| WORKLOADS.iter().find_map(|key| known.told(key)).and_then(name));
    label("service.name", Always, "io.kubernetes.container.name", not_pause);
    label("service.name", Always, "com.amazonaws.ecs.task-definition-family", name);
    label("service.name", Always, "com.hashicorp.nomad.job_name", name);
    variable("service.name", Always, "NOMAD_JOB_NAME", name);
    derived("service.name", Always, "label com.docker.swarm.service.name", swarm_service);
    derived("service.name", Always, "label com.docker.compose.service", compose_service);
    derived("service.name", Always, "label service (kamal)", |known| kamal(known).and_then(|kamal| name(kamal.service)));
    label("service.name", Always, "PODMAN_SYSTEMD_UNIT", unit_name);
    derived("service.name", Always, "systemd", systemd_service);
    own_label("service.name", Always, "org.opencontainers.image.title", name);
    own_label("service.name", Always, "org.label-schema.name", name);

    variable("service.namespace", Labels, "DT_RELEASE_PRODUCT", name);
    label("service.namespace", Always, "io.kubernetes.pod.namespace", name);
    label("service.namespace", Always, "com.docker.stack.namespace", name);
    label("service.namespace", Always, "com.docker.compose.project", name);
    label("service.namespace", Always, "com.hashicorp.nomad.namespace", name);
    variable("service.namespace", Always, "NOMAD_NAMESPACE", name);

    variable("service.version", Labels, "DD_VERSION", name);
    dd_tag("service.version", Labels, "version", name);
    variable("service.version", Labels, "ELASTIC_APM_SERVICE_VERSION", name);
    variable("service.version", Labels, "NEW_RELIC_METADATA_SERVICE_VERSION", name);
    variable("service.version", Labels, "DT_RELEASE_VERSION", name);
    variable("service.version", Labels, "SENTRY_RELEASE", release);
    label("service.version", Labels, "tags.datadoghq.com/version", name);
    label("service.version", Labels, "com.datadoghq.tags.version", name);
    label("service.version", Labels, "app.kubernetes.io/version", name);
    variable("service.version", Always, "HEROKU_RELEASE_VERSION", name);
    variable("service.version", Always, "K_REVISION", name);
    variable("service.version", Always, "KAMAL_VERSION", name);
    derived("service.version", Always, "container name (kamal)", |known| kamal(known).and_then(|kamal| name(kamal.version)));
    version_label("service.version", Always, "org.opencontainers.image.version", name);
    version_label("service.version", Always, "org.label-schema.version", name);
    variable("service.version", Always, "APP_VERSION", name);

    otel("deployment.environment.name", Always, "deployment.environment", name);
    variable("deployment.environment.name", Labels, "DD_ENV", name);
    dd_tag("deployment.environment.name", Labels, "env", name);
    variable("deployment.environment.name", Labels, "ELASTIC_APM_ENVIRONMENT", name);
    variable("deployment.environment.name", Labels, "SENTRY_ENVIRONMENT", name);
    variable("deployment.environment.name", Labels, "DT_RELEASE_STAGE", name);
    label("deployment.environment.name", Labels, "tags.datadoghq.com/env", name);
    label("deployment.environment.name", Labels, "com.datadoghq.tags.env", name);
    label("deployment.environment.name", Labels, "app.gitlab.com/env", name);
    derived("deployment.environment.name", Always, "label destination (kamal)", |known| kamal(known).and_then(|kamal| name(kamal.destination)));

    variable("vcs.ref.head.revision", Labels, "DD_GIT_COMMIT_SHA", commit);
    dd_tag("vcs.ref.head.revision", Labels, "git.commit.sha", commit);
    variable("vcs.ref.head.revision", Labels, "NEW_RELIC_METADATA_COMMIT", commit);
    variable("vcs.ref.head.revision", Always, "HEROKU_SLUG_COMMIT", commit);
    own_label("vcs.ref.head.revision", Always, "org.opencontainers.image.revision", commit);
    own_label("vcs.ref.head.revision", Always, "org.label-schema.vcs-ref", commit);
    own_label("vcs.ref.head.revision", Always, "io.openshift.build.commit.id", commit);
    own_label("vcs.ref.head.revision", Always, "com.azure.dev.image.build.sourceversion", commit);
    variable("vcs.ref.head.revision", Always, "RENDER_GIT_COMMIT", commit);
    variable("vcs.ref.head.revision", Always, "RAILWAY_GIT_COMMIT_SHA", commit);
    variable("vcs.ref.head.revision", Always, "VERCEL_GIT_COMMIT_SHA", commit);
    variable("vcs.ref.head.revision", Always, "GIT_COMMIT", commit);
    variable("vcs.ref.head.revision", Always, "GIT_SHA", commit);
    variable("vcs.ref.head.revision", Always, "COMMIT_SHA", commit);
    variable("vcs.ref.head.revision", Always, "SOURCE_COMMIT", commit);
    variable("vcs.ref.head.revision", Always, "SOURCE_VERSION", commit);
    variable("vcs.ref.head.revision", Always, "CI_COMMIT_SHA", commit);
    variable("vcs.ref.head.revision", Always, "GITHUB_SHA", commit);
    own_label("vcs.ref.head.name", Always, "org.opencontainers.image.revision", branch);
    own_label("vcs.ref.head.name", Always, "io.openshift.build.commit.ref", name);
    own_label("vcs.ref.head.name", Always, "com.azure.dev.image.build.sourcebranchname", name);

    variable("vcs.repository.url.full", Labels, "DD_GIT_REPOSITORY_URL", repository);
    dd_tag("vcs.repository.url.full", Labels, "git.repository_url", repository);
    own_label("vcs.repository.url.full", Always, "org.opencontainers.image.source", repository);
    own_label("vcs.repository.url.full", Always, "org.label-schema.vcs-url", repository);

    own_label("vcs.repository.url.full", Always, "io.openshift.build.source-location", repository);
    own_label("vcs.repository.url.full", Always, "com.azure.dev.image.build.repository.uri", repository);

    own_label("shipwake.deploy.author", Always, "io.openshift.build.commit.author", plain);
    own_label("shipwake.deploy.author", Always, "org.opencontainers.image.authors", plain);
    given_label("shipwake.deploy.author", Always, "maintainer", plain);
    own_label("shipwake.deploy.build_time", Always, "org.opencontainers.image.created", time);
    own_label("shipwake.deploy.build_time", Always, "org.label-schema.build-date", time);
    derived("shipwake.deploy.build_time", Always, "image", |known| known.told(names::IMAGE_CREATED).and_then(time));

    own_label("cicd.pipeline.name", Always, "com.azure.dev.image.build.definitionname", name);
    own_label("cicd.pipeline.run.id", Always, "com.azure.dev.image.build.buildnumber", name);
    own_label("cicd.pipeline.run.url.full", Always, "com.azure.dev.image.build.builduri", address);
    own_label("cicd.pipeline.run.id", Always, "io.openshift.build.name", name);
    variable("cicd.pipeline.run.id", Always, "CI_PIPELINE_ID", name);
    variable("cicd.pipeline.run.url.full", Always, "CI_PIPELINE_URL", address);

    label("k8s.pod.name", Always, "io.kubernetes.pod.name", name);
    label("k8s.namespace.name", Always, "io.kubernetes.pod.namespace", name);
    label("k8s.pod.uid", Always, "io.kubernetes.pod.uid", name);
    label("k8s.container.name", Always, "io.kubernetes.container.name", not_pause);
    label("aws.ecs.cluster.arn", Always, "com.amazonaws.ecs.cluster", arn);
    label("aws.ecs.task.arn", Always, "com.amazonaws.ecs.task-arn", arn);
    label("aws.ecs.task.id", Always, "com.amazonaws.ecs.task-arn", task_id);
    label("aws.ecs.task.family", Always, "com.amazonaws.ecs.task-definition-family", name);
    label("aws.ecs.task.revision", Always, "com.amazonaws.ecs.task-definition-version", name);
};

/// Kinds of workloads that make pods, in the order in which they name a service.
const WORKLOADS: [&str; 6] = [
    "k8s.deployment.name",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

fn plain(value: &str) -> Option<AttributeValue> {
    text::clean(value).map(AttributeValue::from)
}

fn name(value: &str) -> Option<AttributeValue> {
    text::name(value).map(AttributeValue::from)
}

/// The first of names separated by semicolons.
fn first_name(value: &str) -> Option<AttributeValue> {
    value.split(';').next().and_then(name)
}

/// `POD` is the container that holds a pod's namespaces.
fn not_pause(value: &str) -> Option<AttributeValue> {
    name(value).filter(|_| value != "POD")
}

/// `<project>@<version>`, or a version alone.
fn release(value: &str) -> Option<AttributeValue> {
    name(value.rsplit_once('@').map_or(value, |(_, version)| version))
}

fn commit(value: &str) -> Option<AttributeValue> {
    text::revision(value).map(|revision| revision.commit.into())
}

fn branch(value: &str) -> Option<AttributeValue> {
    text::revision(value).and_then(|revision| revision.branch).map(AttributeValue::from)
}

fn repository(value: &str) -> Option<AttributeValue> {
    text::repository(value).map(AttributeValue::from)
}

fn address(value: &str) -> Option<AttributeValue> {
    text::address(value).map(AttributeValue::from)
}

/// A time that can be the one of a build, as it was written.
fn time(value: &str) -> Option<AttributeValue> {
    text::build_time(value).and_then(|_| plain(value))
}

fn arn(value: &str) -> Option<AttributeValue> {
    plain(value).filter(|_| value.starts_with("arn:"))
}

fn task_id(value: &str) -> Option<AttributeValue> {
    value.starts_with("arn:").then(|| value.rsplit('/').next()).flatten().and_then(name)
}

/// The name of a unit without its kind. Names that systemd makes up for transient units are none.
fn unit_name(value: &str) -> Option<AttributeValue> {
    let stem = value.strip_suffix(".service").unwrap_or(value);
    let made_up = stem.strip_prefix("run-").is_some_and(|rest| {
        let rest = rest.trim_start_matches(['r', 'u', 'p']);
        rest.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'i'))
    });
    name(stem).filter(|_| !made_up)
}

fn systemd_service(known: &Known<'_>) -> Option<AttributeValue> {
    let said = known.unit.iter().find_map(|(_, facts)| facts.text("shipwake.systemd.unit"));
    unit_name(said?)
}

/// The service without the name of its stack in front.
fn swarm_service(known: &Known<'_>) -> Option<AttributeValue> {
    let service = known.label("com.docker.swarm.service.name")?;
    let short = known
        .label("com.docker.stack.namespace")
        .and_then(|stack| service.strip_prefix(stack)?.strip_prefix('_'))
        .filter(|short| !short.is_empty());
    name(short.unwrap_or(service))
}

/// A container of `compose run` has the labels of the service and is not the service.
fn compose_service(known: &Known<'_>) -> Option<AttributeValue> {
    let oneoff = known.label("com.docker.compose.oneoff");
    if oneoff.is_some_and(|oneoff| oneoff.eq_ignore_ascii_case("true")) {
        return None;
    }
    known.label("com.docker.compose.service").and_then(name)
}

/// What Kamal says in labels too general to be believed alone: the container must be named
/// `<service>-<role>[-<destination>]-<version>`.
struct Kamal<'a> {
    service: &'a str,
    destination: &'a str,
    version: &'a str,
}

fn kamal<'a>(known: &Known<'a>) -> Option<Kamal<'a>> {
    let (service, role) = (known.label("service")?, known.label("role")?);
    let destination = known.label("destination").unwrap_or_default();
    let container = known.told("container.name")?;
    let rest = container.strip_prefix(service)?.strip_prefix('-')?.strip_prefix(role)?;
    let rest = rest.strip_prefix('-')?;
    let version = match destination {
        "" => rest,
        destination => rest.strip_prefix(destination)?.strip_prefix('-')?,
    };
    (!version.is_empty()).then_some(Kamal { service, destination, version })
}

/// The name of the service as the environment of a process gives it.
pub(super) fn variables(known: &Known<'_>, draft: &mut Draft) {
    for rule in RULES {
        let named = rule.attribute == "service.name" && rule.source.starts_with("environment ");
        let applies = rule.need == Need::Always || known.settings.labels;
        if named
            && applies
            && let Some(value) = (rule.find)(known)
        {
            draft.give(rule.attribute, value, rule.source);
        }
    }
}
