//! Tests of guards: no wrong version, name or commit is ever claimed.

use super::{Case, check, check_path};

#[test]
fn repositories_never_carry_credentials() {
    for (kind, key) in [
        ("otel", "vcs.repository.url.full"),
        ("context", "vcs.repository.url.full"),
        ("label", "resource.opentelemetry.io/vcs.repository.url.full"),
        ("env", "DD_GIT_REPOSITORY_URL"),
        ("label", "org.opencontainers.image.source"),
    ] {
        let lines = format!("{kind} {key}=https://user:hunter2@github.com/acme/shop.git");
        let resource = Case { lines: lines.leak(), ..Case::default() }.resolve();
        let found = resource.text("vcs.repository.url.full");
        assert_eq!(found, Some("https://github.com/acme/shop"), "{kind} {key}");
        assert!(!format!("{resource:?}").contains("hunter2"));
    }
}

#[test]
fn a_mutable_tag_is_never_a_version() {
    for tag in ["latest", "stable", "main", "prod", "20240131", "1.4.2"] {
        let lines = format!("tag x={tag}\ntold ~image.reference=shop:{tag}");
        let resource = Case { lines: lines.leak(), ..Case::default() }.resolve();
        assert_eq!(resource.text("service.version"), None, "{tag}");
    }
    // Retagged: the label says what was built, whatever the tag is.
    check(
        "tag x=9.9\nimage org.opencontainers.image.version=1.4.2\nimage org.opencontainers.image.source=https://h/o/r",
        "service.version=1.4.2",
    );
    // A tag that happens to be the version of the base is no proof of the opposite.
    check("tag x=22.04\nbase org.opencontainers.image.version=22.04", "service.version=");
}

