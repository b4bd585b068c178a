//! What the agent reported of a fleet, compared with the truth.

use std::{
    collections::HashMap,
    time::{Duration, UNIX_EPOCH},
};

use super::Member;
use crate::{
    docker::OWN_BUSYBOX,
    otlp::{Receiver, Series},
};

/// What became of the members.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Names of those of which no series ever had the whole identity.
    pub never: Vec<String>,
    /// Series that claim what is not true.
    pub wrong: Vec<Series>,
    /// Series of programs of the fleet that are in no container of it.
    pub strays: Vec<Series>,
    /// Names of those of which something was reported before it was known what they are.
    pub bare: Vec<String>,
    /// From the making of each process to the first report under its whole identity, by the agent's clock;
    /// shortest first. Some time of it is the runtime's, which makes the process before it starts the program.
    pub waited: Vec<Duration>,
    /// The same from the start of its program, by the kernel's clock.
    pub waited_executed: Vec<Duration>,
}

/// What a series says about its container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Everything,
    NotAll,
    SomethingElse,
}

impl Verdict {
    /// Of everything that was received.
    pub fn of(members: &[Member], receiver: &Receiver) -> Self {
        let by_id: HashMap<&str, &Member> =
            members.iter().map(|member| (member.id.as_str(), member)).collect();
        let mut verdict = Self::default();
        let mut first = HashMap::<&str, (u64, u64)>::new();
        for series in receiver.all() {
            let id = series.resource.get("container.id").map_or("", String::as_str);
            let Some((id, member)) = by_id.get_key_value(id) else {
                let names = [series.text("process.executable.name"), series.text("service.name")];
                let is_ours =
                    |name: &&str| name.contains(OWN_BUSYBOX) || name.starts_with("service-");
                if names.iter().any(is_ours) {
                    verdict.strays.push(series);
                }
                continue;
            };
            match says(&series, member) {
                Says::Everything => {
                    let (at, executed) = first.entry(id).or_insert((u64::MAX, u64::MAX));
                    *at = (*at).min(series.first_unix_nano);
                    // Gauges have no start.
                    let program = series.text("process.executable.name");
                    let of_program = [OWN_BUSYBOX, "sleep"].contains(&program);
                    if of_program && series.start_unix_nano != 0 {
                        *executed = (*executed).min(series.start_unix_nano);
                    }
                }
                Says::NotAll => {
                    if !verdict.bare.contains(&member.name) {
                        verdict.bare.push(member.name.clone());
                    }
                }
                Says::SomethingElse => verdict.wrong.push(series),
            }
        }
        for member in members {
            let Some((at, executed)) = first.get(member.id.as_str()) else {
                verdict.never.push(member.name.clone());
                continue;
            };
            let at = UNIX_EPOCH + Duration::from_nanos(*at);
            let waited = |started| at.duration_since(started).unwrap_or_default();
            verdict.waited.extend(member.started.map(waited));
            if *executed != u64::MAX {
                let executed = UNIX_EPOCH + Duration::from_nanos(*executed);
                verdict.waited_executed.push(waited(executed));
            }
        }
        verdict.waited.sort_unstable();
        verdict.waited_executed.sort_unstable();
        verdict
    }
}

/// The time within which this share of them were attributed, of times in order.
pub fn within(waited: &[Duration], share: f64) -> Duration {
    let index = (share * waited.len() as f64).ceil() as usize;
    waited.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

fn says(series: &Series, member: &Member) -> Says {
    let expected = [
        ("service.name", &member.name),
        ("service.version", &member.version),
        ("vcs.ref.head.revision", &member.commit),
    ];
    let mut says = Says::Everything;
    for (key, value) in expected {
        match series.resource.get(key) {
            Some(found) if found == value => {}
            Some(found) if !found.starts_with("unknown_service") => return Says::SomethingElse,
            _ => says = Says::NotAll,
        }
    }
    says
}
