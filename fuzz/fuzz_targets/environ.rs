//! Environment blocks, `OTEL_RESOURCE_ATTRIBUTES`, and the values of labels, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::{environ, text};

fuzz_target!(|input: &[u8]| {
    environ::parse(input);
    let value = String::from_utf8_lossy(input);
    environ::resource_attributes(&value);
    environ::parse(&[b"OTEL_RESOURCE_ATTRIBUTES=", input, b"\0"].concat());
    text::clean(&value);
    text::name(&value);
    text::commit(&value);
    text::revision(&value);
    text::repository(&value);
    text::build_time(&value);
});
