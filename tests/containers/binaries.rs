//! The source `binary` against real processes: packages, compiled programs, Python, Node, Java.

use std::{fs, path::Path};

use shipwake::{process::ProcessKey, time::Mono};
use shipwake_tests::docker::Daemon;

use crate::{
    local::{Folder, Running, go},
    station::{Station, check},
};

const SOURCES: &[&str] = &["systemd", "environ", "binary", "executable", "host"];
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Waits for what the sources say about a process.
fn answered(station: &mut Station, process: &Running) -> ProcessKey {
    let (key, _) = station.see(process.pid());
    station.until("answered", |station| station.directory.ready(&key, Mono(0)));
    key
}

/// Attributes of a process, as the sources that are named tell them.
#[track_caller]
fn check_one(process: &Running, expected: &str) {
    let mut station = Station::start(SOURCES, &[]);
    let key = answered(&mut station, process);
    check(&station.resource(&key), expected);
}

#[test]
fn a_program_of_a_package_has_its_version() {
    let version = Folder::new("query").run("dpkg-query", &["-W", "-f=${Version}", "coreutils"]);
    // A link: the path in the package's list may be the one or the other.
    let sleep = Running::start(Path::new("/"), "/bin/sleep", &["1000000"]);
    let mut station = Station::start(SOURCES, &[]);
    let key = answered(&mut station, &sleep);
    let resource = station.resource(&key);
    check(
        &resource,
        &format!(
            "service.name=unknown_service:sleep
             service.version={version}
             shipwake.package.manager=dpkg
             shipwake.package.name=coreutils
             shipwake.package.version={version}
             process.executable.name=sleep
             vcs.ref.head.revision="
        ),
    );
    assert_eq!(resource.source("service.version"), Some("package dpkg coreutils"));
    let notes = Folder::new("notes").run("readelf", &["-n", "/bin/sleep"]);
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap();
    check(&resource, &format!("process.executable.build_id.gnu={id}"));
}

#[test]
fn an_interpreter_of_a_package_is_not_the_version_of_a_service() {
    let folder = Folder::new("script");
    folder.write("job.py", "import time\ntime.sleep(1000000)\n");
    let job = Running::start(&folder.0, "/usr/bin/python3", &["job.py"]);
    let shell = Running::start(&folder.0, "/bin/bash", &["-c", "read line"]);
    check_one(&job, "service.version=\nshipwake.package.manager=dpkg\nvcs.ref.head.revision=");
    check_one(
        &shell,
        "service.version=\nservice.name=unknown_service:bash\nshipwake.package.name=bash",
    );
}

#[test]
fn a_program_that_was_replaced_keeps_its_own_identity() {
    let folder = Folder::new("replaced");
    let old = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let new = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    folder.compile("shop", &[&format!("-Wl,--build-id=0x{old}")]);
    let first = Running::start(&folder.0, &folder.path("shop"), &[]);
    fs::remove_file(folder.0.join("shop")).unwrap();
    folder.compile("shop", &[&format!("-Wl,--build-id=0x{new}")]);
    let second = Running::start(&folder.0, &folder.path("shop"), &[]);
    check_one(&first, &format!("process.executable.build_id.gnu={old}\nservice.version="));
    check_one(&second, &format!("process.executable.build_id.gnu={new}\nservice.version="));
}

#[test]
fn a_console_script_of_a_python_environment() {
    let folder = Folder::new("venv");
    folder.python("checkout", "1.4.2");
    let interpreter = folder.path("venv/bin/python");
    let expected = "service.name=checkout
         service.version=1.4.2
         process.runtime.name=cpython";
    for arguments in
        [[folder.path("venv/bin/checkout"), String::new()], ["-m".to_owned(), "shop".to_owned()]]
    {
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|one| !one.is_empty()).collect();
        check_one(&Running::start(Path::new("/"), &interpreter, &arguments), expected);
    }
    // Relative to its working directory; and an environment that runs what others wrote.
    check_one(&Running::start(&folder.0, "venv/bin/python", &["venv/bin/checkout"]), expected);
    folder.write("venv/bin/gunicorn", "import time\ntime.sleep(1000000)\n");
    let server =
        Running::start(&folder.0, &interpreter, &[&folder.path("venv/bin/gunicorn"), "shop:app"]);
    check_one(&server, "service.version=");
}

#[test]
fn applications_of_one_node_are_services_of_their_own() {
    let folder = Folder::new("node");
    for (name, version) in [("web", "2.0.1"), ("worker", "3.1.0")] {
        folder.write(
            &format!("{name}/package.json"),
            &format!(
                "{{\"name\":\"@acme/{name}\",\"version\":\"{version}\",\
             \"repository\":{{\"url\":\"git+https://git.example/acme/{name}.git\"}}}}"
            ),
        );
        folder.write(&format!("{name}/dist/package.json"), "{\"type\":\"commonjs\"}");
        folder.write(&format!("{name}/dist/main.js"), "setInterval(() => {}, 1000000)\n");
    }
    let web = Running::start(&folder.0.join("web"), "/usr/bin/node", &["dist/main.js"]);
    let worker =
        Running::start(&folder.0, "/usr/bin/node", &["--no-warnings", "worker/dist/main.js"]);
    let mut station = Station::start(SOURCES, &[]);
    let (web, worker) = (answered(&mut station, &web), answered(&mut station, &worker));
    let (web, worker) = (station.resource(&web), station.resource(&worker));
    check(
        &web,
        "service.name=@acme/web
         service.version=2.0.1
         vcs.repository.url.full=https://git.example/acme/web
         process.runtime.name=nodejs",
    );
    check(&worker, "service.name=@acme/worker\nservice.version=3.1.0");
    assert_ne!(web.text("service.instance.id"), worker.text("service.instance.id"));
    assert_eq!(web.source("service.version"), Some("package.json"));
}

