//! What the user can set. Each section is declared in the folder that reads it.

mod environment;
mod file;
mod layer;
mod origin;
mod read;
mod resolve;
mod section;
mod span;
mod suggest;
#[cfg(test)]
mod tests;

pub use environment::variable;
pub use layer::{Entry, default_of};
pub use origin::{Origin, Problem, Problems};
pub use read::{DIRECTORY, FILE, load};
pub use resolve::{Flag, Inputs, Resolved, resolve};
pub use section::{Field, Section, SectionDef};
pub use span::Span;
pub use suggest::nearest;

use crate::{aggregate, api, app, export, signals, telemetry, workload};

macro_rules! sections {
    ($($name:ident: $settings:ty,)*) => {
        /// Everything resolved: defaults, files, environment and flags, later wins.
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config { $(pub $name: $settings,)* }

        /// Every section, in the order of the shipped file.
        pub const SECTIONS: &[SectionDef] = &[$(SectionDef {
            name: stringify!($name),
            help: <$settings as Section>::HELP,
            fields: <$settings as Section>::FIELDS,
        },)*];

        impl Config {
            /// What is wrong although every value has the right type: section and reason.
            pub fn problems(&self) -> Vec<(&'static str, String)> {
                let Self { $($name,)* } = self;
                let mut problems = Vec::new();
                $(if let Err(problem) = $name.check() {
                    problems.push((stringify!($name), problem));
                })*
                problems
            }
        }
    };
}

// Names of sections have no underscore, so that SHIPWAKE_<SECTION>_<KEY> has one reading.
sections! {
    agent: app::Settings,
    log: telemetry::Settings,
    api: api::Settings,
    signals: signals::Settings,
    syscalls: signals::syscalls::Settings,
    tcp: signals::tcp::Settings,
    http: signals::http::Settings,
    workload: workload::Settings,
    aggregate: aggregate::Settings,
    otlp: export::otlp::Settings,
    prometheus: export::prometheus::Settings,
    console: export::console::Settings,
}
