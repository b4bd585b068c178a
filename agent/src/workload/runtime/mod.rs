//! What the sources of container runtimes have in common: clients that bound every wait and every
//! answer, the task that keeps up a connection, and how labels, images and bundles are read.

pub(in crate::workload) mod backoff;
pub(in crate::workload) mod bundle;
pub(in crate::workload) mod cache;
pub(in crate::workload) mod channel;
pub(in crate::workload) mod image;
pub(in crate::workload) mod legs;
pub(in crate::workload) mod problem;
pub(in crate::workload) mod queue;
pub(in crate::workload) mod reference;
pub(in crate::workload) mod rest;
pub(in crate::workload) mod storage;
pub(in crate::workload) mod tell;
pub(in crate::workload) mod watch;
