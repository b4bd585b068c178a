//! Answers of the Docker API about a container and its image, of any bytes: two texts with a NUL between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::docker;

fuzz_target!(|input: &[u8]| {
    let (container, image) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"{}"[..]),
    };
    docker::read(container, image);
});
