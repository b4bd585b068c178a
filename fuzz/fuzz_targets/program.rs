//! Command lines, and what Python, Node, .NET and dpkg write about programs, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::binary::decode;

fuzz_target!(|input: &[u8]| {
    let arguments = decode::arguments(input);
    decode::python_entry(&arguments);
    decode::node_entry(&arguments);
    decode::java(&arguments);
    decode::dotnet_entry(&arguments);
    let text = String::from_utf8_lossy(input);
    decode::package(input);
    decode::dependencies(input, "Shop");
    decode::declares_script(&text, "shop");
    decode::metadata(&text);
    decode::pyproject(&text);
    decode::states(&text, |_, _, _| {});
    decode::diversions(&text);
});
