//! Pipeline tests: inputs in, reports out as text.

mod churn;
mod late;

use super::*;
use crate::{
    aggregate::{
        Settings,
        ledger::{Ledger, dump},
    },
    labels,
    metric::{LabelSet, Metric, Shape, Value, Worse},
    process::{CgroupRef, ProcessInfo},
    time::Wall,
    workload::{self, About, Attribute, ContainerId, names},
};

static CALLS: Metric = Metric {
    name: "calls",
    unit: "{call}",
    help: "",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[],
    bounds: &[],
};

fn ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn anchor(at: u64) -> Anchor {
    Anchor { mono: ms(at), wall: Wall(ms(at).0) }
}

fn key(tgid: u32) -> ProcessKey {
    ProcessKey { tgid, start_ticks: 1 }
}

fn info(tgid: u32, at: u64, executable: &str) -> ProcessInfo {
    ProcessInfo {
        executable: Some(format!("/usr/bin/{executable}").into()),
        ..ProcessInfo::new(key(tgid), ms(at))
    }
}

fn seen(tgid: u32, at: u64) -> Fact {
    Fact::Seen(info(tgid, at, "app"))
}

fn exit(tgid: u32, at: u64) -> Fact {
    Fact::Exit { at: ms(at), process: key(tgid), exit_code: 0 }
}

fn calls(tgid: u32, value: f64) -> Measurement {
    let (subject, labels) = (Subject::Process(key(tgid)), LabelSet::empty());
    Measurement { metric: &CALLS, subject, labels, value: Value::Add(value) }
}

fn container_id(letter: char) -> ContainerId {
    ContainerId(std::iter::repeat_n(letter, 64).collect::<String>().into())
}

fn letter(number: u64) -> char {
    ['a', 'b', 'c', 'd'][number as usize % 4]
}

fn seen_in(key: ProcessKey, at: u64, container: char) -> Fact {
    let path = format!("/system.slice/docker-{}.scope", container_id(container));
    let cgroup = CgroupRef { path: Some(path.into()), ..CgroupRef::default() };
    Fact::Seen(ProcessInfo { key, cgroup, ..info(0, at, "app") })
}

/// Feeds one engine and keeps what it reports.
struct Rig {
    engine: Engine,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Self {
        Self::with(&Settings::default())
    }

    fn with(settings: &Settings) -> Self {
        Self::with_sources(settings, &[])
    }

    fn with_sources(settings: &Settings, sources: &[&str]) -> Self {
        let sources = sources.iter().map(|name| (*name).to_owned()).collect();
        let sources = workload::Settings { sources, ..Default::default() };
        let directory = Directory::new(&sources, ms(0));
        let engine = Engine::new(settings, directory, anchor(0));
        Self { engine, ledger: Ledger::default() }
    }

    /// The source `docker` says which service a container is.
    fn tell(&mut self, container: char, service: &str) {
        let about = About::Container(container_id(container));
        let label = format!("{}com.docker.compose.service", names::LABEL);
        let attributes = vec![Attribute::text(label, service)];
        self.engine.apply(Input::Change(Change { source: "docker", about, attributes }));
    }

    /// The source `environ` says what a process calls its service.
    fn tell_environment(&mut self, process: ProcessKey, service: Option<&str>) {
        let name =
            |service| Attribute::text(format!("{}OTEL_SERVICE_NAME", names::VARIABLE), service);
        let mut attributes = vec![Attribute::text(names::ENVIRONMENT_READ, "yes")];
        attributes.extend(service.map(name));
        let about = About::Process(process);
        self.engine.apply(Input::Change(Change { source: "environ", about, attributes }));
    }

    /// A source says something about a process.
    fn tell_process(&mut self, source: &'static str, process: ProcessKey, facts: &[(&str, &str)]) {
        let attributes = facts.iter().map(|(key, value)| Attribute::text(*key, *value)).collect();
        let about = About::Process(process);
        self.engine.apply(Input::Change(Change { source, about, attributes }));
    }

