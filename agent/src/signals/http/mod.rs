//! Signal `http`: HTTP/1 exchanges in plain text, as servers and clients see them.
//!
//! The kernel half is in the object of `syscalls`. Most connections stay on its fast path and
//! send one record per exchange; what it cannot read for certain comes here in segments ([`stream`]).
//! Either way an exchange ends up in [`exchange`], where it is measured.

mod collect;
mod core;
#[doc(hidden)]
pub mod decode;
mod exchange;
mod head;
mod labels;
mod memo;
mod metrics;
mod routes;
#[doc(hidden)]
pub mod stream;
mod sweep;
mod tally;
#[doc(hidden)]
pub mod template;

use super::{Object, SignalDef};

pub use self::core::{Core, Last};
pub use self::routes::{RouteError, Routes};
use self::{
    head::{METHOD_MAX, is_method},
    labels::METHODS_MAX,
};

const NAME: &str = "http";

/// Durations, sizes and statuses of HTTP/1 exchanges.
pub static SIGNAL: SignalDef = SignalDef {
    name: NAME,
    help: "HTTP/1 requests of servers and clients: duration, status, sizes",
    object: Object::Of("syscalls"),
    probes: &[],
    metrics: &[
        &metrics::SERVER_DURATION,
        &metrics::CLIENT_DURATION,
        &metrics::SERVER_REQUEST_SIZE,
        &metrics::SERVER_RESPONSE_SIZE,
        &metrics::CLIENT_REQUEST_SIZE,
        &metrics::CLIENT_RESPONSE_SIZE,
        &metrics::IRREGULARITIES,
    ],
    globals: |_| Vec::new(),
    map_sizes: |_| Vec::new(),
    collector: collect::collector,
};

crate::settings! {
    /// HTTP.
    pub struct Settings {
        /// Most path templates learned per service; paths beyond are one template called `/{other}`.
        pub templates: u32 = 200,
        /// Most different words at one position of a path; with more, the words there are `{param}`.
        pub path_values: u32 = 20,
        /// Path patterns that name routes, like `/users/{id}` or `/static/*`. They set `http.route`.
        pub routes: Vec<String> = Vec::new(),
        /// Copies a learned path template to `http.route`, which the conventions do not allow.
        pub http_route_from_template: bool = false,
        /// A response is over when its connection has been silent for this long.
        pub idle: crate::config::Span = crate::config::Span::secs(5),
        /// Whether sizes of requests and responses are measured.
        pub sizes: bool = true,
        /// Methods that are told apart, in exact case; all others are `_OTHER`.
        pub known_methods: Vec<String> = [
            "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
        ].map(str::to_owned).to_vec(),
    }
}

impl Settings {
    /// Whether the routes can be read and the methods be met.
    pub fn check(&self) -> Result<(), String> {
        Routes::new(&self.routes).map(drop).map_err(|error| format!("routes: {error}"))?;
        check_methods(&self.known_methods).map_err(|error| format!("known_methods: {error}"))
    }
}

/// Whether every name can be the method of a request.
pub fn check_methods(names: &[String]) -> Result<(), String> {
    if names.len() > METHODS_MAX {
        return Err(format!("{} are too many; write at most {METHODS_MAX}", names.len()));
    }
    match names.iter().find(|name| !is_method(name)) {
        Some(name) => Err(format!(
            "`{name}` is not a method; write letters, digits and !#$%&'*+-.^_`|~, at most {METHOD_MAX}"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
