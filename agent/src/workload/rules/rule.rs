//! One rule of the configuration, checked when it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Match, template::Template};
use crate::workload::{
    resolve::{describes_service, form},
    text,
};

/// A rule: what it is called, which services it is about, and what it says about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Rule {
    /// For people; shown by `ps --explain`.
    pub(super) name: Option<String>,
    pub(super) matches: Match,
    pub(super) set: BTreeMap<String, Template>,
}

impl Rule {
    /// Labels that it looks at.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.matches.label.keys().map(String::as_str)
    }

    /// Environment variables that it looks at.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.matches.variable.keys().map(String::as_str)
    }
}

/// A rule as the file has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "match")]
    matches: Match,
    set: Table,
}

impl TryFrom<Written> for Rule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, matches, set } = written;
        if name.as_deref().is_some_and(|name| text::name(name).is_none()) {
            return Err("`name` must be a short printable text".to_owned());
        }
        if matches.is_empty() {
            return Err("`match` is empty: say which services the rule is about, for example \
                        { unit = \"shop@*.service\" }"
                .to_owned());
        }
        let mut values = BTreeMap::new();
        flatten("", set, &mut values)?;
        if values.is_empty() {
            return Err("`set` is empty: say what the rule gives, for example \
                        { \"service.name\" = \"shop\" }"
                .to_owned());
        }
        let mut set = BTreeMap::new();
        for (key, value) in values {
            if !describes_service(&key) {
                return Err(format!("`{key}` cannot be set: it is no attribute of a service"));
            }
            let template = Template::new(&value, &matches)?;
            if template.is_plain() && form(&key, &value).is_none() {
                return Err(format!("`{value}` cannot be a value of `{key}`"));
            }
            set.insert(key, template);
        }
        Ok(Self { name, matches, set })
    }
}

impl From<Rule> for Written {
    fn from(rule: Rule) -> Self {
        let Rule { name, matches, set } = rule;
        let set = set.into_iter().map(|(key, value)| (key, Value::String(value.text))).collect();
        Self { name, matches, set }
    }
}

/// `service.name = "x"` without quotes around the key is a table in a table: both ways to write it mean
/// the same.
fn flatten(prefix: &str, table: Table, into: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, into)?,
            Value::String(value) => {
                if into.insert(key.clone(), value).is_some() {
                    return Err(format!("`{key}` is set twice"));
                }
            }
            other => {
                return Err(format!("`{key}` must be text in quotes, not {}", other.type_str()));
            }
        }
    }
    Ok(())
}
