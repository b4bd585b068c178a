//! One workload: its members, who speaks for it, and its resource.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Directory, Facts, Identity, Member, Mono, Place, Placement, Told, WorkloadId, binary, environ,
    file, otel_ctx,
};
use crate::{
    process::ProcessKey,
    workload::{
        ContainerId, Resource,
        resolve::{self, Known, basename},
    },
};

/// A service instance.
pub(super) struct Workload {
    pub place: Place,
    pub placement: Placement,
    pub identity: Option<Identity>,
    /// Key of the unit that the sources are asked about.
    pub unit: Option<Arc<str>>,
    pub members: FxHashSet<ProcessKey>,
    /// Members that some source has not answered about.
    pub waiting: u32,
    /// The member whose executable names the workload when nothing else does.
    pub main: Option<ProcessKey>,
    pub executable: Option<Arc<str>>,
    /// What the sources said about the main member.
    pub told: Told,
    /// Members are of different builds, of which what they have in common is told.
    pub is_mixed: bool,
    /// The member whose environment counts.
    pub speaker: Option<ProcessKey>,
    pub environment: Option<Arc<Facts>>,
    /// What a living member publishes about itself.
    pub context: Option<Arc<Facts>>,
    pub since: Mono,
    /// Since when it has no members.
    pub ended: Option<Mono>,
    pub resource: Arc<Resource>,
    /// Something that the resource is made of changed since it was worked out.
    pub is_stale: bool,
}

/// Programs that start the service and are not it.
const STARTERS: &[&str] = &[
    "ash",
    "bash",
    "busybox",
    "catatonit",
    "chamber",
    "chpst",
    "consul-template",
    "dash",
    "docker-init",
    "dockerize",
    "dumb-init",
    "env",
    "envconsul",
    "gosu",
    "nohup",
    "runc",
    "runsv",
    "runsvdir",
    "runuser",
    "s6-supervise",
    "s6-svscan",
    "setpriv",
    "sh",
    "start-stop-daemon",
    "su",
    "su-exec",
    "sudo",
    "timeout",
    "tini",
    "unshare",
    "zsh",
];

impl Workload {
    pub(super) fn container(&self) -> Option<&ContainerId> {
        self.placement.container.as_ref().map(|container| &container.id)
    }

    /// Whether a child in `place` would have the environment of this workload's processes.
    pub(super) fn is_kin(&self, place: &Place) -> bool {
        self.place == *place
            || matches!((&self.place, place), (Place::Executable(_), Place::Executable(_)))
    }

    /// Whether a member goes by the name that this workload has.
    fn is_named_by(&self, member: &Member) -> bool {
        match (&self.identity, &member.identity) {
            (Some(own), Some(one)) => own.agrees(one),
            (own, one) => own == one,
        }
    }

    /// Whether what a source said about a member, which need not be the main one, may change what is told.
    pub(super) fn is_other_build(&self, member: &Member) -> bool {
        let is_other = |name: &str| {
            let told = self.told.iter().find(|(source, _)| *source == name);
            told.map(|(_, facts)| facts) != member.told_by(name)
        };
        !self.is_shared() && (self.is_mixed || OF_BUILDS.iter().any(|name| is_other(name)))
    }

