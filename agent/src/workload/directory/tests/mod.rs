//! Tests of placing processes and joining what sources say.

mod programs;

use super::*;
use crate::workload::Attribute;

const MS: u64 = 1_000_000;

/// A directory and a clock.
struct Bench {
    directory: Directory,
    now: Mono,
}

fn bench() -> Bench {
    let mut bench = silent();
    bench.tell(About::Host, "host", &[("host.id", "h1")]);
    bench
}

/// The host has not been described yet.
fn silent() -> Bench {
    let now = Mono(1_000 * MS);
    let sources = ["docker", "containerd", "systemd", "environ", "executable", "host"];
    let sources = sources.map(str::to_owned).to_vec();
    let settings = Settings { sources, ..Settings::default() };
    Bench { directory: Directory::new(&settings, now), now }
}

/// With every source, and rules.
fn ruled(rules: &str) -> Bench {
    let now = Mono(1_000 * MS);
    let config: crate::config::Config = toml::from_str(rules).unwrap();
    let mut bench = Bench { directory: Directory::new(&config.workload, now), now };
    bench.tell(About::Host, "host", &[("host.id", "h1")]);
    bench
}

fn key(tgid: u32) -> ProcessKey {
    ProcessKey { tgid, start_ticks: tgid }
}

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn container(letter: char) -> About {
    About::Container(ContainerId(id(letter).into()))
}

fn info(tgid: u32, path: Option<&str>, executable: Option<&str>) -> ProcessInfo {
    let mut info = ProcessInfo::new(key(tgid), Mono(0));
    info.cgroup.path = path.map(Arc::from);
    info.executable = executable.map(Arc::from);
    info
}

impl Bench {
    fn place(&mut self, tgid: u32, path: &str, executable: &str) -> WorkloadId {
        self.directory.place(&info(tgid, Some(path), Some(executable)), None, self.now).0
    }

    fn child(
        &mut self,
        tgid: u32,
        path: Option<&str>,
        executable: Option<&str>,
        parent: WorkloadId,
    ) -> WorkloadId {
        self.directory.place(&info(tgid, path, executable), Some(parent), self.now).0
    }

    fn tell(&mut self, about: About, source: &'static str, facts: &[(&str, &str)]) -> Applied {
        let attributes = facts.iter().map(|(key, value)| Attribute::text(*key, *value)).collect();
        self.directory.apply(Change { source, about, attributes }, self.now)
    }

    fn environ(&mut self, tgid: u32, facts: &[(&str, &str)]) -> Applied {
        let mut facts = facts.to_vec();
        facts.push(("~environ.read", "yes"));
        self.tell(About::Process(key(tgid)), "environ", &facts)
    }

    fn name(&self, id: WorkloadId) -> String {
        self.directory.resource(id).text("service.name").unwrap_or_default().to_owned()
    }

    fn settled(&self, id: WorkloadId) -> bool {
        self.directory.settled(id, self.now)
    }

    fn wait(&mut self, millis: u64) {
        self.now.0 += millis * MS;
    }
}

#[test]
fn the_same_container_is_the_same_workload() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let first = bench.place(10, &path, "/bin/app");
    assert_eq!(bench.place(11, &path, "/bin/helper"), first);
    assert_eq!(bench.place(12, &format!("{path} (deleted)"), "/bin/app"), first);
    let other = bench.place(13, &format!("/docker/{}", id('b')), "/bin/app");
    assert_ne!(other, first);
    assert_eq!(bench.directory.workload(&key(11)), Some(first));
}

#[test]
fn each_container_and_unit_is_asked_about_once() {
    let mut bench = bench();
    let mut asks = |tgid: u32, path: &str| {
        let (_, asks) =
            bench.directory.place(&info(tgid, Some(path), Some("/bin/app")), None, bench.now);
        asks.iter()
            .map(|ask| match ask {
                Ask::Process(info) => format!("process {}", info.key.tgid),
                Ask::Container { id, .. } => format!("container {}", &id.0[..1]),
                Ask::Unit(unit) => format!("unit {unit}"),
            })
            .collect::<Vec<_>>()
    };
    let path = format!("/docker/{}", id('a'));
    assert_eq!(asks(10, &path), ["container a", "process 10"]);
    assert_eq!(asks(11, &path), ["process 11"]);
    assert_eq!(asks(12, "/system.slice/a.service"), ["unit a.service", "process 12"]);
    assert_eq!(asks(13, "/system.slice/a.service"), ["process 13"]);
    assert_eq!(
        asks(14, "/user.slice/user-5.slice/user@5.service/app.slice/a.service"),
        ["unit user@5/a.service", "process 14"]
    );
    let inside = format!("unit {}/a.service", id('a'));
    assert_eq!(asks(15, &format!("{path}/system.slice/a.service")), [&*inside, "process 15"]);
}

