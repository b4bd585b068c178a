//! The sources that need no container runtime, against real processes.

use std::process::Command;

use shipwake::{process, time::Mono};
use shipwake_tests::cgroup::Cgroup;

use crate::{
    local::Running,
    station::{Station, check},
};

const SOURCES: &[&str] = &["systemd", "environ", "executable", "host"];

fn sleeper(environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new("/bin/sleep");
    Running::of(command.arg("1000000").env_clear().envs(environment.iter().copied()))
}

#[test]
fn a_process_outside_of_containers_is_named_by_its_environment() {
    let named = sleeper(&[
        ("OTEL_SERVICE_NAME", "checkout"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,deployment.environment.name=prod"),
        ("SECRET", "hunter2"),
    ]);
    let broken = sleeper(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,oops")]);
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
    let sleeper = sleeper(&[("OTEL_SERVICE_NAME", "checkout")]);
    let info = process::see(sleeper.pid()).unwrap();
    drop(sleeper);
    let mut station = Station::start(SOURCES, &[]);
    let (workload, asks) = station.directory.place(&info, None, Mono::now());
    station.pass_on(&asks);
    station.until("answered", |station| station.directory.ready(&info.key, Mono(0)));
    check(&station.directory.resource(workload), "service.name=unknown_service:sleep");
}

#[test]
fn a_service_is_named_by_its_unit_and_goes_on_after_a_restart() {
    let unit = format!("shipwake\\x2dtest{}@a\\x2db.service", std::process::id());
    let cgroup = Cgroup::make(&format!("system.slice/system-shipwake.slice/{unit}")).unwrap();
    let mut station = Station::start(SOURCES, &[]);
    let first = sleeper(&[]);
    cgroup.take(first.pid()).unwrap();
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
    let second = sleeper(&[("DD_VERSION", "2")]);
    cgroup.take(second.pid()).unwrap();
    let (process, again) = station.see(second.pid());
    assert_eq!(again, workload);
    station
        .until("read", |station| station.resource(&process).text("service.version") == Some("2"));
    check(&station.resource(&process), &expected);
    drop(second);
}
