//! By what a process tells which service it belongs to.

use std::sync::Arc;

use super::{Draft, Known, Place, context, otel_variables, rules};
use crate::workload::{names, rules as user};

/// How a process names its service. Processes in one place with different names are different
/// services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Absent where only [`Self::apart`] tells processes apart.
    name: Option<Arc<str>>,
    namespace: Option<Arc<str>>,
    pub(in crate::workload) instance: Option<Arc<str>>,
    /// What makes it another service than others of the same executable. Of no interest in a container
    /// or unit.
    apart: Vec<Arc<str>>,
}

impl Identity {
    /// Whether the process says what its service is called.
    pub fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// Whether both may be processes of the same instance.
    pub fn agrees(&self, other: &Self) -> bool {
        let Self { name, namespace, instance, apart } = other;
        let same_instance = match (&self.instance, instance) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.name == *name && self.namespace == *namespace && self.apart == *apart && same_instance
    }
}

/// The identity of one process, if anything tells it.
pub fn identity(known: &Known<'_>) -> Option<Identity> {
    let mut draft = Draft::default();
    context(known, &mut draft);
    otel_variables(known, &mut draft);
    rules::variables(known, &mut draft);
    let shared = matches!(known.place, Place::Container { .. } | Place::Unit(_));
    let apart = if shared { Vec::new() } else { apart(known) };
    let text = |key: &str| draft.text(key).map(Arc::from);
    let name: Option<Arc<str>> = text("service.name");
    if name.is_none() && apart.is_empty() {
        return None;
    }
    let of_name = |key: &str| name.as_ref().and_then(|_| text(key));
    Some(Identity {
        namespace: of_name("service.namespace"),
        instance: of_name("service.instance.id"),
        name,
        apart,
    })
}

fn apart(known: &Known<'_>) -> Vec<Arc<str>> {
    let told = known.process.iter().flat_map(|(_, facts)| facts.texts(names::APART));
    let mut apart: Vec<Arc<str>> = told.map(|(_, value)| value.into()).collect();
    apart.extend(user::by_variables(known));
    apart.sort();
    apart
}