#[test]
fn only_those_are_asked_who_have_not_told_before_the_first_process() {
    let mut bench = bench();
    bench.tell(container('a'), "containerd", &[("~label.com.docker.compose.service", "web")]);
    let path = format!("/docker/{}", id('a'));
    let (workload, asks) =
        bench.directory.place(&info(10, Some(&path), Some("/bin/app")), None, bench.now);
    let asked = Ask::Container { id: ContainerId(id('a').into()), told: vec!["containerd"] };
    assert!(asks.contains(&asked), "{asks:?}");
    assert_eq!(bench.name(workload), "web", "and has its name from the first moment");
    bench.environ(10, &[]);
    bench.tell(About::Process(key(10)), "executable", &[]);
    assert!(!bench.settled(workload), "docker may know more");
    bench.tell(container('a'), "docker", &[("~label.com.docker.compose.service", "shop")]);
    assert!(bench.settled(workload));
    assert_eq!(bench.name(workload), "shop");
}

#[test]
fn a_source_that_knows_nothing_any_more_takes_nothing_away() {
    let mut bench = bench();
    let workload = bench.place(10, &format!("/docker/{}", id('a')), "/bin/app");
    bench.tell(container('a'), "docker", &[("~label.com.docker.compose.service", "web")]);
    assert_eq!(bench.tell(container('a'), "docker", &[]), Applied::default());
    assert_eq!(bench.name(workload), "web");
}

#[test]
fn labels_that_arrive_late_change_the_resource() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(10, &path, "/bin/app");
    assert_eq!(bench.name(workload), "unknown_service:app");
    let labels = [("~label.com.docker.compose.service", "web")];
    let applied = bench.tell(container('a'), "docker", &labels);
    assert_eq!(applied, Applied { changed: vec![workload], moved: vec![] });
    assert_eq!(bench.name(workload), "web");
    let before = bench.directory.resource(workload);
    assert_eq!(bench.tell(container('a'), "docker", &labels), Applied::default(), "no news");
    assert!(Arc::ptr_eq(&before, &bench.directory.resource(workload)));
}

#[test]
fn settled_when_every_asked_source_has_answered() {
    let mut bench = silent();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(10, &path, "/bin/app");
    assert!(!bench.settled(workload));
    bench.tell(About::Host, "host", &[]);
    assert!(!bench.settled(workload));
    bench.environ(10, &[]);
    assert!(!bench.settled(workload));
    assert!(bench.directory.ready(&key(10), bench.now));
    bench.tell(container('a'), "docker", &[]);
    assert!(!bench.settled(workload));
    bench.tell(container('a'), "containerd", &[]);
    assert!(bench.settled(workload), "an empty answer is an answer");
}

#[test]
fn sources_have_an_order_whoever_speaks_first() {
    let name = |bench: &Bench, workload| {
        let resource = bench.directory.resource(workload);
        resource.text("container.runtime.name").map(str::to_owned)
    };
    for order in [["docker", "containerd"], ["containerd", "docker"]] {
        let mut bench = bench();
        let workload = bench.place(10, &format!("/x/{}", id('a')), "/bin/app");
        for source in order {
            bench.tell(container('a'), source, &[("container.runtime.name", source)]);
        }
        assert_eq!(name(&bench, workload).as_deref(), Some("docker"), "{order:?}");
    }
}

#[test]
fn settled_when_patience_has_passed() {
    let mut bench = silent();
    let workload = bench.place(10, &format!("/docker/{}", id('a')), "/bin/app");
    assert!(!bench.settled(WorkloadId::HOST));
    bench.wait(1_999);
    assert!(!bench.settled(workload));
    assert!(!bench.directory.ready(&key(10), bench.now));
    bench.wait(1);
    assert!(bench.settled(workload));
    assert!(bench.directory.ready(&key(10), bench.now));
    assert!(bench.settled(WorkloadId::HOST));
    assert!(bench.settled(WorkloadId::AGENT));
}

