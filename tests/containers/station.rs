//! The metadata sources and the directory, wired as in the agent and driven by the test.

use std::time::{Duration, Instant};

use shipwake::{
    config::{self, Config},
    process::{self, ProcessInfo, ProcessKey},
    time::Mono,
    workload::{
        About, Applied, Ask, Change, ContainerId, Directory, Resource, Settings, SourceHealth,
        Sources, WorkloadId,
    },
};
use tokio::{runtime::Runtime, sync::mpsc};

/// Long enough for any answer on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Sources that run, and what they have said.
pub struct Station {
    runtime: Runtime,
    sources: Sources,
    changes: mpsc::Receiver<Change>,
    pub directory: Directory,
    /// Everything the sources said, in order.
    pub heard: Vec<Change>,
}

impl Station {
    /// Starts the sources that are named, with these Docker sockets.
    pub fn start(sources: &[&str], docker_sockets: &[&str]) -> Self {
        Self::with(sources, |settings| settings.docker_sockets = list(docker_sockets))
    }

    /// Starts the sources that are named. Only what `settings` sets is looked at.
    pub fn with(sources: &[&str], settings: impl FnOnce(&mut Settings)) -> Self {
        let mut config = Config::default();
        config.workload = Settings {
            docker_sockets: Vec::new(),
            cri_sockets: Vec::new(),
            containerd_sockets: Vec::new(),
            containerd_bundles: Vec::new(),
            podman_sockets: Vec::new(),
            podman_users: String::new(),
            podman_storage: Vec::new(),
            sources: list(sources),
            container_labels: list(&["team"]),
            ..config.workload
        };
        settings(&mut config.workload);
        Self::of(&config)
    }

    /// Starts the sources with the text of a configuration file.
    pub fn configured(text: &str) -> Self {
        let files = vec![("shipwake.toml".into(), text.to_owned())];
        let inputs = config::Inputs { files, ..config::Inputs::default() };
        Self::of(&config::resolve(&inputs).unwrap().config)
    }

    fn of(config: &Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, changes) = mpsc::channel(64);
        let sources = {
            let _entered = runtime.enter();
            Sources::start(config, &sender)
        };
        let directory = Directory::new(&config.workload, Mono::now());
        Self { runtime, sources, changes, directory, heard: Vec::new() }
    }

    /// Tells the directory about a process as `/proc` shows it now, and asks what it wants to know.
    pub fn see(&mut self, pid: u32) -> (ProcessKey, WorkloadId) {
        let info: ProcessInfo = process::see(pid).expect("the process lives");
        let key = info.key;
        let (workload, asks) = self.directory.place(&info, None, Mono::now());
        self.pass_on(&asks);
        (key, workload)
    }

    /// Asks the sources.
    pub fn pass_on(&self, asks: &[Ask]) {
        for ask in asks {
            assert_eq!(self.sources.ask(ask), 0, "no question is lost");
        }
    }

    /// Asks about a container out of the blue.
    pub fn ask(&self, id: &str) {
        self.pass_on(&[Ask::Container { id: ContainerId(id.into()), told: Vec::new() }]);
    }

    /// Takes answers until the directory satisfies `is_done`. Panics when it does not soon.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_done: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + SOON;
        while !is_done(self) {
            assert!(Instant::now() < end, "not within {SOON:?}: {what}; heard {:#?}", self.heard);
            self.step();
        }
    }

    /// Takes one answer, if there is one within a moment.
    fn step(&mut self) -> Applied {
        let moment = Duration::from_millis(20);
        let changes = &mut self.changes;
        let next =
            self.runtime.block_on(async { tokio::time::timeout(moment, changes.recv()).await });
        let Ok(Some(change)) = next else { return Applied::default() };
        self.heard.push(change.clone());
        self.directory.apply(change, Mono::now())
    }

    /// The resource of the workload that a process is in now.
    pub fn resource(&self, process: &ProcessKey) -> std::sync::Arc<Resource> {
        let workload = self.directory.workload(process).expect("the process is known");
        self.directory.resource(workload)
    }

    /// Answers about one container so far.
    pub fn answers(&self, id: &str) -> Vec<&Change> {
        let about = About::Container(ContainerId(id.into()));
        self.heard.iter().filter(|change| change.about == about).collect()
    }

    /// How a source is doing.
    pub fn health(&self, name: &str) -> SourceHealth {
        self.sources.health().into_iter().find(|health| health.name == name).unwrap()
    }
}

/// Owned texts.
pub fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Compares lines of `key=value` with a resource; nothing behind `=` for what must be absent.
#[track_caller]
pub fn check(resource: &Resource, expected: &str) {
    for line in expected.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').unwrap();
        let found = resource.get(key).map(ToString::to_string).unwrap_or_default();
        assert_eq!(found, value, "{key}, from {:?}, in {resource:#?}", resource.source(key));
    }
}
