//! Logging set-up.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use super::Settings;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "level: `{level}` is not a log level ({reason}); write error, warn, info, debug or trace"
    )]
    Level { level: String, reason: String },
    #[error("logging is already set up")]
    Twice,
}

/// Starts logging to standard error. Once per process.
pub fn init(settings: &Settings) -> Result<(), LogError> {
    let filter = filter(&settings.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    // The journal stamps lines itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal();
    let outcome = match (settings.format.as_str(), journal) {
        ("json", _) => builder.json().flatten_event(true).finish().try_init(),
        (_, true) => builder.without_time().finish().try_init(),
        _ => builder.finish().try_init(),
    };
    outcome.map_err(|_| LogError::Twice)
}

/// Reads a level or a list of `module=level`.
pub fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let refused = |reason: String| LogError::Level { level: level.to_owned(), reason };
    // A lone word that is no level would be read as the name of a module.
    let known = ["error", "warn", "info", "debug", "trace", "off"];
    for part in level.split(',').map(str::trim) {
        if !part.contains('=') && !known.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(refused(format!("unknown level `{part}`")));
        }
    }
    EnvFilter::builder().parse(level).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(level: &str, valid: bool) {
        assert_eq!(filter(level).is_ok(), valid, "{level}");
    }

    #[test]
    fn levels() {
        check("info", true);
        check("WARN", true);
        check("info,shipwake::export=debug", true);
        check("verbose", false);
        check("info,=", false);
        check("", false);
    }
}
