//! Lists of containers and images in the storage of Podman, the configuration of an image and a bundle, of
//! any bytes: four parts with `\xff\xfe` between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::podman;

fuzz_target!(|input: &[u8]| {
    let mut parts = split(input);
    let mut part = || parts.next().unwrap_or_default();
    podman::read(part(), part(), part(), part());
});

fn split(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(2).position(|pair| pair == b"\xff\xfe");
        rest = at.map(|at| &all[at + 2..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}
