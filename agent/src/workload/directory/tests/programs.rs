//! Processes that are told apart by what they publish, by rules, files and programs.

use super::*;

fn context(name: &str, instance: &str) -> Vec<(&'static str, String)> {
    let mut context = vec![("~context.service.name", name.to_owned())];
    if !instance.is_empty() {
        context.push(("~context.service.instance.id", instance.to_owned()));
    }
    context
}

impl Bench {
    fn publish(&mut self, tgid: u32, name: &str, instance: &str) -> Applied {
        let context = context(name, instance);
        let facts: Vec<_> = context.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.tell(About::Process(key(tgid)), "otel_ctx", &facts)
    }

    fn text(&self, workload: WorkloadId, key: &str) -> Option<String> {
        self.directory.resource(workload).text(key).map(str::to_owned)
    }
}

#[test]
fn what_a_process_publishes_late_names_its_container() {
    let mut bench = bench();
    let path = format!("/docker/{}", id('a'));
    let workload = bench.place(10, &path, "/bin/sh");
    assert_eq!(bench.place(11, &path, "/bin/app"), workload);
    bench.environ(10, &[("~env.OTEL_SERVICE_NAME", "env")]);
    bench.environ(11, &[("~env.OTEL_SERVICE_NAME", "env")]);
    assert_eq!(bench.name(workload), "env");
    bench.wait(30_000);
    // Not the first process, and not the main one.
    let applied = bench.publish(11, "env", "i-1");
    assert_eq!(applied, Applied { changed: vec![workload], moved: vec![] });
    assert_eq!(bench.text(workload, "service.instance.id").as_deref(), Some("i-1"));
    // Another instance in the same container is another one.
    let applied = bench.publish(10, "env", "i-2");
    let [moved] = applied.moved.as_slice() else { panic!("{applied:?}") };
    assert_eq!(bench.text(moved.to, "service.instance.id").as_deref(), Some("i-2"));
    assert_eq!(bench.text(workload, "service.instance.id").as_deref(), Some("i-1"));
}

#[test]
fn who_publishes_takes_it_along() {
    let mut bench = bench();
    let path = "/system.slice/web.service";
    let workload = bench.place(10, path, "/bin/app");
    bench.environ(10, &[]);
    let told = [("~context.service.name", "web"), ("~context.service.version", "1")];
    bench.tell(About::Process(key(10)), "otel_ctx", &told);
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("1"));
    bench.wait(60_000);
    bench.directory.exit(&key(10), bench.now);
    assert_eq!(
        bench.text(workload, "service.version").as_deref(),
        Some("1"),
        "nobody says otherwise"
    );
    // The next start may be another version, which nobody knows yet.
    assert_eq!(bench.place(11, path, "/bin/app"), workload);
    bench.environ(11, &[]);
    assert_eq!(bench.text(workload, "service.version"), None);
}

#[test]
fn a_forked_child_has_not_published_what_its_parent_has() {
    let mut bench = bench();
    let workload = bench.place(10, "/", "/bin/app");
    bench.environ(10, &[]);
    bench.publish(10, "web", "i-1");
    let parent = bench.directory.workload(&key(10)).unwrap();
    assert_ne!(parent, workload, "outside of containers every instance is its own");
    let child = bench.directory.fork(&key(10), key(11), bench.now).unwrap();
    assert_eq!(child, parent);
    let applied = bench.publish(11, "web", "i-2");
    let [moved] = applied.moved.as_slice() else { panic!("{applied:?}") };
    assert_eq!(bench.text(moved.to, "service.instance.id").as_deref(), Some("i-2"));
    assert_eq!(bench.text(parent, "service.instance.id").as_deref(), Some("i-1"));
}

#[test]
fn services_of_one_interpreter_are_told_apart() {
    let mut bench = bench();
    let file = |path: &str, name: &str| {
        [("~file.service.name", name.to_owned()), ("~apart", path.to_owned())]
    };
    let mut describe = |tgid: u32, path: &str, name: &str| {
        bench.place(tgid, "/", "/usr/bin/python3");
        bench.environ(tgid, &[]);
        let facts = file(path, name);
        let facts: Vec<_> = facts.iter().map(|(key, value)| (*key, value.as_str())).collect();
        bench.tell(About::Process(key(tgid)), "file", &facts);
        let workload = bench.directory.workload(&key(tgid)).unwrap();
        (workload, bench.name(workload))
    };
    let (shop, name) = describe(10, "/srv/shop/.shipwake.json", "shop");
    assert_eq!(name, "shop");
    let (mail, name) = describe(11, "/srv/mail/.shipwake.json", "mail");
    assert_eq!(name, "mail");
    assert_ne!(shop, mail);
    assert_eq!(describe(12, "/srv/shop/.shipwake.json", "shop").0, shop);
    let other = bench.place(13, "/", "/usr/bin/python3");
    assert_eq!(bench.name(other), "unknown_service:python3");
}

#[test]
fn a_rule_by_variable_tells_processes_of_one_executable_apart() {
    let mut bench = ruled(
        "[[workload.rule]]\nmatch = { executable = \"/bin/app\", variable.SHARD = \"*\" }\n\
         set = { \"service.name\" = \"app-{variable.SHARD}\" }",
    );
    for (tgid, shard) in [(10, "a"), (11, "b"), (12, "a")] {
        bench.place(tgid, "/", "/bin/app");
        bench.environ(tgid, &[("~env.SHARD", shard), ("~env.DD_VERSION", "9")]);
    }
    let of = |bench: &Bench, tgid| bench.directory.workload(&key(tgid)).unwrap();
    assert_eq!(bench.name(of(&bench, 10)), "app-a");
    assert_eq!(bench.name(of(&bench, 11)), "app-b");
    assert_eq!(of(&bench, 12), of(&bench, 10));
    // What the variables say otherwise is still somebody's surroundings.
    assert_eq!(bench.text(of(&bench, 10), "service.version"), None);
}

