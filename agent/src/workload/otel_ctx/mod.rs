//! Source `otel_ctx`: what the SDK in a process publishes about the service, in the memory of the process
//! (OTEP 4719, process context).
//!
//! A process publishes when its SDK starts, which may be long after its own start. So it is looked at
//! when the agent hears of it (unless it has just started: then nothing of its own has run yet), and
//! 1, 5 and 30 seconds later (only 30 when it is older than a minute), together with the children that
//! it forked: workers publish on their own. Who publishes is looked at once a minute for what it has
//! changed, and its siblings, for new workers.

mod memory;
mod payload;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs,
    time::{Duration, Instant},
};

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc;

use super::{
    About, Ask, Attribute, Change, Health, SourceDef,
    living::is_same,
    worker::{self, Work},
};
use crate::{
    config::Config,
    process::{ProcessKey, age, stat::Stat},
};
use memory::Published;

pub use payload::decode;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "otel_ctx",
    help: "What the OpenTelemetry SDK in a process publishes about its service",
    concerns: |ask| matches!(ask, Ask::Process(_)),
    tells_host: false,
    start,
};

/// When a young process is looked at again, after the agent has heard of it.
const AGAIN: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// Before this age nothing can have been published.
const NEWBORN: Duration = Duration::from_millis(50);
/// From this age on only an exec can bring something new.
const GROWN: Duration = Duration::from_secs(60);
/// How often those who publish are looked at.
const REFRESH: Duration = Duration::from_secs(60);
/// Most looks that may be due. At a flood of short processes the youngest are left out.
const MOST_DUE: usize = 16 * 1024;
/// Most processes that publish, and most forked children of one that are looked at.
const MOST_PUBLISHERS: usize = 4096;
const MOST_CHILDREN: usize = 256;

fn start(_: &Config, asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    health.works();
    worker::start(SOURCE.name, Contexts::default(), asks, changes, &health);
}

/// What is known of who publishes, and what is to be looked at.
#[derive(Default)]
struct Contexts {
    due: BinaryHeap<Reverse<Look>>,
    publishers: FxHashMap<ProcessKey, Publisher>,
    next_refresh: Option<Instant>,
}

/// A look at a process.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    at: Instant,
    heard: Instant,
    tgid: u32,
    start_ticks: u32,
    /// Index into [`AGAIN`].
    step: usize,
}

struct Publisher {
    address: u64,
    at: u64,
}

impl Work for Contexts {
    fn hear(&mut self, ask: Ask, changes: &mut Vec<Change>) {
        let Ask::Process(info) = ask else { return };
        let age = age(&info.key);
        let mut attributes = Vec::new();
        if age.is_none_or(|age| age >= NEWBORN)
            && let Some(published) = memory::find(info.key.tgid)
            && is_same(&info.key)
        {
            attributes.clone_from(&published.attributes);
            self.remember(info.key, &published);
        }
        let is_grown = age.is_none_or(|age| age >= GROWN);
        self.plan(info.key, if is_grown { AGAIN.len() - 1 } else { 0 }, Instant::now());
        changes.push(change(info.key, attributes));
    }

    fn due(&self) -> Option<Instant> {
        let look = self.due.peek().map(|Reverse(look)| look.at);
        [look, self.next_refresh].into_iter().flatten().min()
    }

    fn wake(&mut self, changes: &mut Vec<Change>) {
        let now = Instant::now();
        while self.due.peek().is_some_and(|Reverse(look)| look.at <= now) {
            let Some(Reverse(look)) = self.due.pop() else { break };
            let Look { at: _, heard, tgid, start_ticks, step } = look;
            let key = ProcessKey { tgid, start_ticks };
            if !is_same(&key) {
                continue;
            }
            self.plan(key, step + 1, heard);
            self.look(key, changes);
            if step > 0 {
                self.look_at_children(key, changes);
            }
        }
        if self.next_refresh.is_some_and(|at| at <= now) {
            self.refresh(changes);
            self.next_refresh = (!self.publishers.is_empty()).then(|| now + REFRESH);
        }
    }
}

impl Contexts {
    /// Plans the look of this step, if there is one. `heard` is when the agent heard of the process.
    fn plan(&mut self, key: ProcessKey, step: usize, heard: Instant) {
        if let Some(after) = AGAIN.get(step)
            && self.due.len() < MOST_DUE
        {
            let ProcessKey { tgid, start_ticks } = key;
            self.due.push(Reverse(Look { at: heard + *after, heard, tgid, start_ticks, step }));
        }
    }

    /// Looks at a process and tells what is new.
    fn look(&mut self, key: ProcessKey, changes: &mut Vec<Change>) {
        match memory::find(key.tgid).filter(|_| is_same(&key)) {
            Some(published) => {
                let known = self.publishers.get(&key);
                if known.is_none_or(|known| known.at != published.at) {
                    self.remember(key, &published);
                    changes.push(change(key, published.attributes));
                }
            }
            None => {
                if self.publishers.remove(&key).is_some() {
                    changes.push(change(key, Vec::new()));
                }
            }
        }
    }

    /// Nobody tells of children that do not execute anything.
    fn look_at_children(&mut self, parent: ProcessKey, changes: &mut Vec<Change>) {
        let executable = |tgid: u32| fs::read_link(format!("/proc/{tgid}/exe")).ok();
        let Some(own) = executable(parent.tgid) else { return };
        for tgid in children(parent.tgid) {
            let key = stat(tgid).map(|stat| ProcessKey { tgid, start_ticks: stat.start_ticks });
            if let Some(key) = key.filter(|key| !self.publishers.contains_key(key))
                && executable(tgid).as_ref() == Some(&own)
            {
                self.look(key, changes);
            }
        }
    }

    fn remember(&mut self, key: ProcessKey, published: &Published) {
        let Published { address, at, attributes: _ } = published;
        if self.publishers.len() < MOST_PUBLISHERS || self.publishers.contains_key(&key) {
            self.publishers.insert(key, Publisher { address: *address, at: *at });
            let next = Instant::now() + REFRESH;
            self.next_refresh.get_or_insert(next);
        }
    }

    /// Looks at everybody who publishes, and at their siblings.
    fn refresh(&mut self, changes: &mut Vec<Change>) {
        self.publishers.retain(|key, _| is_same(key));
        let stale = |(key, one): (&ProcessKey, &Publisher)| {
            (!memory::is_current(key.tgid, one.address, one.at)).then_some(*key)
        };
        for key in self.publishers.iter().filter_map(stale).collect::<Vec<_>>() {
            self.look(key, changes);
        }
        let parents: FxHashSet<ProcessKey> =
            self.publishers.keys().filter_map(|key| parent_of(key.tgid)).collect();
        for parent in parents {
            self.look_at_children(parent, changes);
        }
    }
}

/// The children of the first thread of a process.
fn children(tgid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{tgid}/task/{tgid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|one| one.parse().ok()).take(MOST_CHILDREN).collect()
}

/// The parent, unless it is the one that adopts everybody.
fn parent_of(tgid: u32) -> Option<ProcessKey> {
    let parent = stat(tgid)?.parent_tgid;
    let start_ticks = stat(parent).filter(|_| parent > 1)?.start_ticks;
    Some(ProcessKey { tgid: parent, start_ticks })
}

fn stat(tgid: u32) -> Option<Stat> {
    Stat::parse(&fs::read(format!("/proc/{tgid}/stat")).ok()?)
}

fn change(key: ProcessKey, attributes: Vec<Attribute>) -> Change {
    Change { source: SOURCE.name, about: About::Process(key), attributes }
}
