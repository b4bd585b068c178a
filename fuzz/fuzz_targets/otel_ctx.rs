//! What processes publish about themselves, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::otel_ctx::decode;

fuzz_target!(|input: &[u8]| {
    let facts = decode(input).unwrap_or_default();
    assert!(facts.len() <= 64);
    for (at, fact) in facts.iter().enumerate() {
        assert!(facts.iter().skip(at + 1).all(|other| other.key != fact.key), "each key once");
    }
});
