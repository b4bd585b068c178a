//! The form that values of known attributes must have, whoever gives them.

use crate::workload::{AttributeValue, text};

/// The value as it may be exported; `None` when it cannot be a value of this attribute, and then it is
/// better not set than wrong.
pub fn form(key: &str, value: &str) -> Option<AttributeValue> {
    match key {
        "service.name" => text::name(value).filter(|name| !is_placeholder(name)).map(Into::into),
        "service.namespace"
        | "service.version"
        | "service.instance.id"
        | "deployment.environment.name" => text::name(value).map(Into::into),
        "vcs.ref.head.revision" => text::revision(value).map(|revision| revision.commit.into()),
        "vcs.repository.url.full" => text::repository(value).map(Into::into),
        "shipwake.deploy.build_time" => {
            text::build_time(value).and_then(|_| text::clean(value)).map(Into::into)
        }
        "cicd.pipeline.run.url.full" => text::address(value).map(Into::into),
        _ => text::clean(value).map(Into::into),
    }
}

/// What SDKs call a service that nobody named.
fn is_placeholder(name: &str) -> bool {
    name == "unknown_service" || name.starts_with("unknown_service:")
}

/// Whether an attribute of this name may be given to a service from outside. Attributes of one process,
/// and of the producer of the telemetry, are not the service's.
pub fn describes_service(key: &str) -> bool {
    let foreign = ["process.", "telemetry.", "thread.", "shipwake."];
    let own = ["shipwake.deploy.author", "shipwake.deploy.build_time"];
    !key.is_empty()
        && key.len() <= text::LONGEST_NAME
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && (own.contains(&key) || !foreign.iter().any(|prefix| key.starts_with(prefix)))
        && key != "deployment.environment"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, value: &str, expected: Option<&str>) {
        let found = form(key, value).map(|value| value.to_string());
        assert_eq!(found.as_deref(), expected, "{key}={value}");
    }

    #[test]
    fn each_attribute_has_its_form() {
        check("service.name", " shop ", Some("shop"));
        check("service.name", "unknown_service:java", None);
        check("service.name", "unknown_service_desk", Some("unknown_service_desk"));
        check("service.version", "unknown", None);
        check("vcs.ref.head.revision", "main@sha1:abc1234", Some("abc1234"));
        check("vcs.ref.head.revision", "latest", None);
        check("vcs.repository.url.full", "https://u:p@h/o/r.git", Some("https://h/o/r"));
        check("vcs.repository.url.full", "not a url", None);
        check("shipwake.deploy.build_time", "2024-01-31T10:20:30Z", Some("2024-01-31T10:20:30Z"));
        check("shipwake.deploy.build_time", "yesterday", None);
        check("cicd.pipeline.run.url.full", "https://u:p@ci/x?token=1", Some("https://ci/x"));
        check("team", "core", Some("core"));
        check("team", "a\nb", None);
    }

    #[test]
    fn attributes_of_others() {
        for (key, expected) in [
            ("service.name", true),
            ("team", true),
            ("shipwake.deploy.author", true),
            ("shipwake.systemd.unit", false),
            ("process.pid", false),
            ("telemetry.sdk.name", false),
            ("deployment.environment", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(describes_service(key), expected, "{key}");
        }
    }
}
