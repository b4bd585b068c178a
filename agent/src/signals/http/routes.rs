//! Routes that the user configured, like `/users/{id}` and `/static/*`.
//!
//! Segments of a pattern are words, `{name}` for exactly one segment of any value, and `*` at the end for
//! any number of segments, none included. A word wins over `{name}`, which wins over `*`, segment by segment,
//! whatever the order of the patterns is. Paths are compared as they were sent, without percent-decoding, up to
//! the query; empty segments and path parameters do not count.

use std::sync::Arc;

use super::template::{Name, Target, segments};

/// Why a pattern is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("route `{0}` does not begin with `/`; write it like `/users/{{id}}` or `/static/*`")]
    NoSlash(String),
    #[error(
        "route `{0}`: `*` is only possible as the last segment; use `{{name}}` for one segment"
    )]
    Star(String),
    #[error("route `{0}`: `{{` and `}}` must surround a whole segment")]
    Brace(String),
    #[error("route `{0}` is longer than 200 bytes or has a query; routes are paths")]
    Path(String),
    #[error("more than 1000 routes")]
    TooMany,
}

const ROUTES_MAX: usize = 1000;
const ROUTE_MAX: usize = 200;

/// Configured routes, ready to be asked.
#[derive(Debug, Default)]
pub struct Routes {
    names: Vec<Name>,
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    words: Vec<(Box<[u8]>, usize)>,
    param: Option<usize>,
    /// Index of the route that ends here.
    end: Option<usize>,
    /// Index of the route that takes everything from here on.
    rest: Option<usize>,
}

impl Routes {
    /// Reads the patterns.
    ///
    /// # Errors
    /// Names the first pattern that is not one.
    pub fn new(patterns: &[String]) -> Result<Self, RouteError> {
        if patterns.len() > ROUTES_MAX {
            return Err(RouteError::TooMany);
        }
        let mut routes = Self { names: Vec::new(), nodes: vec![Node::default()] };
        for pattern in patterns {
            routes.add(pattern)?;
        }
        Ok(routes)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The route of a target. A path that is cut off matches nothing: its end decides.
    pub fn find(&self, target: Target<'_>) -> Option<&Name> {
        let Target::Path { path, cut } = target else { return None };
        if self.is_empty() || (cut && !path.iter().any(|byte| matches!(byte, b'?' | b'#'))) {
            return None;
        }
        let mut parts: [&[u8]; 32] = [&[]; 32];
        let mut count = 0;
        for segment in segments(path) {
            *parts.get_mut(count)? = segment;
            count += 1;
        }
        self.names.get(self.descend(0, parts.get(..count)?)?)
    }

    fn add(&mut self, pattern: &str) -> Result<(), RouteError> {
        let Some(path) = pattern.strip_prefix('/') else {
            return Err(RouteError::NoSlash(pattern.to_owned()));
        };
        if pattern.len() > ROUTE_MAX
            || pattern.contains(|c: char| matches!(c, '?' | '#' | ';') || c.is_control())
        {
            return Err(RouteError::Path(pattern.to_owned()));
        }
        let route = self.names.len();
        let id = u32::try_from(route).unwrap_or(u32::MAX).saturating_add(FIRST_ROUTE);
        let mut node = 0;
        let mut rest = false;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if rest {
                return Err(RouteError::Star(pattern.to_owned()));
            }
            if segment == "*" {
                rest = true;
            } else if segment.starts_with('{') && segment.ends_with('}') && segment.len() > 2 {
                node = self.param(node);
            } else if segment.contains(['{', '}']) {
                return Err(RouteError::Brace(pattern.to_owned()));
            } else {
                node = self.word(node, segment.as_bytes());
            }
        }
        self.names.push(Name { id, text: Arc::from(pattern) });
        if let Some(node) = self.nodes.get_mut(node) {
            // Of two patterns that mean the same, the first gives the name.
            let slot = if rest { &mut node.rest } else { &mut node.end };
            slot.get_or_insert(route);
        }
        Ok(())
    }

