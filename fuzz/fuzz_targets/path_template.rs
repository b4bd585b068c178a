//! Paths of any bytes, many at a time, one per line, into one tree; and patterns of routes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::signals::http::{
    Routes,
    template::{Learn, Limits, Target, Templates},
};

fuzz_target!(|input: &[u8]| {
    let mut templates = Templates::new(Limits { templates: 8, values: 3 });
    let patterns: Vec<String> = input
        .split(|byte| *byte == b'\n')
        .take(4)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let routes = Routes::new(&patterns).unwrap_or_default();
    let mut texts = std::collections::HashSet::new();
    for path in input.split(|byte| *byte == b'\n') {
        let cut = path.len() % 5 == 4;
        let target = Target::Path { path, cut };
        routes.find(target);
        let learn = if path.len() % 7 == 6 { Learn::Tried } else { Learn::Proven };
        let name = templates.name(([0; 16], 80), target, learn);
        assert!(name.text.len() <= 100, "{}", name.text);
        assert!(name.text.starts_with('/') && name.text.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!name.text.contains(['?', '#', ';', '%', '=']), "{}", name.text);
        texts.insert(name.text.clone());
    }
});
