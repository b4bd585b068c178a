//! Signal `process`.
