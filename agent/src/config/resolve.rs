//! Merges what files, environment and flags say. Pure: reads nothing itself.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{
    Config, Origin, Problem, Problems, environment, file,
    layer::{Entry, entry_of_text, entry_of_value},
};
use crate::export::otlp::env::{FromEnv, Override, from_env};

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As the user knows it, for messages.
    pub flag: String,
    /// `section.key`.
    pub path: String,
    pub value: String,
}

impl Flag {
    pub fn new(flag: impl Into<String>, path: impl Into<String>, value: impl Into<String>) -> Self {
        Self { flag: flag.into(), path: path.into(), value: value.into() }
    }
}

/// Everything that has a say, in order: later wins.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Path and text.
    pub files: Vec<(PathBuf, String)>,
    pub variables: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub config: Config,
    /// By section and key; what is not in here has its default.
    origins: BTreeMap<(&'static str, &'static str), Origin>,
    /// Not wrong enough to refuse, to be logged once.
    pub warnings: Vec<Problem>,
}

impl Resolved {
    /// Where the value of a setting came from.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        let found = self.origins.iter().find(|((s, k), _)| *s == section && *k == key);
        found.map_or(Origin::Default, |(_, origin)| origin.clone())
    }
}

/// Merges and checks. Every problem is found in one go.
pub fn resolve(inputs: &Inputs) -> Result<Resolved, Problems> {
    let (mut all, mut problems, mut warnings) = (Vec::<Entry>::new(), Vec::new(), Vec::new());
    for (path, text) in &inputs.files {
        let (entries, wrong) = file::entries(path, text);
        all.extend(entries);
        problems.extend(wrong);
    }
    let variables = inputs.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let (entries, wrong, doubtful) = environment::entries(variables);
    all.extend(entries);
    problems.extend(wrong);
    warnings.extend(doubtful);
    let get = |name: &str| {
        let found = inputs.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let FromEnv { overrides, warnings: ignored } = from_env(&get);
    for Override { variable, setting, value } in overrides {
        let origin = Origin::Environment(variable);
        match entry_of_value(setting, value, origin) {
            Ok(entry) => all.push(entry),
            Err(problem) => warnings.push(problem),
        }
    }
    warnings.extend(ignored.into_iter().map(|text| Problem { origin: None, text }));
    for flag in &inputs.flags {
        let origin = Origin::Flag(flag.flag.clone());
        match flag.path.split_once('.') {
            Some((section, key)) => match entry_of_text(section, key, &flag.value, origin) {
                Ok(entry) => all.push(entry),
                Err(problem) => problems.push(problem),
            },
            None => problems.push(Problem::at(
                origin,
                format!("`{}` is not a setting; write section.key=value", flag.path),
            )),
        }
    }
    let mut table = Table::new();
    let mut origins = BTreeMap::new();
    for Entry { section, key, value, origin } in all {
        let body = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Some(body) = body.as_table_mut() {
            body.insert(key.to_owned(), value);
        }
        origins.insert((section, key), origin);
    }
    let config = match Config::deserialize(table) {
        Ok(config) => config,
        Err(error) => {
            problems.push(Problem { origin: None, text: error.message().to_owned() });
            return Err(Problems(problems));
        }
    };
    problems.extend(config.problems().into_iter().map(|(section, text)| {
        let blamed = origins.iter().find(|((of, key), _)| *of == section && text.contains(*key));
        let origin = blamed.map(|(_, origin)| origin.clone());
        Problem { origin, text: format!("[{section}] {text}") }
    }));
    if problems.is_empty() {
        Ok(Resolved { config, origins, warnings })
    } else {
        Err(Problems(problems))
    }
}
