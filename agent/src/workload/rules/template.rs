//! Values of rules: plain text in which `{unit}` is what was matched and `{unit.1}` what its first `*`
//! stands for.

use super::{Match, matching::Found};

/// A value with its places to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What was matched under this key, or what its `*` of this number stands for.
    Matched {
        key: String,
        capture: Option<usize>,
    },
}

impl Template {
    /// Takes a value apart. Whatever it refers to must be in `matches`.
    pub fn new(text: &str, matches: &Match) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, behind)) = behind.split_once('}') else {
                return Err(format!("`{text}`: `{{` has no `}}`"));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(part(name, matches)?);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether it is the same whatever was matched.
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The value, filled in.
    pub fn fill(&self, found: &Found<'_>) -> Option<String> {
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Matched { key, capture } => value.push_str(found.get(key, *capture)?),
            }
        }
        Some(value)
    }
}

fn part(name: &str, matches: &Match) -> Result<Part, String> {
    if matches.get(name).is_some() {
        return Ok(Part::Matched { key: name.to_owned(), capture: None });
    }
    let numbered = name.rsplit_once('.').and_then(|(key, number)| {
        Some((key, number.parse::<usize>().ok()?, matches.get(key)?.captures()))
    });
    match numbered {
        Some((key, number, stars)) if (1..=stars).contains(&number) => {
            Ok(Part::Matched { key: key.to_owned(), capture: Some(number - 1) })
        }
        Some((key, number, stars)) => Err(format!(
            "`{{{name}}}`: the pattern of `{key}` has {stars} `*`, and none is number {number}"
        )),
        None => Err(format!("`{{{name}}}`: this rule matches nothing of this name")),
    }
}
