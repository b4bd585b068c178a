//! Settings from environment variables: `SHIPWAKE_<SECTION>_<KEY>`, for example
//! `SHIPWAKE_HTTP_TEMPLATES=50`. An empty variable counts as unset.

use super::{
    Origin, Problem, SECTIONS,
    layer::{Entry, entry_of_text},
    suggest::nearest,
};

const PREFIX: &str = "SHIPWAKE_";

/// Variables with a meaning of their own: the configuration file (like `--config`), and the short
/// form of `SHIPWAKE_LOG_LEVEL`.
pub const FILE: &str = "SHIPWAKE_CONFIG";
const LOG: &str = "SHIPWAKE_LOG";

/// The variable of a setting.
pub fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}_{}", section.to_uppercase(), key.to_uppercase())
}

/// What the variables set, what is wrong, and what is worth a warning.
///
/// An unknown variable is a warning and not an error: Kubernetes puts `SHIPWAKE_PORT` and the like
/// into every container of a namespace that has a service of this name.
pub fn entries<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
) -> (Vec<Entry>, Vec<Problem>, Vec<Problem>) {
    let known: Vec<(String, &str, &str)> = SECTIONS
        .iter()
        .flat_map(|section| {
            let name = section.name;
            section.fields.iter().map(move |field| (variable(name, field.name), name, field.name))
        })
        .chain([(LOG.to_owned(), "log", "level")])
        .collect();
    let (mut entries, mut problems, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || name == FILE || text.is_empty() {
            continue;
        }
        let origin = Origin::Environment(name.to_owned());
        match known.iter().find(|(variable, _, _)| variable == name) {
            Some((_, section, key)) => match entry_of_text(section, key, text, origin) {
                Ok(entry) => entries.push(entry),
                Err(problem) => problems.push(problem),
            },
            None => {
                let meant = nearest(name, known.iter().map(|(variable, _, _)| variable.as_str()));
                if let Some(meant) = meant {
                    let text = format!("no setting has this name; did you mean {meant}?");
                    warnings.push(Problem::at(origin, text));
                }
            }
        }
    }
    (entries, problems, warnings)
}
