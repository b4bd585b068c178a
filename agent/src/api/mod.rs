//! Local API of a running agent: HTTP/1 over a unix socket that only its owner may use.
//!
//! `GET /status` answers how the agent is doing, `GET /ps` which service each process belongs to.

mod client;
pub mod model;
mod server;
mod socket;

pub use client::{ClientError, get};
pub use server::{Question, serve};
pub use socket::{BindError, Socket};

crate::settings! {
    /// Status API of the running agent on a unix socket. `shipwake ps` asks it.
    pub struct Settings {
        /// Whether the API is served.
        pub enabled: bool = true,
        /// Path of the socket. Created with mode 0600 and removed when the agent ends.
        pub socket: String = "/run/shipwake/shipwake.sock".to_owned(),
    }
}

impl Settings {
    /// Whether a socket can have this path.
    pub fn check(&self) -> Result<(), String> {
        // 108 bytes of `sun_path`, the closing zero included.
        match self.socket.len() {
            0 => Err("socket: the path is empty; write a path or set `enabled = false`".to_owned()),
            1..108 if self.socket.starts_with('/') => Ok(()),
            1..108 => Err(format!("socket: `{}` is not an absolute path", self.socket)),
            _ => Err("socket: a socket's path has at most 107 bytes".to_owned()),
        }
    }
}
