//! Records of containerd about a container and its image, the image's configuration and a bundle, of any
//! bytes: four parts with `\xff\xfe` between.
#![no_main]

mod parts;

use libfuzzer_sys::fuzz_target;
use shipwake::workload::containerd;

fuzz_target!(|input: &[u8]| {
    let mut parts = parts::split(input);
    let mut part = || parts.next().unwrap_or_default();
    containerd::read(part(), part(), part(), part());
});
