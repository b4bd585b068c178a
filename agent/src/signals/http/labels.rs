//! The attributes of an exchange, built once for each distinct combination.
//!
//! Everything that makes a label set is a small number; the numbers together are the key of a cache. An
//! exchange whose combination was seen before costs a walk through the path tree and one look-up.

use rustc_hash::FxHashMap;

use super::{
    exchange::{Outcome, Role, address},
    head::{Head, Host, Version},
    metrics,
    routes::Routes,
    template::{Learn, Templates},
};
use crate::metric::{Label, LabelSet, LabelValue};

/// Most label sets kept; when full, the cache starts anew.
const SETS_MAX: usize = 8192;
/// Most hosts kept; when full, the table starts anew, and with it the cache.
const HOSTS_MAX: usize = 4096;
/// Longest list of known methods.
pub(super) const METHODS_MAX: usize = 64;
/// Stands for a method that is not known.
const OTHER_METHOD: &str = "_OTHER";

/// What besides the head decides about the labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) role: Role,
    pub(super) service: ([u8; 16], u16),
    pub(super) status: Option<u16>,
    pub(super) outcome: Outcome,
}

/// Builds and keeps label sets.
pub(super) struct Labels {
    templates: Templates,
    routes: Routes,
    methods: Vec<LabelValue>,
    route_from_template: bool,
    hosts: FxHashMap<Vec<u8>, u32>,
    sets: FxHashMap<u128, LabelSet>,
    scratch: Vec<u8>,
}

impl Labels {
    pub(super) fn new(
        templates: Templates,
        routes: Routes,
        methods: &[String],
        route_from_template: bool,
    ) -> Self {
        let methods = methods.iter().map(|name| LabelValue::from(name.clone())).collect();
        Self {
            templates,
            routes,
            methods,
            route_from_template,
            hosts: FxHashMap::default(),
            sets: FxHashMap::default(),
            scratch: Vec::with_capacity(256),
        }
    }

    /// The labels of an exchange.
    pub(super) fn of(&mut self, head: &Head<'_>, traits: &Traits) -> LabelSet {
        let host = match traits.role {
            Role::Client => self.host(head.host, traits.service),
            Role::Server => 0,
        };
        let route = self.routes.find(head.target);
        let name = match route {
            Some(name) => name,
            None => self.templates.name(traits.service, head.target, learns(traits)),
        };
        let method = self
            .methods
            .iter()
            .position(|known| is_text(known, head.method))
            .unwrap_or(METHODS_MAX);
        let key = u128::from(name.id)
            | u128::from(host) << 32
            | u128::from(traits.status.unwrap_or(0)) << 64
            | (method as u128) << 80
            | (head.version as u128) << 96
            | (traits.role as u128) << 100
            | (traits.outcome as u128) << 104;
        if let Some(set) = self.sets.get(&key) {
            return set.clone();
        }
        let template = LabelValue::Str(name.text.clone());
        let shown = (route.is_some() || self.route_from_template).then(|| template.clone());
        let method = self.methods.get(method).cloned().unwrap_or(OTHER_METHOD.into());
        let mut labels = vec![
            Label { key: metrics::METHOD, value: method },
            Label { key: metrics::SCHEME, value: "http".into() },
            Label { key: metrics::TEMPLATE, value: template },
        ];
        let mut add = |key: &'static str, value: Option<LabelValue>| {
            labels.extend(value.map(|value| Label { key, value }));
        };
        add(metrics::ROUTE, shown);
        add(metrics::STATUS, traits.status.map(LabelValue::from));
        add(metrics::VERSION, version(head.version).map(LabelValue::from));
        add(metrics::ERROR, error(traits));
        if traits.role == Role::Client {
            let (address, port) = shown_host(head.host, traits.service);
            add(metrics::ADDRESS, Some(address));
            add(metrics::PORT, Some(port.into()));
        }
        let set = LabelSet::new(labels);
        if self.sets.len() >= SETS_MAX {
            self.sets.clear();
        }
        self.sets.insert(key, set.clone());
        set
    }

    /// A number for the server's name or, without one, its address.
    fn host(&mut self, host: Option<Host<'_>>, service: ([u8; 16], u16)) -> u32 {
        self.scratch.clear();
        let port = match host {
            Some(host) => {
                self.scratch.extend(host.name.iter().map(u8::to_ascii_lowercase));
                host.port
            }
            None => {
                // No name begins with a slash, so an address is never taken for a name.
                self.scratch.push(b'/');
                self.scratch.extend_from_slice(&service.0);
                service.1
            }
        };
        self.scratch.extend_from_slice(&port.to_be_bytes());
        if let Some(number) = self.hosts.get(&self.scratch) {
            return *number;
        }
        if self.hosts.len() >= HOSTS_MAX {
            self.hosts.clear();
            self.sets.clear();
        }
        let number = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.hosts.insert(self.scratch.clone(), number);
        number
    }
}

fn is_text(value: &LabelValue, text: &[u8]) -> bool {
    matches!(value, LabelValue::Str(known) if known.as_bytes() == text)
}

/// Statuses of a server that does not know the path, or does not care.
fn learns(traits: &Traits) -> Learn {
    match traits.status {
        Some(400 | 404 | 405 | 410 | 414 | 421 | 431 | 501) => Learn::Tried,
        _ => Learn::Proven,
    }
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::Unknown => None,
        Version::Http10 => Some("1.0"),
        Version::Http11 => Some("1.1"),
    }
}

/// A failed status explains more than the way the connection ended.
fn error(traits: &Traits) -> Option<LabelValue> {
    let failed = match traits.role {
        Role::Client => 400,
        Role::Server => 500,
    };
    if let Some(status) = traits.status.filter(|status| *status >= failed) {
        return Some(status.to_string().into());
    }
    match traits.outcome {
        Outcome::Whole => None,
        Outcome::Closed => Some("connection_closed".into()),
        Outcome::Reset => Some("connection_reset".into()),
        Outcome::Unanswered => Some("no_response".into()),
    }
}

fn shown_host(host: Option<Host<'_>>, service: ([u8; 16], u16)) -> (LabelValue, u16) {
    match host {
        Some(host) => {
            let name = String::from_utf8_lossy(host.name).to_ascii_lowercase();
            (name.into(), host.port)
        }
        None => (address(service.0).to_string().into(), service.1),
    }
}
