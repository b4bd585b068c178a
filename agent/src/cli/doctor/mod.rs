//! `shipwake doctor`: what works on this host, what does not, and why.

mod checks;
mod report;
mod surroundings;

use std::path::Path;

use super::{
    Code, Failure,
    options::ConfigOptions,
    output::{print, print_json},
    runtime,
};
use crate::{
    api::{self, model::Status},
    app::{self, Objects, Privileges},
};

use report::Report;

/// Arguments of `shipwake doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Examines the host. Objects are loaded for real, attached for a moment and detached again.
pub fn run(args: &Args) -> Result<Code, Failure> {
    let resolved = args.config.load(Vec::new())?;
    let config = &resolved.config;
    let privileges = Privileges::own();
    let mut checks = checks::host(privileges);
    checks.extend(checks::surroundings(config));
    let runtime = runtime()?;
    let sources = runtime.block_on(app::source_health(config));
    // What a running agent holds on to; without one, or without the right to ask it, nothing is known of that.
    let agent: Option<Status> =
        runtime.block_on(api::get(Path::new(&config.api.socket), "/status")).ok();
    checks.extend(sources.iter().map(|source| checks::source(source, agent.as_ref())));
    let able = privileges.is_none_or(|own| own.missing(app::NEEDED).is_empty());
    let report = if able {
        // A limit that stays shows in the refusals below.
        let _ = app::lift_memlock_limit();
        let objects = Objects::load(config);
        checks.extend(checks::kernel(&objects.kernel));
        let report = Report::new(checks, &objects);
        objects.detach();
        report
    } else {
        Report::unprivileged(checks, config)
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(report.code())
}
