//! What users and deploy tools declare: rules, descriptions in files, files of systemd. Against real
//! processes.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use shipwake::{
    process::{self, ProcessKey},
    time::Mono,
    workload::SourceState,
};
use shipwake_tests::{cgroup::Cgroup, poll};

use crate::{
    local::{Folder, Running},
    station::{Station, check},
};

fn configuration(folder: &Folder, more: &str) -> String {
    format!("[workload]\ndeploys_directory = \"{}\"\n{more}", folder.path("deploys.d"))
}

/// A copy of busybox, whatever it is called, that sleeps.
fn sleeper(program: &str, environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new(program);
    command.env_clear().envs(environment.iter().copied()).arg0("sleep").arg("1000000");
    Running::of(&mut command)
}

fn see(station: &mut Station, pid: u32) -> ProcessKey {
    let (process, workload) = station.see(pid);
    station.until("answered", |station| {
        station.directory.ready(&process, Mono(0)) && station.directory.settled(workload, Mono(0))
    });
    process
}

#[track_caller]
fn until_text(station: &mut Station, process: &ProcessKey, key: &str, value: Option<&str>) {
    station.until(key, |station| station.resource(process).text(key) == value);
}

#[test]
fn a_description_written_while_the_agent_runs() {
    let folder = Folder::new("late-file");
    folder.program("shop/bin/web");
    let web = folder.path("shop/bin/web");
    let mut station = Station::configured(&configuration(&folder, ""));
    let first = sleeper(&web, &[]);
    let running = see(&mut station, first.pid());
    check(&station.resource(&running), "service.name=unknown_service:web");
    let describe = |more: &str| {
        let text = format!("[[deploy]]\nmatch.executable = \"{web}\"\nname = \"shop\"\n{more}\n");
        folder.write("deploys.d/shop.toml", &text);
    };
    describe("environment = \"prod\"");
    until_text(&mut station, &running, "service.name", Some("shop"));
    let origin = format!("file {}", folder.path("deploys.d/shop.toml"));
    assert_eq!(station.resource(&running).source("service.name"), Some(&*origin));
    describe("version = \"1.4.2\"\nrunning = true");
    until_text(&mut station, &running, "service.version", Some("1.4.2"));
    check(&station.resource(&running), "deployment.environment.name=");
    assert_eq!(station.health("file").state, SourceState::Working);
    // A mistake is named and changes nothing.
    describe("versoin = \"2\"");
    station.until("named", |station| station.health("file").state == SourceState::Failing);
    let error = station.health("file").last_error.unwrap();
    assert!(error.contains("shop.toml: line 4: unknown field `versoin`"), "{error}");
    check(&station.resource(&running), "service.version=1.4.2");
    describe("version = \"1.4.2\"\nrunning = true");
    station.until("mended", |station| station.health("file").state == SourceState::Working);
    fs::remove_file(folder.0.join("deploys.d/shop.toml")).unwrap();
    until_text(&mut station, &running, "service.name", Some("unknown_service:web"));
    check(&station.resource(&running), "service.version=");
}

