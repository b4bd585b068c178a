//! Tests of precedence. What is doubtful is in [`doubt`].

mod doubt;
mod labels;

use std::sync::Arc;

use super::{Facts, Known, Place, resolve, resolve_agent};
use crate::workload::{Attribute, AttributeValue, Resource, Settings, cgroup};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is known in a test: lines of `kind key=value`, where kind is `label`, `image` (a label of the
/// image, and so of the container), `base` (of the base too), `guess` (of what
/// may be the base), `env`, `otel`, `told` (by the source of the
/// container), `context`, `file`, `process` (by a source about the main process), `unit`.
#[derive(Default)]
struct Case {
    lines: &'static str,
    path: Option<String>,
    settings: Settings,
}

impl Case {
    fn resolve(&self) -> Resource {
        let mut container = vec![Attribute::text("~image.created", "2024-02-01T00:00:00Z")];
        let (mut environment, mut context, mut process) = (Vec::new(), Vec::new(), Vec::new());
        let mut of_unit = Vec::new();
        for line in self.lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (kind, rest) = line.split_once(' ').unwrap();
            let (key, value) = rest.split_once('=').unwrap();
            let value = value.replace("{SHA}", SHA).replace("{HUGE}", &"x".repeat(65_536));
            let value = value.replace("\\n", "\n").replace("\\0", "\0");
            let mut add = |prefix: &str| {
                container.push(Attribute::text(format!("{prefix}{key}"), value.as_str()))
            };
            match kind {
                "label" => add("~label."),
                "image" => ["~label.", "~image.label."].into_iter().for_each(&mut add),
                "base" => {
                    ["~label.", "~image.label.", "~base.label."].into_iter().for_each(&mut add);
                    container.push(Attribute::text("~base", "yes"));
                }
                "guess" => {
                    ["~label.", "~image.label.", "~base.label."].into_iter().for_each(&mut add);
                }
                "told" => add(""),
                "tag" => container.push(Attribute {
                    key: "container.image.tags".into(),
                    value: AttributeValue::Strs(vec![value.into()]),
                }),
                "env" => environment.push(Attribute::text(format!("~env.{key}"), value)),
                "otel" => environment.push(Attribute::text(format!("~otel.{key}"), value)),
                "context" => context.push(Attribute::text(format!("~context.{key}"), value)),
                "process" => process.push(Attribute::text(key, value)),
                "unit" => of_unit.push(Attribute::text(key, value)),
                "file" => {
                    process.push(Attribute::text(format!("~path.{key}"), "/etc/x.toml"));
                    process.push(Attribute::text(format!("~file.{key}"), value));
                }
                other => panic!("{other}"),
            }
        }
        let path = self.path.clone().unwrap_or_else(|| format!("/docker/{ID}"));
        let placement = cgroup::place(&path);
        let executable = "/usr/bin/app".into();
        let place = Place::new(&placement, Some(&executable));
        let unit = placement.unit.as_ref().map(|unit| {
            of_unit.push(Attribute::text("shipwake.systemd.unit", unit.name.clone()));
            ("systemd", Facts::new(of_unit))
        });
        resolve(&Known {
            settings: &self.settings,
            place: &place,
            placement: &placement,
            executable: Some("/usr/bin/app"),
            container: &[("docker", Facts::new(container))],
            unit: unit.as_slice(),
            process: &[("binary", Arc::new(Facts::new(process)))],
            environment: Some(&Facts::new(environment)),
            is_environment_its_own: true,
            context: Some(&Facts::new(context)).filter(|context| !context.is_empty()),
            host: &Facts::new(vec![
                Attribute::text("host.id", "0123456789abcdef0123456789abcdef"),
                Attribute::text("host.name", "alpha"),
            ]),
        })
    }
}

/// `expected` are lines of `key=value`, with nothing behind `=` for an attribute that must be absent.
#[track_caller]
fn check_case(case: &Case, expected: &str) {
    let resource = case.resolve();
    for line in expected.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').unwrap();
        let value = value.replace("{SHA}", SHA).replace("{ID}", ID);
        let found = resource.get(key).map(ToString::to_string).unwrap_or_default();
        assert_eq!(found, value, "{key} (from {:?}) with\n{}", resource.source(key), case.lines);
    }
}

#[track_caller]
fn check(lines: &'static str, expected: &str) {
    check_case(&Case { lines, ..Case::default() }, expected);
}

/// The settings with these rules.
fn rules(text: &str) -> Settings {
    let config: crate::config::Config = toml::from_str(text).unwrap();
    config.workload
}

