//! Cgroup files and paths of any text, and the names of unknown cgroups.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shipwake::workload::cgroup::{choose, choose_bytes, place, place_leaves, unescape};

fuzz_target!(|input: &[u8]| {
    choose_bytes(input);
    let text = String::from_utf8_lossy(input);
    let path = choose(&text).unwrap_or(&text);
    if let Some(container) = place(path).container {
        assert!(!container.id.0.is_empty());
    }
    let names: Vec<Arc<str>> = text.split('/').take(3).map(Arc::from).collect();
    place_leaves(&names);
    unescape(&text);
});
