//! From the bytes of the ring to records. Total: any bytes give a record or nothing.

use shipwake_ebpf::process::{Exec, Exit, Fork, KIND_EXEC, KIND_EXIT, KIND_FORK};

/// A record of the ring `LIFECYCLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Exec { head: Exec, executable: &'a [u8], argv0: &'a [u8], cgroup_names: [&'a [u8]; 3] },
    Fork(Fork),
    Exit(Exit),
}

/// Reads one record; `None` when it is malformed.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let kind = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    match kind {
        KIND_EXEC => exec(bytes),
        KIND_FORK => whole(bytes).map(Record::Fork),
        KIND_EXIT => whole(bytes).map(Record::Exit),
        _ => None,
    }
}

fn exec(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, mut rest) = bytes.split_at_checked(size_of::<Exec>())?;
    let head: Exec = whole(head)?;
    let mut next = |length: u16| {
        let (text, after) = rest.split_at_checked(length.into())?;
        rest = after;
        Some(text)
    };
    let executable = next(head.executable_bytes)?;
    let argv0 = next(head.argv0_bytes)?;
    let [leaf, parent, grandparent] = head.cgroup_bytes;
    let cgroup_names = [next(leaf)?, next(parent)?, next(grandparent)?];
    Some(Record::Exec { head, executable, argv0, cgroup_names })
}

/// The ring rounds nothing up that we would see: a record of fixed size has that size.
fn whole<T: bytemuck::Pod>(bytes: &[u8]) -> Option<T> {
    bytemuck::try_pod_read_unaligned(bytes).ok()
}

#[cfg(test)]
mod tests {
    use shipwake_ebpf::process::ProcessKey;

    use super::*;

    const KEY: ProcessKey = ProcessKey { tgid: 7, start_ticks: 9 };

    fn exec_head(executable: u16, argv0: u16, names: [u16; 3]) -> Exec {
        Exec {
            kind: KIND_EXEC,
            parent_tgid: 1,
            process: KEY,
            at_ns: 5,
            cgroup_v2: 2,
            cgroup_v1: 3,
            uid: 4,
            pid_namespace: 6,
            executable_bytes: executable,
            argv0_bytes: argv0,
            cgroup_bytes: names,
            pad: [0; 7],
        }
    }

    fn exec_bytes(head: &Exec, strings: &str) -> Vec<u8> {
        [bytemuck::bytes_of(head), strings.as_bytes()].concat()
    }

    #[test]
    fn strings_follow_in_order() {
        let head = exec_head(7, 2, [4, 0, 5]);
        let bytes = exec_bytes(&head, "/bin/lslsleafgrand");
        let expected = Record::Exec {
            head,
            executable: b"/bin/ls",
            argv0: b"ls",
            cgroup_names: [b"leaf", b"", b"grand"],
        };
        assert_eq!(decode(&bytes), Some(expected));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn lengths_that_lie_are_malformed() {
        for (executable, argv0, names) in
            [(u16::MAX, 0, [0; 3]), (0, u16::MAX, [0; 3]), (1, 1, [1, 1, u16::MAX]), (3, 3, [3; 3])]
        {
            assert_eq!(decode(&exec_bytes(&exec_head(executable, argv0, names), "abcdef")), None);
        }
    }

    #[test]
    fn records_of_fixed_size() {
        let fork = Fork { kind: KIND_FORK, pad: 0, at_ns: 1, parent: KEY, child: KEY };
        let exit = Exit { kind: KIND_EXIT, exit_code: 256, at_ns: 1, process: KEY };
        assert_eq!(decode(bytemuck::bytes_of(&fork)), Some(Record::Fork(fork)));
        assert_eq!(decode(bytemuck::bytes_of(&exit)), Some(Record::Exit(exit)));
        assert_eq!(decode(&bytemuck::bytes_of(&fork)[..31]), None);
        assert_eq!(decode(&[bytemuck::bytes_of(&exit), &[0]].concat()), None);
    }

    #[test]
    fn any_bytes_give_a_record_or_nothing() {
        // A fixed linear congruential sequence: every run sees the same bytes.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let mut decoded = 0;
        for round in 0..20_000 {
            let length = usize::from(next());
            let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
            if let Some(kind) = bytes.first_chunk_mut::<4>() {
                *kind = (round % 5_u32).to_ne_bytes();
            }
            // Short strings, so that some records are whole.
            if let Some(lengths) = bytes.get_mut(48..58) {
                for (index, byte) in lengths.iter_mut().enumerate() {
                    *byte = if index % 2 == 0 { *byte % 16 } else { 0 };
                }
            }
            decoded += usize::from(decode(&bytes).is_some());
        }
        assert!(decoded > 1000, "{decoded}");
    }
}
