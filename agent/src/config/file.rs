//! Settings from one TOML file.

use std::{ops::Range, path::Path};

use serde::Deserialize as _;
use toml::{
    Spanned, Table, Value,
    de::{DeArray, DeString, DeTable, DeValue, Deserializer},
};

use super::{
    Config, Origin, Problem, SECTIONS,
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
                (Ok((section, name)), Some(value)) => match fits(section, name, &value) {
                    Ok(()) => entries.push(Entry { section, key: name, value, origin }),
                    Err(problem) => {
                        let origin = blamed(section, key, keys).map_or(origin, at);
                        problems
                            .push(Problem::at(origin, format!("`{section}.{name}`: {problem}")));
                    }
                },
                (Err(problem), _) => problems.push(Problem::at(origin, problem)),
                (Ok(_), None) => {}
            }
        }
    }
    (entries, problems)
}

/// Where in the value of a key the mistake is: it may have many lines.
fn blamed(section: &str, key: &Spanned<DeString<'_>>, keys: &DeTable<'_>) -> Option<Range<usize>> {
    let value = keys.get(key)?;
    let refused = |value: Spanned<DeValue<'_>>| {
        let name = |text: &str| Spanned::new(key.span(), DeString::from(text.to_owned()));
        let body = DeTable::from_iter([(name(key.get_ref()), value)]);
        let body = Spanned::new(key.span(), DeValue::Table(body));
        let whole = DeTable::from_iter([(name(section), body)]);
        let error = Config::deserialize(Deserializer::from(Spanned::new(key.span(), whole))).err();
        error.map(|error| error.span().unwrap_or_default())
    };
    let DeValue::Array(elements) = value.get_ref() else { return refused(value.clone()) };
    elements.iter().find_map(|element| {
        let alone = DeArray::from_iter([element.clone()]);
        let span = refused(Spanned::new(value.span(), DeValue::Array(alone)))?;
        // A mistake of the element as a whole is where it begins.
        let is_inside = span.start > element.span().start && !span.is_empty();
        Some(if is_inside { span } else { element.span() })
    })
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
