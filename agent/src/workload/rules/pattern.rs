//! Patterns: `*` is any text without `/`, `**` any text, `?` one character.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest pattern, in bytes, and most wildcards in it: matching takes time in proportion to both.
const LONGEST: usize = 1024;
const MOST_WILDCARDS: usize = 16;

/// A pattern for a whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    One,
    /// Any text; whether `/` may be in it.
    Any(bool),
}

impl Pattern {
    /// Takes a pattern apart. `Err` says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, parts.last_mut()) {
                ('*', _) => parts.push(Part::Any(rest.next_if_eq(&'*').is_some())),
                ('?', _) => parts.push(Part::One),
                (c, Some(Part::Text(text))) => text.push(c),
                (c, _) => parts.push(Part::Text(c.into())),
            }
        }
        let wildcards = parts.iter().filter(|part| matches!(part, Part::Any(_))).count();
        if text.is_empty() {
            Err("an empty pattern matches nothing; leave the key out, or write `**` for any text"
                .into())
        } else if text.len() > LONGEST {
            Err(format!("a pattern has at most {LONGEST} bytes"))
        } else if wildcards > MOST_WILDCARDS {
            Err(format!("a pattern has at most {MOST_WILDCARDS} `*`"))
        } else {
            Ok(Self { text: text.to_owned(), parts })
        }
    }

    /// How many texts [`Self::matches`] gives back: one for each `*` and `**`.
    pub fn captures(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Any(_))).count()
    }

    /// What each `*` and `**` stands for, as little text as will do; `None` when the text does not match.
    pub fn matches<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut captures = Vec::new();
        let mut hopeless = vec![false; (self.parts.len() + 1) * (text.len() + 1)];
        self.walk(0, text, 0, &mut captures, &mut hopeless).then_some(captures)
    }

    /// Whether the parts from `part` on match the text from `at` on. Remembers where they do not, so
    /// that no place is tried twice.
    fn walk<'t>(
        &self,
        part: usize,
        text: &'t str,
        at: usize,
        captures: &mut Vec<&'t str>,
        hopeless: &mut [bool],
    ) -> bool {
        let Some(rest) = text.get(at..) else { return false };
        let place = part * (text.len() + 1) + at;
        if hopeless.get(place).copied().unwrap_or(true) {
            return false;
        }
        let found = match self.parts.get(part) {
            None => rest.is_empty(),
            Some(Part::Text(literal)) => {
                rest.starts_with(literal.as_str())
                    && self.walk(part + 1, text, at + literal.len(), captures, hopeless)
            }
            Some(Part::One) => rest.chars().next().is_some_and(|c| {
                c != '/' && self.walk(part + 1, text, at + c.len_utf8(), captures, hopeless)
            }),
            Some(Part::Any(crosses)) => {
                let reach = if *crosses { None } else { rest.find('/') }.unwrap_or(rest.len());
                (0..=reach).any(|length| {
                    let Some(captured) = rest.get(..length) else { return false };
                    captures.push(captured);
                    let found = self.walk(part + 1, text, at + length, captures, hopeless);
                    if !found {
                        captures.pop();
                    }
                    found
                })
            }
        };
        if !found && let Some(mark) = hopeless.get_mut(place) {
            *mark = true;
        }
        found
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: Option<&[&str]>) {
        let found = Pattern::new(pattern).unwrap().matches(text);
        assert_eq!(found.as_deref(), expected, "{pattern} on {text}");
    }

    #[test]
    fn texts_and_what_stars_stand_for() {
        check("nginx.service", "nginx.service", Some(&[]));
        check("nginx.service", "nginx.service2", None);
        check("*.service", "nginx.service", Some(&["nginx"]));
        check("*", "", Some(&[""]));
        check("shop@*.service", "shop@eu-1.service", Some(&["eu-1"]));
        check("/srv/*/bin/*", "/srv/shop/bin/web", Some(&["shop", "web"]));
        check("/srv/*", "/srv/shop/bin", None);
        check("/srv/**", "/srv/shop/bin", Some(&["shop/bin"]));
        check("**/shop:*", "registry.local/acme/shop:1.2", Some(&["registry.local/acme", "1.2"]));
        check("a?c", "abc", Some(&[]));
        check("a?c", "a/c", None);
        check("?", "ü", Some(&[]));
        check("*ü*", "größe-müde", Some(&["größe-m", "de"]));
        check("*-*", "a-b-c", Some(&["a", "b-c"]));
        check("*-", "a-b-", Some(&["a-b"]));
        check("**", "", Some(&[""]));
    }

    #[test]
    fn a_hard_pattern_is_not_slow() {
        let pattern = Pattern::new(&"*a".repeat(16)).unwrap();
        assert_eq!(pattern.matches(&("a".repeat(1000) + "b")), None);
    }

    #[test]
    fn what_is_no_pattern() {
        assert!(Pattern::new("").unwrap_err().contains("empty"));
        assert!(Pattern::new(&"*".repeat(50)).unwrap_err().contains("at most 16"));
        assert!(Pattern::new(&"x".repeat(2000)).unwrap_err().contains("1024 bytes"));
    }
}
