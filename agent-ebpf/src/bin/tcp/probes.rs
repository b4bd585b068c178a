//! Probes of the object `process`.