#[test]
fn sources_that_are_switched_off_are_not_waited_for() {
    let now = Mono(0);
    let settings = Settings { sources: Vec::new(), ..Settings::default() };
    let mut directory = Directory::new(&settings, now);
    let path = format!("/docker/{}", id('a'));
    let (workload, asks) = directory.place(&info(10, Some(&path), Some("/bin/app")), None, now);
    assert_eq!(asks, []);
    assert!(directory.settled(workload, now));
}

#[test]
fn the_first_name_in_a_container_belongs_to_all_of_it() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(10, &path, "/bin/sh");
    bench.place(11, &path, "/bin/app");
    let applied = bench.environ(11, &[("~env.OTEL_SERVICE_NAME", "checkout")]);
    assert_eq!(applied, Applied { changed: vec![workload], moved: vec![] });
    assert_eq!(bench.name(workload), "checkout");
    assert_eq!(bench.environ(10, &[]), Applied::default(), "one without a name stays");
    assert_eq!(bench.place(12, &path, "/bin/late"), workload);
}

#[test]
fn a_second_name_in_a_container_is_another_workload() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let first = bench.place(10, &path, "/bin/a");
    bench.environ(10, &[("~env.OTEL_SERVICE_NAME", "a")]);
    bench.place(11, &path, "/bin/b");
    let applied = bench.environ(11, &[("~env.OTEL_SERVICE_NAME", "b")]);
    let second = bench.directory.workload(&key(11)).unwrap();
    assert_ne!(second, first);
    assert_eq!(applied.moved, [Moved { process: key(11), from: first, to: second }]);
    assert_eq!((bench.name(first), bench.name(second)), ("a".to_owned(), "b".to_owned()));
    // A child of the second, whose environment nobody could read, stays with its parent.
    let child = bench.child(12, Some(&path), Some("/bin/c"), second);
    assert_eq!(child, second);
    bench.tell(About::Process(key(12)), "environ", &[]);
    assert_eq!(bench.directory.workload(&key(12)), Some(second));
}

#[test]
fn outside_of_containers_a_name_is_the_processs_own() {
    let mut bench = bench();
    let session = "/user.slice/user-0.slice/session-1.scope";
    let plain = bench.place(10, session, "/usr/bin/python3");
    bench.place(11, session, "/usr/bin/python3");
    let applied =
        bench.environ(11, &[("~env.OTEL_SERVICE_NAME", "checkout"), ("~env.DD_VERSION", "2")]);
    let named = bench.directory.workload(&key(11)).unwrap();
    assert_eq!(applied.moved, [Moved { process: key(11), from: plain, to: named }]);
    assert_eq!(bench.name(plain), "unknown_service:python3");
    assert_eq!(bench.name(named), "checkout");
    assert_eq!(bench.directory.resource(named).text("service.version"), Some("2"));
    // A name in the environment of a shell goes to what is started from it, until it is read.
    let child = bench.child(12, Some(session), Some("/usr/bin/node"), named);
    assert_eq!(bench.name(child), "checkout");
    let applied = bench.environ(12, &[]);
    assert_eq!(applied.moved.len(), 1);
    assert_eq!(bench.name(bench.directory.workload(&key(12)).unwrap()), "unknown_service:node");
}

#[test]
fn surroundings_of_a_shell_say_nothing_about_a_service() {
    let mut bench = bench();
    let workload = bench.place(10, "/", "/usr/bin/gcc");
    bench.environ(10, &[("~env.GIT_COMMIT", "abc1234"), ("~env.DD_ENV", "ci")]);
    let resource = bench.directory.resource(workload);
    assert_eq!(resource.text("vcs.ref.head.revision"), None);
    assert_eq!(resource.text("deployment.environment.name"), None);
}

