//! Answers of the CRI about a sandbox, a container and an image, and a bundle of CRI-O, of any bytes: four
//! parts with `\xff\xfe` between.
#![no_main]

mod parts;

use libfuzzer_sys::fuzz_target;
use shipwake::workload::cri;

fuzz_target!(|input: &[u8]| {
    let mut parts = parts::split(input);
    let mut part = || parts.next().unwrap_or_default();
    cri::read(part(), part(), part(), part());
});
