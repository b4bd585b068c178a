//! The whole agent against real peers: what it reports is compared with what they count themselves.
//! Needs root and the programs that `cargo xtask test` installs.

mod backend;
mod containers;
mod http;
mod http_cases;
mod installed;
mod lifecycle;
mod many;
mod network;
mod observer;
mod pod;
mod processes;
mod refused;