#[track_caller]
fn check_path(path: &str, lines: &'static str, expected: &str) {
    let path = Some(path.replace("{ID}", ID));
    check_case(&Case { lines, path, ..Case::default() }, expected);
}

#[test]
fn nothing_known() {
    check(
        "",
        "service.name=unknown_service:app
         service.namespace=
         service.version=
         container.id={ID}
         container.runtime.name=docker
         process.executable.name=
         host.name=alpha
         telemetry.sdk.name=shipwake
         telemetry.sdk.language=rust
         telemetry.distro.name=shipwake",
    );
    check_path(
        "/user.slice/user-0.slice/session-1.scope",
        "",
        "service.name=unknown_service:app
         process.executable.name=app
         process.executable.path=/usr/bin/app
         container.id=",
    );
}

#[test]
fn the_users_own_words_go_first() {
    check(
        "env OTEL_SERVICE_NAME=a
         otel service.name=b
         otel service.version=2
         otel team=core
         env DD_SERVICE=c
         env DD_VERSION=3
         label com.docker.compose.service=d",
        "service.name=a\nservice.version=2\nteam=core",
    );
    check("otel service.name=b\nenv DD_SERVICE=c", "service.name=b");
    check("label resource.opentelemetry.io/service.name=a\nenv DD_SERVICE=b", "service.name=a");
    check(
        "otel telemetry.sdk.name=x\notel process.pid=1\notel shipwake.x=1\notel deployment.environment=prod",
        "telemetry.sdk.name=shipwake
         process.pid=
         shipwake.x=
         deployment.environment=
         deployment.environment.name=prod",
    );
}

#[test]
fn rules_go_before_everything() {
    let settings = || {
        rules(
            r#"
            [[workload.rule]]
            name = "shops"
            match = { container = "shop-*", label.team = "*" }
            set = { "service.name" = "shop", "service.namespace" = "{label.team}", "service.version" = "{container.1}" }
            [[workload.rule]]
            match = { image = "registry.local/**:*" }
            set = { "service.name" = "by image", "vcs.ref.head.revision" = "{image.2}" }
            [[workload.rule]]
            match = { variable.STAGE = "*" }
            set.deployment.environment.name = "{variable.STAGE}"
            "#,
        )
    };
    let lines = "label team=core\ntold container.name=shop-7\ntold ~image.reference=registry.local/a/b:latest
         context service.name=ctx\nenv OTEL_SERVICE_NAME=env\nenv STAGE=prod\nfile service.name=f\nenv GIT_COMMIT={SHA}";
    let case = Case { lines, settings: settings(), path: None };
    // A tag that is no commit leaves the commit to whoever knows it.
    check_case(
        &case,
        "service.name=shop
         service.namespace=core
         service.version=7
         vcs.ref.head.revision={SHA}
         deployment.environment.name=prod",
    );
    let resource = case.resolve();
    for (key, source) in [
        ("service.name", "rule shops"),
        ("deployment.environment.name", "rule 3"),
        ("vcs.ref.head.revision", "environment GIT_COMMIT"),
    ] {
        assert_eq!(resource.source(key), Some(source), "{key}");
    }
    let lines = "told container.name=shop-7\ntold ~image.reference=registry.local/a/b:0123abc";
    check_case(
        &Case { lines, settings: settings(), path: None },
        "service.name=by image\nvcs.ref.head.revision=0123abc\nservice.version=",
    );
    let sources = vec!["environ".to_owned()];
    let settings = Settings { sources, ..settings() };
    check_case(&Case { lines, settings, path: None }, "service.name=unknown_service:app");
    let settings = rules(
        "[[workload.rule]]\nmatch = { unit = \"shop@*.service\", executable = \"/usr/bin/*\" }\n\
         set = { \"service.name\" = \"{executable.1}-{unit.1}\" }",
    );
    let path = Some("/system.slice/shop@eu.service".to_owned());
    check_case(&Case { lines: "", settings, path }, "service.name=app-eu");
}

#[test]
fn what_a_process_publishes_goes_before_its_environment() {
    check(
        "context service.name=ctx
         context service.version=2
         context service.instance.id=627cc493-f310-47de-96bd-71410b7dec09
         context team=core
         context host.name=0123456789ab
         context process.pid=1
         context telemetry.sdk.language=java
         env OTEL_SERVICE_NAME=env
         otel service.version=1
         otel extra=x
         label resource.opentelemetry.io/service.version=0",
        "service.name=ctx
         service.version=2
         service.instance.id=627cc493-f310-47de-96bd-71410b7dec09
         team=core
         extra=x
         host.name=alpha
         process.pid=
         telemetry.sdk.language=rust",
    );
    // What the SDK says when nobody told it anything is no name.
    check(
        "context service.name=unknown_service:java\nlabel com.docker.compose.service=web",
        "service.name=web",
    );
    check("env OTEL_SERVICE_NAME=unknown_service", "service.name=unknown_service:app");
}

