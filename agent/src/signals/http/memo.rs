//! Exchanges that a batch has already: the same request, answered the same way.
//!
//! Services answer the same few requests over and over. One that is in the current batch already adds
//! its time and sizes to the measurements there, without being parsed, named or looked up again. Nothing
//! of it outlives a batch, so what is learned about paths takes effect with the next one.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;
use shipwake_ebpf::process::ProcessKey;

use super::exchange::{Finished, Outcome, Role};
use crate::{
    metric::LabelSet,
    signals::{Measurement, Subject},
};

/// Exchanges remembered: enough for the busiest requests of a batch, 70 KiB with typical heads.
const SLOTS: usize = 512;

/// Where the measurements of an exchange are in a batch.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) count: usize,
    pub(super) subject: Subject,
    pub(super) labels: LabelSet,
}

impl Place {
    /// The measurements, if the batch is still the one they were put into.
    pub(super) fn of<'a>(
        &self,
        measurements: &'a mut [Measurement],
    ) -> Option<&'a mut [Measurement]> {
        let end = self.at.checked_add(self.count)?;
        let known = measurements.get_mut(self.at..end)?;
        let is_same = known.iter().all(|it| it.subject == self.subject && it.labels == self.labels);
        is_same.then_some(known)
    }
}

/// The exchanges remembered, each in the one slot that its hash names.
pub(super) struct Memo {
    slots: Vec<Option<Known>>,
}

struct Known {
    head: Vec<u8>,
    head_total: usize,
    process: ProcessKey,
    role: Role,
    service: ([u8; 16], u16),
    status: Option<u16>,
    outcome: Outcome,
    responded: bool,
    place: Place,
}

impl Default for Memo {
    fn default() -> Self {
        Self { slots: std::iter::repeat_with(|| None).take(SLOTS).collect() }
    }
}

impl Memo {
    /// Where an exchange would be.
    pub(super) fn slot(&self, finished: &Finished<'_>) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(finished.head);
        hasher.write_u32(finished.process.tgid);
        hasher.write_u16(finished.status.unwrap_or(0));
        hasher.write_u8(finished.role as u8);
        // The low bits of this hash are its weak ones.
        (hasher.finish() >> 32) as usize % SLOTS
    }

    /// Where the measurements of an equal exchange are.
    pub(super) fn find(&self, slot: usize, finished: &Finished<'_>) -> Option<&Place> {
        let known = self.slots.get(slot)?.as_ref()?;
        let is_equal = known.head == finished.head
            && known.head_total == finished.head_total
            && known.process == finished.process
            && known.role == finished.role
            && known.service == finished.service
            && known.status == finished.status
            && known.outcome == finished.outcome
            && known.responded == (finished.response_bytes > 0);
        is_equal.then_some(&known.place)
    }

    /// Remembers an exchange in place of the one that was there.
    pub(super) fn keep(&mut self, slot: usize, finished: &Finished<'_>, place: Place) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        let mut head = entry.take().map(|known| known.head).unwrap_or_default();
        head.clear();
        head.extend_from_slice(finished.head);
        *entry = Some(Known {
            head,
            head_total: finished.head_total,
            process: finished.process,
            role: finished.role,
            service: finished.service,
            status: finished.status,
            outcome: finished.outcome,
            responded: finished.response_bytes > 0,
            place,
        });
    }
}
