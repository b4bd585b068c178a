//! The manual page, from the definition of the command line.

use clap::{Arg, Command};

/// `shipwake(8)` in the language of man(7).
pub fn page(mut command: Command) -> String {
    command.build();
    let text = |text: Option<String>| escaped(&text.unwrap_or_default());
    let mut page = format!(
        ".TH SHIPWAKE 8 \"\" \"shipwake {}\"\n.SH NAME\nshipwake \\- host agent\n.SH SYNOPSIS\n.B shipwake\n\
         .I command\n.RI [ options ]\n.SH DESCRIPTION\n{}\n.SH COMMANDS\n",
        env!("CARGO_PKG_VERSION"),
        text(command.get_about().map(ToString::to_string)),
    );
    commands(&command, "shipwake", &mut page);
    page.push_str(&format!(
        ".SH FILES\n.TP\n.I {}\nThe configuration. Every setting is in it with its default.\n\
         .TP\n.I {}/*.toml\nRead after it, by name.\n.TP\n.I {}\nWhere a running agent answers.\n",
        crate::config::FILE,
        crate::config::DIRECTORY,
        crate::api::Settings::default().socket,
    ));
    page.push_str(&format!(
        ".SH EXIT STATUS\n{}\n",
        text(command.get_after_help().map(ToString::to_string))
    ));
    page
}

/// Every command with its options, those below it included.
fn commands(above: &Command, path: &str, page: &mut String) {
    let visible = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in above.get_subcommands().filter(visible) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            commands(command, &path, page);
            continue;
        }
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!(".SS {}\n{}\n", escaped(&path), escaped(&about)));
        for argument in command.get_arguments().filter(|argument| !is_common(argument)) {
            option(argument, page);
        }
    }
}

/// `--help` and `--version` are everywhere.
fn is_common(argument: &Arg) -> bool {
    argument.is_hide_set() || matches!(argument.get_id().as_str(), "help" | "version")
}

fn option(argument: &Arg, page: &mut String) {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.first().filter(|_| argument.get_action().takes_values());
    let value = value.map_or_else(String::new, |name| format!(" \\fI{}\\fR", escaped(name)));
    let name = match argument.get_long() {
        Some(long) => format!("\\fB{}\\fR", escaped(&format!("--{long}"))),
        None => String::new(),
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    page.push_str(&format!(".TP\n{}\n{}\n", format!("{name}{value}").trim(), escaped(&help)));
}

/// Plain text: minus signs to copy, no requests, no escapes.
fn escaped(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_and_text_stays_text() {
        let command = Command::new("shipwake")
            .about("A\n host agent")
            .subcommand(
                Command::new("run")
                    .about(".Run it")
                    .arg(Arg::new("x").long("an-x").value_name("N").help("Set x")),
            )
            .subcommand(Command::new("config").subcommand(Command::new("show").about("Show")))
            .subcommand(Command::new("secret").hide(true));
        let page = page(command);
        for line in [
            "A host agent",
            ".SS shipwake run",
            "\\&.Run it",
            "\\fB\\-\\-an\\-x\\fR \\fIN\\fR",
            ".SS shipwake config show",
        ] {
            assert!(page.lines().any(|found| found == line), "no `{line}` in:\n{page}");
        }
        assert!(!page.contains("secret"), "{page}");
    }
}
