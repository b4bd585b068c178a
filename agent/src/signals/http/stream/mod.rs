//! The exact path.

use shipwake_ebpf::http::{Close, Segment};

use super::exchange::{Meter, lose};
use crate::{signals::Batch, time::Mono};

/// How much is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {}

/// Connections.
pub struct Streams {}

impl Streams {
    pub(super) fn new(_: Limits) -> Self {
        Self {}
    }
    pub(super) fn segment(&mut self, _: &Segment, _: &[u8], _: &mut Meter, out: &mut Batch) {
        lose(out, "exact_path", 1);
    }
    pub(super) fn close(&mut self, _: &Close, _: &mut Meter, _: &mut Batch) {}
    pub(super) fn idle(&mut self, _: Mono, _: u64, _: &mut Meter, _: &mut Batch) {}
}
