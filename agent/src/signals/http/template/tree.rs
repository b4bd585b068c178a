//! The paths of one service as a tree of shapes, bounded in every direction.

use std::{
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
};

use rustc_hash::FxBuildHasher;

use super::{
    Learn, Limits, Name,
    shape::{Kind, PARAM, shape},
};

/// Longest template in bytes.
pub(super) const TEMPLATE_MAX: usize = 100;
/// Stands for everything behind: too long, too deep or cut off before it could be read.
const REST: &[u8] = b"{rest}";
/// Deepest template in segments.
const DEPTH_MAX: usize = 12;
/// A word that was seen this often keeps its name when its position is merged …
const KEPT_HITS: u32 = 100;
/// … if it also had at least this part of the position's traffic.
const KEPT_SHARE: u64 = 50;

const ROOT: usize = 0;

/// One service's paths.
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<usize>,
    templates: usize,
    /// When the tree was last asked, in the clock of its owner.
    pub(super) used: u64,
}

#[derive(Default)]
struct Node {
    text: Box<[u8]>,
    parent: usize,
    kind: Option<Kind>,
    hits: u32,
    /// A request was served through here. Others may only be what somebody tried.
    proven: bool,
    /// Hash of the child's text and its index.
    children: Vec<(u64, usize)>,
    /// Children of [`Kind::Literal`].
    literals: usize,
    /// Words that are not among the children are one child, `{param}`.
    merged: bool,
    /// Present when a path ends here.
    name: Option<Name>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new(), templates: 0, used: 0 }
    }

    /// Nodes in use.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Where the template of `path` is, or `None` when it is new and the limits forbid it.
    pub(super) fn find(
        &mut self,
        path: Path<'_>,
        learn: Learn,
        limits: &Limits,
        ids: &mut u32,
        scratch: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut node = ROOT;
        let mut length = 0;
        let mut segments = path.segments().enumerate().peekable();
        while let Some((depth, segment)) = segments.next() {
            let last = segments.peek().is_none();
            scratch.clear();
            let mut kind = shape(segment, scratch);
            let stop = depth + 1 == DEPTH_MAX && !last
                || path.cut && last
                // A word may turn out to be a value, whose placeholder may be longer.
                || length + 1 + scratch.len().max(PARAM.len()) > TEMPLATE_MAX - 1 - REST.len();
            if stop {
                scratch.clear();
                scratch.extend_from_slice(REST);
                kind = Kind::Placeholder;
            }
            node = self.step(node, kind, scratch, learn, limits)?;
            length += 1 + self.nodes.get(node)?.text.len();
            if stop {
                break;
            }
        }
        if self.nodes.get(node)?.name.is_none() {
            if self.templates >= limits.templates_for(learn) {
                return None;
            }
            let text = self.text(node);
            *ids = ids.wrapping_add(1).max(super::FIRST_LEARNED);
            self.templates += 1;
            self.nodes.get_mut(node)?.name = Some(Name { id: *ids, text });
        }
        Some(node)
    }

    /// The template that ends at a node which [`find`](Self::find) gave.
    pub(super) fn name(&self, node: usize) -> Option<&Name> {
        self.nodes.get(node)?.name.as_ref()
    }

    /// The child of `node` for a segment of this shape, made when it is missing and may be made.
    fn step(
        &mut self,
        node: usize,
        kind: Kind,
        text: &[u8],
        learn: Learn,
        limits: &Limits,
    ) -> Option<usize> {
        let found = self.child(node, text).or_else(|| {
            let merged = kind == Kind::Literal && self.nodes.get(node)?.merged;
            if merged { self.child(node, PARAM) } else { None }
        });
        let child = match found {
            Some(child) => child,
            None => {
                let full = self.templates >= limits.templates_for(learn)
                    || self.len() + DEPTH_MAX > limits.nodes_per_tree();
                if full {
                    return None;
                }
                let parent = self.nodes.get(node)?;
                if kind == Kind::Literal
                    && !parent.merged
                    && parent.literals >= limits.values_for(learn)
                {
                    self.make_room(node, learn, limits)?;
                }
                if kind == Kind::Literal && self.nodes.get(node)?.merged {
                    match self.child(node, PARAM) {
                        Some(child) => child,
                        None => self.add(node, Kind::Placeholder, PARAM)?,
                    }
                } else {
                    self.add(node, kind, text)?
                }
            }
        };
        let node = self.nodes.get_mut(child)?;
        node.hits = node.hits.saturating_add(1);
        node.proven |= learn == Learn::Proven;
        Some(child)
    }

    fn child(&self, node: usize, text: &[u8]) -> Option<usize> {
        let hash = hash(text);
        self.nodes
            .get(node)?
            .children
            .iter()
            .filter(|(known, _)| *known == hash)
            .map(|(_, child)| *child)
            .find(|child| self.nodes.get(*child).is_some_and(|child| *child.text == *text))
    }

    fn add(&mut self, parent: usize, kind: Kind, text: &[u8]) -> Option<usize> {
        let node = Node { text: text.into(), parent, kind: Some(kind), ..Node::default() };
        let index = match self.free.pop() {
            Some(index) => {
                *self.nodes.get_mut(index)? = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        let parent = self.nodes.get_mut(parent)?;
        parent.children.push((hash(text), index));
        parent.literals += usize::from(kind == Kind::Literal);
        Some(index)
    }

    /// Makes room for one more word, if a word of this kind may. Words that were never served go first.
    /// Too many that were are values: all but the ones that carry real traffic are forgotten, and
    /// `{param}` is learned from the next paths in their place.
    fn make_room(&mut self, node: usize, learn: Learn, limits: &Limits) -> Option<()> {
        if learn == Learn::Tried {
            return None;
        }
        self.forget_words(node, |child, _| child.proven);
        if self.nodes.get(node)?.literals >= limits.values {
            self.forget_words(node, |child, total| {
                child.hits >= KEPT_HITS && u64::from(child.hits) * KEPT_SHARE >= total
            });
            self.nodes.get_mut(node)?.merged = true;
        }
        Some(())
    }

    /// Forgets the words under `node` that `keep` does not want; it is also told the hits of all.
    fn forget_words(&mut self, node: usize, keep: impl Fn(&Node, u64) -> bool) {
        let Some(parent) = self.nodes.get_mut(node) else { return };
        let children = std::mem::take(&mut parent.children);
        let child = |index: usize| self.nodes.get(index);
        let total = children
            .iter()
            .filter_map(|(_, index)| child(*index))
            .map(|child| u64::from(child.hits))
            .sum();
        let (kept, dropped): (Vec<_>, Vec<_>) = children.into_iter().partition(|(_, index)| {
            child(*index)
                .is_some_and(|child| child.kind != Some(Kind::Literal) || keep(child, total))
        });
        for (_, index) in &dropped {
            self.forget(*index);
        }
        if let Some(parent) = self.nodes.get_mut(node) {
            parent.literals -= dropped.len();
            parent.children = kept;
        }
    }

    fn forget(&mut self, node: usize) {
        let mut stack = vec![node];
        while let Some(index) = stack.pop() {
            let Some(slot) = self.nodes.get_mut(index) else { continue };
            let node = std::mem::take(slot);
            stack.extend(node.children.iter().map(|(_, child)| *child));
            self.templates -= usize::from(node.name.is_some());
            self.free.push(index);
        }
    }

    fn text(&self, node: usize) -> Arc<str> {
        let mut texts = Vec::new();
        let mut index = node;
        while index != ROOT {
            let Some(node) = self.nodes.get(index) else { break };
            texts.push(String::from_utf8_lossy(&node.text));
            index = node.parent;
        }
        texts.reverse();
        format!("/{}", texts.join("/")).into()
    }
}

/// The path of a request target: what is left when query, fragment and path parameters are cut off.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    bytes: &'a [u8],
    /// The end is missing, so the last segment cannot be read.
    cut: bool,
}

impl<'a> Path<'a> {
    pub(super) fn new(target: &'a [u8], cut: bool) -> Self {
        match target.iter().position(|byte| matches!(byte, b'?' | b'#')) {
            Some(end) => Self { bytes: &target[..end], cut: false },
            None => Self { bytes: target, cut },
        }
    }

    /// The segments without parameters (`;…`); empty ones do not count.
    pub(super) fn segments(self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes.split(|byte| *byte == b'/').map(plain).filter(|segment| !segment.is_empty())
    }
}

fn plain(segment: &[u8]) -> &[u8] {
    let end = segment.iter().position(|byte| *byte == b';').unwrap_or(segment.len());
    &segment[..end]
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write(text);
    hasher.finish()
}
