//! Records of the ring `LIFECYCLE`, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::signals::process::decode;

fuzz_target!(|input: &[u8]| {
    decode(input);
});
