//! Connections of the exact path: segments of any bytes in any order, gaps, losses and ends.
//!
//! The input is a list of segments: one byte of flags, one byte of length, that many bytes.
#![no_main]

use bytemuck::{Zeroable as _, bytes_of};
use libfuzzer_sys::fuzz_target;
use shipwake::{
    signals::{
        Batch,
        http::{Core, Last, Settings},
    },
    time::Mono,
};
use shipwake_ebpf::http::{Close, KIND_CLOSE, KIND_SEGMENT, Segment};

fuzz_target!(|input: &[u8]| {
    let Ok(mut core) = Core::new(&Settings::default()) else { return };
    let mut out = Batch::default();
    let mut rest = input;
    let mut ordinals = [0_u32; 2];
    let mut at_ns = 0;
    while let [flags, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        at_ns += 1;
        let connection = usize::from(flags >> 7);
        if flags & 0x70 == 0x70 {
            let mut close = Close::zeroed();
            close.kind = KIND_CLOSE;
            close.end = 2 + u32::from(flags & 1);
            close.origin.role = 1 + u32::from(flags >> 7);
            close.origin.connection = connection as u64;
            close.at_ns = at_ns;
            core.record(bytes_of(&close), &mut out);
            ordinals[connection] = 0;
            continue;
        }
        if flags & 0x70 == 0x60 {
            core.begin_sweep();
            core.end_sweep(Mono(at_ns), Last::Yes, &mut out);
            continue;
        }
        ordinals[connection] += 1 + u32::from(flags & 0x70 == 0x50);
        let mut segment = Segment::zeroed();
        segment.kind = KIND_SEGMENT;
        segment.kept = bytes.len() as u32;
        segment.total =
            bytes.len() as u64 + if flags & 0x0c == 0x0c { u64::from(*length) } else { 0 };
        segment.direction = 1 + u32::from(flags & 1);
        segment.ordinal = ordinals[connection];
        segment.at_ns = at_ns;
        segment.origin.role = 1 + u32::from(flags >> 7);
        segment.origin.connection = connection as u64;
        core.record(&[bytes_of(&segment), bytes].concat(), &mut out);
    }
    // Three measurements for an exchange and a few irregularities: nothing multiplies.
    assert!(out.measurements.len() <= 8 * input.len() + 8);
});
