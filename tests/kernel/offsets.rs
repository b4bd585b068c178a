//! Field offsets from the kernel's own type information.

use shipwake::kernel::btf::Btf;
use shipwake_ebpf::offsets::{ABSENT, FIELDS, RDONLY_CAST_NAME};

/// Every field that the probes read is there on every supported kernel. What is no field comes with a function of
/// newer ones.
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
        .filter(|name| *name != "words" || btf.function(RDONLY_CAST_NAME).is_some())
        .collect();
    assert!(missing.is_empty(), "not found: {missing:?}");
}
