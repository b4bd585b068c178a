//! The sources that need no container runtime, against real processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use shipwake::{process, time::Mono};

use crate::station::{Station, check};

const SOURCES: &[&str] = &["systemd", "environ", "executable", "host"];

/// A process that sleeps. Killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/bin/sleep");
        command.arg("1000000").stdin(Stdio::null()).env_clear();
        Self(command.envs(environment.iter().copied()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_process_outside_of_containers_is_named_by_its_environment() {
    let named = Sleeper::start(&[
        ("OTEL_SERVICE_NAME", "checkout"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,deployment.environment.name=prod"),
        ("SECRET", "hunter2"),
    ]);
    let broken = Sleeper::start(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,oops")]);
    let mut station = Station::start(SOURCES, &[]);
    let (named, before) = station.see(named.pid());
    let (broken, other) = station.see(broken.pid());
    assert_eq!(before, other, "one executable, one workload");
    station.until("answered", |station| {
        [&named, &broken].iter().all(|process| station.directory.ready(process, Mono(0)))
    });
    station.until("host", |station| station.resource(&named).text("host.name").is_some());
    check(
        &station.resource(&named),
        "service.name=checkout
         service.namespace=shop
         deployment.environment.name=prod
         process.executable.name=sleep
         container.id=",
    );
    check(&station.resource(&broken), "service.name=unknown_service:sleep");
    assert_eq!(
        station.resource(&named).source("service.name"),
        Some("environment OTEL_SERVICE_NAME")
    );
    assert!(!format!("{:?}", station.heard).contains("hunter2"));
}

#[test]
fn a_process_that_is_gone_keeps_nobody_waiting() {
    let sleeper = Sleeper::start(&[("OTEL_SERVICE_NAME", "checkout")]);
    let info = process::see(sleeper.pid()).unwrap();
    drop(sleeper);
    let mut station = Station::start(SOURCES, &[]);
    let (workload, asks) = station.directory.place(&info, None, Mono::now());
    station.pass_on(&asks);
    station.until("answered", |station| station.directory.ready(&info.key, Mono(0)));
    check(&station.directory.resource(workload), "service.name=unknown_service:sleep");
}

/// A directory in the cgroup v2 hierarchy. Removed when dropped, with the parents that it made.
pub struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    pub fn make(path: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut fields = mounts.lines().map(|line| line.split(' '));
        let root = fields.find_map(|mut field| {
            let path = field.nth(1)?;
            (field.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        let mut at = root.expect("cgroup v2 is mounted");
        let mut made = Vec::new();
        for part in path.split('/') {
            at.push(part);
            if !at.exists() {
                fs::create_dir(&at).unwrap();
                made.push(at.clone());
            }
        }
        Self(made)
    }

    pub fn take(&self, pid: u32) {
        let leaf: &Path = self.0.last().expect("the leaf was made");
        fs::write(leaf.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // A process that was killed leaves its cgroup a moment later than it is reaped.
            let gone = shipwake_tests::poll::until(std::time::Duration::from_secs(5), || {
                fs::remove_dir(path).ok()
            });
            if gone.is_none() {
                eprintln!("{} stays", path.display());
            }
        }
    }
}

#[test]
fn a_service_is_named_by_its_unit_and_goes_on_after_a_restart() {
    let unit = format!("shipwake\\x2dtest{}@a\\x2db.service", std::process::id());
    let cgroup = Cgroup::make(&format!("system.slice/system-shipwake.slice/{unit}"));
    let mut station = Station::start(SOURCES, &[]);
    let first = Sleeper::start(&[]);
    cgroup.take(first.pid());
    let (process, workload) = station.see(first.pid());
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    let name = format!("shipwake-test{}@a-b", std::process::id());
    let expected = format!(
        "service.name={name}
         shipwake.systemd.unit={name}.service
         shipwake.systemd.instance=a-b
         process.executable.name="
    );
    check(&station.resource(&process), &expected);
    drop(first);
    station.directory.exit(&process, Mono::now());
    let second = Sleeper::start(&[("DD_VERSION", "2")]);
    cgroup.take(second.pid());
    let (process, again) = station.see(second.pid());
    assert_eq!(again, workload);
    station
        .until("read", |station| station.resource(&process).text("service.version") == Some("2"));
    check(&station.resource(&process), &expected);
    drop(second);
}
