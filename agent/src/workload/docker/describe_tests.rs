//! Tests of reading container and image descriptions.

use super::*;
use crate::workload::text;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn parsed(container: &str, image: &str, base: Option<&str>) -> Vec<Attribute> {
    let image: Image = serde_json::from_str(image).unwrap();
    let base: Option<Base> =
        base.map(|base| Base { image: serde_json::from_str(base).unwrap(), is_recorded: true });
    let facts = super::image(&image, base.as_ref(), &["team".to_owned()]);
    let parsed: Container = serde_json::from_str(container).unwrap();
    super::container("docker", &parsed, Some(&facts), &["team".to_owned()])
}

fn shown(attributes: &[Attribute]) -> Vec<String> {
    attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect()
}

#[test]
fn everything_that_is_wanted_and_nothing_else() {
    let digest = format!("sha256:{}", "d".repeat(64));
    let told = parsed(
        &format!(
            r#"{{"Id":"{ID}","Name":"/shop-web-1","Image":"sha256:{ID}","State":{{"Pid":1}},
            "Config":{{"Image":"h:5000/shop/web:1.4.2","Env":["SECRET=x","OTEL_SERVICE_NAME=checkout"],
            "Labels":{{"com.docker.compose.service":"web","secret":"y","team":"core"}}}}}}"#
        ),
        &format!(
            r#"{{"RepoTags":["h:5000/shop/web:1.4.2","h:5000/shop/web:stable","other:9"],
            "RepoDigests":["h:5000/shop/web@{digest}"],"Created":"2024-01-31T10:20:30Z",
            "Config":{{"Labels":{{"org.opencontainers.image.version":"1.4.2","x":"y"}}}}}}"#
        ),
        Some(r#"{"Config":{"Labels":{"org.opencontainers.image.version":"22.04"}}}"#),
    );
    assert_eq!(
        shown(&told),
        [
            &format!("container.id={ID}"),
            "container.name=shop-web-1",
            "container.runtime.name=docker",
            &format!("container.image.id=sha256:{ID}"),
            "container.image.name=h:5000/shop/web",
            "~image.reference=h:5000/shop/web:1.4.2",
            "~image.created=2024-01-31T10:20:30Z",
            &format!("oci.manifest.digest={digest}"),
            &format!("container.image.repo_digests=h:5000/shop/web@{digest}"),
            "~image.label.org.opencontainers.image.version=1.4.2",
            "~base=yes",
            "~base.label.org.opencontainers.image.version=22.04",
            "container.image.tags=1.4.2, stable",
            "~label.com.docker.compose.service=web",
            "~label.team=core",
            "~env.OTEL_SERVICE_NAME=checkout",
        ]
    );
}

#[test]
fn nulls_and_absent_fields() {
    let container =
        format!(r#"{{"Id":"{ID}","Config":{{"Labels":null,"Env":null,"Image":null}}}}"#);
    let told = parsed(&container, r#"{"RepoTags":null,"Config":null}"#, None);
    assert_eq!(
        shown(&told),
        [format!("container.id={ID}"), "container.runtime.name=docker".to_owned()]
    );
}

#[test]
fn huge_labels_are_left_out() {
    let huge = "x".repeat(65_536);
    let container = format!(
        r#"{{"Id":"{ID}","Config":{{"Labels":{{"com.docker.compose.service":"{huge}","maintainer":"me"}}}}}}"#
    );
    let told = parsed(&container, "{}", None);
    assert!(shown(&told).contains(&"~label.maintainer=me".to_owned()));
    assert!(told.iter().all(|one| one.value.to_string().len() <= text::LONGEST));
}

#[test]
fn started_by_image_id() {
    let container = format!(r#"{{"Id":"{ID}","Config":{{"Image":"sha256:{ID}"}}}}"#);
    let told = shown(&parsed(&container, r#"{"RepoTags":["shop/web:2"]}"#, None));
    assert!(told.contains(&"container.image.name=shop/web".to_owned()), "{told:?}");
    assert!(told.contains(&"container.image.tags=2".to_owned()), "{told:?}");
}

#[test]
fn a_list_says_what_an_inspection_says() {
    let id = "a".repeat(64);
    let image = format!("sha256:{}", "b".repeat(64));
    let told = |image_name: &str| {
        let text = format!(
            r#"{{"Id":"{id}","Names":["/db/web","/web-1"],"Image":"{image_name}","ImageID":"{image}",
                "Labels":{{"maintainer":"me"}},"State":"created"}}"#
        );
        let listed: crate::workload::docker::model::Listed = serde_json::from_str(&text).unwrap();
        let told = container("docker", &listed.container(), None, &[]);
        told.iter().map(|one| format!("{}={}", one.key, one.value)).collect::<Vec<_>>()
    };
    let named = told("registry.test/web:1");
    for line in [
        &format!("container.id={id}"),
        "container.name=web-1",
        "container.runtime.name=docker",
        &format!("container.image.id={image}"),
        "container.image.name=registry.test/web",
        "~label.maintainer=me",
    ] {
        assert!(named.iter().any(|one| one == line), "{line} in {named:?}");
    }
    for unnamed in [image.as_str(), &image[7..19]] {
        let told = told(unnamed);
        assert!(!told.iter().any(|one| one.starts_with("container.image.name")), "{told:?}");
    }
}
