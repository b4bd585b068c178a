//! Values from one place, before they are merged.

use std::sync::LazyLock;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, Origin, Problem, SECTIONS, SectionDef, suggest::nearest};

/// One setting with the value that one place gives it. `section` and `key` are known names.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub section: &'static str,
    pub key: &'static str,
    pub value: Value,
    pub origin: Origin,
}

/// The default of every setting that has one.
pub static DEFAULTS: LazyLock<Table> = LazyLock::new(|| match Value::try_from(Config::default()) {
    Ok(Value::Table(table)) => table,
    _ => Table::new(),
});

/// The default of a setting; `None` for one that is absent unless given.
pub fn default_of(section: &str, key: &str) -> Option<&'static Value> {
    DEFAULTS.get(section)?.get(key)
}

/// The names of a setting as declared, or what is wrong with what was typed.
pub fn find(section: &str, key: &str) -> Result<(&'static str, &'static str), String> {
    let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
        return Err(unknown_section(section));
    };
    match known.fields.iter().find(|field| field.name == key) {
        Some(field) => Ok((known.name, field.name)),
        None => Err(unknown_key(known.name, key)),
    }
}

pub fn unknown_section(section: &str) -> String {
    let names = SECTIONS.iter().map(|known| known.name);
    match nearest(section, names.clone()) {
        Some(meant) => format!("unknown section `{section}`; did you mean `{meant}`?"),
        None => {
            let names: Vec<_> = names.collect();
            format!("unknown section `{section}`; the sections are {}", names.join(", "))
        }
    }
}

fn unknown_key(section: &'static str, key: &str) -> String {
    let names = |of: &SectionDef| of.fields.iter().map(|field| field.name).collect::<Vec<_>>();
    let own = SECTIONS.iter().find(|known| known.name == section).map(names).unwrap_or_default();
    if let Some(meant) = nearest(key, own.iter().copied()) {
        return format!("unknown key `{key}` in [{section}]; did you mean `{meant}`?");
    }
    let elsewhere = SECTIONS.iter().find(|known| names(known).contains(&key));
    match elsewhere {
        Some(other) => {
            format!("unknown key `{key}` in [{section}]; it is a key of [{}]", other.name)
        }
        None => format!("unknown key `{key}` in [{section}]; its keys are {}", own.join(", ")),
    }
}

/// Whether the setting takes the value, and if not, why.
pub fn fits(section: &str, key: &str, value: &Value) -> Result<(), String> {
    let table = Table::from_iter([(
        section.to_owned(),
        Value::Table(Table::from_iter([(key.to_owned(), value.clone())])),
    )]);
    match Config::deserialize(table) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.message().trim().to_owned()),
    }
}

/// An entry of a dotted path and a value of the right type.
pub fn entry_of_value(path: &str, value: Value, origin: Origin) -> Result<Entry, Problem> {
    let (section, key) = path.split_once('.').unwrap_or((path, ""));
    let (section, key) =
        find(section, key).map_err(|problem| Problem::at(origin.clone(), problem))?;
    match fits(section, key, &value) {
        Ok(()) => Ok(Entry { section, key, value, origin }),
        Err(problem) => Err(Problem::at(origin, format!("`{section}.{key}`: {problem}"))),
    }
}

/// Reads a value that was given as text: a variable or a flag.
///
/// The type of the setting decides: lists are separated by commas, maps are `key=value` pairs
/// separated by commas, and text that begins with `[` or `{` is TOML.
pub fn entry_of_text(
    section: &str,
    key: &str,
    text: &str,
    origin: Origin,
) -> Result<Entry, Problem> {
    let (section, key) =
        find(section, key).map_err(|problem| Problem::at(origin.clone(), problem))?;
    let readings = readings(text, default_of(section, key));
    let mut refusal = None;
    for value in readings {
        match fits(section, key, &value) {
            Ok(()) => return Ok(Entry { section, key, value, origin }),
            Err(problem) => refusal = refusal.or(Some(problem)),
        }
    }
    let default = default_of(section, key);
    let expected = default.map_or("value", |value| value.type_str());
    let reason = refusal.unwrap_or_else(|| format!("not of type {expected}"));
    // Maps hold credentials: their text is not repeated.
    let shown = if matches!(default, Some(Value::Table(_))) { "this" } else { text };
    Err(Problem::at(origin, format!("`{section}.{key}` cannot be `{shown}`: {reason}")))
}

/// What `text` may mean, likeliest first, given the default of the setting.
fn readings(text: &str, default: Option<&Value>) -> Vec<Value> {
    let string = || Value::String(text.to_owned());
    let integer = || text.trim().parse().ok().map(Value::Integer);
    let float = || text.trim().parse().ok().map(Value::Float);
    let boolean = || match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(Value::Boolean(true)),
        "false" => Some(Value::Boolean(false)),
        _ => None,
    };
    match default {
        Some(Value::String(_)) => vec![string()],
        Some(Value::Integer(_)) => integer().into_iter().collect(),
        Some(Value::Float(_)) => float().into_iter().collect(),
        Some(Value::Boolean(_)) => boolean().into_iter().collect(),
        Some(Value::Array(_)) => lists(text),
        Some(Value::Table(_)) => map(text).into_iter().collect(),
        Some(Value::Datetime(_)) | None => {
            let mut all = vec![string()];
            all.extend(boolean());
            all.extend(integer());
            all.extend(float());
            all.extend(lists(text));
            all.extend(map(text));
            all
        }
    }
}

fn lists(text: &str) -> Vec<Value> {
    if text.trim_start().starts_with('[') {
        return toml_literal(text).into_iter().collect();
    }
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let strings = items.iter().map(|item| Value::String((*item).to_owned())).collect();
    let numbers: Result<Vec<f64>, _> = items.iter().map(|item| item.parse()).collect();
    let integers: Result<Vec<i64>, _> = items.iter().map(|item| item.parse()).collect();
    let mut all = vec![Value::Array(strings)];
    all.extend(integers.map(|list| Value::Array(list.into_iter().map(Value::Integer).collect())));
    all.extend(numbers.map(|list| Value::Array(list.into_iter().map(Value::Float).collect())));
    all
}

fn map(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('{') {
        return toml_literal(text);
    }
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.trim().to_owned(), Value::String(value.trim().to_owned())))
        })
        .collect::<Option<Table>>()
        .map(Value::Table)
}

fn toml_literal(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {}", text.trim())).ok()?.remove("value")
}