/// Stands in for the interpreter, whose package is large: what is read is its name, its arguments and
/// the jar.
#[test]
fn a_jar() {
    let folder = Folder::new("jar");
    folder.compile("bin/java", &[]);
    folder.write(
        "META-INF/MANIFEST.MF",
        "Implementation-Title: checkout\r\nImplementation-Version: 1.4.2\r\n\r\n",
    );
    folder.write("com/example/Main.class", "x");
    folder.write(
        "BOOT-INF/classes/git.properties",
        &format!("git.commit.id.full={COMMIT}\ngit.dirty=false\n"),
    );
    folder.jar(
        ".",
        "app.jar",
        &["META-INF/MANIFEST.MF", "com/example/Main.class", "BOOT-INF/classes/git.properties"],
    );
    let expected = format!(
        "service.name=checkout
         service.version=1.4.2
         vcs.ref.head.revision={COMMIT}
         process.runtime.name=java"
    );
    let java = folder.path("bin/java");
    check_one(&Running::start(&folder.0, &java, &["-Xmx64m", "-jar", "app.jar"]), &expected);
    let class = ["-cp", "none.jar:./*", "com.example.Main"];
    check_one(&Running::start(&folder.0, &java, &class), &expected);
}

#[test]
fn a_program_in_a_container_is_read_as_the_container_sees_it() {
    let folder = Folder::new("container");
    let id = "cccccccccccccccccccccccccccccccccccccccc";
    folder.compile("shop/checkout", &["-static", &format!("-Wl,--build-id=0x{id}")]);
    folder.write(
        "dpkg/status",
        "Package: checkout\nStatus: install ok installed\nArchitecture: all\nVersion: 9-inside\n",
    );
    folder.write("dpkg/info/checkout.list", "/opt/shop\n/opt/shop/checkout\n");
    let daemon = Daemon::start().unwrap();
    daemon.import("app:1", &[]).unwrap();
    let volumes = [
        format!("--volume={}:/opt/shop", folder.path("shop")),
        format!("--volume={}:/var/lib/dpkg", folder.path("dpkg")),
    ];
    let arguments = [&volumes[0], &volumes[1], "--label=com.docker.compose.service=web", "app:1"];
    let container = daemon.run(&[&arguments[..], &["/opt/shop/checkout"]].concat()).unwrap();
    let socket = daemon.socket().display().to_string();
    let mut station = Station::start(&[SOURCES, &["docker"]].concat(), &[&socket]);
    let (process, workload) = station.see(container.pid);
    station.until("settled", |station| station.directory.settled(workload, Mono(0)));
    check(
        &station.resource(&process),
        &format!(
            "service.name=web
             service.version=
             shipwake.package.name=checkout
             shipwake.package.version=9-inside
             process.executable.build_id.gnu={id}"
        ),
    );
}

#[test]
fn a_go_program_tells_its_commit_and_whether_it_was_built_of_it() {
    let folder = Folder::new("go");
    let source = "package main\n\nvar version string\n\nfunc main() { _ = version; select {} }\n";
    folder.write("go.mod", "module git.example/acme/shop\n\ngo 1.21\n");
    folder.write("cmd/checkout/main.go", &source.replace("select {}", "wait()"));
    folder.write(
        "cmd/checkout/wait.go",
        "package main\n\nimport \"syscall\"\n\nfunc wait() { for { syscall.Pause() } }\n",
    );
    folder.write(".gitignore", "*\n!go.mod\n!cmd\n!cmd/**\n!.gitignore\n");
    folder.run("git", &["init", "--quiet", "."]);
    folder.run("git", &["add", "."]);
    let person = ["-c", "user.name=Ann", "-c", "user.email=ann@git.example"];
    folder.run("git", &[&person[..], &["commit", "--quiet", "--message=x"]].concat());
    let commit = folder.run("git", &["rev-parse", "HEAD"]).trim().to_owned();
    let go = go();
    let build = |output: &str, flags: &[&str]| {
        let arguments = [&["build", "-o", output][..], flags, &["./cmd/checkout"]].concat();
        folder.run(&go, &arguments);
    };
    build("clean", &[]);
    build("set", &["-ldflags=-s -w -X main.version=1.4.2"]);
    folder.write("cmd/checkout/more.go", "package main\n");
    build("modified", &[]);
    let id = folder.run(&go, &["tool", "buildid", "clean"]);
    let version = folder.run(&go, &["env", "GOVERSION"]);
    let start = |name: &str| Running::start(&folder.0, &folder.path(name), &[]);
    check_one(
        &start("clean"),
        &format!(
            "service.name=checkout
             vcs.ref.head.revision={commit}
             process.executable.build_id.go={}
             process.runtime.name=go
             process.runtime.version={}",
            id.trim(),
            version.trim()
        ),
    );
    check_one(&start("set"), &format!("service.version=1.4.2\nvcs.ref.head.revision={commit}"));
    check_one(&start("modified"), &format!("vcs.ref.head.revision={commit}+dirty"));
}
