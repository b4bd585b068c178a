//! Source `file`: descriptions of deploys in files, for hosts where nothing else tells.
//!
//! Two places: `deploys.d`, a directory of the host with TOML files that say which processes each deploy
//! is; and JSON files that a pipeline puts next to what it deploys, `<program>.deploy.json` or
//! `.shipwake.json` in the directory of the application, looked for as the process sees it.
//!
//! **A description never speaks about a process that is older than itself**, as far as version, commit,
//! author, build and pipeline go: a deploy writes its files first and restarts the service then, and
//! what runs in between is the version before. What names the service holds at once. An entry of
//! `deploys.d` can say that it is about what runs already (`running = true`).

mod beside;
mod description;
mod directory;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::{
    About, Ask, Attribute, Change, Health, SourceDef, SourceState, cgroup,
    living::is_same,
    names,
    worker::{self, Work},
};
use crate::{
    config::Config,
    process::{ProcessInfo, ProcessKey, age},
};
use directory::Deploys;

pub use beside::{NAME, SUFFIX as BESIDE};
pub use description::{Entry, Given, json, toml};

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "file",
    help: "Descriptions of deploys: `deploys.d`, and JSON next to what is deployed",
    concerns: |ask| matches!(ask, Ask::Process(_)),
    tells_host: false,
    start,
};

/// Between two looks at `deploys.d`.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How much later than the start of a process its description may be written: by a pipeline that does both at
/// once.
const GRACE: Duration = Duration::from_secs(2);
/// Processes that are told about changes of files. Above that, those that appear later are not.
const MOST_PROCESSES: usize = 16 * 1024;
/// From here on the dead are looked for.
const MANY_PROCESSES: usize = 1024;
/// Problems of one kind that are remembered.
const MOST_PROBLEMS: usize = 16;

fn start(
    config: &Config,
    asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: Health,
) {
    let deploys = Deploys::new(PathBuf::from(&config.workload.deploys_directory));
    let files = Files {
        deploys,
        health: health.clone(),
        processes: FxHashMap::default(),
        next_look: Instant::now(),
        next_cleaning: MANY_PROCESSES,
        beside_problems: BTreeSet::new(),
        contradictions: BTreeSet::new(),
        shown: Vec::new(),
    };
    worker::start(SOURCE.name, files, asks, changes, &health);
}

/// Which file, and since when it has been as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    device: u64,
    changed: SystemTime,
}

/// The state of the source.
struct Files {
    deploys: Deploys,
    health: Health,
    processes: FxHashMap<ProcessKey, Process>,
    next_look: Instant,
    /// Number of processes at which the dead are looked for.
    next_cleaning: usize,
    /// What is wrong with files next to programs.
    beside_problems: BTreeSet<String>,
    /// Where files of `deploys.d` say different things about one process.
    contradictions: BTreeSet<String>,
    /// Problems that are known to the log.
    shown: Vec<String>,
}

/// What is known of a process.
struct Process {
    executable: Option<Arc<str>>,
    unit: Option<Arc<str>>,
    /// When it started.
    started: Option<SystemTime>,
    /// What the description next to its program says.
    beside: Vec<Said>,
    /// What makes it another service than other processes of the same interpreter.
    apart: Option<Arc<str>>,
    /// What was told about it.
    told: Vec<Said>,
}

/// An attribute, and the file that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    given: Given,
    path: Arc<str>,
}

impl Work for Files {
    fn hear(&mut self, ask: Ask, changes: &mut Vec<Change>) {
        let Ask::Process(info) = ask else { return };
        if self.deploys.is_new() {
            self.deploys.refresh();
        }
        let mut process = self.process(&info);
        process.told = describe(&self.deploys, &process, &mut self.contradictions);
        changes.push(process.change(info.key));
        if self.processes.len() >= self.next_cleaning {
            self.processes.retain(|key, _| is_same(key));
            self.next_cleaning = (self.processes.len() * 2).max(MANY_PROCESSES);
        }
        if self.processes.len() < MOST_PROCESSES || self.processes.contains_key(&info.key) {
            self.processes.insert(info.key, process);
        }
        self.show();
    }

    fn due(&self) -> Option<Instant> {
        Some(self.next_look)
    }

    fn wake(&mut self, changes: &mut Vec<Change>) {
        self.next_look = Instant::now() + LOOK_AGAIN;
        if !self.deploys.refresh() {
            return self.show();
        }
        self.processes.retain(|key, _| is_same(key));
        self.contradictions.clear();
        for (key, process) in &mut self.processes {
            let told = describe(&self.deploys, process, &mut self.contradictions);
            if told != process.told {
                process.told = told;
                changes.push(process.change(*key));
            }
        }
        self.show();
    }
}

impl Files {
    /// All about a process that does not change while it runs.
    fn process(&mut self, info: &ProcessInfo) -> Process {
        let ProcessInfo { key, executable, cgroup, .. } = info;
        let placement = cgroup.path.as_deref().map(cgroup::place).unwrap_or_default();
        let executable = executable.clone().filter(|path| path.starts_with('/')).or_else(|| {
            let link = std::fs::read_link(format!("/proc/{}/exe", key.tgid)).ok()?;
            Some(link.to_str()?.trim_end_matches(" (deleted)").into())
        });
        let started = age(key).and_then(|age| SystemTime::now().checked_sub(age));
        let mut process = Process {
            executable,
            unit: placement.unit.map(|unit| unit.name),
            started,
            beside: Vec::new(),
            apart: None,
            told: Vec::new(),
        };
        self.look_beside(*key, &mut process);
        process
    }

