//! What the agent says about itself: logs on standard error, and metrics.

mod counters;
mod limit;
mod log;
pub mod metrics;
mod own;

pub use counters::{Counters, Queue, QueueState};
pub use limit::Limit;
pub use log::{LogError, init};
pub use own::{Descriptors, Own, descriptors};

crate::settings! {
    /// The agent's own log, on standard error.
    pub struct Settings {
        /// Least severe level that is logged: `error`, `warn`, `info`, `debug` or `trace`. More can be
        /// said per module, like `info,shipwake::export=debug`. `SHIPWAKE_LOG` sets it too.
        pub level: String = "info".to_owned(),
        /// `human` for lines to read, `json` for one object per line.
        pub format: String = "human".to_owned(),
    }
}

impl Settings {
    /// Whether both values mean something.
    pub fn check(&self) -> Result<(), String> {
        log::filter(&self.level).map_err(|error| error.to_string())?;
        match self.format.as_str() {
            "human" | "json" => Ok(()),
            other => Err(format!("format: `{other}` is not known; write `human` or `json`")),
        }
    }
}
