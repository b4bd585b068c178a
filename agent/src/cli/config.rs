//! `shipwake config check|show`.

use clap::Subcommand;
use toml::{Table, Value};

use super::{Code, Failure, options::ConfigOptions, output::print};
use crate::config::{Resolved, SECTIONS};

/// Arguments of `shipwake config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Exit with 0 when the configuration is right, with 2 and every problem when it is not.
    Check {
        #[command(flatten)]
        options: ConfigOptions,
    },
    /// Show every setting as it would be used. Secrets are masked.
    Show {
        #[command(flatten)]
        options: ConfigOptions,
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<Code, Failure> {
    match &args.action {
        Action::Check { options } => {
            let resolved = options.load(Vec::new())?;
            print(&check_text(&resolved))?;
        }
        Action::Show { options, origin } => {
            let resolved = options.load(Vec::new())?;
            let shown = if *origin { Shown::WithOrigin } else { Shown::ValuesOnly };
            print(&show(&resolved, shown)?)?;
        }
    }
    Ok(Code::Success)
}

fn check_text(resolved: &Resolved) -> String {
    let mut text = String::new();
    for warning in &resolved.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str("configuration is right\n");
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    ValuesOnly,
    WithOrigin,
}

/// As TOML, in the order of the documentation.
fn show(resolved: &Resolved, shown: Shown) -> Result<String, Failure> {
    let table = Table::try_from(&resolved.config)
        .map_err(|error| Failure::new(format!("the configuration cannot be shown: {error}"), ""))?;
    let mut text = String::new();
    for section in SECTIONS {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{}]\n", section.name));
        for field in section.fields {
            let value = table.get(section.name).and_then(|section| section.get(field.name));
            let origin = match shown {
                Shown::WithOrigin => {
                    format!("  # {}", resolved.origin(section.name, field.name))
                }
                Shown::ValuesOnly => String::new(),
            };
            match value.map(Value::to_string) {
                Some(value) => text.push_str(&format!("{} = {value}{origin}\n", field.name)),
                None => text.push_str(&format!("# {} is not set{origin}\n", field.name)),
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flag, Inputs, resolve};

    #[test]
    fn what_is_shown_can_be_read_again() {
        let flags = vec![Flag::new("--set http.templates", "http.templates", "7")];
        let resolved = resolve(&Inputs { flags, ..Inputs::default() }).unwrap();
        let shown = show(&resolved, Shown::WithOrigin).unwrap();
        assert!(shown.contains("templates = 7  # flag --set http.templates\n"), "{shown}");
        assert!(shown.contains("peers = 100  # default\n"), "{shown}");
        let files = vec![("shown.toml".into(), show(&resolved, Shown::ValuesOnly).unwrap())];
        let again = resolve(&Inputs { files, ..Inputs::default() }).unwrap();
        assert_eq!(again.config, resolved.config);
    }
}
