//! What a description says: the same words in `deploys.d` and next to a program.

use serde::Deserialize;

use crate::workload::{resolve::form, rules::Pattern};

/// What a deploy is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Description {
    name: Option<String>,
    namespace: Option<String>,
    version: Option<String>,
    commit: Option<String>,
    branch: Option<String>,
    repository: Option<String>,
    author: Option<String>,
    build_time: Option<String>,
    environment: Option<String>,
    pipeline: Option<Pipeline>,
}

/// The run of the pipeline that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pipeline {
    name: Option<String>,
    run: Option<String>,
    url: Option<String>,
}

/// One attribute that a description gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub attribute: &'static str,
    pub value: String,
    /// Whether it is another one with each deploy, and so holds only for processes that started with it.
    pub is_of_deploy: bool,
}

impl Description {
    /// The attributes, each in its form. `Err` names the first value that has none.
    fn given(self) -> Result<Vec<Given>, String> {
        let Self { name, namespace, version, commit, branch, .. } = self;
        let Self { repository, author, build_time, environment, pipeline, .. } = self;
        let Pipeline { name: pipeline, run, url } = pipeline.unwrap_or_default();
        let all = [
            ("name", name, "service.name", false),
            ("namespace", namespace, "service.namespace", false),
            ("version", version, "service.version", true),
            ("commit", commit, "vcs.ref.head.revision", true),
            ("branch", branch, "vcs.ref.head.name", true),
            ("repository", repository, "vcs.repository.url.full", false),
            ("author", author, "shipwake.deploy.author", true),
            ("build_time", build_time, "shipwake.deploy.build_time", true),
            ("environment", environment, "deployment.environment.name", false),
            ("pipeline.name", pipeline, "cicd.pipeline.name", false),
            ("pipeline.run", run, "cicd.pipeline.run.id", true),
            ("pipeline.url", url, "cicd.pipeline.run.url.full", true),
        ];
        let mut given = Vec::new();
        for (key, value, attribute, is_of_deploy) in all {
            let Some(value) = value.filter(|value| !value.trim().is_empty()) else { continue };
            if form(attribute, &value).is_none() {
                let short: String = value.chars().take(40).filter(|c| !c.is_control()).collect();
                return Err(format!("`{key}` cannot be `{short}`"));
            }
            given.push(Given { attribute, value, is_of_deploy });
        }
        if given.is_empty() {
            return Err("it says nothing; write a `name` or a `version`".to_owned());
        }
        Ok(given)
    }
}

/// One `[[deploy]]` of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    executable: Option<Pattern>,
    unit: Option<Pattern>,
    /// Whether it holds for processes that were running when it was written.
    pub(super) running: bool,
    pub(super) given: Vec<Given>,
}

impl Entry {
    /// Whether it is about a process with this executable in this unit.
    pub(super) fn is_about(&self, executable: Option<&str>, unit: Option<&str>) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|one| text.is_some_and(|text| one.matches(text).is_some()))
        };
        fits(&self.executable, executable) && fits(&self.unit, unit)
    }
}

/// A file of `deploys.d`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    deploy: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "match")]
    matches: Match,
    #[serde(default)]
    running: bool,
    name: Option<String>,
    namespace: Option<String>,
    version: Option<String>,
    commit: Option<String>,
    branch: Option<String>,
    repository: Option<String>,
    author: Option<String>,
    build_time: Option<String>,
    environment: Option<String>,
    pipeline: Option<Pipeline>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Match {
    executable: Option<Pattern>,
    unit: Option<Pattern>,
}

/// Most entries of one file.
const MOST_ENTRIES: usize = 1024;

/// Takes a file of `deploys.d` apart. `Err` is one line: where in the file, and what is wrong.
pub fn toml(text: &str) -> Result<Vec<Entry>, String> {
    let File { deploy } = toml::from_str(text).map_err(|error| {
        let at = error.span().unwrap_or_default().start;
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message().trim().replace('\n', " "))
    })?;
    if deploy.len() > MOST_ENTRIES {
        return Err(format!("it has more than {MOST_ENTRIES} entries; write several files"));
    }
    let entry = |(number, written): (usize, Written)| {
        let Written { matches: Match { executable, unit }, running, name, namespace, .. } = written;
        let Written { version, commit, branch, repository, author, build_time, .. } = written;
        let Written { environment, pipeline, .. } = written;
        if executable.is_none() && unit.is_none() {
            let text = "`match` is empty; write `executable` or `unit`";
            return Err(format!("deploy {}: {text}", number + 1));
        }
        let description = Description {
            name,
            namespace,
            version,
            commit,
            branch,
            repository,
            author,
            build_time,
            environment,
            pipeline,
        };
        let given =
            description.given().map_err(|error| format!("deploy {}: {error}", number + 1))?;
        Ok(Entry { executable, unit, running, given })
    };
    deploy.into_iter().enumerate().map(entry).collect()
}

