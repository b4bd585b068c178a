//! The source `otel_ctx` against processes that publish what they are.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use shipwake::{process, time::Mono};

use crate::station::{Station, check};

const SOURCES: &[&str] = &["otel_ctx", "environ", "executable", "host"];

/// A process that publishes on command. Killed when dropped, with the children it forked.
struct Publisher {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    forked: Vec<u32>,
}

impl Publisher {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", include_str!("publisher.py")])
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers, forked: Vec::new() }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command; what the process answers.
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the publisher ended");
        answer.trim().to_owned()
    }

    fn fork(&mut self, attributes: &str) -> u32 {
        let child = self.tell(&format!("fork {attributes}")).parse().unwrap();
        self.forked.push(child);
        child
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for child in &self.forked {
            drop(Command::new("kill").args(["-9", &child.to_string()]).status());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn until_named(station: &mut Station, process: &process::ProcessKey, name: &str) {
    station.until(name, |station| station.resource(process).text("service.name") == Some(name));
}

#[test]
fn a_process_that_has_published_goes_by_that_name() {
    let mut publisher = Publisher::start(&[
        ("OTEL_SERVICE_NAME", "environment"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=core"),
    ]);
    publisher.tell(
        "memfd service.name=shop service.version=1.4.2 service.instance.id=i-1 host.name=inside \
         telemetry.sdk.language=python process.pid=7 deployment.environment.name=größe",
    );
    let mut station = Station::start(SOURCES, &[]);
    let (process, _) = station.see(publisher.pid());
    until_named(&mut station, &process, "shop");
    station.until("host", |station| station.resource(&process).text("host.name").is_some());
    station.until("answered", |station| station.directory.ready(&process, Mono(0)));
    let resource = station.resource(&process);
    check(
        &resource,
        "service.version=1.4.2
         service.instance.id=i-1
         deployment.environment.name=größe
         team=core
         telemetry.sdk.language=rust
         process.pid=",
    );
    assert_ne!(resource.text("host.name"), Some("inside"));
    assert_eq!(resource.source("service.version"), Some("process context OTEL_CTX"));
}

#[test]
fn what_is_published_late_or_anew_is_found() {
    let mut publisher = Publisher::start(&[("OTEL_SERVICE_NAME", "environment")]);
    let mut station = Station::start(SOURCES, &[]);
    let (process, _) = station.see(publisher.pid());
    until_named(&mut station, &process, "environment");
    if publisher.tell("anonymous service.name=first") == "unsupported" {
        // This kernel does not name anonymous memory: there is nothing to be found.
        publisher.tell("memfd service.name=first");
    }
    until_named(&mut station, &process, "first");
    publisher.tell("update service.name=second service.version=2");
    until_named(&mut station, &process, "second");
    check(&station.resource(&process), "service.version=2");
}

#[test]
fn a_forked_worker_publishes_on_its_own() {
    let mut publisher = Publisher::start(&[("OTEL_SERVICE_NAME", "shop")]);
    let mut station = Station::start(SOURCES, &[]);
    let (parent, _) = station.see(publisher.pid());
    until_named(&mut station, &parent, "shop");
    let child = publisher.fork("service.name=shop service.instance.id=worker-1");
    let child = process::see(child).unwrap().key;
    station.directory.fork(&parent, child, Mono::now()).unwrap();
    station.until("the worker", |station| {
        station.resource(&child).text("service.instance.id") == Some("worker-1")
    });
    assert_ne!(station.resource(&parent).text("service.instance.id"), Some("worker-1"));
}

#[test]
fn nonsense_in_the_memory_of_a_process_is_left_alone() {
    let mut publisher = Publisher::start(&[("OTEL_SERVICE_NAME", "shop")]);
    publisher.tell("broken");
    let mut station = Station::start(SOURCES, &[]);
    let (process, _) = station.see(publisher.pid());
    until_named(&mut station, &process, "shop");
    station.until("answered", |station| station.directory.ready(&process, Mono(0)));
    assert!(station.heard.iter().any(|change| change.source == "otel_ctx"));
}
