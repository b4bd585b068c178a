//! What the sources said about containers and units, and who has not answered yet.

use std::{borrow::Borrow, collections::VecDeque, hash::Hash};

use rustc_hash::FxHashMap;

use super::{Facts, SourceDef};
use crate::time::Mono;

/// Things that were told and in which no process has been seen. More than that are dropped, oldest
/// first: they are asked about when a process shows up.
pub(super) const SPARE: usize = 1024;

/// A set of sources, by their position among those in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask(u32);

impl Mask {
    pub(super) fn of(sources: &[&SourceDef], keep: impl Fn(&SourceDef) -> bool) -> Self {
        let bits = sources.iter().enumerate().filter(|(_, source)| keep(source));
        Self(bits.fold(0, |mask, (index, _)| mask | 1_u32.checked_shl(index as u32).unwrap_or(0)))
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Answers about things of one kind.
pub(super) struct Answers<K> {
    of: FxHashMap<K, Answer>,
    /// Told and never asked about, oldest first.
    spare: VecDeque<K>,
}

impl<K> Default for Answers<K> {
    fn default() -> Self {
        Self { of: FxHashMap::default(), spare: VecDeque::new() }
    }
}

#[derive(Default)]
struct Answer {
    facts: Vec<(&'static str, Facts)>,
    /// When each source said last that it knows something.
    told: Vec<(&'static str, Mono)>,
    waits: Mask,
    /// A process has been seen in it.
    is_used: bool,
}

impl<K: Clone + Eq + Hash> Answers<K> {
    /// A process was seen in `key`, which the sources in `mask` know something about. For the first process
    /// the sources that have told about it by themselves, when others are still to be asked: what one source
    /// was quick to tell does not make up for what only another one knows.
    pub(super) fn ask(
        &mut self,
        key: &K,
        mask: Mask,
        bit: impl Fn(&str) -> Mask,
    ) -> Option<Vec<&'static str>> {
        let answer = self.of.entry(key.clone()).or_default();
        if answer.is_used {
            return None;
        }
        answer.is_used = true;
        self.spare.retain(|spare| spare != key);
        let told = answer.facts.iter().filter(|(_, facts)| !facts.is_empty());
        let told: Vec<&'static str> = told.map(|(source, _)| *source).collect();
        answer.waits = told.iter().fold(mask, |mask, source| mask.without(bit(source)));
        (!answer.waits.is_empty()).then_some(told)
    }

    /// A source said `facts` about `key`. True when that is news. That it knows nothing takes nothing away:
    /// what it said before was true, and it is the one who is in trouble.
    pub(super) fn hear(
        &mut self,
        (source, bit): (&'static str, Mask),
        key: K,
        facts: Facts,
        now: Mono,
    ) -> bool {
        if !self.of.contains_key(&key) {
            self.spare.push_back(key.clone());
            while self.spare.len() > SPARE {
                if let Some(oldest) = self.spare.pop_front() {
                    self.of.remove(&oldest);
                }
            }
        }
        let answer = self.of.entry(key).or_default();
        let waited = !answer.waits.is_empty();
        answer.waits = answer.waits.without(bit);
        let settled = waited && answer.waits.is_empty();
        if !facts.is_empty() {
            answer.told.retain(|(name, _)| *name != source);
            answer.told.push((source, now));
        }
        match answer.facts.iter_mut().find(|(name, _)| *name == source) {
            Some((_, known)) if facts.is_empty() || *known == facts => settled,
            Some((_, known)) => {
                *known = facts;
                true
            }
            None => {
                // In order of precedence, whoever spoke first.
                let at = answer.facts.partition_point(|(other, _)| rank(other) < rank(source));
                answer.facts.insert(at, (source, facts));
                true
            }
        }
    }

    pub(super) fn facts<Q>(&self, key: &Q) -> &[(&'static str, Facts)]
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.of.get(key).map(|answer| answer.facts.as_slice()).unwrap_or_default()
    }

    /// Who knows something about `key`, and when it was said last.
    pub(super) fn told(&self, key: &K) -> &[(&'static str, Mono)] {
        self.of.get(key).map(|answer| answer.told.as_slice()).unwrap_or_default()
    }

    pub(super) fn is_answered(&self, key: &K) -> bool {
        self.of.get(key).is_none_or(|answer| answer.waits.is_empty())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.of.remove(key);
        self.spare.retain(|spare| spare != key);
    }
}

/// Place of a source in the list of all.
fn rank(source: &str) -> usize {
    super::super::ALL.iter().position(|known| known.name == source).unwrap_or(usize::MAX)
}
