//! The BTF parser and the walk to the fields, on any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::kernel::btf::Btf;

fuzz_target!(|input: &[u8]| {
    if let Ok(btf) = Btf::parse(input.to_vec()) {
        btf.offsets();
        btf.enumerator("name", "other");
    }
});