#[test]
fn forks_are_their_parent_and_cost_no_question() {
    let mut bench = bench();
    let session = "/user.slice/user-0.slice/session-1.scope";
    bench.place(10, session, "/usr/bin/python3");
    bench.environ(10, &[("~env.OTEL_SERVICE_NAME", "checkout")]);
    let parent = bench.directory.workload(&key(10)).unwrap();
    assert_eq!(bench.directory.fork(&key(10), key(11), bench.now), Some(parent));
    assert!(bench.directory.ready(&key(11), bench.now));
    assert_eq!(bench.directory.fork(&key(99), key(12), bench.now), None);
    // What the child executes has, presumably, the environment it was forked with.
    let (workload, _) =
        bench.directory.place(&info(11, Some(session), Some("/usr/bin/node")), None, bench.now);
    assert_eq!(bench.name(workload), "checkout");
}

#[test]
fn a_process_of_which_nothing_is_known_is_its_parents() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let parent = bench.place(10, &path, "/bin/app");
    assert_eq!(bench.child(11, None, None, parent), parent);
    assert_eq!(
        bench.child(12, None, Some("/bin/true"), parent),
        parent,
        "it starts in the same cgroup"
    );
    let (orphan, _) = bench.directory.place(&info(13, None, None), None, bench.now);
    assert_eq!(bench.name(orphan), "unknown_service");
}

#[test]
fn a_process_known_by_the_leaf_of_its_cgroup() {
    let mut bench = bench();
    let parent = bench.place(10, "/", "/bin/shim");
    let mut late = info(11, None, Some("/bin/app"));
    late.cgroup.leaf_names =
        vec![format!("docker-{}.scope", id('a')).into(), "system.slice".into()];
    let (workload, _) = bench.directory.place(&late, Some(parent), bench.now);
    assert_ne!(workload, parent);
    let full = format!("/system.slice/docker-{}.scope", id('a'));
    assert_eq!(bench.place(12, &full, "/bin/app"), workload);
}

#[test]
fn the_executable_that_was_found_later() {
    let mut bench = bench();
    let (unknown, asks) = bench.directory.place(&info(10, Some("/"), None), None, bench.now);
    assert_eq!(asks.len(), 1);
    let applied = bench.tell(About::Process(key(10)), "executable", &[("~executable", "/bin/app")]);
    let known = bench.directory.workload(&key(10)).unwrap();
    assert_eq!(applied.moved, [Moved { process: key(10), from: unknown, to: known }]);
    assert_eq!(bench.name(known), "unknown_service:app");
}

#[test]
fn the_oldest_process_that_is_no_starter_names_a_container() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(20, &path, "/bin/sh");
    assert_eq!(bench.name(workload), "unknown_service:sh");
    bench.place(21, &path, "/usr/local/bin/node");
    assert_eq!(bench.name(workload), "unknown_service:node");
    bench.place(22, &path, "/usr/bin/curl");
    assert_eq!(bench.name(workload), "unknown_service:node");
    bench.wait(10_000);
    bench.place(5, &path, "/usr/bin/older");
    assert_eq!(bench.name(workload), "unknown_service:node", "chosen once");
    bench.directory.place(&info(21, Some(&path), Some("/srv/app")), None, bench.now);
    assert_eq!(bench.name(workload), "unknown_service:app", "it became another program itself");
}

#[test]
fn ended_workloads_stay_until_they_are_forgotten_and_ids_are_never_given_again() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(10, &path, "/bin/app");
    bench.tell(container('a'), "docker", &[("~label.com.docker.compose.service", "web")]);
    let linger = Duration::from_secs(5);
    assert_eq!(bench.directory.ended(bench.now, Duration::ZERO), []);
    bench.directory.exit(&key(10), bench.now);
    bench.wait(4_999);
    assert_eq!(bench.directory.ended(bench.now, linger), []);
    bench.wait(1);
    assert_eq!(bench.directory.ended(bench.now, linger), [workload]);
    assert_eq!(bench.name(workload), "web", "still readable for its last points");
    // A restart of the container in the meantime continues it.
    assert_eq!(bench.place(11, &path, "/bin/app"), workload);
    assert_eq!(bench.directory.ended(bench.now, linger), []);
    bench.directory.forget(workload);
    assert_eq!(bench.name(workload), "web", "one that lives is not forgotten");
    bench.directory.exit(&key(11), bench.now);
    bench.directory.forget(workload);
    assert_eq!(bench.name(workload), "");
    let again = bench.place(12, &path, "/bin/app");
    assert_ne!(again, workload);
    assert_eq!(
        bench.name(again),
        "unknown_service:app",
        "labels were forgotten and are asked for anew"
    );
}