#[test]
fn the_main_process_brings_what_is_known_about_it() {
    let mut bench = bench();
    let path = "/system.slice/web.service";
    let workload = bench.place(10, path, "/bin/app");
    let version = |version: &'static str| [("~file.service.version", version)];
    bench.tell(About::Process(key(10)), "file", &version("1"));
    bench.environ(10, &[]);
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("1"));
    bench.wait(60_000);
    // A helper of the service is not the service.
    bench.place(11, path, "/bin/helper");
    bench.tell(About::Process(key(11)), "file", &version("7"));
    bench.environ(11, &[]);
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("1"));
    let applied = bench.tell(About::Process(key(10)), "file", &version("2"));
    assert_eq!(applied.changed, [workload]);
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("2"));
    let applied = bench.tell(About::Process(key(10)), "file", &[]);
    assert_eq!(applied.changed, [workload]);
    assert_eq!(bench.text(workload, "service.version"), None);
}

#[test]
fn descriptions_of_old_and_new_processes_side_by_side_claim_only_what_both_say() {
    let mut bench = bench();
    let describe = |bench: &mut Bench, tgid: u32, version: &str| {
        bench.place(tgid, "/", "/srv/app");
        bench.environ(tgid, &[]);
        let facts = [("~file.service.name", "shop"), ("~file.service.version", version)];
        bench.tell(About::Process(key(tgid)), "file", &facts);
        bench.directory.workload(&key(tgid)).unwrap()
    };
    let workload = describe(&mut bench, 10, "1");
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("1"));
    bench.wait(60_000);
    assert_eq!(describe(&mut bench, 11, "2"), workload);
    assert_eq!(bench.text(workload, "service.version"), None);
    assert_eq!(bench.name(workload), "shop");
    bench.directory.exit(&key(10), bench.now);
    assert_eq!(bench.text(workload, "service.version").as_deref(), Some("2"));
}

#[test]
fn what_a_process_publishes_is_not_about_what_it_starts() {
    let mut bench = bench();
    bench.place(10, "/", "/bin/app");
    let environment = [("~env.OTEL_SERVICE_NAME", "shop")];
    bench.environ(10, &environment);
    bench.publish(10, "published", "i-1");
    let parent = bench.directory.workload(&key(10)).unwrap();
    assert_eq!(bench.name(parent), "published");
    let child = bench.child(11, Some("/"), Some("/bin/other"), parent);
    assert_eq!(bench.name(child), "shop", "by the environment that it presumably has");
    bench.environ(11, &environment);
    let child = bench.directory.workload(&key(11)).unwrap();
    assert_eq!(bench.name(child), "shop");
    assert_ne!(bench.text(child, "service.instance.id").as_deref(), Some("i-1"));
}

/// What the source `binary` says about a process.
fn binary(bench: &mut Bench, tgid: u32, facts: &[(&str, &str)]) -> Applied {
    for source in ["otel_ctx", "rules", "environ", "file"] {
        bench.tell(About::Process(key(tgid)), source, &[]);
    }
    bench.tell(About::Process(key(tgid)), "binary", facts)
}

fn version(bench: &Bench, id: WorkloadId) -> Option<String> {
    bench.directory.resource(id).text("service.version").map(str::to_owned)
}

#[test]
fn builds_of_one_executable_that_run_side_by_side_say_what_they_have_in_common() {
    let mut bench = bench();
    let build = |version: &'static str| {
        [("~built.service.version", version), ("~built.process.runtime.name", "go")]
    };
    let workload = bench.place(10, "/", "/srv/shop");
    binary(&mut bench, 10, &build("1"));
    assert_eq!(version(&bench, workload).as_deref(), Some("1"));
    bench.wait(60_000);
    assert_eq!(bench.place(11, "/", "/srv/shop"), workload);
    let applied = binary(&mut bench, 11, &build("2"));
    assert_eq!(applied.changed, [workload]);
    assert_eq!(version(&bench, workload), None, "which of them it is, nobody knows");
    assert_eq!(bench.directory.resource(workload).text("process.runtime.name"), Some("go"));
    bench.directory.exit(&key(10), bench.now);
    assert_eq!(version(&bench, workload).as_deref(), Some("2"));
    // One that comes and goes.
    bench.place(12, "/", "/srv/shop");
    binary(&mut bench, 12, &build("1"));
    assert_eq!(version(&bench, workload), None);
    bench.directory.exit(&key(12), bench.now);
    assert_eq!(version(&bench, workload).as_deref(), Some("2"));
    assert_eq!(bench.place(13, "/", "/srv/shop"), workload);
    assert_eq!(binary(&mut bench, 13, &build("2")), Applied::default(), "nothing new");
}

#[test]
fn programs_of_one_interpreter_are_services_of_their_own() {
    let mut bench = bench();
    let workload = bench.place(10, "/", "/usr/bin/node");
    assert_eq!(bench.place(11, "/", "/usr/bin/node"), workload);
    binary(&mut bench, 10, &[("~apart", "/srv/web"), ("~built.service.name", "web")]);
    binary(&mut bench, 11, &[("~apart", "/srv/worker"), ("~built.service.name", "worker")]);
    let ids = [10, 11].map(|tgid| bench.directory.workload(&key(tgid)).unwrap());
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids.map(|id| bench.name(id)), ["web", "worker"]);
    let instance = |id| bench.directory.resource(id).text("service.instance.id").map(str::to_owned);
    assert_ne!(instance(ids[0]), instance(ids[1]));
    assert_ne!(instance(ids[0]), instance(workload));
}