#[test]
fn descriptions_in_files() {
    let path = "/system.slice/shop.service";
    check_path(
        path,
        "file service.name=shop
         file service.version=1.4.2
         file vcs.ref.head.revision={SHA}
         file vcs.repository.url.full=https://ci:secret@github.com/acme/shop.git
         file shipwake.deploy.author=Ada <ada@acme.test>
         file shipwake.deploy.build_time=2024-01-31T10:20:30Z
         file cicd.pipeline.run.id=4711
         env OTEL_SERVICE_NAME=edge
         env DD_VERSION=9",
        "service.name=edge
         service.version=1.4.2
         vcs.ref.head.revision={SHA}
         vcs.repository.url.full=https://github.com/acme/shop
         shipwake.deploy.author=Ada <ada@acme.test>
         shipwake.deploy.build_time=2024-01-31T10:20:30Z
         cicd.pipeline.run.id=4711",
    );
    let lines = "file service.version=1";
    let resource = Case { lines, path: Some(path.to_owned()), ..Case::default() }.resolve();
    assert_eq!(resource.source("service.version"), Some("file /etc/x.toml"));
}

#[test]
fn what_changes_with_every_start_is_known_and_not_exported() {
    let path = Some("/system.slice/shop.service".to_owned());
    let lines = "unit ~fact.shipwake.systemd.changed=2024-01-31T10:20:30Z
         env INVOCATION_ID=0123456789abcdef0123456789abcdef";
    let resource = Case { lines, path: path.clone(), ..Case::default() }.resolve();
    let fact = |key| resource.fact(key).map(ToString::to_string);
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(fact("shipwake.systemd.invocation_id").as_deref(), Some(id));
    assert_eq!(fact("shipwake.systemd.changed").as_deref(), Some("2024-01-31T10:20:30Z"));
    assert!(resource.attributes.iter().all(|(key, _, _)| !key.contains("invocation")));
    assert_eq!(resource.text("shipwake.systemd.slice"), Some("system.slice"));
    // The variable is inherited by whatever a user starts by hand.
    let path = Some("/user.slice/user-0.slice/session-1.scope".to_owned());
    let resource = Case {
        lines: "env INVOCATION_ID=0123456789abcdef0123456789abcdef",
        path,
        ..Case::default()
    }
    .resolve();
    assert!(resource.facts.is_empty(), "{resource:?}");
}

#[test]
fn each_attribute_has_its_own_winner() {
    let lines = "env DD_SERVICE=a\nlabel com.docker.compose.project=shop\nlabel com.docker.compose.service=web\nimage org.opencontainers.image.version=1.2\nimage org.opencontainers.image.revision={SHA}";
    check(
        lines,
        "service.name=a
         service.namespace=shop
         service.version=1.2
         vcs.ref.head.revision={SHA}",
    );
    let resource = Case { lines, ..Case::default() }.resolve();
    for (key, source) in [
        ("service.name", "environment DD_SERVICE"),
        ("service.namespace", "label com.docker.compose.project"),
        ("service.version", "label org.opencontainers.image.version"),
        ("host.name", "host"),
        ("container.id", "cgroup"),
    ] {
        assert_eq!(resource.source(key), Some(source), "{key}");
    }
}

#[test]
fn systemd_units() {
    check_path(
        "/system.slice/nginx.service",
        "",
        "service.name=nginx\nshipwake.systemd.unit=nginx.service\nprocess.executable.name=",
    );
    check_path("/system.slice/system-pg.slice/pg@15.service", "", "service.name=pg@15");
    check_path("/system.slice/run-u123.service", "", "service.name=unknown_service:app");
    check_path(
        "/system.slice/run-r0123456789abcdef0123456789abcdef.service",
        "",
        "service.name=unknown_service:app",
    );
    check_path("/system.slice/run-parts.service", "", "service.name=run-parts");
    check_path(
        "/system.slice/app.service/libpod-payload-{ID}",
        "",
        "service.name=app\ncontainer.id={ID}\ncontainer.runtime.name=podman",
    );
    check_path("/system.slice/nginx.service", "env OTEL_SERVICE_NAME=edge", "service.name=edge");
}