    /// Whether one name is for the whole place.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Container { .. } | Place::Unit(_))
    }

    /// Chooses who gives the executable and the environment: the oldest member, and a starter of
    /// services only when there is nobody else. Choices stay while the chosen one lives, so that
    /// helpers that come and go never rename a service.
    pub(super) fn elect(
        &mut self,
        processes: &FxHashMap<ProcessKey, Member>,
        may_replace_main: bool,
    ) {
        let members = || self.members.iter().filter_map(|key| processes.get_key_value(key));
        let age = |key: &ProcessKey| (key.start_ticks, key.tgid);
        let stays =
            |chosen: &Option<ProcessKey>| chosen.is_some_and(|key| self.members.contains(&key));
        let main = if stays(&self.main) && !may_replace_main {
            self.main
        } else {
            members()
                .filter(|(_, member)| member.executable.is_some())
                .min_by_key(|(key, member)| (is_starter(member), age(key)))
                .map(|(key, _)| *key)
        };
        let is_kin = |member: &Member| !self.is_shared() || self.is_named_by(member);
        let speaks =
            |member: &Member| is_kin(member) && member.told_by(environ::SOURCE.name).is_some();
        let speaker = match self.speaker {
            Some(key)
                if processes
                    .get(&key)
                    .is_some_and(|m| self.members.contains(&key) && speaks(m)) =>
            {
                Some(key)
            }
            _ => members()
                .filter(|(_, member)| speaks(member))
                .min_by_key(|(key, _)| age(key))
                .map(|(key, _)| *key),
        };
        let context = members()
            .filter(|(_, member)| is_kin(member))
            .filter_map(|(key, member)| Some((age(key), member.told_by(otel_ctx::SOURCE.name)?)))
            .min_by_key(|(age, _)| *age)
            .map(|(_, facts)| facts.clone());
        let of = |key: Option<ProcessKey>| key.and_then(|key| processes.get(&key));
        let executable = of(main).and_then(|member| member.executable.clone());
        // Of a new one nothing is known until its sources have answered.
        let told = of(main).filter(|member| member.waits.is_empty()).map(|one| one.told.clone());
        let (told, is_mixed) = match told {
            Some(told) if !self.is_shared() => {
                let (told, is_mixed) = common(told, members().map(|(_, member)| member));
                (Some(told), is_mixed)
            }
            told => (told, false),
        };
        let environment =
            of(speaker).and_then(|member| member.told_by(environ::SOURCE.name).cloned());
        self.main = main;
        self.is_mixed = is_mixed;
        self.speaker = speaker;
        // Who publishes takes it along; after the last member it holds until somebody comes.
        if context != self.context && !self.members.is_empty() {
            self.context = context;
            self.is_stale = true;
        }
        if let Some(told) = told
            && told != self.told
        {
            self.told = told;
            self.is_stale = true;
        }
        // What the last one said holds until somebody says something else.
        if executable.is_some() && executable != self.executable {
            self.executable = executable;
            self.is_stale = true;
        }
        if environment.is_some() && environment != self.environment {
            self.environment = environment;
            self.is_stale = true;
        }
    }
}

/// Sources that say different things about processes of one executable, when it was replaced.
pub(super) const OF_BUILDS: [&str; 2] = [binary::SOURCE.name, file::SOURCE.name];

/// An executable that was replaced has processes of both builds, of which none speaks for the others.
fn common<'a>(mut told: Told, members: impl Iterator<Item = &'a Member> + Clone) -> (Told, bool) {
    let mut is_mixed = false;
    for (name, own) in told.iter_mut().filter(|(name, _)| OF_BUILDS.contains(name)) {
        for facts in members.clone().filter_map(|member| member.told_by(name)) {
            if !Arc::ptr_eq(facts, own) && **facts != **own {
                *own = Arc::new(own.shared_with(facts));
                is_mixed = true;
            }
        }
    }
    (told, is_mixed)
}

fn is_starter(member: &Member) -> bool {
    member.executable.as_deref().is_some_and(|path| STARTERS.contains(&basename(path)))
}

/// What the sources are asked about a unit by: unique on the host.
pub(super) fn unit_key(placement: &Placement, place: &Place) -> Option<Arc<str>> {
    let unit = placement.unit.as_ref()?;
    match (place, &unit.user) {
        (Place::Container { id, unit: Some(_) }, _) => Some(format!("{id}/{}", unit.name).into()),
        (_, Some(user)) => Some(format!("user@{user}/{}", unit.name).into()),
        (_, None) => Some(unit.name.clone()),
    }
}

impl Directory {
    /// Puts a process where it belongs and takes it away from where it was. Resources are not worked
    /// out anew: see [`Self::refresh`].
    pub(super) fn join(&mut self, key: ProcessKey, mut member: Member, now: Mono) -> WorkloadId {
        let id = self.workload_for(&member, now);
        if let Some(before) = self.processes.remove(&key) {
            self.leave(key, &before, (before.workload != id).then_some(now));
        }
        member.workload = id;
        let is_waiting = !member.waits.is_empty();
        self.processes.insert(key, member);
        if let Some(one) = self.workloads.get_mut(&id) {
            one.members.insert(key);
            one.waiting += u32::from(is_waiting);
            one.ended = None;
        }
        id
    }

    /// Takes a process, already out of the table, out of its workload; `at` is when it went, or
    /// `None` when it comes back at once.
    pub(super) fn leave(&mut self, key: ProcessKey, member: &Member, at: Option<Mono>) {
        let Some(one) = self.workloads.get_mut(&member.workload) else { return };
        one.members.remove(&key);
        one.waiting = one.waiting.saturating_sub(u32::from(!member.waits.is_empty()));
        if one.members.is_empty() && at.is_some() {
            one.ended = at;
        }
    }

