//! Source `environ`: what the environment that a process was started with says about its service.

mod parse;

use std::{fs::File, io::Read as _, thread, time::Duration};

use tokio::sync::mpsc;

use super::{About, Ask, Attribute, Change, Health, SourceDef, SourceState, names};
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
    let mut pauses = EXEC_PAUSES.iter();
    loop {
        buffer.clear();
        let read = File::open(format!("/proc/{}/environ", key.tgid))
            .and_then(|file| file.take(MOST_BYTES).read_to_end(buffer));
        if read.is_err() {
            return Vec::new();
        }
        let Some(stat) = stat(key) else { return Vec::new() };
        if !buffer.is_empty() || !is_in_exec(&stat) {
            break;
        }
        let Some(pause) = pauses.next() else { return Vec::new() };
        thread::sleep(*pause);
    }
    let mut attributes = parse_wanted(buffer, wanted);
    attributes.push(Attribute::text(names::ENVIRONMENT_READ, "yes"));
    attributes
}

/// How long a process that is in the middle of an exec is waited for, step by step: the kernel loads
/// the program in far less, unless it has to come from a slow disk.
pub(super) const EXEC_PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
];

/// Whether a process whose environment or arguments were read as no bytes has some all the same.
pub(super) fn is_in_exec_now(key: &ProcessKey) -> bool {
    stat(key).is_some_and(|stat| is_in_exec(&stat))
}

/// Whether a process whose environment was read as no bytes has one all the same: in the middle of an
/// exec, when the new memory is there and the environment is not in it yet, the kernel shows none.
/// Such a process has memory (field 23 of its `stat`), and its environment (from field 50 to field
/// 51) has no end yet or, got by now, is not empty. Kernel threads and the dead have no memory.
fn is_in_exec(stat: &str) -> bool {
    let field = |number: usize| stat.split_ascii_whitespace().nth(number - 3);
    field(23).is_some_and(|bytes| bytes != "0")
        && (field(51) == Some("0") || field(50) != field(51))
}

/// Whether the process of this id is still the one that was meant. Asked after reading, so that what
/// was read cannot be another's.
pub(super) fn is_same(key: &ProcessKey) -> bool {
    stat(key).is_some()
}

/// `/proc/<pid>/stat` from field 3 on (the name before it, in parentheses, may hold anything), when
/// the process of this id is still the one that was meant.
fn stat(key: &ProcessKey) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", key.tgid)).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    let ticks: u64 = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    // Keys have the low half; 0 where the kernel could not tell.
    let is_meant =
        key.start_ticks == 0 || (ticks & u64::from(u32::MAX)) == u64::from(key.start_ticks);
    is_meant.then(|| fields.to_owned())
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
    fn a_process_in_exec_has_memory_and_no_environment_yet() {
        let stat = |bytes: u64, start: u64, end: u64| {
            let mut fields = vec!["1".to_owned(); 50];
            fields[23 - 3] = bytes.to_string();
            fields[50 - 3] = start.to_string();
            fields[51 - 3] = end.to_string();
            format!(" {}", fields.join(" "))
        };
        assert!(is_in_exec(&stat(8192, 0, 0)));
        assert!(is_in_exec(&stat(8192, 4096, 4100)), "it came after it was read");
        assert!(!is_in_exec(&stat(8192, 4096, 4096)), "an empty one");
        assert!(!is_in_exec(&stat(0, 0, 0)), "a kernel thread, a zombie");
        assert!(!is_in_exec(""));
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
