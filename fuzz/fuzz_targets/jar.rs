//! Jars, manifests and property files, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::binary::decode;

fuzz_target!(|input: &[u8]| {
    let file = decode::Bounded::new(&input, input.len() as u64, 1 << 20);
    decode::jar(&file, "shop-1.0.jar");
    let text = String::from_utf8_lossy(input);
    decode::main_attributes(&text);
    decode::properties(&text);
    decode::jar(&file, &text);
});
