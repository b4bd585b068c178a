//! Queue, run and registry.
