//! A living process in the directory.

use std::sync::Arc;

use super::{Facts, Mask, Place, Placement, WorkloadId};
use crate::time::Mono;

/// How the environment of a process names its service: name, namespace, instance.
pub(super) type Identity = Vec<Arc<str>>;

/// A living process.
#[derive(Clone)]
pub(super) struct Member {
    pub workload: WorkloadId,
    pub place: Place,
    pub placement: Placement,
    pub executable: Option<Arc<str>>,
    pub identity: Option<Identity>,
    /// Its own, or until that was read the one of its parent.
    pub environment: Option<Arc<Facts>>,
    /// Sources that have been asked about this process and have not answered.
    pub waits: Mask,
    pub since: Mono,
}
