//! Records of the ring `HTTP`, of any bytes, and whole exchanges with any head.
#![no_main]

use bytemuck::{Zeroable as _, bytes_of};
use libfuzzer_sys::fuzz_target;
use shipwake::signals::{
    Batch,
    http::{Core, Settings},
};
use shipwake_ebpf::http::{Exchange, KIND_EXCHANGE};

fuzz_target!(|input: &[u8]| {
    let Ok(mut core) = Core::new(&Settings::default()) else { return };
    let mut out = Batch::default();
    core.record(input, &mut out);
    let Some((first, head)) = input.split_first() else { return };
    let kept = head.len().min(shipwake_ebpf::http::HEAD_KEPT);
    let mut exchange = Exchange::zeroed();
    exchange.kind = KIND_EXCHANGE;
    exchange.origin.role = u32::from(first & 3);
    exchange.status = u32::from(*first) * 4;
    exchange.end = u32::from(first >> 6) + 1;
    exchange.response_bytes = u64::from(first & 8);
    exchange.head_kept = kept as u32;
    exchange.head_total = head.len() as u32;
    core.record(&[bytes_of(&exchange), &head[..kept]].concat(), &mut out);
    for measurement in &out.measurements {
        for label in measurement.labels.labels() {
            let text = label.value.to_string();
            assert!(
                text.len() <= 300 && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "{text}"
            );
            assert!(!text.contains(['?', '#', '=', '&']), "{text}");
        }
    }
});