/// Values that are nobody's version, name or commit, in every place that is read.
#[test]
fn garbage_of_every_kind_in_every_label_is_left_out() {
    let garbage = [
        "",
        " ",
        "\\n",
        "a\\nb",
        "\\0",
        "{HUGE}",
        "${VERSION}",
        "$VERSION",
        "{{ .Tag }}",
        "<no value>",
        "unknown",
        "N/A",
        "none",
        "null",
        "undefined",
        "\u{202e}gnp",
        "\u{200b}",
        "\u{feff}",
    ];
    let of_value = [
        "service.name",
        "service.namespace",
        "service.version",
        "deployment.environment.name",
        "vcs.ref.head.revision",
        "vcs.ref.head.name",
        "vcs.repository.url.full",
        "shipwake.deploy.author",
        "cicd.pipeline.name",
        "cicd.pipeline.run.id",
        "cicd.pipeline.run.url.full",
    ];
    for value in garbage {
        for (kind, keys) in [
            ("label", crate::workload::names::LABELS),
            ("image", crate::workload::names::LABELS),
            ("env", crate::workload::names::VARIABLES),
            ("otel", &of_value),
            ("context", &of_value),
            ("file", &of_value),
        ] {
            for key in keys.iter().filter(|key| !["role", "service", "destination"].contains(key)) {
                let lines = format!("{kind} {key}={value}");
                let resource = Case { lines: lines.leak(), ..Case::default() }.resolve();
                for attribute in of_value {
                    // A build pipeline or author may be called anything that can be printed.
                    let free = [
                        "vcs.ref.head.name",
                        "shipwake.deploy.author",
                        "cicd.pipeline.name",
                        "cicd.pipeline.run.id",
                    ];
                    let is_word = value.is_ascii()
                        && value.chars().all(|c| c.is_ascii_alphabetic() || c == '/');
                    if free.contains(&attribute) && is_word && !value.is_empty() {
                        continue;
                    }
                    let expected = if attribute == "service.name" {
                        Some("unknown_service:app")
                    } else {
                        None
                    };
                    assert_eq!(
                        resource.text(attribute),
                        expected,
                        "{attribute} of {kind} {key}={value:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn names_of_any_script_are_names() {
    for name in ["größe", "магазин", "商店", "shop 🛒", "a b", "-", "x".repeat(255).leak()]
    {
        let lines = format!("label com.docker.compose.service={name}");
        let resource = Case { lines: lines.leak(), ..Case::default() }.resolve();
        assert_eq!(resource.text("service.name"), Some(name));
    }
}

#[test]
fn a_base_image_never_gives_the_version() {
    // Ubuntu's own labels, inherited without anything of the image's own.
    let ubuntu = "image org.opencontainers.image.version=22.04\nimage org.opencontainers.image.ref.name=ubuntu";
    check(ubuntu, "service.version=");
    check(
        "image org.opencontainers.image.version=22.04\nimage org.opencontainers.image.ref.name=ubuntu\ntag x=22.04",
        "service.version=22.04",
    );
    check("image org.opencontainers.image.version=22.04\ntag x=1.4.2", "service.version=");
    // The source of the base, with the title of a distribution.
    check(
        "image org.opencontainers.image.version=15.5\nimage org.opencontainers.image.title=openSUSE Leap Base Container\nimage org.opencontainers.image.source=https://opensuse.org/x",
        "service.version=\nvcs.repository.url.full=\nservice.name=unknown_service:app",
    );
    // Labels much older than the image they are on.
    check(
        "image org.opencontainers.image.version=3\nimage org.opencontainers.image.revision={SHA}\nimage org.opencontainers.image.created=2023-06-01T00:00:00Z",
        "service.version=\nvcs.ref.head.revision=\nshipwake.deploy.build_time=2024-02-01T00:00:00Z",
    );
    // The base is known: what it has the same is inherited, what it lacks is the image's own.
    check(
        "base org.opencontainers.image.version=3\nbase org.opencontainers.image.revision={SHA}\nbase org.opencontainers.image.source=https://h/o/base",
        "service.version=\nvcs.ref.head.revision=\nvcs.repository.url.full=",
    );
    check(
        "base x=1\nimage org.opencontainers.image.version=3\nimage maintainer=me",
        "service.version=3\nshipwake.deploy.author=me",
    );
    // What may be the base: what it has the same may be inherited, and what it lacks proves nothing.
    check(
        "guess org.opencontainers.image.version=3\nimage org.opencontainers.image.revision={SHA}",
        "service.version=\nvcs.ref.head.revision={SHA}",
    );
    check("guess x=1\nimage org.opencontainers.image.version=3", "service.version=");
    // Given with the container: the user's word.
    check(
        "label org.opencontainers.image.version=3\nlabel maintainer=me",
        "service.version=3\nshipwake.deploy.author=me",
    );
    check("image maintainer=NGINX Docker Maintainers", "shipwake.deploy.author=");
}

#[test]
fn garbage_stays_out() {
    check(
        "label com.docker.compose.service={HUGE}
         label com.docker.compose.project=a\\nb
         image org.opencontainers.image.revision=latest
         image org.opencontainers.image.source=not a url
         image org.opencontainers.image.version=${VERSION}
         image org.opencontainers.image.created=yesterday
         image org.opencontainers.image.title=\\0",
        "service.name=unknown_service:app
         service.namespace=
         service.version=
         vcs.ref.head.revision=
         vcs.repository.url.full=",
    );
    check("env OTEL_SERVICE_NAME={HUGE}\nenv DD_SERVICE=größe", "service.name=größe");
    check("env GIT_COMMIT=20240131\nenv GITHUB_SHA={SHA}", "vcs.ref.head.revision={SHA}");
}

#[test]
fn the_package_of_a_program_in_a_container_may_be_the_base_images() {
    let package = "process ~packaged.service.version=1.22.1-9
        process ~packaged-by.service.version=package dpkg nginx
        process ~built.shipwake.package.name=nginx";
    check(package, "service.version=\nshipwake.package.name=nginx");
    let path = "/system.slice/nginx.service";
    check_path(path, package, "service.version=1.22.1-9\nshipwake.package.name=nginx");
    let placed = Case { lines: package, path: Some(path.to_owned()), ..Case::default() };
    assert_eq!(placed.resolve().source("service.version"), Some("package dpkg nginx"));
}
