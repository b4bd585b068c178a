//! System calls: counts, errors, latency.
