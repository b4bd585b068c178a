//! Source `rules`: what the user says in the configuration about services. Nothing goes before it.
//!
//! Rules look at what all other sources say, so they are applied where that comes together, each time
//! a resource is worked out, and there is nothing to ask.

mod matching;
mod pattern;
mod rule;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{
    SourceDef,
    resolve::{Draft, Known, form},
};

pub use matching::Match;
pub use pattern::Pattern;
pub use rule::Rule;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "rules",
    help: "The rules of the configuration: `[[workload.rule]]`",
    concerns: |_| false,
    tells_host: false,
    start: |_, _, _, health| health.works(),
};

/// Gives what the rules say: of each attribute, what the first rule says that matches and sets it.
pub(super) fn give(known: &Known<'_>, draft: &mut Draft) {
    for (number, rule) in in_use(known) {
        let Some(found) = rule.matches.apply(known) else { continue };
        for (key, template) in &rule.set {
            // A value that turns out to be none leaves the attribute to the next one who knows it.
            if let Some(value) = template.fill(&found).and_then(|value| form(key, &value)) {
                draft.give(key, value, origin(number, rule));
            }
        }
    }
}

/// The rules that look at variables of this process and match, by number. Processes with different ones are
/// different services.
pub(super) fn by_variables(known: &Known<'_>) -> impl Iterator<Item = Arc<str>> {
    in_use(known).filter(|(_, rule)| !rule.matches.variable.is_empty()).filter_map(
        |(number, rule)| {
            let found = rule.matches.apply(known)?;
            let values = rule.set.values().filter_map(|template| template.fill(&found));
            Some(Arc::from(format!("{number}: {}", values.collect::<Vec<_>>().join("\n"))))
        },
    )
}

fn in_use<'a>(known: &Known<'a>) -> impl Iterator<Item = (usize, &'a Rule)> {
    let is_used = known.settings.sources.iter().any(|name| name == SOURCE.name);
    known.settings.rule.iter().enumerate().filter(move |_| is_used)
}

/// `rule 2`, or `rule legacy shop` for one with a name.
fn origin(number: usize, rule: &Rule) -> String {
    match &rule.name {
        Some(name) => format!("rule {name}"),
        None => format!("rule {}", number + 1),
    }
}
