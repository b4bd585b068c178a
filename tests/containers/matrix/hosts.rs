//! What the rows of the matrix run on: daemons of every kind, and programs on the host itself.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use shipwake_tests::{
    containerd::{Containerd, Pod},
    docker::Daemon,
    peer,
    podman::Podman,
    poll, rig,
};

use crate::local::{Folder, Running, go};

pub const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
/// The build id of the little service.
pub const BUILD: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
/// Of the package.
pub const PACKAGE: &str = "shipwake-test-checkout";
pub const IMAGE: &str = "registry.test:5000/acme/checkout:1.4.2";
/// What containers run.
const SERVICE: &str = "/bin/checkout";
/// Namespaces of containerd.
const NAMESPACES: [&str; 3] = ["default", "blue", "k8s.io"];
/// Another program than any other test has.
const NAME: &str = "checkout";

/// A service that runs.
pub struct Work {
    pub pid: u32,
    /// The container's id, or the path of the executable: what its instance is made of.
    pub place: String,
    /// Of the image; empty outside of containers.
    pub image: String,
    /// Name of the pod.
    pub pod: Option<String>,
    /// Empty outside of pods.
    pub pod_uid: String,
    /// Ended with it.
    _process: Option<Running>,
}

impl Work {
    fn container(pid: u32, place: String, image: &str) -> Self {
        let image = image.to_owned();
        Self { pid, place, image, pod: None, pod_uid: String::new(), _process: None }
    }
}

/// Everything that is needed to start one.
pub struct Hosts {
    pub folder: Folder,
    pub docker: Daemon,
    pub containerd: Containerd,
    pub podman: Podman,
    pub user: Podman,
    pub crun: Podman,
    /// Ids of the images, by runtime.
    images: Images,
    /// The commit that the Go program was built of, and the build id that the compiler gave it.
    pub go: (String, String),
    _package: Package,
}

struct Images {
    docker: String,
    containerd: rig::Image,
    podman: String,
    user: String,
    crun: String,
}