/// Takes the description next to a program apart. `Err` is one line.
pub fn json(text: &[u8]) -> Result<Vec<Given>, String> {
    let read = serde_json::from_slice::<Description>(text);
    read.map_err(|error| error.to_string().replace('\n', " ")).and_then(Description::given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(given: &[Given]) -> Vec<(&str, &str)> {
        given.iter().map(|one| (one.attribute, one.value.as_str())).collect()
    }

    #[test]
    fn every_word() {
        let text = r#"
            [[deploy]]
            match = { executable = "/srv/*/bin/web", unit = "shop*.service" }
            running = true
            name = "shop"
            namespace = "acme"
            version = "1.4.2"
            commit = "0123456789abcdef0123456789abcdef01234567"
            branch = "main"
            repository = "git@github.com:acme/shop.git"
            author = "Ada <ada@acme.test>"
            build_time = "2024-01-31T10:20:30Z"
            environment = "production"
            pipeline = { name = "deploy", run = "4711", url = "https://ci.acme.test/4711" }
        "#;
        let entries = toml(text).unwrap();
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        assert!(entry.running);
        assert_eq!(
            values(&entry.given),
            [
                ("service.name", "shop"),
                ("service.namespace", "acme"),
                ("service.version", "1.4.2"),
                ("vcs.ref.head.revision", "0123456789abcdef0123456789abcdef01234567"),
                ("vcs.ref.head.name", "main"),
                ("vcs.repository.url.full", "git@github.com:acme/shop.git"),
                ("shipwake.deploy.author", "Ada <ada@acme.test>"),
                ("shipwake.deploy.build_time", "2024-01-31T10:20:30Z"),
                ("deployment.environment.name", "production"),
                ("cicd.pipeline.name", "deploy"),
                ("cicd.pipeline.run.id", "4711"),
                ("cicd.pipeline.run.url.full", "https://ci.acme.test/4711"),
            ]
        );
        assert!(entry.is_about(Some("/srv/shop/bin/web"), Some("shop-eu.service")));
        assert!(!entry.is_about(Some("/srv/shop/bin/web"), None));
        assert!(!entry.is_about(Some("/srv/shop/bin/cron"), Some("shop.service")));
    }

    #[test]
    fn descriptions_next_to_programs() {
        let text = br#"{"name": "shop", "version": " ", "pipeline": {"run": "7"}}"#;
        let given = json(text).unwrap();
        assert_eq!(values(&given), [("service.name", "shop"), ("cicd.pipeline.run.id", "7")]);
    }

    #[track_caller]
    fn check_wrong(text: &str, expected: &str) {
        let error = match text.starts_with('{') {
            true => json(text.as_bytes()).map(drop).unwrap_err(),
            false => toml(text).map(drop).unwrap_err(),
        };
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        check_wrong("name = \"x\"", "line 1: unknown field `name`");
        check_wrong(
            "\n[[deploy]]\nmatch.unit = \"a\"\nversoin = \"1\"",
            "line 4: unknown field `versoin`",
        );
        check_wrong("[[deploy]]\nversion = \"1\"", "missing field `match`");
        check_wrong("[[deploy]]\nmatch = {}\nversion = \"1\"", "deploy 1: `match` is empty");
        check_wrong("[[deploy]]\nmatch.unit = \"a\"", "deploy 1: it says nothing");
        check_wrong(
            "[[deploy]]\nmatch.unit = \"a\"\ncommit = \"latest\"",
            "deploy 1: `commit` cannot be `latest`",
        );
        check_wrong("[[deploy", "line 1: ");
        check_wrong("{\"version\": 2}", "expected a string");
        check_wrong("{\"version\": \"2\"", "EOF");
        check_wrong("{\"verison\": \"2\"}", "unknown field `verison`");
        check_wrong("{}", "it says nothing");
        check_wrong("{\"version\": \"${VERSION}\"}", "`version` cannot be `${VERSION}`");
    }
}
