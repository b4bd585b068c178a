//! What the program of an instance, and the package it came with, say about it.

use super::{Draft, Known, Place};
use crate::workload::names;

/// What compilers and build tools wrote into the program or beside it.
pub(super) fn built(known: &Known<'_>, draft: &mut Draft) {
    give(known, draft, names::BUILT, names::BUILT_BY);
}

/// The version of the package. In a container the package is as likely the base image's, and the service
/// what was put on top of it.
pub(super) fn packaged(known: &Known<'_>, draft: &mut Draft) {
    if !matches!(known.place, Place::Container { .. }) {
        give(known, draft, names::PACKAGED, names::PACKAGED_BY);
    }
}

fn give(known: &Known<'_>, draft: &mut Draft, prefix: &str, by: &str) {
    for (source, facts) in known.process {
        for (attribute, value) in facts.texts(prefix) {
            match facts.text(&format!("{by}{attribute}")) {
                Some(origin) => draft.give(attribute, value, origin.to_owned()),
                None => draft.give(attribute, value, *source),
            }
        }
    }
}
