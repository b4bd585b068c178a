//! Flags that several subcommands share: where the configuration comes from.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Flag, Problems, Resolved};

/// Where settings come from besides the standard places.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigOptions {
    /// Read this file instead of /etc/shipwake/shipwake.toml and conf.d.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, like `--set http.templates=50`. Lists are separated by commas.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
}

impl ConfigOptions {
    /// Resolves the configuration; `more` are flags of the subcommand, which win over `--set`.
    pub fn load(&self, more: Vec<Flag>) -> Result<Resolved, Problems> {
        let set = self.set.iter();
        let mut flags: Vec<Flag> =
            set.map(|(path, value)| Flag::new(format!("--set {path}"), path, value)).collect();
        flags.extend(more);
        config::load(self.config.as_deref(), flags)
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(path, value)| (path.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "write it like section.key=value".to_owned())
}
