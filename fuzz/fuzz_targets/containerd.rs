//! Records of containerd about a container and its image, the image's configuration and a bundle, of any
//! bytes: four parts with `\xff\xfe` between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::containerd;

fuzz_target!(|input: &[u8]| {
    let mut parts = split(input);
    let mut part = || parts.next().unwrap_or_default();
    containerd::read(part(), part(), part(), part());
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
