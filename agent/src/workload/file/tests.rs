//! Tests of what files say about processes, with real files.

use std::{fs, time::UNIX_EPOCH};

use super::*;

struct Bench {
    directory: PathBuf,
    deploys: Deploys,
}

impl Bench {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("shipwake-deploys-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self { deploys: Deploys::new(directory.clone()), directory }
    }

    /// Writes a file the way deploy tools do: under another name, then in its place.
    fn write(&mut self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
        assert!(self.deploys.refresh(), "a change is seen");
        assert!(!self.deploys.refresh(), "once");
    }

    #[track_caller]
    fn check(&self, process: &mut Process, expected: &[&str]) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        process.told = describe(&self.deploys, process, &mut problems);
        let found: Vec<_> = process
            .told
            .iter()
            .map(|said| format!("{}={}", said.given.attribute, said.given.value))
            .collect();
        assert_eq!(found, expected);
        problems
    }

    fn problems(&self) -> Vec<String> {
        self.deploys.problems().collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn process(started: SystemTime) -> Process {
    Process {
        executable: Some("/srv/shop/bin/web".into()),
        unit: Some("shop.service".into()),
        started: Some(started),
        beside: Vec::new(),
        apart: None,
        told: Vec::new(),
    }
}

/// Younger than every file of the tests.
fn young() -> Process {
    process(SystemTime::now() + Duration::from_secs(60))
}

/// Older than every file of the tests.
fn old() -> Process {
    process(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
}

fn entry(more: &str) -> String {
    format!("[[deploy]]\nmatch.unit = \"shop.service\"\n{more}\n")
}

#[test]
fn a_description_is_never_about_older_processes() {
    let mut bench = Bench::new("older");
    bench.write("shop.toml", &entry("name = \"shop\"\nversion = \"2\""));
    bench.check(&mut old(), &["service.name=shop"]);
    bench.check(&mut young(), &["service.name=shop", "service.version=2"]);
    let unknown = || Process { started: None, ..old() };
    bench.check(&mut unknown(), &["service.name=shop"]);
    bench.write("shop.toml", &entry("running = true\nname = \"shop\"\nversion = \"2\""));
    bench.check(&mut old(), &["service.name=shop", "service.version=2"]);
}

#[test]
fn what_was_told_about_a_process_holds_when_the_next_deploy_is_described() {
    let mut bench = Bench::new("next");
    bench.write("shop.toml", &entry("version = \"1\""));
    let mut running = young();
    bench.check(&mut running, &["service.version=1"]);
    running.started = old().started;
    bench.write("shop.toml", &entry("version = \"2\"\nname = \"shop\""));
    bench.check(&mut running, &["service.name=shop", "service.version=1"]);
    bench.check(&mut young(), &["service.name=shop", "service.version=2"]);
    fs::remove_file(bench.directory.join("shop.toml")).unwrap();
    assert!(bench.deploys.refresh());
    bench.check(&mut running, &[]);
}

#[test]
fn contradictions_stay_unset() {
    let mut bench = Bench::new("contradictions");
    bench.write("a.toml", &entry("name = \"shop\"\nversion = \"1\""));
    bench.write("b.toml", &entry("name = \"shop\"\nversion = \"2\"\nenvironment = \"prod\""));
    let expected = ["service.name=shop", "deployment.environment.name=prod"];
    let problems = bench.check(&mut young(), &expected);
    assert_eq!(problems.len(), 1);
    let problem = problems.first().unwrap();
    assert!(
        problem.contains("`1` in") && problem.contains("a.toml") && problem.contains("b.toml"),
        "{problem}"
    );
    let given = Given { attribute: "service.version", value: "3".to_owned(), is_of_deploy: true };
    let beside = Process { beside: vec![Said { given, path: "/x".into() }], ..young() };
    bench.check(&mut { beside }, &expected);
}

#[test]
fn a_broken_file_says_what_it_said_before() {
    let mut bench = Bench::new("broken");
    bench.write("shop.toml", "[[deploy");
    bench.check(&mut young(), &[]);
    assert!(bench.problems()[0].contains("shop.toml: line 1: "), "{:?}", bench.problems());
    assert!(bench.problems()[0].contains("says nothing until"), "{:?}", bench.problems());
    bench.write("shop.toml", &entry("version = \"1\""));
    assert_eq!(bench.problems(), [""; 0]);
    bench.check(&mut young(), &["service.version=1"]);
    bench.write("shop.toml", &entry("version = 1"));
    assert!(bench.problems()[0].contains("line 3: "), "{:?}", bench.problems());
    assert!(bench.problems()[0].contains("said before holds"), "{:?}", bench.problems());
    bench.check(&mut young(), &["service.version=1"]);
    bench.write("other.toml", &"x".repeat(100_000));
    assert!(bench.problems().iter().any(|one| one.contains("more than 65536 bytes")));
}

#[test]
fn too_many_files_are_refused() {
    let mut bench = Bench::new("many");
    for number in 0..300 {
        fs::write(bench.directory.join(format!("{number}.toml")), "").unwrap();
    }
    assert!(bench.deploys.refresh());
    assert!(bench.problems()[0].contains("more than 256 files"), "{:?}", bench.problems());
}
