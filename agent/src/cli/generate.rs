//! `shipwake generate`: text that is made from definitions in the code. Used by `cargo xtask gen`.

use clap::{CommandFactory as _, ValueEnum};

use super::{Code, Failure, output::print};
use crate::docs;

/// Arguments of `shipwake generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// docs/CONFIG.md
    ConfigMd,
    /// docs/METRICS.md
    MetricsMd,
    /// docs/KERNELS.md
    KernelsMd,
    /// packaging/shipwake.toml
    ConfigToml,
    /// The manual page.
    Man,
}

/// Writes the text to standard output.
pub fn run(args: &Args) -> Result<Code, Failure> {
    print(&match args.what {
        What::ConfigMd => docs::config::markdown(),
        What::MetricsMd => docs::metrics::markdown(),
        What::KernelsMd => docs::kernels::markdown(),
        What::ConfigToml => docs::config::toml(),
        What::Man => docs::man::page(super::Cli::command()),
    })?;
    Ok(Code::Success)
}
