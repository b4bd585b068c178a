//! Lists of containers and images in the storage of Podman, the configuration of an image and a bundle, of
//! any bytes: four parts with `\xff\xfe` between.
#![no_main]

mod parts;

use libfuzzer_sys::fuzz_target;
use shipwake::workload::podman;

fuzz_target!(|input: &[u8]| {
    let mut parts = parts::split(input);
    let mut part = || parts.next().unwrap_or_default();
    podman::read(part(), part(), part(), part());
});