#[test]
fn instances_differ_by_place_and_stay_the_same() {
    let id = |path: &str| {
        let case = Case { path: Some(path.to_owned()), ..Case::default() };
        case.resolve().text("service.instance.id").map(str::to_owned)
    };
    let b = "b".repeat(64);
    let places = [
        format!("/docker/{ID}"),
        format!("/docker/{b}"),
        format!("/docker/{ID}/system.slice/x.service"),
        "/system.slice/x.service".to_owned(),
        "/user.slice/user-1.slice/user@1.service/app.slice/x.service".to_owned(),
        "/user.slice/user-2.slice/user@2.service/app.slice/x.service".to_owned(),
        "/".to_owned(),
    ];
    let ids: Vec<_> = places.iter().map(|place| id(place).unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), places.len());
    // Python: uuid.uuid5(uuid.UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320"), host_id + "/x.service")
    assert_eq!(ids[3], "0330f22b-45e0-56ee-84f5-8370250ccacb");
    assert_eq!(id("/docker/whatever").unwrap(), ids[6], "one executable, one instance");
}

#[test]
fn allowed_labels_and_configured_environment() {
    let settings = Settings {
        container_labels: vec!["team".to_owned()],
        environment: "staging".to_owned(),
        ..Settings::default()
    };
    check_case(
        &Case { lines: "label team=core\nlabel other=x", settings: settings.clone(), path: None },
        "container.label.team=core\ncontainer.label.other=\ndeployment.environment.name=staging",
    );
    check_case(
        &Case { lines: "env DD_ENV=prod", settings, path: None },
        "deployment.environment.name=prod",
    );
}

#[test]
fn attributes_are_sorted_and_unique() {
    let resource = Case {
        lines: "otel a=1\notel z=2\nlabel com.docker.compose.service=web",
        ..Case::default()
    }
    .resolve();
    let keys: Vec<_> = resource.attributes.iter().map(|(key, _, _)| key.clone()).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(keys, sorted);
}

#[test]
fn every_fact_that_rules_read_is_carried() {
    // A rule for a label or variable that no source passes on could never apply.
    let text = include_str!("../rules.rs");
    let mut seen = 0;
    for line in text.lines().map(str::trim) {
        let Some((kind, rest)) = line.split_once('(') else { continue };
        let known: &[&str] = match kind {
            "label" | "own_label" | "given_label" | "version_label" => {
                crate::workload::names::LABELS
            }
            "variable" => crate::workload::names::VARIABLES,
            _ => continue,
        };
        let Some(key) = rest.split('"').nth(3) else { continue };
        assert!(known.contains(&key), "{key} is read by a rule and not carried");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn words_about_the_agent_are_its_own() {
    let settings = |name: &str, attributes: &[(&str, &str)]| Settings {
        own_name: name.to_owned(),
        own_attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Settings::default()
    };
    for (name, attributes, expected) in [
        ("", &[][..], "service.name=shipwake service.version={own}"),
        ("watch", &[("service.name", "other")][..], "service.name=watch"),
        (
            "",
            &[("service.name", "other"), ("service.version", "7"), ("team", "a")],
            "service.name=other service.version=7 team=a",
        ),
        ("", &[("process.pid", "1"), ("host.id", "h2")], "process.pid= host.id=h2"),
    ] {
        let settings = settings(name, attributes);
        let host = Facts::new(vec![Attribute::text("host.id", "h1")]);
        let agent = resolve_agent(&host, &settings);
        for pair in expected.replace("{own}", env!("CARGO_PKG_VERSION")).split(' ') {
            let (key, value) = pair.split_once('=').unwrap();
            assert_eq!(agent.text(key).unwrap_or_default(), value, "{key}");
        }
        let service = Case { settings, ..Case::default() }.resolve();
        let known = Case::default().resolve();
        assert_eq!(service, known, "a service has nothing of the agent's");
    }
}

#[test]
fn a_program_speaks_when_nobody_closer_to_the_deploy_does() {
    let program = "process ~built.service.name=checkout
        process ~built-by.service.name=go build info
        process ~built.service.version=v1.4.2
        process ~packaged.service.version=1.4.2-1
        process ~packaged-by.service.version=package dpkg checkout
        process ~built.vcs.ref.head.revision={SHA}+dirty";
    check(
        program,
        "service.name=checkout
         service.version=v1.4.2
         vcs.ref.head.revision={SHA}+dirty",
    );
    check_path(
        "/system.slice/shop.service",
        program,
        "service.name=shop
         service.version=v1.4.2",
    );
    check(
        "process ~built.service.name=checkout
         process ~built.service.version=v1.4.2
         label com.docker.compose.service=web
         env APP_VERSION=7
         env GIT_COMMIT={SHA}
         process ~built.vcs.ref.head.revision=abc1234",
        "service.name=web
         service.version=7
         vcs.ref.head.revision={SHA}",
    );
}