    fn facts(&mut self, facts: impl Into<Vec<Fact>>) -> Output {
        let batch = Batch { facts: facts.into(), ..Batch::default() };
        self.engine.apply(Input::Batch { signal: "process", batch })
    }

    fn measure(&mut self, measurements: impl Into<Vec<Measurement>>) -> Output {
        let batch = Batch { measurements: measurements.into(), ..Batch::default() };
        self.engine.apply(Input::Batch { signal: "syscalls", batch })
    }

    #[track_caller]
    fn tick(&mut self, at: u64, due: Due) -> Option<Report> {
        let report = self.engine.apply(Input::Tick { now: anchor(at), due }).report;
        if let Some(report) = &report {
            self.ledger.take(report);
        }
        report
    }

    /// Compares the report at this time with the expected lines, each with the name of its service.
    #[track_caller]
    fn check_all(&mut self, at: u64, expected: &[&str]) {
        let text = dump(&self.tick(at, Due::Report).unwrap());
        let short = |line: &str| line.replacen('/', " ", 1);
        let found: Vec<_> = text
            .lines()
            .map(|line| {
                let (name, rest) = line.split_once(' ').unwrap();
                format!("{} {rest}", short(name).split(' ').next().unwrap())
            })
            .collect();
        assert_eq!(found, expected, "report at {at}");
    }

    /// Compares the report at this time with the expected lines, resources left out.
    #[track_caller]
    fn check(&mut self, at: u64, expected: &[&str]) {
        let report = self.tick(at, Due::Report).unwrap();
        let text = dump(&report);
        let found: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(found, expected, "report at {at}");
    }

    #[track_caller]
    fn check_own(&self, metric: &'static Metric, expected: &[(&str, f64)]) {
        let totals = self.ledger.totals_by(metric, "shipwake.agent.signal");
        let found: Vec<_> = totals.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        assert_eq!(found, expected, "{}", metric.name);
    }
}

#[test]
fn a_process_of_five_milliseconds_is_rolled_up() {
    let mut rig = Rig::new();
    rig.facts([seen(1, 0)]);
    rig.measure([calls(1, 10.0)]);
    rig.facts([Fact::Fork { at: ms(100), parent: key(1), child: key(2) }, exit(2, 105)]);
    rig.measure([calls(2, 3.0), calls(1, 1.0)]);
    rig.check(10_000, &["calls{} 3 since 0", "calls{executable.name=app,pid=1} 11 since 0"]);
}

#[test]
fn a_measurement_that_is_ahead_of_its_fact_waits() {
    let mut rig = Rig::new();
    rig.tick(1_000, Due::Nothing);
    assert_eq!(rig.measure([calls(7, 3.0), calls(7, 1.0)]).unknown, [7]);
    rig.check(1_000, &[]);
    rig.tick(1_400, Due::Nothing);
    rig.facts([seen(7, 1_000)]);
    rig.check(2_000, &["calls{executable.name=app,pid=7} 4 since 1000"]);
    rig.check_own(&metrics::UNATTRIBUTED, &[]);
}

#[test]
fn a_measurement_whose_process_nobody_knows_goes_to_the_host() {
    let mut rig = Rig::new();
    rig.measure([calls(7, 3.0)]);
    rig.tick(600, Due::Nothing);
    rig.check(1_000, &["calls{} 3 since 0"]);
    rig.check_own(&metrics::UNATTRIBUTED, &[("syscalls", 1.0)]);
}

#[test]
fn the_last_report_waits_for_nobody() {
    let mut rig = Rig::new();
    rig.measure([calls(7, 3.0)]);
    rig.tick(1, Due::FinalReport);
    assert_eq!(rig.ledger.total(&CALLS), 3.0);
}