#[test]
fn nothing_stays_of_what_ended() {
    let mut bench = bench();
    for tgid in 100..1100 {
        let path = match tgid % 3 {
            0 => format!("/docker/{tgid:064}"),
            1 => format!("/system.slice/job-{tgid}.service"),
            _ => "/".to_owned(),
        };
        bench.place(tgid, &path, &format!("/bin/x{tgid}"));
        bench.environ(tgid, &[("~env.OTEL_SERVICE_NAME", &format!("s{tgid}"))]);
        bench.directory.exit(&key(tgid), bench.now);
        for ended in bench.directory.ended(bench.now, Duration::ZERO) {
            bench.directory.forget(ended);
        }
    }
    let Directory { processes, workloads, places, containers, units, .. } = &bench.directory;
    assert_eq!((processes.len(), workloads.len(), places.len()), (0, 0, 0));
    assert_eq!((containers.len(), units.len()), (0, 0));
}

#[test]
fn containers_nobody_is_in_are_bounded() {
    let mut bench = bench();
    for number in 0..answers::SPARE + 500 {
        let about = About::Container(ContainerId(format!("{number:064}").into()));
        bench.tell(about, "docker", &[("container.name", "x")]);
    }
    assert_eq!(bench.directory.containers.len(), answers::SPARE);
}

#[test]
fn a_restarted_unit_takes_the_new_environment() {
    let mut bench = bench();
    let path = "/system.slice/web.service";
    let workload = bench.place(10, path, "/bin/app");
    bench.environ(10, &[("~env.DD_VERSION", "1")]);
    bench.wait(60_000);
    bench.directory.exit(&key(10), bench.now);
    assert_eq!(bench.place(11, path, "/bin/app"), workload);
    let version = |bench: &Bench| {
        bench.directory.resource(workload).text("service.version").map(str::to_owned)
    };
    assert_eq!(version(&bench).as_deref(), Some("1"));
    let applied = bench.environ(11, &[("~env.DD_VERSION", "2")]);
    assert_eq!(applied.changed, [workload]);
    assert_eq!(version(&bench).as_deref(), Some("2"));
}

#[test]
fn a_service_inside_a_system_container_is_its_own_workload() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let a = bench.place(10, &format!("{path}/system.slice/a.service"), "/bin/a");
    let b = bench.place(11, &format!("{path}/system.slice/b.service"), "/bin/b");
    assert_ne!(a, b);
    bench.tell(container('a'), "docker", &[("container.name", "box")]);
    bench.tell(
        About::Unit(format!("{}/a.service", id('a')).into()),
        "systemd",
        &[("shipwake.systemd.unit", "a.service")],
    );
    assert_eq!((bench.name(a), bench.name(b)), ("a".to_owned(), "unknown_service:b".to_owned()));
    assert_eq!(bench.directory.resource(a).text("container.name"), Some("box"));
}

#[test]
fn host_and_agent() {
    let mut bench = silent();
    let workload = bench.place(10, "/", "/bin/app");
    let applied = bench.tell(About::Host, "host", &[("host.id", "h1"), ("host.name", "alpha")]);
    assert_eq!(applied.changed, [WorkloadId::HOST, WorkloadId::AGENT, workload]);
    let host = bench.directory.resource(WorkloadId::HOST);
    assert_eq!((host.text("host.name"), host.text("service.name")), (Some("alpha"), None));
    let agent = bench.directory.resource(WorkloadId::AGENT);
    assert_eq!(
        (agent.text("host.name"), agent.text("service.name")),
        (Some("alpha"), Some("shipwake"))
    );
    assert!(bench.directory.resource(workload).text("service.instance.id").is_some());
}

#[test]
fn answers_about_strangers_change_nothing() {
    let mut bench = bench();
    assert_eq!(bench.environ(99, &[("~env.OTEL_SERVICE_NAME", "x")]), Applied::default());
    assert_eq!(bench.tell(container('z'), "docker", &[]), Applied::default());
    bench.directory.exit(&key(99), bench.now);
    bench.directory.forget(WorkloadId(99));
    bench.directory.forget(WorkloadId::HOST);
    assert!(bench.directory.dump().is_empty());
}
