//! Loads the BPF objects of the signals that are switched on, in their order. One that the kernel
//! refuses stops nobody else.

use tracing::{debug, info, warn};

use crate::{
    config::Config,
    kernel::{
        Loaded, SharedMaps, btf::Btf, features::Features, health::ProbeHealth, kernel_btf, load,
    },
    process::Namespace,
    signals::{ALL, Collector, Object, Setup, SignalDef},
};

/// Everything that runs in the kernel, and what became of the rest.
pub struct Objects {
    /// Dropping them detaches every program.
    loaded: Vec<(&'static str, Loaded)>,
    pub collectors: Vec<(&'static str, Box<dyn Collector>)>,
    pub probes: Vec<ProbeHealth>,
    pub outcomes: Vec<Outcome>,
    pub kernel: Kernel,
}

/// What was found out about the kernel on the way.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub features: Features,
    /// Why the kernel's type information cannot be used, when it cannot.
    pub btf_problem: Option<String>,
    /// How maps are shared between objects, or why they cannot be.
    pub share: Result<&'static str, String>,
}

/// What became of a signal that is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub signal: &'static str,
    /// Why it does not run; `None` when it does.
    pub problem: Option<String>,
}

/// Whether the user wants the signal. `process` always runs: the others are attributed through it.
pub fn wanted(config: &Config, signal: &str) -> bool {
    signal == "process" || config.signals.enabled.iter().any(|name| name == signal)
}

impl Objects {
    /// Asks the kernel what it can do, then loads and attaches.
    pub fn load(config: &Config) -> Self {
        let features = Features::probe();
        let own_btf = Btf::of_kernel();
        let aya_btf = kernel_btf();
        let btf_problem =
            own_btf.as_ref().err().map(ToString::to_string).or(aya_btf.as_ref().err().cloned());
        let (own_btf, aya_btf) = (own_btf.ok(), aya_btf.ok());
        let offsets =
            own_btf.as_ref().map_or(shipwake_ebpf::offsets::Offsets::ABSENT, |btf| btf.offsets());
        let shared = SharedMaps::new();
        let share = shared.as_ref().map(SharedMaps::shown).map_err(ToString::to_string);
        let shared = shared.ok();
        let mut objects = Self {
            loaded: Vec::new(),
            collectors: Vec::new(),
            probes: Vec::new(),
            outcomes: Vec::new(),
            kernel: Kernel { features, btf_problem, share },
        };
        let mut running = config.clone();
        for signal in ALL {
            let needed = match signal.object {
                Object::Own(_) => ALL.iter().any(|other| {
                    wanted(config, other.name)
                        && (other.name == signal.name
                            || matches!(other.object, Object::Of(host) if host == signal.name))
                }),
                Object::Of(_) => wanted(config, signal.name),
            };
            if !needed {
                continue;
            }
            let setup = Setup {
                config: &running,
                features: &features,
                btf: own_btf.as_ref(),
                offsets: &offsets,
                cpus: cpus(),
                own_tgid: own_tgid(),
            };
            let problem = objects.add(signal, &setup, aya_btf.as_ref(), shared.as_ref());
            if problem.is_some() {
                // Those that come later do what they would do had it been switched off: without `tcp`,
                // `syscalls` forgets the owners of sockets that are gone.
                running.signals.enabled.retain(|name| name != signal.name);
            }
            if wanted(config, signal.name) {
                objects.outcomes.push(Outcome { signal: signal.name, problem });
            }
        }
        objects
    }

    fn add(
        &mut self,
        signal: &'static SignalDef,
        setup: &Setup<'_>,
        btf: Option<&aya::Btf>,
        shared: Option<&SharedMaps>,
    ) -> Option<String> {
        let problem = self.try_add(signal, setup, btf, shared).err();
        match &problem {
            None => info!(signal = signal.name, "signal runs"),
            Some(problem) => warn!(signal = signal.name, "signal does not run: {problem}"),
        }
        problem
    }

    fn try_add(
        &mut self,
        signal: &'static SignalDef,
        setup: &Setup<'_>,
        btf: Option<&aya::Btf>,
        shared: Option<&SharedMaps>,
    ) -> Result<(), String> {
        let host = match signal.object {
            Object::Own(bytes) => {
                let loaded = match load(signal, bytes, setup, btf, shared) {
                    Ok(loaded) => loaded,
                    Err((error, health)) => {
                        self.note(health);
                        return Err(chain(&error));
                    }
                };
                self.note(loaded.health.clone());
                self.loaded.push((signal.name, loaded));
                signal.name
            }
            Object::Of(host) => host,
        };
        let Some((_, loaded)) = self.loaded.iter_mut().find(|(name, _)| *name == host) else {
            return Err(format!("the object of signal `{host}` is not loaded"));
        };
        if wanted(setup.config, signal.name) {
            match (signal.collector)(loaded, setup) {
                Ok(collector) => self.collectors.push((signal.name, collector)),
                Err(error) => {
                    // Programs that nobody reads from only cost; those of a host serve its guests.
                    let has_guests = |guest: &&SignalDef| {
                        matches!(guest.object, Object::Of(host) if host == signal.name)
                            && wanted(setup.config, guest.name)
                    };
                    if !ALL.iter().any(has_guests) {
                        self.loaded.retain(|(name, _)| *name != signal.name);
                    }
                    return Err(format!("{error:#}"));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, health: Vec<ProbeHealth>) {
        for probe in &health {
            for refusal in &probe.refused {
                debug!(
                    signal = probe.signal,
                    probe = probe.probe,
                    "{} refused: {}",
                    refusal.program,
                    refusal.reason
                );
            }
            if probe.serving.is_none() && !probe.required {
                let reason = probe.refused.last().map_or("no variant", |last| &last.reason);
                warn!(signal = probe.signal, "probe {} is not served: {reason}", probe.probe);
            }
        }
        self.probes.extend(health);
    }

    /// Programs that serve at least one probe, by name, for `doctor`.
    pub fn detach(self) {
        drop(self.loaded);
    }
}

/// An error and its causes in one line. Some errors repeat their cause in their own text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(&format!(": {part}"));
        }
        cause = error.source();
    }
    text
}

/// The agent's process as the kernel counts. In a pid namespace of its own it is unknown: 0, which is nobody, so
/// that no other process is taken for the agent.
fn own_tgid() -> u32 {
    match Namespace::Pid.is_the_hosts() {
        Some(false) => 0,
        Some(true) | None => std::process::id(),
    }
}

/// Processors that may ever be there: maps per processor have as many slots.
fn cpus() -> u32 {
    let count = aya::util::nr_cpus().ok().and_then(|count| u32::try_from(count).ok());
    count.unwrap_or(1).max(1)
}