#[test]
fn a_description_is_not_about_what_was_there_before_it() {
    let folder = Folder::new("before-file");
    folder.program("shop/web");
    let web = folder.path("shop/web");
    let old = sleeper(&web, &[]);
    let key = process::see(old.pid()).unwrap().key;
    let is_old = || (process::age(&key)? > Duration::from_secs(3)).then_some(());
    poll::until(Duration::from_secs(20), is_old).expect("it grows older");
    let text = format!(
        "[[deploy]]\nmatch.executable = \"{web}\"\nname = \"shop\"\nversion = \"2\"\nauthor = \"x\"\n"
    );
    folder.write("deploys.d/shop.toml", &text);
    folder.write("shop/web.deploy.json", r#"{"namespace": "acme", "commit": "0123456789abcdef"}"#);
    let mut station = Station::configured(&configuration(&folder, "sources = [\"file\"]\n"));
    let process = see(&mut station, old.pid());
    let attributes = "service.version=\nshipwake.deploy.author=\nvcs.ref.head.revision=";
    let expected = format!("service.name=shop\nservice.namespace=acme\n{attributes}");
    check(&station.resource(&process), &expected);
    // Beside it the new one runs: of one service instance, nobody knows which version it is.
    let new = sleeper(&web, &[]);
    let newer = see(&mut station, new.pid());
    check(&station.resource(&newer), &expected);
    drop(old);
    station.directory.exit(&process, Mono::now());
    check(
        &station.resource(&newer),
        "service.version=2\nshipwake.deploy.author=x\nvcs.ref.head.revision=0123456789abcdef",
    );
    drop(new);
    station.directory.exit(&newer, Mono::now());
    let old = sleeper(&web, &[]);
    let key = process::see(old.pid()).unwrap().key;
    let is_old = || (process::age(&key)? > Duration::from_secs(3)).then_some(());
    poll::until(Duration::from_secs(20), is_old).expect("it grows older");
    folder.write("deploys.d/shop.toml", &(text + "running = true\n"));
    let process = see(&mut station, old.pid());
    until_text(&mut station, &process, "service.version", Some("2"));
}

#[test]
fn descriptions_next_to_programs_and_scripts() {
    let folder = Folder::new("beside");
    folder.program("shop/bin/web");
    folder.write(
        "shop/bin/web.deploy.json",
        r#"{"name": "shop", "version": "1.4.2", "author": "Ada", "build_time": "2024-01-31T10:20:30Z",
            "repository": "https://u:p@github.com/acme/shop.git", "pipeline": {"run": "4711"}}"#,
    );
    folder.write("shop/.shipwake.json", r#"{"name": "ignored", "environment": "prod"}"#);
    folder.write("mail/main.py", "import time\ntime.sleep(1000000)\n");
    folder.write("mail/.shipwake.json", r#"{"name": "mail", "version": "7"}"#);
    folder.write("news/main.py", "import time\ntime.sleep(1000000)\n");
    folder.write("news/.shipwake.json", r#"{"name": "news", "version": "${VERSION}"}"#);
    let mut station = Station::configured(&configuration(&folder, "sources = [\"file\"]\n"));
    let web = sleeper(&folder.path("shop/bin/web"), &[]);
    let python = |directory: &str| {
        let mut command = Command::new("/usr/bin/python3");
        Running::of(command.current_dir(folder.path(directory)).arg("main.py"))
    };
    let (mail, news) = (python("mail"), python("news"));
    let process = see(&mut station, web.pid());
    check(
        &station.resource(&process),
        "service.name=shop
         service.version=1.4.2
         shipwake.deploy.author=Ada
         shipwake.deploy.build_time=2024-01-31T10:20:30Z
         vcs.repository.url.full=https://github.com/acme/shop
         cicd.pipeline.run.id=4711
         deployment.environment.name=prod",
    );
    let process = see(&mut station, mail.pid());
    check(&station.resource(&process), "service.name=mail\nservice.version=7");
    // One with a mistake says nothing, and least of all what the other one says.
    let process = see(&mut station, news.pid());
    check(&station.resource(&process), "service.version=");
    assert_ne!(station.resource(&process).text("service.name"), Some("mail"));
    let error = station.health("file").last_error.unwrap();
    assert!(error.contains("news/.shipwake.json: `version` cannot be `${VERSION}`"), "{error}");
}

#[test]
fn files_are_read_as_the_process_sees_them() {
    let folder = Folder::new("root");
    folder.program("root/srv/a/busybox");
    folder.program("root/srv/b/busybox");
    folder.write("root/srv/a/.shipwake.json", r#"{"name": "inside"}"#);
    // The same path outside of the root of the process, and a link that leads there.
    folder.write("outside.json", r#"{"name": "outside"}"#);
    symlink(folder.path("outside.json"), folder.0.join("root/srv/b/.shipwake.json")).unwrap();
    let start = |program: &str| {
        let mut command = Command::new("chroot");
        Running::of(command.arg(folder.path("root")).args([program, "sleep", "1000000"]))
    };
    let (a, b) = (start("/srv/a/busybox"), start("/srv/b/busybox"));
    let mut station = Station::configured(&configuration(&folder, "sources = [\"file\"]\n"));
    for (sleeper, expected) in [(&a, "inside"), (&b, "unknown_service:busybox")] {
        let is_started = || {
            let executable = fs::read_link(format!("/proc/{}/exe", sleeper.pid())).ok()?;
            executable.ends_with("busybox").then_some(())
        };
        poll::until(Duration::from_secs(20), is_started).expect("chroot executes the program");
        let process = see(&mut station, sleeper.pid());
        check(&station.resource(&process), &format!("service.name={expected}"));
    }
}

#[test]
fn a_rule_names_what_nothing_else_names() {
    let folder = Folder::new("rule");
    folder.program("legacy/web");
    let rules = format!(
        r#"
        [[workload.rule]]
        name = "legacy"
        match = {{ executable = "{}/*/web", variable.SHARD = "*" }}
        set = {{ "service.name" = "{{executable.1}}-{{variable.SHARD}}", "service.version" = "9" }}
        "#,
        folder.0.to_str().unwrap()
    );
    let mut station = Station::configured(&configuration(&folder, &rules));
    let web = folder.path("legacy/web");
    let shards =
        ["a", "b"].map(|shard| sleeper(&web, &[("SHARD", shard), ("OTEL_SERVICE_NAME", "x")]));
    for (sleeper, name) in shards.iter().zip(["legacy-a", "legacy-b"]) {
        let process = see(&mut station, sleeper.pid());
        until_text(&mut station, &process, "service.name", Some(name));
        let resource = station.resource(&process);
        check(&resource, "service.version=9");
        assert_eq!(resource.source("service.name"), Some("rule legacy"));
    }
}

/// A file or link outside of the folder of the test. Removed when dropped.
struct Foreign(PathBuf);

impl Foreign {
    fn new(path: String) -> Self {
        let path = PathBuf::from(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Self(path)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn what_systemd_keeps_about_a_unit() {
    let unit = format!("shipwake-invoked{}@eu.service", std::process::id());
    let cgroup = Cgroup::make(&format!("system.slice/{unit}")).unwrap();
    let link = Foreign::new(format!("/run/systemd/units/invocation:{unit}"));
    symlink("0123456789abcdef0123456789abcdef", &link.0).unwrap();
    let file = Foreign::new(format!("/run/systemd/transient/{unit}"));
    fs::write(&file.0, "[Service]\n").unwrap();
    let mut station = Station::start(&["systemd", "environ", "host"], &[]);
    let sleeper = Running::of(Command::new("/bin/sleep").arg("1000000"));
    cgroup.take(sleeper.pid()).unwrap();
    let process = see(&mut station, sleeper.pid());
    let resource = station.resource(&process);
    let name = unit.strip_suffix(".service").unwrap();
    check(
        &resource,
        &format!(
            "service.name={name}
             shipwake.systemd.unit={unit}
             shipwake.systemd.instance=eu
             shipwake.systemd.slice=system.slice
             shipwake.systemd.invocation_id="
        ),
    );
    let fact = |key: &str| resource.fact(key).map(ToString::to_string);
    let id = fact("shipwake.systemd.invocation_id");
    assert_eq!(id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    for key in ["shipwake.systemd.started", "shipwake.systemd.changed"] {
        let time = fact(key).expect(key);
        assert!(shipwake::workload::text::build_time(&time).is_some(), "{key}: {time}");
    }
    // It is started anew: another invocation of the same instance.
    let again = Path::new(&link.0).with_extension("new");
    symlink("f".repeat(32), &again).unwrap();
    fs::rename(&again, &link.0).unwrap();
    station.until("the next invocation", |station| {
        let fact = station.resource(&process).fact("shipwake.systemd.invocation_id").cloned();
        fact.is_some_and(|id| id.to_string() == "f".repeat(32))
    });
    assert_eq!(station.resource(&process).attributes, resource.attributes);
    drop(sleeper);
}
