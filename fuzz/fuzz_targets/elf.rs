//! Executables, what Go and Cargo write into them, and notes of packages, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::binary::decode;

fuzz_target!(|input: &[u8]| {
    let file = decode::Bounded::new(&input, input.len() as u64, 1 << 20);
    let found = decode::executable(&file);
    assert!(found.gnu_build_id.len() <= 128);
    assert!(found.go_build_id.chars().count() <= 512);
    decode::go("go1.22", input);
    decode::crates(input);
    decode::note(input);
});
