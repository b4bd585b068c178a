//! Field offsets from the kernel's own type information.

use shipwake::kernel::btf::Btf;
use shipwake_ebpf::offsets::{ABSENT, FIELDS};

/// Every field that the probes read is there on every supported kernel.
#[test]
fn every_field_is_found() {
    let btf = Btf::of_kernel().expect("supported kernels publish BTF");
    let offsets = btf.offsets();
    let words: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(&offsets));
    let missing: Vec<&str> = FIELDS
        .iter()
        .zip(words)
        .filter(|(_, offset)| **offset == ABSENT)
        .map(|((name, _), _)| *name)
        .collect();
    assert!(missing.is_empty(), "not found: {missing:?}");
}
