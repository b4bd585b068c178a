//! `shipwake run`.

use super::{Code, Failure, options::ConfigOptions};
use crate::{
    app,
    config::{Flag, Origin, Span},
};

/// Arguments of `shipwake run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show a table on the terminal, one row per service.
    #[arg(long)]
    console: bool,
    /// End by itself after this time, like 30s or 5m.
    #[arg(long = "for", value_name = "TIME")]
    limit: Option<Span>,
    /// Run only these signals, separated by commas.
    #[arg(long, value_name = "NAMES")]
    signals: Option<String>,
    /// Send OTLP to this endpoint.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Serve Prometheus metrics, on this address when one is given.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    prometheus: Option<Option<String>>,
    /// Log this much: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Runs the agent.
pub fn run(args: &Args) -> Result<Code, Failure> {
    let mut resolved = args.config.load(flags(args))?;
    let chosen = resolved.origin("aggregate", "interval") != Origin::Default;
    if resolved.config.console.enabled && !chosen {
        resolved.config.aggregate.interval = resolved.config.console.interval;
    }
    app::run(&resolved, args.limit.map(|limit| limit.0))
}

/// What the arguments say, as settings.
fn flags(args: &Args) -> Vec<Flag> {
    let Args { console, limit: _, signals, otlp_endpoint, prometheus, log, config: _ } = args;
    let mut flags = Vec::new();
    if *console {
        flags.push(Flag::new("--console", "console.enabled", "true"));
    }
    if let Some(names) = signals {
        flags.push(Flag::new("--signals", "signals.enabled", names));
    }
    if let Some(endpoint) = otlp_endpoint {
        flags.push(Flag::new("--otlp-endpoint", "otlp.enabled", "true"));
        flags.push(Flag::new("--otlp-endpoint", "otlp.endpoint", endpoint));
        // The flag is the last word: a more specific endpoint from elsewhere would win over it.
        flags.push(Flag::new("--otlp-endpoint", "otlp.metrics_endpoint", ""));
    }
    if let Some(address) = prometheus {
        flags.push(Flag::new("--prometheus", "prometheus.enabled", "true"));
        if let Some(address) = address {
            flags.push(Flag::new("--prometheus", "prometheus.listen", address));
        }
    }
    if let Some(level) = log {
        flags.push(Flag::new("--log", "log.level", level));
    }
    flags
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check(line: &str, expected: &[(&str, &str)]) {
        let parsed = Line::try_parse_from(line.split_whitespace()).unwrap();
        let found = flags(&parsed.args);
        let found: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.value.as_str())).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn flags_are_settings() {
        check("run", &[]);
        check("run --console", &[("console.enabled", "true")]);
        check("run --signals http,tcp", &[("signals.enabled", "http,tcp")]);
        check(
            "run --otlp-endpoint http://c:4317",
            &[
                ("otlp.enabled", "true"),
                ("otlp.endpoint", "http://c:4317"),
                ("otlp.metrics_endpoint", ""),
            ],
        );
        check("run --prometheus", &[("prometheus.enabled", "true")]);
        check(
            "run --prometheus=0.0.0.0:9000 --log debug",
            &[
                ("prometheus.enabled", "true"),
                ("prometheus.listen", "0.0.0.0:9000"),
                ("log.level", "debug"),
            ],
        );
    }
}
