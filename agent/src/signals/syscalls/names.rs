//! Numbers and names of system calls.

use std::borrow::Cow;

use shipwake_ebpf::syscalls::NR_COMPAT;

use super::{table_aarch64, table_x86_64};
use crate::config::nearest;

/// The table of the architecture this agent was built for: BPF sees the kernel it runs on.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: &[(u16, &str)] = table_x86_64::NAMES;
#[cfg(target_arch = "aarch64")]
pub const NATIVE: &[(u16, &str)] = table_aarch64::NAMES;

/// Name of a call. A number that the table does not have gets a name of its own, never another call's.
pub fn name(nr: u16) -> Cow<'static, str> {
    if nr & NR_COMPAT != 0 {
        return format!("compat_{}", nr & !NR_COMPAT).into();
    }
    NATIVE
        .binary_search_by_key(&nr, |(nr, _)| *nr)
        .ok()
        .and_then(|index| NATIVE.get(index))
        .map_or_else(|| format!("syscall_{nr}").into(), |(_, name)| (*name).into())
}

/// Number of a call on this architecture.
pub fn number(name: &str) -> Option<u16> {
    NATIVE.iter().find(|(_, known)| *known == name).map(|(nr, _)| *nr)
}

/// Checks a name that a person wrote. A call that only another architecture has is fine.
///
/// # Errors
/// No architecture has such a call; the message names the one that is most like it.
pub fn check(name: &str) -> Result<(), String> {
    let all = || table_x86_64::NAMES.iter().chain(table_aarch64::NAMES).map(|(_, known)| *known);
    if all().any(|known| known == name) {
        return Ok(());
    }
    let hint =
        nearest(name, all()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    Err(format!("there is no system call `{name}`{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_without_duplicates() {
        for table in [table_x86_64::NAMES, table_aarch64::NAMES] {
            assert!(table.is_sorted_by(|left, right| left.0 < right.0));
            let names: std::collections::HashSet<_> = table.iter().map(|(_, name)| name).collect();
            assert_eq!(names.len(), table.len());
        }
    }

    #[test]
    fn numbers_agree_with_the_c_library() {
        for (name, nr) in [
            ("read", libc::SYS_read),
            ("openat", libc::SYS_openat),
            ("getppid", libc::SYS_getppid),
            ("connect", libc::SYS_connect),
            ("clone3", libc::SYS_clone3),
            ("epoll_pwait2", libc::SYS_epoll_pwait2),
            ("process_mrelease", libc::SYS_process_mrelease),
        ] {
            assert_eq!(number(name).map(i64::from), Some(nr), "{name}");
            assert_eq!(super::name(u16::try_from(nr).unwrap_or_default()), name);
        }
    }

    #[test]
    fn unknown_numbers_get_no_other_calls_name() {
        assert_eq!(name(NR_COMPAT | 5), "compat_5");
        assert_eq!(name(500), "syscall_500");
    }

    #[track_caller]
    fn check_name(written: &str, expected: Result<(), &str>) {
        assert_eq!(check(written), expected.map_err(str::to_owned), "{written}");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        check_name("open", Ok(()));
        check_name("fsync", Ok(()));
        check_name("fsinc", Err("there is no system call `fsinc`; did you mean `fsync`?"));
        check_name("accept5", Err("there is no system call `accept5`; did you mean `accept`?"));
    }
}
