//! Source `environ`: what the environment that a process was started with says about its service.

mod parse;

use std::thread;

use tokio::sync::mpsc;

use super::{About, Ask, Attribute, Change, Health, SourceDef, SourceState, living, names};
use crate::{config::Config, process::ProcessKey};

pub use parse::{parse, parse_wanted, resource_attributes};

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "environ",
    help: "OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and variables of vendors and platforms",
    concerns: |ask| matches!(ask, Ask::Process(_)),
    tells_host: false,
    start,
};

/// Most bytes of an environment that are looked at. The kernel allows megabytes of it.
const MOST_BYTES: u64 = 256 * 1024;
/// Reading and parsing go three calls deep.
const STACK_BYTES: usize = 128 * 1024;

/// Works on a thread of its own: a read waits for the memory map of the other process, which one that
/// is stuck in the kernel may hold for ever.
fn start(
    config: &Config,
    mut asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: Health,
) {
    let wanted = config.workload.wanted_variables();
    let state = health.clone();
    let work = move || {
        state.works();
        let mut buffer = Vec::new();
        while let Some(ask) = asks.blocking_recv() {
            let Ask::Process(info) = ask else { continue };
            let change = Change {
                source: SOURCE.name,
                about: About::Process(info.key),
                attributes: read(&info.key, &wanted, &mut buffer),
            };
            if changes.blocking_send(change).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("environ".to_owned()).stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(work) {
        let error = format!("no thread could be started: {error} (is there a limit on tasks?)");
        tracing::error!(source = SOURCE.name, "{error}; environments are not read");
        health.fails(SourceState::Failing, error);
    }
}

/// What the environment of a living process says. Nothing, not even that it was read, when the
/// process is gone, is another one by now, or may not be looked at.
fn read(key: &ProcessKey, wanted: &[String], buffer: &mut Vec<u8>) -> Vec<Attribute> {
    if living::read(key, "environ", MOST_BYTES, buffer).is_none() {
        return Vec::new();
    }
    let mut attributes = parse_wanted(buffer, wanted);
    attributes.push(Attribute::text(names::ENVIRONMENT_READ, "yes"));
    attributes
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("60")
            .env_clear()
            .env("OTEL_SERVICE_NAME", "checkout")
            .env("SECRET", "hunter2")
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn start_ticks(pid: u32) -> u32 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_process_that_was_meant_and_only_allowed_variables() {
        let mut child = sleeper();
        let tgid = child.id();
        let key = ProcessKey { tgid, start_ticks: start_ticks(tgid) };
        let expected = [("~env.OTEL_SERVICE_NAME", "checkout"), ("~environ.read", "yes")]
            .map(|(key, value)| Attribute::text(key, value))
            .to_vec();
        let mut buffer = Vec::new();
        assert_eq!(read(&key, &[], &mut buffer), expected);
        assert_eq!(read(&ProcessKey { tgid, start_ticks: 0 }, &[], &mut buffer), expected);
        let other = ProcessKey { tgid, start_ticks: key.start_ticks + 1 };
        assert_eq!(read(&other, &[], &mut buffer), []);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read(&key, &[], &mut buffer), []);
    }
}