impl Hosts {
    /// Starts the daemons and makes the programs.
    pub fn start() -> Self {
        let folder = Folder::new("matrix");
        folder.compile(NAME, &["-static", &format!("-Wl,--build-id=0x{BUILD}")]);
        let program = folder.0.join(NAME);
        let created = folder.run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).trim().to_owned();
        let labels = [
            ("org.opencontainers.image.title", NAME),
            ("org.opencontainers.image.version", "1.4.2"),
            ("org.opencontainers.image.revision", SHA),
            ("org.opencontainers.image.source", "https://git.test/acme/checkout.git"),
            ("org.opencontainers.image.created", &created),
        ];
        let start_docker = || {
            // A node of a swarm runs everything else as well.
            let daemon = Daemon::swarm().unwrap();
            daemon.add(&program).unwrap();
            let image = daemon.import(IMAGE, &labels).unwrap();
            (daemon, image)
        };
        let start_containerd = || {
            let daemon = Containerd::start().unwrap();
            daemon.import_pause().unwrap();
            daemon.add(&program).unwrap();
            let images =
                NAMESPACES.map(|name| daemon.import(name, IMAGE, &labels, &created).unwrap());
            (daemon, images.into_iter().next().unwrap())
        };
        let start_podman = |new: fn() -> anyhow::Result<Podman>| {
            let mut podman = new().unwrap();
            podman.add(&program).unwrap();
            podman.serve().unwrap();
            let image = podman.import(IMAGE, &labels).unwrap();
            (podman, image)
        };
        let started = thread::scope(|scope| {
            let docker = scope.spawn(start_docker);
            let containerd = scope.spawn(start_containerd);
            let podman = scope.spawn(|| start_podman(Podman::rootful));
            let user = scope.spawn(|| start_podman(Podman::of_a_session));
            let crun = scope.spawn(|| start_podman(Podman::with_crun));
            let go = programs(&folder);
            let package = Package::install(&folder, &program);
            let podmans = [podman, user, crun].map(|one| one.join().unwrap());
            (docker.join().unwrap(), containerd.join().unwrap(), podmans, go, package)
        });
        let (docker, containerd, podmans, go, package) = started;
        let [podman, user, crun] = podmans;
        let images = Images {
            docker: docker.1,
            containerd: containerd.1,
            podman: podman.1,
            user: user.1,
            crun: crun.1,
        };
        let (docker, containerd) = (docker.0, containerd.0);
        let (podman, user, crun) = (podman.0, user.0, crun.0);
        Self { folder, docker, containerd, podman, user, crun, images, go, _package: package }
    }

    pub fn docker(&self, arguments: &[&str]) -> Work {
        let container = self.docker.run(&[arguments, &[IMAGE, SERVICE]].concat()).unwrap();
        self.of_docker(container.id, container.pid)
    }

    /// A project of Compose, by its file.
    pub fn compose(&self, project: &str) -> Work {
        let file = format!(
            "version: \"2.4\"\nservices:\n  web:\n    image: {IMAGE}\n    command: {SERVICE}\n    network_mode: none\n"
        );
        self.folder.write(&format!("{project}/docker-compose.yml"), &file);
        let client = |program: &str, arguments: &[&str]| {
            let host = format!("unix://{}", self.docker.socket().display());
            let mut command = Command::new(program);
            command.args(["--host", &host]).args(arguments);
            rig::output(command.current_dir(self.folder.0.join(project))).unwrap()
        };
        client("docker-compose", &["--project-name", project, "up", "--detach"]);
        let filter = format!("label=com.docker.compose.project={project}");
        let id = client("docker", &["ps", "--quiet", "--no-trunc", "--filter", &filter]);
        let id = id.trim().to_owned();
        let pid = client("docker", &["inspect", "--format", "{{.State.Pid}}", &id]);
        self.of_docker(id, pid.trim().parse().unwrap())
    }

    fn of_docker(&self, id: String, pid: u32) -> Work {
        Work::container(pid, id, &self.images.docker)
    }

    pub fn containerd(&self, namespace: &str, arguments: &[&str]) -> Work {
        let running = self.containerd.run_as(namespace, arguments, IMAGE, &[SERVICE]).unwrap();
        self.of_containerd(running.id, running.pid)
    }

    pub fn pod(&self, pod: &Pod<'_>) -> Work {
        let pod = Pod { command: &[SERVICE], ..pod.clone() };
        let running = self.containerd.pod(&pod, "app", IMAGE, 0).unwrap();
        let work = self.of_containerd(running.id, running.pid);
        Work { pod: Some(pod.name.to_owned()), pod_uid: pod.uid.to_owned(), ..work }
    }

    fn of_containerd(&self, id: String, pid: u32) -> Work {
        Work::container(pid, id, &self.images.containerd.id)
    }

    /// Of the manifest of containerd's image.
    pub fn digest(&self) -> &str {
        &self.images.containerd.digest
    }

    pub fn podman(&self, arguments: &[&str]) -> Work {
        of_podman(&self.podman, &self.images.podman, arguments)
    }

    pub fn user(&self, arguments: &[&str]) -> Work {
        of_podman(&self.user, &self.images.user, arguments)
    }

    pub fn crun(&self, arguments: &[&str]) -> Work {
        of_podman(&self.crun, &self.images.crun, arguments)
    }

    /// A service of a swarm.
    pub fn service(&self, name: &str, arguments: &[&str]) -> Work {
        let container =
            self.docker.service(name, &[arguments, &[IMAGE, SERVICE]].concat()).unwrap();
        self.of_docker(container.id, container.pid)
    }

    /// A program of the host.
    pub fn program(&self, directory: &str, program: &str, arguments: &[&str]) -> Work {
        let directory = self.folder.0.join(directory);
        let program = directory.join(program).display().to_string();
        let process = Running::start(&directory, &program, arguments);
        // Until then it is a copy of this test.
        let executable = poll::until(Duration::from_secs(20), || {
            let own = fs::read_link("/proc/self/exe").ok()?;
            let executable = fs::read_link(format!("/proc/{}/exe", process.pid())).ok()?;
            (executable != own).then_some(executable)
        });
        let place = executable.expect("it is executed").display().to_string();
        let work = Work::container(process.pid(), place, "");
        Work { _process: Some(process), ..work }
    }
}

fn of_podman(podman: &Podman, image: &str, arguments: &[&str]) -> Work {
    let container = podman.run(&[arguments, &[IMAGE, SERVICE]].concat()).unwrap();
    Work::container(container.pid, container.id, &format!("sha256:{image}"))
}

