//! What deploy tools write down, and patterns of users, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::workload::{file, rules::Pattern};

fuzz_target!(|input: &[u8]| {
    for given in file::json(input).into_iter().flatten() {
        assert!(!given.value.trim().is_empty());
    }
    let text = String::from_utf8_lossy(input);
    if let Err(error) = file::toml(&text) {
        assert!(!error.contains('\n'), "one line");
    }
    if let Some((pattern, text)) = text.split_once('\n')
        && let Ok(pattern) = Pattern::new(pattern)
        && let Some(captures) = pattern.matches(text)
    {
        assert_eq!(captures.len(), pattern.captures());
    }
});
