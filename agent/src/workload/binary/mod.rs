//! Source `binary`: what the program of a process is made of: build ids, what compilers and build
//! tools wrote into it, the package it came with.
//!
//! Reads files as the process itself sees them, in whatever container it is. The version of an
//! interpreter or of a shell is never the version of the service that it runs; what is doubtful is
//! left out.

mod bytes;
mod cache;
mod command;
mod dotnet;
mod dpkg;
mod elf;
mod executable;
mod facts;
mod found;
mod golang;
mod jar;
mod node;
mod programs;
mod python;
mod reader;
mod root;
#[cfg(test)]
mod tests;
mod zip;

use std::thread;

use tokio::sync::mpsc;

use super::{About, Ask, Change, Health, SourceDef, SourceState};
use crate::config::Config;
use reader::Reader;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "binary",
    help: "Build ids, Go, Rust, Java, Node, Python and .NET build information, Debian packages",
    concerns: |ask| matches!(ask, Ask::Process(_)),
    tells_host: false,
    start,
};

/// What is wrong when nothing can be read at all.
const DENIED: &str = "executables of other processes may not be looked at; run the agent as root or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";

/// Processes that hide their executable, and none that does not, until that is trouble: single ones do,
/// whoever asks.
const MANY: u32 = 16;

fn is_denied(tgid: u32) -> bool {
    let denied = std::io::ErrorKind::PermissionDenied;
    std::fs::read_link(format!("/proc/{tgid}/exe")).is_err_and(|error| error.kind() == denied)
}

/// Decoders of nested text go some levels deep.
const STACK_BYTES: usize = 512 * 1024;

/// Works on a thread of its own: files may be on slow disks, and on the network.
fn start(_: &Config, mut asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, health: Health) {
    let state = health.clone();
    let work = move || {
        let mut reader = Reader::default();
        let (mut has_read, mut denied) = (false, 0);
        while let Some(ask) = asks.blocking_recv() {
            let Ask::Process(info) = ask else { continue };
            let attributes = reader.read(&info.key);
            if !has_read && !attributes.is_empty() {
                has_read = true;
                state.works();
            } else if !has_read && is_denied(info.key.tgid) {
                denied += 1;
                if denied == MANY && state.fails(SourceState::Failing, DENIED.to_owned()) {
                    tracing::warn!(source = SOURCE.name, "{DENIED}");
                }
            }
            let change =
                Change { source: SOURCE.name, about: About::Process(info.key), attributes };
            if changes.blocking_send(change).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("binary".to_owned()).stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(work) {
        let error = format!("no thread could be started: {error} (is there a limit on tasks?)");
        tracing::error!(source = SOURCE.name, "{error}; executables are not read");
        health.fails(SourceState::Failing, error);
    }
}

/// The decoders by themselves: total functions over any bytes.
pub mod decode {
    pub use super::bytes::{Bounded, ReadAt};
    pub use super::command::{
        arguments, dotnet as dotnet_entry, java, node as node_entry, python as python_entry,
    };
    pub use super::dotnet::dependencies;
    pub use super::dpkg::{diversions, states};
    pub use super::executable::{crates, package as note, read as executable};
    pub use super::golang::decode as go;
    pub use super::jar::{main_attributes, properties, read as jar};
    pub use super::node::package;
    pub use super::python::{declares_script, metadata, pyproject};
}