#[test]
fn what_waits_is_bounded_and_never_dropped() {
    let mut rig = Rig::new();
    for tgid in 1..=20_000 {
        rig.measure([calls(tgid, 1.0)]);
    }
    assert_eq!(rig.engine.pending.len(), 16_384);
    rig.tick(10, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), f64::from(20_000 - 16_384));
    rig.tick(20, Due::FinalReport);
    assert_eq!(rig.ledger.total(&CALLS), 20_000.0);
    rig.check_own(&metrics::UNATTRIBUTED, &[("syscalls", 20_000.0)]);
}

#[test]
fn another_executable_is_another_series() {
    let mut rig = Rig::new();
    rig.facts([seen(1, 0)]);
    rig.measure([calls(1, 10.0)]);
    rig.check(10_000, &["calls{executable.name=app,pid=1} 10 since 0"]);
    rig.facts([Fact::Exec(info(1, 11_000, "other"))]);
    rig.measure([calls(1, 1.0)]);
    rig.check(
        20_000,
        &[
            "calls{executable.name=app,pid=1} 10 since 0",
            "calls{executable.name=other,pid=1} 1 since 11000",
        ],
    );
    rig.facts([Fact::Exec(info(1, 21_000, "other"))]);
    rig.measure([calls(1, 1.0)]);
    rig.check(30_000, &["calls{executable.name=other,pid=1} 2 since 11000"]);
    // Before its first report it was another program for a moment.
    rig.facts([seen(2, 30_000)]);
    rig.measure([calls(2, 1.0)]);
    rig.facts([Fact::Exec(info(2, 30_001, "other"))]);
    rig.measure([calls(2, 2.0)]);
    rig.check(
        40_000,
        &[
            "calls{} 1 since 30000",
            "calls{executable.name=other,pid=1} 2 since 11000",
            "calls{executable.name=other,pid=2} 2 since 30001",
        ],
    );
}

#[test]
fn without_process_attributes_there_is_one_series() {
    let settings = Settings { process_attributes: false, ..Default::default() };
    let mut rig = Rig::with(&settings);
    rig.facts([seen(1, 0), seen(2, 0)]);
    rig.measure([calls(1, 1.0), calls(2, 2.0)]);
    rig.check(10_000, &["calls{} 3 since 0"]);
}

#[test]
fn losses_and_refused_values_are_counted() {
    let mut rig = Rig::new();
    rig.facts([seen(1, 0)]);
    let losses = vec![Loss { signal: "http", cause: "ring_full", count: 4 }];
    rig.engine.apply(Input::Batch { signal: "http", batch: Batch { losses, ..Batch::default() } });
    rig.measure([calls(1, f64::NAN), calls(1, -1.0), calls(1, 1.0)]);
    rig.tick(10_000, Due::Report);
    rig.check_own(&metrics::LOST, &[("http", 4.0), ("syscalls", 2.0)]);
    rig.check_own(&metrics::MEASUREMENTS, &[("http", 0.0), ("process", 0.0), ("syscalls", 3.0)]);
    assert_eq!(rig.ledger.total(&CALLS), 1.0);
}

#[test]
fn overflow_keeps_the_total_and_is_counted() {
    let settings = Settings { cardinality_limit: 10, ..Default::default() };
    let mut rig = Rig::with(&settings);
    for tgid in 1..=50 {
        rig.facts([seen(tgid, 0)]);
        let labels = labels! { "n" => i64::from(tgid) };
        rig.measure([Measurement { labels, ..calls(tgid, 2.0) }]);
    }
    rig.tick(10_000, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 100.0);
    assert_eq!(rig.ledger.total(&metrics::OVERFLOWED), 41.0);
}

#[test]
fn a_workload_that_is_over_is_forgotten() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker"]);
    for round in 0..20u32 {
        let at = u64::from(round) * 1_000;
        rig.facts([seen_in(key(1 + round), at, 'a'), exit(1 + round, at)]);
        rig.measure([calls(1 + round, 1.0)]);
        rig.tick(at, Due::Nothing);
    }
    rig.tick(100_000, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 20.0);
    rig.tick(1_000_000, Due::Report);
    assert_eq!(rig.tick(1_000_001, Due::Report).map(|report| dump(&report)), Some(String::new()));
    assert_eq!((rig.engine.processes().len(), rig.engine.members.len()), (0, (0, 2)));
}

