//! What the memory of a living process shows in `/proc`: its environment and its arguments.

use std::{
    fs::File,
    io::{self, Read as _},
    thread,
    time::Duration,
};

use crate::process::ProcessKey;

/// How long a process that is in the middle of an exec is waited for, step by step: the kernel loads
/// the program in far less, unless it has to come from a slow disk.
const EXEC_PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
];

/// Fills `buffer` with `/proc/<pid>/<name>`, at most so many bytes of it; `name` is `environ` or
/// `cmdline`. `None` when the process is gone, is another one by now, may not be looked at, or stays
/// in the middle of an exec.
pub(super) fn read(key: &ProcessKey, name: &str, most: u64, buffer: &mut Vec<u8>) -> Option<()> {
    let mut pauses = EXEC_PAUSES.iter();
    loop {
        buffer.clear();
        read_once(key, name, most, buffer).ok()?;
        // After the reading, so that what was read cannot be another's.
        let stat = stat(key)?;
        if !buffer.is_empty() || !is_in_exec(&stat) {
            return Some(());
        }
        thread::sleep(*pauses.next()?);
    }
}

fn read_once(key: &ProcessKey, name: &str, most: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
    File::open(format!("/proc/{}/{name}", key.tgid))?.take(most).read_to_end(buffer)
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

/// Whether a process whose environment or arguments were read as no bytes has some all the same: in
/// the middle of an exec, when the new memory is there and nothing is in it yet, the kernel shows
/// none. Such a process has memory (field 23 of its `stat`), and its environment (from field 50 to
/// field 51) has no end yet or, got by now, is not empty. Kernel threads and the dead have no memory.
fn is_in_exec(stat: &str) -> bool {
    let field = |number: usize| stat.split_ascii_whitespace().nth(number - 3);
    field(23).is_some_and(|bytes| bytes != "0")
        && (field(51) == Some("0") || field(50) != field(51))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
