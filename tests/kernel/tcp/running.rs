//! The signal under test, loaded and attached.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use shipwake::{
    config::Config,
    kernel::{self, Loaded, SharedMaps, btf::Btf, features::Features},
    metric::Value,
    process::ProcessKey,
    signals::{Batch, Collector, Measurement, Object, Setup, SignalDef, Subject, tcp as signal},
    time::Mono,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// A running signal, and everything it has said.
pub struct Running {
    collector: Box<dyn Collector>,
    pub said: Batch,
    now: Mono,
    interval: Duration,
    _loaded: Loaded,
    _others: Vec<Loaded>,
}

impl Running {
    /// Loads and attaches the object with a configuration that `change` may change; `None`, with the
    /// reason printed, where that is not allowed.
    pub fn start(change: impl FnOnce(&mut Config)) -> Option<Self> {
        Self::start_after(&[], Features::probe(), change)
    }

    /// The same on a kernel of which less is known, after the objects of other signals.
    pub fn start_after(
        others: &[&'static SignalDef],
        features: Features,
        change: impl FnOnce(&mut Config),
    ) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            println!("SKIPPED: needs root");
            return None;
        }
        let btf = Btf::of_kernel().ok();
        let offsets = btf.as_ref().map_or(shipwake_ebpf::offsets::Offsets::ABSENT, Btf::offsets);
        let mut config = Config::default();
        change(&mut config);
        let setup = Setup {
            config: &config,
            features: &features,
            btf: btf.as_ref(),
            offsets: &offsets,
            cpus: std::thread::available_parallelism().unwrap().get().try_into().unwrap(),
            own_tgid: 0x7fff_ffff,
        };
        let types = kernel::kernel_btf().ok();
        let shared = SharedMaps::new().ok();
        let load = |signal: &'static SignalDef| {
            let Object::Own(object) = signal.object else { panic!("owns its object") };
            let types = types.as_ref().filter(|_| features.btf);
            kernel::load(signal, object, &setup, types, shared.as_ref())
                .unwrap_or_else(|(error, health)| panic!("{error:?}\n{health:#?}"))
        };
        let others: Vec<Loaded> = others.iter().map(|signal| load(signal)).collect();
        let mut loaded = load(&signal::SIGNAL);
        let refused: Vec<_> = loaded.health.iter().filter(|one| one.serving.is_none()).collect();
        assert!(!features.btf || refused.is_empty(), "{refused:#?}");
        let collector = (signal::SIGNAL.collector)(&mut loaded, &setup).unwrap();
        let interval = config.aggregate.interval.0;
        let mut running = Self {
            collector,
            said: Batch::default(),
            now: Mono::now(),
            interval,
            _loaded: loaded,
            _others: others,
        };
        running.look();
        Some(running)
    }

    /// Takes what is there, without a look at the living.
    pub fn collect(&mut self) {
        self.collector.collect(self.now, &mut self.said);
    }

    /// Lets an interval pass, in the collector's eyes.
    pub fn look(&mut self) {
        self.now = Mono(self.now.0 + self.interval.as_nanos() as u64);
        self.collect();
    }

    /// The last words of the collector.
    pub fn finish(&mut self) {
        self.collector.finish(self.now, &mut self.said);
    }

    /// Collects until `done`, or fails.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < DEADLINE, "{what}:\n{}", self.story());
            std::thread::sleep(Duration::from_millis(5));
            self.collect();
        }
    }

    /// Collects until so many connections of `process` that were seen opening have ended.
    pub fn until_ended(&mut self, process: ProcessKey, count: usize) {
        self.until("ended connections", |running| {
            let mine = |one: &Measurement| one.subject == Subject::Process(process);
            running.observations("shipwake.tcp.connection.duration", mine).len() == count
        });
    }

    /// What was said about processes, one line each.
    pub fn story(&self) -> String {
        let said = self.said.measurements.iter();
        let lines = said.filter_map(|one| match one.subject {
            Subject::Process(ProcessKey { tgid, .. }) => Some(format!(
                "{tgid} {} {:?} {:?}",
                one.metric.name,
                one.value,
                one.labels.labels()
            )),
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Looks until `process` has so many open connections.
    pub fn until_open(&mut self, process: ProcessKey, count: f64) {
        self.until("open connections", |running| {
            running.look();
            running.open(process) == Some(count)
        });
    }

    /// Sum over the measurements of a counter that `filter` keeps.
    pub fn total(&self, metric: &str, filter: impl Fn(&Measurement) -> bool) -> f64 {
        let kept = self.said.measurements.iter().filter(|one| one.metric.name == metric);
        let values = kept.filter(|one| filter(one)).map(|one| match one.value {
            Value::Add(value) => value,
            ref other => panic!("{metric} only adds, not {other:?}"),
        });
        // The sum of nothing would be negative zero.
        values.fold(0.0, |sum, value| sum + value)
    }

    /// All observations of a histogram that `filter` keeps.
    pub fn observations(&self, metric: &str, filter: impl Fn(&Measurement) -> bool) -> Vec<f64> {
        let kept = self.said.measurements.iter().filter(|one| one.metric.name == metric);
        let values = kept.filter(|one| filter(one)).map(|one| match one.value {
            Value::Observe(value) => value,
            ref other => panic!("{metric} observes, not {other:?}"),
        });
        values.collect()
    }

    /// The last known count of open connections, both roles together.
    pub fn open(&self, process: ProcessKey) -> Option<f64> {
        let mut last = std::collections::HashMap::new();
        for one in &self.said.measurements {
            if one.metric.name == "shipwake.tcp.connections"
                && one.subject == Subject::Process(process)
                && let Value::Set(count) = one.value
            {
                last.insert(one.labels.clone(), count);
            }
        }
        (!last.is_empty()).then(|| last.values().sum())
    }
}