    fn word(&mut self, node: usize, word: &[u8]) -> usize {
        let next = self.nodes.len();
        let Some(parent) = self.nodes.get_mut(node) else { return node };
        if let Some((_, child)) = parent.words.iter().find(|(known, _)| **known == *word) {
            return *child;
        }
        parent.words.push((word.into(), next));
        self.nodes.push(Node::default());
        next
    }

    fn param(&mut self, node: usize) -> usize {
        let next = self.nodes.len();
        let Some(parent) = self.nodes.get_mut(node) else { return node };
        if let Some(child) = parent.param {
            return child;
        }
        parent.param = Some(next);
        self.nodes.push(Node::default());
        next
    }

    /// The most specific route under `node`. Depth is bounded by the caller's array.
    fn descend(&self, node: usize, parts: &[&[u8]]) -> Option<usize> {
        let node = self.nodes.get(node)?;
        let Some((first, others)) = parts.split_first() else {
            return node.end.or(node.rest);
        };
        let word = node.words.iter().find(|(word, _)| **word == **first).map(|(_, child)| *child);
        word.and_then(|child| self.descend(child, others))
            .or_else(|| self.descend(node.param?, others))
            .or(node.rest)
    }
}

/// Numbers of routes as [`Name::id`]; learned templates begin far above.
const FIRST_ROUTE: u32 = 0x100;

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 7] = [
        "/",
        "/users/{id}",
        "/users/me",
        "/static/*",
        "/users/{id}/orders/{order}",
        "/{any}/x",
        "/api/*",
    ];

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let routes = Routes::new(&PATTERNS.map(str::to_owned)).unwrap();
        let found = routes.find(Target::Path { path: path.as_bytes(), cut: false });
        assert_eq!(found.map(|name| &*name.text), expected, "{path}");
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        check("/", Some("/"));
        check("/users/42", Some("/users/{id}"));
        check("/users/42/?page=2", Some("/users/{id}"));
        check("/users/me", Some("/users/me"));
        check("/users/me/orders/7", Some("/users/{id}/orders/{order}"));
        check("/users/x", Some("/users/{id}"));
        check("/static", Some("/static/*"));
        check("/static/a/b.css", Some("/static/*"));
        check("/anything/x", Some("/{any}/x"));
        check("/users", None);
        check("/users/1/2", None);
        check(&format!("/api{}", "/a".repeat(31)), Some("/api/*"));
        check(&format!("/api{}", "/a".repeat(32)), None);
    }

    #[test]
    fn many_wildcards_do_not_explode() {
        let patterns: Vec<String> =
            (0..12).map(|n| format!("{}{}/end", "/a".repeat(n), "/{x}".repeat(12 - n))).collect();
        let routes = Routes::new(&patterns).unwrap();
        let path = "/a".repeat(31);
        assert_eq!(routes.find(Target::Path { path: path.as_bytes(), cut: false }), None);
    }

    #[test]
    fn a_cut_path_has_no_route() {
        let routes = Routes::new(&["/users/{id}".to_owned()]).unwrap();
        let find = |path: &'static [u8]| routes.find(Target::Path { path, cut: true }).is_some();
        assert!(!find(b"/users/4"));
        assert!(find(b"/users/4?q=unfinish"));
    }

    #[test]
    fn bad_patterns_are_named() {
        let error = |pattern: &str| Routes::new(&[pattern.to_owned()]).unwrap_err();
        assert!(matches!(error("users"), RouteError::NoSlash(_)));
        assert!(matches!(error("/a/*/b"), RouteError::Star(_)));
        assert!(matches!(error("/a/{b}.pdf"), RouteError::Brace(_)));
        assert!(matches!(error("/a?b=c"), RouteError::Path(_)));
        assert!(matches!(error(&format!("/{}", "a".repeat(300))), RouteError::Path(_)));
    }
}
