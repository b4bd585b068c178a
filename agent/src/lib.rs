//! Shipwake, the user side. Modules are listed in the order data flows through them.

pub mod aggregate;
pub mod config;
pub mod engine;
pub mod export;
pub mod kernel;
pub mod metric;
pub mod process;
pub mod signals;
pub mod time;
pub mod workload;
