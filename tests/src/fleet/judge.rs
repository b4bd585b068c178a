//! What the agent reported of a fleet, and what it says when asked, compared with the truth.

use std::{
    collections::HashMap,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Member;
use crate::{
    docker::OWN_BUSYBOX,
    otlp::{Attributes, Receiver, Series},
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
            match says(&series.resource, member) {
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

/// Names of the members that a listing of `shipwake ps --json` does not know in full: a process that does nothing
/// has nothing to report.
pub fn unknown(members: &[Member], listing: &str) -> Result<Vec<String>> {
    let listing: Value = serde_json::from_str(listing)?;
    let processes = listing["processes"].as_array().context("no processes")?;
    let told: Vec<Attributes> = processes
        .iter()
        .map(|process| {
            let rows = process["attributes"].as_array().into_iter().flatten();
            let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
            rows.map(|row| (text(row, "key"), text(row, "value"))).collect()
        })
        .collect();
    let by_id: HashMap<&str, &Attributes> =
        told.iter().filter_map(|told| Some((told.get("container.id")?.as_str(), told))).collect();
    let is_known = |member: &&Member| {
        let told = by_id.get(member.id.as_str());
        told.is_some_and(|told| says(told, member) == Says::Everything)
    };
    let unknown = members.iter().filter(|member| !is_known(member));
    Ok(unknown.map(|member| member.name.clone()).collect())
}

/// The time within which this share of them were attributed, of times in order.
pub fn within(waited: &[Duration], share: f64) -> Duration {
    let index = (share * waited.len() as f64).ceil() as usize;
    waited.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

fn says(resource: &Attributes, member: &Member) -> Says {
    let expected = [
        ("service.name", &member.name),
        ("service.version", &member.version),
        ("vcs.ref.head.revision", &member.commit),
    ];
    let mut says = Says::Everything;
    for (key, value) in expected {
        match resource.get(key) {
            Some(found) if found == value => {}
            Some(found) if !found.starts_with("unknown_service") => return Says::SomethingElse,
            _ => says = Says::NotAll,
        }
    }
    says
}
