//! docs/CONFIG.md and packaging/shipwake.toml.

use super::{cell, head};
use crate::config::{DIRECTORY, FILE, Field, SECTIONS, SectionDef, default_of};
use crate::export::otlp::env;

const INTRODUCTION: &str = "
Shipwake needs no configuration: every setting has a default. What is said later wins:

1. defaults,
2. `{FILE}`,
3. `{DIRECTORY}/*.toml`, sorted by name,
4. environment variables `SHIPWAKE_<SECTION>_<KEY>`; lists are separated by commas, maps are `key=value`
   pairs separated by commas, text that begins with `[` or `{` is TOML, and empty counts as unset,
5. the standard `OTEL_*` variables listed at the end,
6. flags, of which `--set section.key=value` reaches every setting.

`--config FILE` (or `SHIPWAKE_CONFIG`) takes the place of 2 and 3. An unknown key in a file or flag is an error
that names the nearest known key. `shipwake config check` says whether everything is right,
`shipwake config show --origin` says where each value comes from. Lengths of time are written `250ms`, `10s`, `5m`
or `1h`. A change takes effect with the next start.
";

/// docs/CONFIG.md.
pub fn markdown() -> String {
    let introduction = INTRODUCTION.replace("{FILE}", FILE).replace("{DIRECTORY}", DIRECTORY);
    let mut text = head("Configuration") + &introduction;
    for section in SECTIONS {
        text.push_str(&format!("\n## [{}]\n\n{}\n", section.name, paragraph(section.help)));
        if section.fields.is_empty() {
            continue;
        }
        text.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        for field in section.fields {
            text.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                field.name,
                type_of(section, field),
                default_of(section.name, field.name).map_or_else(
                    || "not set".to_owned(),
                    |value| format!("`{}`", cell(&value.to_string()))
                ),
                cell(&field.help.join(" ")),
            ));
        }
    }
    text.push_str(STANDARD);
    for (variable, setting) in env::variables() {
        text.push_str(&format!("| `{variable}` | `{}` |\n", setting.replace(", ", "`, `")));
    }
    text
}

const STANDARD: &str = "
## Standard variables

What cannot be read is ignored with a warning, as the OpenTelemetry specification asks for. `OTEL_SERVICE_NAME` and
`OTEL_RESOURCE_ATTRIBUTES` of the agent's own environment never reach the services it observes.

| variable | setting |
|---|---|
";

/// The shipped file: every key, commented out, with its help and default.
pub fn toml() -> String {
    let mut text = String::from(
        "# Shipwake. Every setting with its default; remove the `#` in front of what you change.\n\
         # `shipwake config check` says whether the file is right.\n",
    );
    for section in SECTIONS {
        text.push('\n');
        for line in wrap(&paragraph(section.help)) {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("[{}]\n", section.name));
        for field in section.fields {
            for line in wrap(&paragraph(&field.help.join(" "))) {
                text.push_str(&format!("# {line}\n"));
            }
            match default_of(section.name, field.name) {
                Some(value) => text.push_str(&format!("#{} = {value}\n", field.name)),
                None => text.push_str(&format!("#{} =\n", field.name)),
            }
        }
        text.push_str(if section.fields.is_empty() { "# No settings.\n" } else { "" });
    }
    text
}

/// The type in the words of TOML.
fn type_of(section: &SectionDef, field: &Field) -> String {
    let plain = field.type_name.replace(' ', "");
    let inner = plain.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>'));
    let name = inner.unwrap_or(&plain);
    if name.ends_with("Span") {
        return "length of time".to_owned();
    }
    let known = default_of(section.name, field.name).map(|value| match value {
        toml::Value::Array(_) => "list",
        toml::Value::Boolean(_) => "`true` or `false`",
        other => other.type_str(),
    });
    known.map_or_else(|| name.to_lowercase(), str::to_owned)
}

fn paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines of at most 96 characters.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_none_or(|line| line.len() + 1 + word.len() > 96);
        match lines.last_mut() {
            Some(line) if !full || line.is_empty() => {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Inputs, resolve};

    #[track_caller]
    fn resolved(text: String) -> Config {
        let files = vec![("shipwake.toml".into(), text)];
        resolve(&Inputs { files, ..Inputs::default() }).unwrap().config
    }

    #[test]
    fn the_shipped_file_changes_nothing() {
        assert_eq!(resolved(toml()), Config::default());
    }

    #[test]
    fn the_shipped_file_is_right_when_uncommented() {
        let is_setting = |line: &&str| line.starts_with('[') || !line.starts_with("# ");
        let uncommented: Vec<&str> = toml()
            .leak()
            .lines()
            .filter(is_setting)
            .filter(|line| !line.ends_with('='))
            .map(|line| line.trim_start_matches('#'))
            .collect();
        assert_eq!(resolved(uncommented.join("\n")), Config::default());
    }

    #[test]
    fn every_setting_is_explained() {
        let text = markdown();
        for section in SECTIONS {
            for field in section.fields {
                assert!(text.contains(&format!("| `{}` |", field.name)), "{}", field.name);
                assert!(!field.help.join("").trim().is_empty(), "{}", field.name);
            }
        }
    }
}
