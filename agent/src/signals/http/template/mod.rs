//! Path templates: the few names that the many paths of a service have, learned while they pass.
//!
//! A path becomes a template in two steps. First each segment that is a value by its looks (a number, a
//! UUID, a hash, …) becomes a placeholder at once ([`shape`]). Then the path is entered into the tree of
//! its service; a position that shows more different words than `http.values` is a position of values
//! too: the words there become `{param}`, except the few that carry most of the traffic.
//!
//! A service is the address and port that the server listens on: the workers of a server and its
//! clients on the same host learn together. Templates per service are bounded (`http.templates`), what
//! comes after is `/{other}`. Paths that the server does not know (404 and its like) get less room
//! and give way to the others, so that a scanner cannot use up the names. The same exchanges in the same
//! order always give the same templates.
//!
//! Templates never hold anything of the query, of path parameters, of credentials or of the host.

mod shape;
mod tree;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::tree::{Path, Tree};

/// Most services whose paths are known at a time; the one not asked for longest is forgotten.
const SERVICES_MAX: usize = 256;
/// Most tree nodes of all services together (about 120 bytes each).
const NODES_MAX: usize = 20_000;

/// A template as it is exported, and a number that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub id: u32,
    pub text: Arc<str>,
}

/// Numbers below are for names that are not learned.
pub(super) const FIRST_LEARNED: u32 = 0x1_0000;

/// Names of targets that are no paths, and of paths beyond the limit.
const FIXED: [&str; 4] = ["/{other}", "*", "{authority}", "{invalid}"];
const OTHER: usize = 0;
const ASTERISK: usize = 1;
const AUTHORITY: usize = 2;
const INVALID: usize = 3;

/// How much is learned.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most templates per service.
    pub templates: usize,
    /// Most different words at one position of a path.
    pub values: usize,
}

/// What is known of a path when it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// The server knows it.
    Proven,
    /// Somebody tried it, and the server does not know it.
    Tried,
}

impl Limits {
    fn templates_for(&self, learn: Learn) -> usize {
        match learn {
            Learn::Proven => self.templates,
            Learn::Tried => self.templates / 4,
        }
    }

    fn values_for(&self, learn: Learn) -> usize {
        match learn {
            Learn::Proven => self.values,
            Learn::Tried => self.values / 2,
        }
    }

    fn nodes_per_tree(&self) -> usize {
        self.templates.saturating_mul(4).saturating_add(16).min(NODES_MAX / 2)
    }
}

/// Where a server listens: address and port.
pub type Service = ([u8; 16], u16);

/// A request target.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A path, perhaps with a query, perhaps cut off at its end.
    Path {
        path: &'a [u8],
        cut: bool,
    },
    /// `*`, of `OPTIONS`.
    Asterisk,
    /// The host and port of a `CONNECT`.
    Authority,
    Invalid,
}

/// The segments of a path that count: without query, path parameters and empty ones.
pub(super) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    Path::new(path, false).segments()
}

/// Everything learned.
pub struct Templates {
    limits: Limits,
    fixed: [Name; FIXED.len()],
    services: FxHashMap<Service, Tree>,
    nodes: usize,
    clock: u64,
    ids: u32,
    scratch: Vec<u8>,
}

impl Templates {
    pub fn new(limits: Limits) -> Self {
        let mut id = 0;
        let fixed = FIXED.map(|text| {
            id += 1;
            Name { id, text: text.into() }
        });
        Self {
            limits,
            fixed,
            services: FxHashMap::default(),
            nodes: 0,
            clock: 0,
            ids: FIRST_LEARNED,
            scratch: Vec::with_capacity(128),
        }
    }

    /// The template of `target`, learned if it is new and there is room.
    pub fn name(&mut self, service: Service, target: Target<'_>, learn: Learn) -> &Name {
        let (path, cut) = match target {
            Target::Path { path, cut } => (path, cut),
            Target::Asterisk => return &self.fixed[ASTERISK],
            Target::Authority => return &self.fixed[AUTHORITY],
            Target::Invalid => return &self.fixed[INVALID],
        };
        self.clock += 1;
        if !self.services.contains_key(&service) {
            if self.services.len() >= SERVICES_MAX {
                self.make_room();
            }
            self.nodes += 1;
            self.services.insert(service, Tree::new());
        }
        let Some(tree) = self.services.get_mut(&service) else { return &self.fixed[OTHER] };
        tree.used = self.clock;
        let before = tree.len();
        let path = Path::new(path, cut);
        let node = tree.find(path, learn, &self.limits, &mut self.ids, &mut self.scratch);
        self.nodes = (self.nodes + tree.len()).saturating_sub(before);
        if self.nodes > NODES_MAX {
            self.make_room();
        }
        node.and_then(|node| self.services.get(&service)?.name(node)).unwrap_or(&self.fixed[OTHER])
    }

    /// Forgets the services that were not asked for longest. The one asked last stays: alone it
    /// cannot fill the room.
    fn make_room(&mut self) {
        while self.services.len() >= SERVICES_MAX || self.nodes > NODES_MAX {
            let oldest = self.services.iter().min_by_key(|(_, tree)| tree.used);
            let Some((service, nodes)) = oldest.map(|(service, tree)| (*service, tree.len()))
            else {
                break;
            };
            self.services.remove(&service);
            self.nodes = self.nodes.saturating_sub(nodes);
        }
    }
}

#[cfg(test)]
mod tests;