#[test]
fn what_comes_within_a_minute_of_the_end_is_still_of_its_service() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker"]);
    rig.tell('a', "web");
    let of = |key| Measurement { subject: Subject::Process(key), ..calls(0, 1.0) };
    let bare = |tgid| ProcessKey { tgid, start_ticks: 0 };
    rig.facts([seen_in(key(1), 100, 'a'), exit(1, 105)]);
    rig.tick(10_000, Due::Nothing);
    assert!(rig.engine.processes().is_empty());
    rig.measure([of(key(1))]);
    rig.tick(60_000, Due::Nothing);
    rig.measure([of(key(1)), of(bare(1))]);
    rig.check_all(61_000, &["web calls{} 3 since 0"]);
    rig.tick(200_000, Due::Nothing);
    rig.measure([of(key(1)), of(bare(1))]);
    rig.tick(201_000, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 5.0);
    rig.check_own(&metrics::UNATTRIBUTED, &[("syscalls", 2.0)]);
}

#[test]
fn a_pid_that_is_used_again_is_not_the_one_that_was_buried() {
    let mut rig = Rig::with_sources(&Settings::default(), &["docker"]);
    rig.tell('a', "web");
    rig.tell('b', "shop");
    let bare = ProcessKey { tgid: 1, start_ticks: 0 };
    let of_it = || Measurement { subject: Subject::Process(bare), ..calls(0, 1.0) };
    let end = |at| Fact::Exit { at: ms(at), process: bare, exit_code: 0 };
    rig.facts([seen_in(bare, 100, 'a'), end(105)]);
    rig.tick(10_000, Due::Nothing);
    rig.facts([seen_in(bare, 10_000, 'b'), end(10_100)]);
    rig.measure([of_it()]);
    rig.tick(20_000, Due::Nothing);
    rig.measure([of_it()]);
    rig.check_all(21_000, &["shop calls{} 2 since 0"]);
    rig.tick(1_000_000, Due::Report);
    assert_eq!(rig.engine.members.len(), (0, 2));
}

#[test]
fn many_short_processes_take_little_and_lose_nothing() {
    let mut rig = Rig::new();
    rig.facts([seen(1, 0)]);
    let child = |number| ProcessKey { tgid: 2 + number % 30_000, start_ticks: number };
    let of = |number| Measurement { subject: Subject::Process(child(number)), ..calls(0, 1.0) };
    // A thousand a second, for a minute; each is heard of again half a minute after its end.
    for number in 1..=60_000 {
        let at = u64::from(number);
        let (parent, child) = (key(1), child(number));
        let fork = Fact::Fork { at: ms(at), parent, child };
        rig.facts([fork, Fact::Exit { at: ms(at + 5), process: child, exit_code: 0 }]);
        rig.measure((number > 30_000).then(|| of(number - 30_000)).into_iter().collect::<Vec<_>>());
        if number % 100 == 0 {
            rig.tick(at, Due::Nothing);
            assert!(rig.engine.processes().len() < 6_000);
        }
    }
    rig.tick(60_001, Due::Report);
    assert_eq!(rig.ledger.total(&CALLS), 30_000.0);
    assert_eq!(rig.ledger.total(&metrics::FORGOTTEN), 0.0);
    rig.check_own(&metrics::UNATTRIBUTED, &[]);
}

#[test]
fn reports_are_the_same_for_the_same_inputs() {
    let text = || {
        let mut rig = Rig::new();
        for tgid in 1..=200 {
            rig.facts([seen(tgid, 0)]);
            for n in 0i64..5 {
                let labels = labels! { "n" => n };
                rig.measure([Measurement { labels, ..calls(tgid, 0.1 * n as f64) }]);
            }
        }
        dump(&rig.tick(10_000, Due::Report).unwrap())
    };
    assert_eq!(text(), text());
}
