//! Shipwake, the user side.
//!
//! Data flows through `kernel` → `signals` → `process` and `workload` (who was it) → `aggregate`, all driven
//! by the `engine` → `export`. `app` wires them, `cli` and `api` are its doors.

pub mod aggregate;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod docs;
pub mod engine;
pub mod export;
pub mod grpc;
pub mod kernel;
pub mod metric;
pub mod process;
pub mod signals;
pub mod telemetry;
pub mod time;
pub mod workload;
