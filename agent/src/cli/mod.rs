//! The command line. One file per subcommand.

mod config;
mod doctor;
mod failure;
mod generate;
mod options;
mod output;
mod ps;
mod run;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::{Code, Failure};

/// Host agent: system calls, TCP trouble and HTTP latency per process, joined with deploy metadata,
/// exported as OTLP.
#[derive(Debug, Parser)]
#[command(name = "shipwake", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done and healthy; 1 failed, or works in part; \
2 wrong command line or configuration, or (doctor) the agent cannot run here; \
130/143 ended at once by a second SIGINT/SIGTERM.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until SIGTERM or SIGINT.
    Run(run::Args),
    /// Say what works on this host, what does not, and why.
    Doctor(doctor::Args),
    /// Show which service and deploy each process belongs to.
    Ps(ps::Args),
    /// Check or show the configuration.
    Config(config::Args),
    /// Show the version.
    Version,
    /// Write generated documentation to standard output.
    #[command(hide = true)]
    Generate(generate::Args),
}

/// Reads the command line, does what it says, and gives the exit code of the process.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    let outcome = match command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ps(args) => ps::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Version => version::run(),
        Command::Generate(args) => generate::run(&args),
    };
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            // With standard error closed there is nobody left to tell.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{failure}\n"));
            failure.code.into()
        }
    }
}

/// Runs what waits for others, on this thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no async runtime: {error}"), ""))
}

/// Help and version go to standard output with code 0, everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    // With the stream closed there is nobody left to tell.
    let _ = error.print();
    if error.use_stderr() { Code::Usage.into() } else { Code::Success.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, valid: bool) {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parsed.is_ok(), valid, "{line}: {:?}", parsed.err().map(|e| e.to_string()));
    }

    #[test]
    fn definitions_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        check("shipwake run", true);
        check("shipwake run --console --for 30s --signals http,tcp --prometheus", true);
        check("shipwake run --otlp-endpoint http://localhost:4317 --set http.templates=5", true);
        check("shipwake run --for soon", false);
        check("shipwake run --set http.templates", false);
        check("shipwake run --nonsense", false);
        check("shipwake doctor --json", true);
        check("shipwake ps --explain --json", true);
        check("shipwake config check --config /tmp/x.toml", true);
        check("shipwake config show --origin", true);
        check("shipwake config", false);
        check("shipwake version", true);
        check("shipwake generate config-md", true);
        check("shipwake generate nonsense", false);
        check("shipwake", false);
    }
}
