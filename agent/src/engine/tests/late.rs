//! What is learned late: labels, environments, files, process contexts, rules.

use super::*;

#[test]
fn labels_that_come_late_still_name_the_series() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker"]);
    let asks = rig.facts([seen_in(key(1), 100, 'a')]).asks;
    assert_eq!(asks, [Ask::Container { id: container_id('a'), told: vec![] }]);
    rig.measure([calls(1, 1.0)]);
    rig.facts([Fact::Fork { at: ms(150), parent: key(1), child: key(2) }, exit(2, 160)]);
    rig.measure([calls(2, 2.0)]);
    rig.check_all(1_000, &[]);
    rig.tell('a', "web");
    rig.measure([calls(1, 1.0)]);
    rig.check_all(
        1_500,
        &["web calls{} 2 since 0", "web calls{executable.name=app,pid=1} 2 since 0"],
    );
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker"]);
    rig.facts([seen_in(key(1), 100, 'a')]);
    rig.measure([calls(1, 1.0)]);
    rig.tick(1_000, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 0.0);
    rig.tick(3_000, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 1.0);
    // The answer comes after all: the old series ends and another one begins.
    rig.measure([calls(1, 4.0)]);
    rig.tick(3_500, Due::Nothing);
    rig.tell('a', "web");
    rig.measure([calls(1, 2.0)]);
    let report = rig.tick(10_000, Due::Report).unwrap();
    assert_eq!(rig.ledger.total(&CALLS), 7.0);
    assert_eq!(dump(&report).lines().filter(|line| line.starts_with("web")).count(), 1);
    let report = rig.tick(20_000, Due::Report).unwrap();
    assert_eq!(dump(&report).lines().count(), 1, "{}", dump(&report));
    assert!(dump(&report).contains(" 2 since 3500"));
}

#[test]
fn the_end_does_not_wait_for_labels() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker", "environ", "host"]);
    rig.facts([seen_in(key(1), 100, 'a'), seen(2, 100)]);
    rig.measure([calls(1, 1.0), calls(2, 2.0), calls(3, 4.0)]);
    rig.tick(200, Due::FinalReport);
    assert_eq!(rig.ledger.total(&CALLS), 7.0);
}

#[test]
fn an_environment_read_late_moves_what_was_measured() {
    let mut rig = Rig::with_sources(&Settings::default(), &["environ"]);
    rig.facts([seen(1, 0), seen(2, 0)]);
    rig.tell_environment(key(1), None);
    rig.tell_environment(key(2), None);
    rig.measure([calls(1, 1.0)]);
    rig.check_all(1_000, &["unknown_service:app calls{executable.name=app,pid=1} 1 since 0"]);
    // A new image is read anew: until then its data wait, and then they go where they belong.
    rig.tick(4_000, Due::Nothing);
    rig.facts([Fact::Exec(info(2, 4_500, "app"))]);
    rig.measure([calls(2, 8.0)]);
    rig.check_all(5_000, &["unknown_service:app calls{executable.name=app,pid=1} 1 since 0"]);
    rig.tell_environment(key(2), Some("shop"));
    rig.measure([calls(2, 1.0)]);
    rig.check_all(
        6_000,
        &[
            "shop calls{executable.name=app,pid=2} 9 since 1000",
            "unknown_service:app calls{executable.name=app,pid=1} 1 since 0",
        ],
    );
}