    /// Whether `key` decides about the resource of a workload, or somebody is still to be found who
    /// does. All other processes of a running service come and go without any work.
    pub(super) fn is_decisive(&self, id: WorkloadId, key: ProcessKey, now: Mono) -> bool {
        self.workloads.get(&id).is_some_and(|one| {
            self.is_young(one, now)
                || one.main == Some(key)
                || one.speaker == Some(key)
                || one.main.is_none_or(|main| !one.members.contains(&main))
                || one.speaker.is_none_or(|speaker| !one.members.contains(&speaker))
        })
    }

    /// The choice of the main process is still open.
    pub(super) fn is_young(&self, one: &Workload, now: Mono) -> bool {
        now.since(one.since) < self.settings.patience.0
    }

    /// The workload that a process with this place and identity belongs to, made when needed.
    fn workload_for(&mut self, member: &Member, now: Mono) -> WorkloadId {
        let ids = self.places.get(&member.place).map(Vec::as_slice).unwrap_or_default();
        let of = |id: &WorkloadId| self.workloads.get(id);
        let same = |one: &Workload| one.identity == member.identity;
        let agrees = |one: &Workload| one.is_shared() && one.is_named_by(member);
        let find = |is_it: &dyn Fn(&Workload) -> bool| {
            ids.iter().copied().find(|id| of(id).is_some_and(is_it))
        };
        let found = find(&same).or_else(|| find(&agrees)).or_else(|| {
            // In a container or unit the first workload takes everybody without a name of their
            // own, and takes the first name for its own.
            let first = ids.first().copied()?;
            let one = of(&first)?;
            let joins = one.is_shared() && (member.identity.is_none() || one.identity.is_none());
            joins.then_some(first)
        });
        if let Some(id) = found {
            if let Some(one) = self.workloads.get_mut(&id)
                && let Some(identity) = &member.identity
                && one.identity.as_ref().is_none_or(|own| own.instance.is_none())
                && one.identity != member.identity
            {
                one.identity = Some(identity.clone());
                one.is_stale = true;
            }
            return id;
        }
        let id = WorkloadId(self.next);
        self.next += 1;
        self.places.entry(member.place.clone()).or_default().push(id);
        self.workloads.insert(
            id,
            Workload {
                place: member.place.clone(),
                placement: member.placement.clone(),
                identity: member.identity.clone(),
                unit: unit_key(&member.placement, &member.place),
                members: FxHashSet::default(),
                waiting: 0,
                main: None,
                executable: member.executable.clone(),
                told: Told::new(),
                is_mixed: false,
                speaker: None,
                environment: None,
                context: None,
                since: now,
                ended: None,
                resource: Arc::default(),
                is_stale: true,
            },
        );
        id
    }

    /// Works the resource out anew, if anything it is made of changed. True when it is another one. Without `now` nobody new is chosen to speak
    /// while those who do are there.
    pub(super) fn refresh(&mut self, id: WorkloadId, now: Option<Mono>) -> bool {
        let Some(one) = self.workloads.get(&id) else { return false };
        let is_open = now.is_some_and(|now| self.is_young(one, now));
        let Some(one) = self.workloads.get_mut(&id) else { return false };
        one.elect(&self.processes, is_open);
        if !std::mem::take(&mut one.is_stale) {
            return false;
        }
        let container = one.container().map(|id| self.containers.facts(id)).unwrap_or_default();
        let unit = one.unit.as_ref().map(|unit| self.units.facts(unit)).unwrap_or_default();
        // Outside of containers and units an environment counts only when it names the service:
        // anything else in it is as likely the surroundings of the shell that started the process.
        let is_named = one.identity.as_ref().is_some_and(|identity| identity.is_named());
        let resource = resolve::resolve(&Known {
            settings: &self.settings,
            place: &one.place,
            placement: &one.placement,
            executable: one.executable.as_deref(),
            container,
            unit,
            process: &one.told,
            environment: one.environment.as_deref(),
            context: one.context.as_deref(),
            is_environment_its_own: one.is_shared() || is_named,
            host: &self.host,
        });
        if *one.resource == resource {
            return false;
        }
        one.resource = Arc::new(resource);
        true
    }
}