    /// Reads the descriptions that lie next to the program: of each attribute, the first one counts.
    fn look_beside(&mut self, key: ProcessKey, process: &mut Process) {
        let program = process.executable.as_deref().and_then(|path| beside::program(&key, path));
        let Some(program) = program else { return };
        for place in beside::places(&program) {
            let found = match beside::read(key.tgid, &place) {
                Ok(None) => continue,
                Ok(Some((bytes, stamp))) => json(&bytes).map(|given| (given, stamp)),
                Err(problem) => Err(problem),
            };
            // What was read may have been another process's.
            if !is_same(&key) {
                return process.beside.clear();
            }
            let path: Arc<str> = place.to_string_lossy().into();
            match found {
                Ok((given, stamp)) => {
                    self.beside_problems.retain(|problem| !problem.starts_with(&*path));
                    process.add(given, &path, &stamp);
                    if program.is_interpreted && process.apart.is_none() {
                        process.apart = Some(path);
                    }
                }
                Err(problem) if self.beside_problems.len() < MOST_PROBLEMS => {
                    self.beside_problems.insert(format!("{path}: {problem}; it is not used"));
                }
                Err(_) => {}
            }
        }
    }

    /// Brings what is wrong to the log, once each, and to the health of the source.
    fn show(&mut self) {
        let mut all: Vec<String> = self.deploys.problems().collect();
        all.extend(self.contradictions.iter().cloned());
        all.extend(self.beside_problems.iter().cloned());
        if all == self.shown {
            if all.is_empty() {
                self.health.works();
            }
            return;
        }
        for problem in all.iter().filter(|one| !self.shown.contains(one)) {
            tracing::warn!(source = SOURCE.name, "{problem}");
        }
        match all.as_slice() {
            [] => self.health.works(),
            [one] => drop(self.health.fails(SourceState::Failing, one.clone())),
            [first, rest @ ..] => {
                let all = format!("{first} (and {} more)", rest.len());
                self.health.fails(SourceState::Failing, all);
            }
        }
        self.shown = all;
    }
}

impl Process {
    fn is_older_than(&self, stamp: &Stamp) -> bool {
        self.started.is_none_or(|started| started + GRACE < stamp.changed)
    }

    fn add(&mut self, given: Vec<Given>, path: &Arc<str>, stamp: &Stamp) {
        let is_older = self.is_older_than(stamp);
        for given in given {
            let is_known = self.beside.iter().any(|said| said.given.attribute == given.attribute);
            let is_ours = !(is_older && given.is_of_deploy);
            if is_ours && !is_known {
                self.beside.push(Said { given, path: path.clone() });
            }
        }
    }

    fn change(&self, key: ProcessKey) -> Change {
        let mut attributes: Vec<Attribute> = Vec::new();
        for Said { given: Given { attribute, value, is_of_deploy: _ }, path } in &self.told {
            attributes.push(Attribute::text(format!("{}{attribute}", names::FILE), value.as_str()));
            attributes
                .push(Attribute::text(format!("{}{attribute}", names::FILE_PATH), path.clone()));
        }
        if let Some(apart) = &self.apart {
            attributes.push(Attribute::text(names::APART, apart.clone()));
        }
        Change { source: SOURCE.name, about: About::Process(key), attributes }
    }
}

/// What the files say about a process now: `deploys.d`, then what lies next to the program.
///
/// Where entries contradict each other the attribute stays unset, and that is a problem. What was told
/// about a process holds when its file is written anew for processes to come.
fn describe(
    deploys: &Deploys,
    process: &Process,
    contradictions: &mut BTreeSet<String>,
) -> Vec<Said> {
    let (executable, unit) = (process.executable.as_deref(), process.unit.as_deref());
    let mut all: Vec<Said> = Vec::new();
    let mut disputed: BTreeSet<&'static str> = BTreeSet::new();
    let about = deploys.entries().filter(|(_, _, entry)| entry.is_about(executable, unit));
    for (path, stamp, entry) in about {
        let path: Arc<str> = path.to_string_lossy().into();
        let is_older = process.is_older_than(stamp) && !entry.running;
        for given in &entry.given {
            let Some(said) = said(process, given, &path, is_older) else { continue };
            match all.iter().find(|known| known.given.attribute == given.attribute) {
                None => all.push(said),
                Some(known) if known.given.value == said.given.value => {}
                Some(known) => {
                    disputed.insert(given.attribute);
                    if contradictions.len() < MOST_PROBLEMS {
                        contradictions.insert(contradiction(executable, known, &said));
                    }
                }
            }
        }
    }
    all.retain(|said| !disputed.contains(said.given.attribute));
    for said in &process.beside {
        let attribute = said.given.attribute;
        let is_known = all.iter().any(|known| known.given.attribute == attribute);
        if !is_known && !disputed.contains(attribute) {
            all.push(said.clone());
        }
    }
    all
}

/// What a file says about a process: what it says now, or what it said when the process was new.
fn said(process: &Process, given: &Given, path: &Arc<str>, is_older: bool) -> Option<Said> {
    if is_older && given.is_of_deploy {
        let same = |said: &&Said| said.given.attribute == given.attribute && said.path == *path;
        return process.told.iter().find(same).cloned();
    }
    Some(Said { given: given.clone(), path: path.clone() })
}

fn contradiction(executable: Option<&str>, one: &Said, other: &Said) -> String {
    let Given { attribute, value, is_of_deploy: _ } = &one.given;
    format!(
        "{attribute} of {} is `{value}` in {} and `{}` in {}; it stays unset until one of them goes",
        executable.unwrap_or("a process"),
        one.path,
        other.given.value,
        other.path,
    )
}

#[cfg(test)]
mod tests;