/// What was exported under the old name ends there, what was not goes to the new one; nothing is lost or
/// counted twice. `facts` come from `source` long after the process was first exported, and rename it `shop`.
#[track_caller]
fn check_late(source: &'static str, facts: &[(&str, &str)]) {
    let mut rig = Rig::with_sources(&Settings::default(), &["environ", source]);
    rig.facts([seen_in(key(1), 100, 'a')]);
    rig.tell_environment(key(1), None);
    rig.tell_process(source, key(1), &[]);
    rig.measure([calls(1, 1.0)]);
    let old = "unknown_service:app calls{executable.name=app,pid=1} 1 since 0";
    rig.check_all(10_000, &[old]);
    rig.measure([calls(1, 2.0)]);
    rig.tick(15_000, Due::Nothing);
    rig.tell_process(source, key(1), facts);
    rig.measure([calls(1, 4.0)]);
    // A child that was never exported goes along.
    rig.facts([Fact::Fork { at: ms(15_100), parent: key(1), child: key(2) }]);
    rig.measure([calls(2, 8.0)]);
    let closed = "unknown_service:app calls{executable.name=app,pid=1} 3 since 0";
    rig.check_all(
        20_000,
        &[
            "shop calls{executable.name=app,pid=1} 4 since 15000",
            "shop calls{executable.name=app,pid=2} 8 since 15100",
            closed,
        ],
    );
    let new = [
        "shop calls{executable.name=app,pid=1} 4 since 15000",
        "shop calls{executable.name=app,pid=2} 8 since 15100",
    ];
    rig.check_all(30_000, &new);
    // The same again changes nothing.
    rig.tell_process(source, key(1), facts);
    rig.check_all(40_000, &new);
    assert_eq!(rig.ledger.total(&CALLS), 15.0);
}

#[test]
fn a_late_file_closes_the_old_series() {
    check_late("file", &[("~file.service.name", "shop"), ("~path.service.name", "/x")]);
}

#[test]
fn a_late_process_context_closes_the_old_series() {
    check_late("otel_ctx", &[("~context.service.name", "shop")]);
}

#[test]
fn a_rule_that_can_be_judged_late_closes_the_old_series() {
    let rule = "[[workload.rule]]\nmatch = { label.team = \"core\" }\nset = { \"service.name\" = \"shop\" }";
    let config: crate::config::Config = toml::from_str(rule).unwrap();
    let sources = ["rules", "docker"].map(str::to_owned).to_vec();
    let settings = workload::Settings { sources, ..config.workload };
    let engine = Engine::new(&Settings::default(), Directory::new(&settings, ms(0)), anchor(0));
    let mut rig = Rig { engine, ledger: Ledger::default() };
    rig.facts([seen_in(key(1), 100, 'a')]);
    rig.tell('a', "web");
    rig.measure([calls(1, 1.0)]);
    rig.check_all(10_000, &["web calls{executable.name=app,pid=1} 1 since 0"]);
    rig.measure([calls(1, 2.0)]);
    rig.tick(15_000, Due::Nothing);
    let attributes = vec![Attribute::text("~label.team", "core")];
    let about = About::Container(container_id('a'));
    rig.engine.apply(Input::Change(Change { source: "docker", about, attributes }));
    rig.measure([calls(1, 4.0)]);
    rig.check_all(
        20_000,
        &[
            "shop calls{executable.name=app,pid=1} 4 since 15000",
            "web calls{executable.name=app,pid=1} 3 since 0",
        ],
    );
    rig.check_all(30_000, &["shop calls{executable.name=app,pid=1} 4 since 15000"]);
    assert_eq!(rig.ledger.total(&CALLS), 7.0);
}

#[test]
fn what_is_not_exported_changes_without_another_series() {
    let mut rig = Rig::with_sources(&Settings::default(), &["systemd"]);
    let cgroup =
        CgroupRef { path: Some("/system.slice/web.service".into()), ..CgroupRef::default() };
    rig.facts([Fact::Seen(ProcessInfo { key: key(1), cgroup, ..info(0, 100, "app") })]);
    for (at, id) in [(10_000, "a"), (20_000, "b")] {
        let attributes = vec![
            Attribute::text("shipwake.systemd.unit", "web.service"),
            Attribute::text("~fact.shipwake.systemd.invocation_id", id),
        ];
        let about = About::Unit("web.service".into());
        rig.engine.apply(Input::Change(Change { source: "systemd", about, attributes }));
        rig.measure([calls(1, 1.0)]);
        let value = at / 10_000;
        rig.check_all(at, &[&format!("web calls{{executable.name=app,pid=1}} {value} since 0")]);
    }
    let workload = rig.engine.workload_of(key(1)).unwrap();
    let resource = rig.engine.workloads().resource(workload);
    let fact = resource.fact("shipwake.systemd.invocation_id").map(ToString::to_string);
    assert_eq!(fact.as_deref(), Some("b"));
}
