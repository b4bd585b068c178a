//! Labels and variables of vendors, orchestrators, platforms and images.

use super::*;

#[test]
fn labels_of_platforms() {
    check(
        "image io.openshift.build.commit.id={SHA}
         image io.openshift.build.commit.ref=main
         image io.openshift.build.commit.author=Ada <ada@acme.test>
         image io.openshift.build.source-location=https://github.com/acme/shop.git
         image io.openshift.build.name=shop-7",
        "vcs.ref.head.revision={SHA}
         vcs.ref.head.name=main
         shipwake.deploy.author=Ada <ada@acme.test>
         vcs.repository.url.full=https://github.com/acme/shop
         cicd.pipeline.run.id=shop-7",
    );
    check(
        "image com.azure.dev.image.build.sourceversion={SHA}
         image com.azure.dev.image.build.buildnumber=20240131.1
         image com.azure.dev.image.build.definitionname=shop
         image com.azure.dev.image.build.builduri=vstfs:///Build/Build/7
         image com.azure.dev.image.build.repository.uri=https://u@dev.azure.com/acme/_git/shop",
        "vcs.ref.head.revision={SHA}
         cicd.pipeline.name=shop
         cicd.pipeline.run.id=20240131.1
         cicd.pipeline.run.url.full=
         vcs.repository.url.full=https://dev.azure.com/acme/_git/shop",
    );
    // Of the base image, all of it says nothing.
    check(
        "base io.openshift.build.commit.id={SHA}\nbase io.openshift.build.commit.author=x\nbase io.openshift.build.name=y",
        "vcs.ref.head.revision=\nshipwake.deploy.author=\ncicd.pipeline.run.id=",
    );
    check(
        "env CI_PIPELINE_ID=7\nenv CI_PIPELINE_URL=https://u:p@ci/7?x",
        "cicd.pipeline.run.id=7\ncicd.pipeline.run.url.full=https://ci/7",
    );
}

#[test]
fn vendor_and_kubernetes_labels_can_be_switched_off() {
    let lines =
        "env DD_SERVICE=a\nlabel app.kubernetes.io/name=b\nlabel com.docker.compose.service=web";
    check(lines, "service.name=a");
    let settings = Settings { labels: false, ..Settings::default() };
    check_case(&Case { lines, settings, ..Case::default() }, "service.name=web");
}

#[test]
fn vendors() {
    check(
        "env DD_TAGS=env:prod,service:a,version:3 git.commit.sha:{SHA}",
        "service.name=a\nservice.version=3\ndeployment.environment.name=prod\nvcs.ref.head.revision={SHA}",
    );
    check("env SENTRY_RELEASE=shop@1.2.3", "service.version=1.2.3");
    check("env NEW_RELIC_APP_NAME=a;b", "service.name=a");
    check(
        "env HEROKU_SLUG_COMMIT={SHA}\nenv HEROKU_APP_NAME=h",
        "vcs.ref.head.revision={SHA}\nservice.name=h",
    );
    check(
        "label tags.datadoghq.com/env=prod\nlabel com.datadoghq.tags.service=s",
        "deployment.environment.name=prod\nservice.name=s",
    );
    check(
        "label app.kubernetes.io/name=n\nlabel app.kubernetes.io/instance=i\nlabel app.kubernetes.io/version=2",
        "service.name=i\nservice.version=2",
    );
}

#[test]
fn compose_and_swarm() {
    check(
        "label com.docker.compose.project=shop\nlabel com.docker.compose.service=web\nlabel com.docker.compose.oneoff=False",
        "service.name=web\nservice.namespace=shop",
    );
    check(
        "label com.docker.compose.project=shop\nlabel com.docker.compose.service=web\nlabel com.docker.compose.oneoff=True",
        "service.name=unknown_service:app\nservice.namespace=shop",
    );
    check(
        "label com.docker.stack.namespace=shop\nlabel com.docker.swarm.service.name=shop_web",
        "service.name=web\nservice.namespace=shop",
    );
    check("label com.docker.swarm.service.name=shop_web", "service.name=shop_web");
}

#[test]
fn kamal_only_with_its_container_name() {
    let labels = "label service=shop\nlabel role=web\nlabel destination=staging";
    check(labels, "service.name=unknown_service:app");
    check(
        "label service=shop\nlabel role=web\nlabel destination=staging\ntold container.name=shop-web-staging-abc123",
        "service.name=shop\nservice.version=abc123\ndeployment.environment.name=staging",
    );
    check(
        "label service=shop\nlabel role=web\ntold container.name=other",
        "service.name=unknown_service:app",
    );
}

#[test]
fn kubernetes_by_docker_labels() {
    check(
        "label io.kubernetes.pod.name=web-1-x\nlabel io.kubernetes.pod.namespace=shop\nlabel io.kubernetes.container.name=web\nlabel io.kubernetes.pod.uid=u",
        "service.name=web
         service.namespace=shop
         service.instance.id=shop.web-1-x.web
         k8s.pod.name=web-1-x
         k8s.namespace.name=shop
         k8s.container.name=web",
    );
    check(
        "label io.kubernetes.container.name=POD",
        "k8s.container.name=\nservice.name=unknown_service:app",
    );
}

#[test]
fn described_images() {
    check(
        "image org.opencontainers.image.version=1.4.2
         image org.opencontainers.image.revision=main@sha1:{SHA}
         image org.opencontainers.image.source=git@github.com:acme/shop.git
         image org.opencontainers.image.authors=Ada <ada@acme.test>
         image org.opencontainers.image.created=2024-01-31T23:59:00Z
         image org.opencontainers.image.title=shop",
        "service.name=shop
         service.version=1.4.2
         vcs.ref.head.revision={SHA}
         vcs.ref.head.name=main
         vcs.repository.url.full=https://github.com/acme/shop
         shipwake.deploy.author=Ada <ada@acme.test>
         shipwake.deploy.build_time=2024-01-31T23:59:00Z",
    );
    check(
        "image org.label-schema.vcs-ref=abc1234\nimage org.label-schema.vcs-url=https://h/o/r.git\nimage org.label-schema.version=2\nimage org.label-schema.name=s",
        "service.name=s\nservice.version=2\nvcs.ref.head.revision=abc1234\nvcs.repository.url.full=https://h/o/r",
    );
}
