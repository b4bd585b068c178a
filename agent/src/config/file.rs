//! Settings from one TOML file.

use std::{ops::Range, path::Path};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Origin, Problem, SECTIONS,
    layer::{Entry, find, fits, unknown_section},
    suggest::nearest,
};

/// Takes apart the text of a file: what it sets, and everything that is wrong with it.
pub fn entries(path: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let at =
        |span: Range<usize>| Origin::File { path: path.to_owned(), line: line(text, span.start) };
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let (spans, mut values) = match (DeTable::parse(text), text.parse::<Table>()) {
        (Ok(spans), Ok(values)) => (spans.into_inner(), values),
        (Err(error), _) | (_, Err(error)) => {
            let origin = at(error.span().unwrap_or_default());
            problems.push(Problem::at(origin, format!("not TOML: {}", error.message())));
            return (entries, problems);
        }
    };
    for (section, body) in &spans {
        let DeValue::Table(keys) = body.get_ref() else {
            problems.push(Problem::at(at(section.span()), stray(section.get_ref())));
            continue;
        };
        if !SECTIONS.iter().any(|known| known.name == section.get_ref()) {
            problems.push(Problem::at(at(section.span()), unknown_section(section.get_ref())));
            continue;
        }
        for key in keys.keys() {
            let origin = at(key.span());
            let value = values.get_mut(&**section.get_ref()).and_then(Value::as_table_mut);
            let value = value.and_then(|table| table.remove(&**key.get_ref()));
            match (find(section.get_ref(), key.get_ref()), value) {
                (Ok((section, key)), Some(value)) => match fits(section, key, &value) {
                    Ok(()) => entries.push(Entry { section, key, value, origin }),
                    Err(problem) => {
                        problems.push(Problem::at(origin, format!("`{section}.{key}`: {problem}")));
                    }
                },
                (Err(problem), _) => problems.push(Problem::at(origin, problem)),
                (Ok(_), None) => {}
            }
        }
    }
    (entries, problems)
}

/// A key outside of every section.
fn stray(key: &str) -> String {
    let sections = SECTIONS.iter();
    match sections.clone().find(|known| known.fields.iter().any(|field| field.name == key)) {
        Some(known) => {
            format!("key `{key}` stands outside of a section; put it below [{}]", known.name)
        }
        None => match nearest(key, sections.map(|known| known.name)) {
            Some(meant) => format!("`{key}` must be a section; did you mean [{meant}]?"),
            None => format!("key `{key}` stands outside of a section and no section has it"),
        },
    }
}

/// Line of a byte position, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