/// The little service in other languages. Returns commit and build id of the one in Go.
fn programs(folder: &Folder) -> (String, String) {
    let commit = format!("{{\"commit\": \"{SHA}\"}}");
    folder.python("invoice", "3.1.0");
    folder.write("venv/bin/.shipwake.json", &commit);
    folder.write("mail/package.json", "{\"name\": \"@acme/mail\", \"version\": \"2.0.1\"}");
    folder.write("mail/main.js", "setInterval(() => {}, 200)\n");
    folder.write("mail/.shipwake.json", &commit);
    jar(folder);
    folder.write("go.mod", "module git.example/acme/ledger\n\ngo 1.21\n");
    let source = "package main\n\nimport \"time\"\n\nvar version string\n\nfunc main() { _ = version; for { time.Sleep(200 * time.Millisecond) } }\n";
    folder.write("ledger/main.go", source);
    folder.write(".gitignore", "*\n!go.mod\n!ledger\n!ledger/main.go\n");
    folder.run("git", &["init", "--quiet", "."]);
    folder.run("git", &["add", "go.mod", "ledger"]);
    let person = ["-c", "user.name=Ann", "-c", "user.email=ann@git.example"];
    folder.run("git", &[&person[..], &["commit", "--quiet", "--message=x"]].concat());
    let commit = folder.run("git", &["rev-parse", "HEAD"]).trim().to_owned();
    let flags = "-ldflags=-X main.version=1.7.0";
    folder.run(&go(), &["build", "-o", "bin/ledger", flags, "./ledger"]);
    let id = folder.run(&go(), &["tool", "buildid", "bin/ledger"]).trim().to_owned();
    (commit, id)
}

/// A jar that any Java can run: its main class is one of Java's own that waits. Where there is no Java, what
/// is read of it stands in for it: a program of that name.
fn jar(folder: &Folder) {
    let manifest = "Main-Class: sun.rmi.registry.RegistryImpl\r\nImplementation-Title: stock\r\nImplementation-Version: 5.2.0\r\n\r\n";
    folder.write("stock/META-INF/MANIFEST.MF", manifest);
    let commit = format!("git.commit.id.full={SHA}\ngit.dirty=false\n");
    folder.write("stock/BOOT-INF/classes/git.properties", &commit);
    let files = ["META-INF/MANIFEST.MF", "BOOT-INF/classes/git.properties"];
    folder.jar("stock", "stock.jar", &files);
    fs::create_dir_all(folder.0.join("java/bin")).unwrap();
    let java = folder.0.join("java/bin/java");
    match peer::installed("/usr/bin/java") {
        true => std::os::unix::fs::symlink("/usr/bin/java", java).unwrap(),
        false => fs::copy(folder.0.join(NAME), java).map(drop).unwrap(),
    }
}

/// A package that is installed on this host. Purged when dropped.
struct Package;

impl Package {
    /// With the little service, and beside it what its pipeline wrote.
    fn install(folder: &Folder, program: &Path) -> Self {
        let root = folder.path("package");
        folder.write(
            "package/DEBIAN/control",
            &format!(
                "Package: {PACKAGE}\nVersion: 1.4.2-1\nArchitecture: all\nMaintainer: Ann <ann@git.example>\nDescription: test\n"
            ),
        );
        let bin = "package/usr/lib/shipwake-test";
        let commit = format!("{{\"name\": \"{NAME}\", \"commit\": \"{SHA}\"}}");
        folder.write(&format!("{bin}/{NAME}.deploy.json"), &commit);
        fs::copy(program, folder.0.join(bin).join(NAME)).unwrap();
        fs::copy(program, folder.0.join(bin).join("bare")).unwrap();
        folder.run("dpkg-deb", &["--root-owner-group", "--build", &root, "checkout.deb"]);
        dpkg(&["--install", &folder.path("checkout.deb")]).expect("dpkg installs the package");
        Self
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        if dpkg(&["--purge", PACKAGE]).is_none() {
            eprintln!("the package {PACKAGE} stays");
        }
    }
}

/// Waits while somebody else uses dpkg.
fn dpkg(arguments: &[&str]) -> Option<()> {
    poll::until(Duration::from_secs(60), || {
        rig::output(Command::new("dpkg").args(arguments)).map_err(|error| eprintln!("{error}")).ok()
    })
    .map(drop)
}
