//! What the user can set. Each section is declared in the folder that reads it.

mod section;
mod span;

pub use section::{Field, Section};
pub use span::Span;

use crate::{aggregate, export, signals, workload};

/// Everything resolved: defaults, files, environment and flags, later wins.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub signals: signals::Settings,
    pub syscalls: signals::syscalls::Settings,
    pub tcp: signals::tcp::Settings,
    pub http: signals::http::Settings,
    pub workload: workload::Settings,
    pub aggregate: aggregate::Settings,
    pub otlp: export::otlp::Settings,
    pub prometheus: export::prometheus::Settings,
    pub console: export::console::Settings,
}
