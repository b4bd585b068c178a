//! docs/CONFIG.md and packaging/shipwake.toml.

use super::{cell, head};
use crate::config::{DIRECTORY, FILE, Field, SECTIONS, SectionDef, default_of};
use crate::export::otlp::env;
use crate::workload::file;

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
    text.push_str(RULES);
    text.push_str(&DEPLOYS.replace("{BESIDE}", file::BESIDE).replace("{NAME}", file::NAME));
    text.push_str(STANDARD);
    for (variable, setting) in env::variables() {
        text.push_str(&format!("| `{variable}` | `{}` |\n", setting.replace(", ", "`, `")));
    }
    text
}

const RULES: &str = r#"
## Rules

What nothing on the host tells, or tells wrongly, a rule can say. Nothing goes before it.

```toml
[[workload.rule]]
name = "legacy shops"                        # optional, shown by `shipwake ps --explain`
match = { unit = "shop@*.service", variable.STAGE = "*" }
set = { "service.name" = "shop", "service.namespace" = "{unit.1}", "deployment.environment.name" = "{variable.STAGE}" }
```

| in `match` | looks at |
|---|---|
| `unit` | name of the systemd unit |
| `executable` | path of the executable of the main process |
| `container` | name of the container |
| `image` | the image as the container names it, tag included |
| `namespace` | Kubernetes namespace of the pod |
| `label.<key>` | a label of the container; keys with dots in quotes |
| `variable.<name>` | an environment variable that the process was started with |

All conditions of a rule must hold. In a pattern `*` is any text without `/`, `**` any text, `?` one character; a pattern is for the
whole value. In a value `{unit}` is what was matched, `{unit.1}` what the first `*` of its pattern stands for.
Where several rules match, each attribute is what the first of them sets. Attributes of processes and of the telemetry
(`process.*`, `telemetry.*`) cannot be set. A rule with a mistake keeps the agent from starting; the message names
its line. A value that cannot be a value of its attribute (a commit that is no commit) is left out.
"#;

const DEPLOYS: &str = r#"
## Descriptions of deploys

For hosts without containers, whoever deploys can write down what was deployed. Files `*.toml` in `workload.deploys_directory`:

```toml
[[deploy]]
match = { executable = "/srv/shop/*/bin/web", unit = "shop*.service" }   # one or both
name = "shop"
namespace = "acme"
version = "1.4.2"
commit = "0123456789abcdef0123456789abcdef01234567"
branch = "main"
repository = "https://github.com/acme/shop"
author = "Ada <ada@acme.test>"
build_time = "2024-01-31T10:20:30Z"
environment = "production"
pipeline = { name = "deploy", run = "4711", url = "https://ci.acme.test/4711" }
running = false
```

or, next to what is deployed, `<program>{BESIDE}`, or `{NAME}` in the directory of the application, which is an object with the
same words, without `match` and `running`. The program is the executable or, for python, node, ruby, php, perl, java and
dotnet, the script or archive that it runs; the directory is the one of the program, the one above when that is called `bin`, `sbin`,
`lib`, `dist` or `src`, and for scripts the working directory they are below. Files in containers are read as the container sees them.

* Every word is optional. `deploys.d` goes before the file next to the program; both go before labels and
  variables of vendors, and behind `OTEL_*` variables and rules.
* A deploy writes its files before it restarts the service. So version, commit, branch, author, build time and run of the pipeline are
  never taken for a process that is older than the file; `running = true` says that the entry is about what runs already. What the
  service is called holds at once.
* `deploys.d` is looked at every 2 seconds. Files next to programs are read when a process starts.
* Where two files of `deploys.d` contradict each other about a process, the attribute stays unset.
* A file with a mistake is named in the log, in `shipwake doctor` and in the status of the agent; what it said before holds until it is
  mended. At most 256 files of 64 KiB.
"#;

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
