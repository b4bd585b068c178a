//! Names that sources and the resolver agree on: kinds of raw facts, and the labels and variables
//! that are worth carrying. What is not listed here is never read, stored or sent.

/// Prefix of a label of a container, whoever set it.
pub const LABEL: &str = "~label.";
/// Prefix of a label as the image of the container has it.
pub const IMAGE_LABEL: &str = "~image.label.";
/// Prefix of a label as the image that the container's image was built from has it.
pub const BASE_LABEL: &str = "~base.label.";
/// Present when the base image is known: then a label that it lacks is the image's own.
pub const BASE_KNOWN: &str = "~base";
/// Prefix of an environment variable from [`VARIABLES`].
pub const VARIABLE: &str = "~env.";
/// Prefix of an entry of `OTEL_RESOURCE_ATTRIBUTES`.
pub const OTEL: &str = "~otel.";
/// When the image was made, RFC 3339.
pub const IMAGE_CREATED: &str = "~image.created";
/// How the image was named when the container was created, tag included.
pub const IMAGE_REFERENCE: &str = "~image.reference";

/// Prefix of an attribute that a process publishes about itself.
pub const CONTEXT: &str = "~context.";
/// Prefix of an attribute that a description in a file gives to a process.
pub const FILE: &str = "~file.";
/// Prefix of the path of the description that gives an attribute.
pub const FILE_PATH: &str = "~path.";
/// What makes a process another service than others of the same executable, outside of containers
/// and units: its script, its archive, its description. Any source of facts about processes may say
/// it.
pub const APART: &str = "~apart";
/// Prefix of what is known and not exported: `~fact.shipwake.systemd.invocation_id`.
pub const FACT: &str = "~fact.";

/// Path of the executable of a process.
pub const EXECUTABLE: &str = "~executable";
/// Present when the environment of a process could be read: then what is not said is not there.
pub const ENVIRONMENT_READ: &str = "~environ.read";

/// Prefix of an attribute of the service as the program itself gives it: what compilers and build tools
/// wrote into it or beside it. Under [`BUILT_BY`] and the same attribute is where it was found.
pub const BUILT: &str = "~built.";
pub const BUILT_BY: &str = "~built-by.";
/// As [`BUILT`], given by the package of a distribution that the program came with.
pub const PACKAGED: &str = "~packaged.";
pub const PACKAGED_BY: &str = "~packaged-by.";

/// Labels by this prefix name a resource attribute: `resource.opentelemetry.io/<attribute>`.
pub const OTEL_LABEL: &str = "resource.opentelemetry.io/";

/// Labels that some rule reads.
pub const LABELS: &[&str] = &[
    "app.gitlab.com/env",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/name",
    "app.kubernetes.io/version",
    "com.amazonaws.ecs.cluster",
    "com.amazonaws.ecs.container-name",
    "com.amazonaws.ecs.task-arn",
    "com.amazonaws.ecs.task-definition-family",
    "com.amazonaws.ecs.task-definition-version",
    "com.azure.dev.image.build.buildnumber",
    "com.azure.dev.image.build.builduri",
    "com.azure.dev.image.build.definitionname",
    "com.azure.dev.image.build.repository.uri",
    "com.azure.dev.image.build.sourcebranchname",
    "com.azure.dev.image.build.sourceversion",
    "com.datadoghq.tags.env",
    "com.datadoghq.tags.service",
    "com.datadoghq.tags.version",
    "com.docker.compose.config-hash",
    "com.docker.compose.image",
    "com.docker.compose.oneoff",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.stack.namespace",
    "com.docker.swarm.service.name",
    "com.hashicorp.nomad.alloc_id",
    "com.hashicorp.nomad.job_name",
    "com.hashicorp.nomad.namespace",
    "com.hashicorp.nomad.task_name",
    "destination",
    "io.kubernetes.container.name",
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.uid",
    "io.openshift.build.commit.author",
    "io.openshift.build.commit.id",
    "io.openshift.build.commit.ref",
    "io.openshift.build.name",
    "io.openshift.build.source-location",
    "maintainer",
    "org.label-schema.build-date",
    "org.label-schema.name",
    "org.label-schema.vcs-ref",
    "org.label-schema.vcs-url",
    "org.label-schema.version",
    "org.opencontainers.image.authors",
    "org.opencontainers.image.base.name",
    "org.opencontainers.image.created",
    "org.opencontainers.image.ref.name",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.source",
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
    "PODMAN_SYSTEMD_UNIT",
    "role",
    "service",
    "tags.datadoghq.com/env",
    "tags.datadoghq.com/service",
    "tags.datadoghq.com/version",
];

/// Environment variables that some rule reads. `VERSION` is not among them: base images set it to
/// the version of whatever they package.
pub const VARIABLES: &[&str] = &[
    "APP_VERSION",
    "CI_COMMIT_SHA",
    "CI_PIPELINE_ID",
    "CI_PIPELINE_URL",
    "COMMIT_SHA",
    "DD_ENV",
    "DD_GIT_COMMIT_SHA",
    "DD_GIT_REPOSITORY_URL",
    "DD_SERVICE",
    "DD_TAGS",
    "DD_VERSION",
    "DT_RELEASE_PRODUCT",
    "DT_RELEASE_STAGE",
    "DT_RELEASE_VERSION",
    "ELASTIC_APM_ENVIRONMENT",
    "ELASTIC_APM_SERVICE_NAME",
    "ELASTIC_APM_SERVICE_VERSION",
    "FLY_APP_NAME",
    "GITHUB_SHA",
    "GIT_COMMIT",
    "GIT_SHA",
    "HEROKU_APP_NAME",
    "HEROKU_DYNO_ID",
    "HEROKU_RELEASE_VERSION",
    "HEROKU_SLUG_COMMIT",
    "INVOCATION_ID",
    "KAMAL_VERSION",
    "K_REVISION",
    "K_SERVICE",
    "NEW_RELIC_APP_NAME",
    "NEW_RELIC_METADATA_COMMIT",
    "NEW_RELIC_METADATA_SERVICE_VERSION",
    "NOMAD_JOB_NAME",
    "NOMAD_NAMESPACE",
    "OTEL_SERVICE_NAME",
    "RAILWAY_GIT_COMMIT_SHA",
    "RENDER_GIT_COMMIT",
    "SENTRY_ENVIRONMENT",
    "SENTRY_RELEASE",
    "SOURCE_COMMIT",
    "SOURCE_VERSION",
    "VERCEL_GIT_COMMIT_SHA",
];

/// Whether a label is worth carrying. `allowed` is [`super::Settings::wanted_labels`].
pub fn is_wanted_label(key: &str, allowed: &[String]) -> bool {
    LABELS.contains(&key)
        || key.strip_prefix(OTEL_LABEL).is_some_and(|attribute| !attribute.is_empty())
        || allowed.iter().any(|one| one == key)
}
