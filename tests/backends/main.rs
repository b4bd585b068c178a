//! Exporters against receivers: a real collector, a real Prometheus parser, and receivers that misbehave.

mod accepted;
mod collector;
mod data;
mod faults;
mod grpc_server;
mod http_server;
mod prometheus;
mod tls;
