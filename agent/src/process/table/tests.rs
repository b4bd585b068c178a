//! What the table answers, whatever the order in which it heard.

use std::{sync::Arc, time::Duration};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn key(tgid: u32, start_ticks: u32) -> ProcessKey {
    ProcessKey { tgid, start_ticks }
}

fn info(process: ProcessKey, at: u64, executable: &str) -> ProcessInfo {
    let mut info = ProcessInfo::new(process, Mono(at));
    info.executable = Some(executable.into());
    info.argv0 = executable.rsplit('/').next().map(Arc::from);
    info.cgroup.path = Some(format!("/of{executable}").into());
    info
}

fn fork(at: u64, parent: ProcessKey, child: ProcessKey) -> Fact {
    Fact::Fork { at: Mono(at), parent, child }
}

fn exit(at: u64, process: ProcessKey, exit_code: i32) -> Fact {
    Fact::Exit { at: Mono(at), process, exit_code }
}

fn table(facts: &[Fact]) -> ProcessTable {
    let mut table = ProcessTable::new(Limits::default());
    for fact in facts {
        table.apply(fact.clone());
    }
    table
}

fn executable(table: &ProcessTable, process: ProcessKey) -> Option<&str> {
    table.get(process)?.info.executable.as_deref()
}

/// Every order of the facts.
fn orders(facts: &[Fact]) -> Vec<Vec<Fact>> {
    if facts.len() < 2 {
        return vec![facts.to_vec()];
    }
    let mut all = Vec::new();
    for index in 0..facts.len() {
        let mut rest = facts.to_vec();
        let first = rest.remove(index);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

#[test]
fn a_forked_child_is_its_parent_until_it_executes() {
    let (shell, child) = (key(10, 1), key(11, 5));
    let mut table = table(&[Fact::Seen(info(shell, 0, "/bin/sh"))]);
    assert_eq!(table.apply(fork(50, shell, child)), Update::New(child));
    let forked = table.get(child).unwrap();
    assert_eq!(forked.info.executable.as_deref(), Some("/bin/sh"));
    assert_eq!(forked.info.argv0.as_deref(), Some("sh"));
    assert_eq!(forked.info.cgroup.path.as_deref(), Some("/of/bin/sh"));
    assert_eq!(forked.info.parent_tgid, Some(10));
    let mut image = ProcessInfo::new(child, Mono(60));
    image.executable = Some("/bin/ls".into());
    assert_eq!(table.apply(Fact::Exec(image)), Update::Changed(child));
    let executed = table.get(child).unwrap();
    assert_eq!(executed.info.executable.as_deref(), Some("/bin/ls"));
    assert_eq!(executed.info.argv0, None, "the image that had this argument is gone");
    assert_eq!(executed.info.cgroup.path.as_deref(), Some("/of/bin/sh"), "an exec moves nobody");
    assert_eq!(executed.info.parent_tgid, Some(10));
}

#[test]
fn the_order_of_facts_does_not_matter() {
    let (shell, child) = (key(10, 1), key(11, 5));
    let facts = [
        Fact::Seen(info(shell, 100, "/bin/sh")),
        fork(50, shell, child),
        Fact::Exec(info(child, 60, "/bin/ls")),
        exit(90, child, 256),
    ];
    for order in orders(&facts) {
        let table = table(&order);
        let process = table.get(child).unwrap();
        assert_eq!(process.info.executable.as_deref(), Some("/bin/ls"), "{order:?}");
        assert_eq!(process.parent, Some(shell), "{order:?}");
        assert_eq!(process.started, Some(Mono(50)), "{order:?}");
        assert_eq!(process.ended, Some(End { at: Mono(90), exit_code: 256 }), "{order:?}");
        assert_eq!(executable(&table, shell), Some("/bin/sh"), "{order:?}");
        let parents: Vec<_> = table.ancestors(child).map(|process| process.info.key).collect();
        assert_eq!(parents, [shell], "{order:?}");
    }
}

#[test]
fn a_parent_that_becomes_known_late_hands_its_image_down() {
    let (shell, child) = (key(10, 1), key(11, 5));
    for order in orders(&[
        Fact::Seen(info(shell, 100, "/bin/sh")),
        fork(50, shell, child),
        exit(55, child, 0),
    ]) {
        assert_eq!(executable(&table(&order), child), Some("/bin/sh"), "{order:?}");
    }
}

#[test]
fn an_older_look_does_not_undo_an_exec() {
    let process = key(10, 1);
    let mut table = table(&[Fact::Exec(info(process, 50, "/bin/new"))]);
    assert_eq!(table.apply(Fact::Seen(info(process, 40, "/bin/old"))), Update::Nothing);
    assert_eq!(table.apply(Fact::Exec(info(process, 30, "/bin/older"))), Update::Nothing);
    assert_eq!(executable(&table, process), Some("/bin/new"));
    assert_eq!(table.apply(Fact::Seen(info(process, 60, "/bin/newer"))), Update::Changed(process));
    assert_eq!(executable(&table, process), Some("/bin/newer"));
    assert_eq!(table.apply(Fact::Seen(info(process, 70, "/bin/newer"))), Update::Nothing);
}

#[test]
fn a_name_from_the_kernel_never_replaces_a_path() {
    let process = key(10, 1);
    let mut table = table(&[Fact::Seen(info(process, 10, "/bin/a"))]);
    let mut named = ProcessInfo::new(process, Mono(20));
    named.cgroup.leaf_names = vec!["leaf".into()];
    assert_eq!(table.apply(Fact::Seen(named)), Update::Nothing);
    assert_eq!(table.get(process).unwrap().info.cgroup.path.as_deref(), Some("/of/bin/a"));
}

#[test]
fn a_reused_pid_is_another_process() {
    let (first, second) = (key(10, 1), key(10, 9));
    let table = table(&[
        fork(10, key(1, 0), first),
        Fact::Exec(info(first, 11, "/bin/a")),
        exit(20, first, 0),
        fork(30, key(1, 0), second),
        Fact::Exec(info(second, 31, "/bin/b")),
    ]);
    assert_eq!(executable(&table, first), Some("/bin/a"));
    assert_eq!(executable(&table, second), Some("/bin/b"));
    let at = |time| table.at(10, Mono(time)).map(|process| process.info.key);
    assert_eq!(at(5), None);
    assert_eq!(at(15), Some(first));
    assert_eq!(at(25), Some(first), "what is heard after the end belongs to the one that ended");
    assert_eq!(at(30), Some(second));
    assert_eq!(table.get(key(10, 0)).map(|process| process.info.key), Some(second));
}

#[test]
fn without_start_times_a_fork_tells_a_reused_pid() {
    let bare = key(10, 0);
    let mut table = table(&[
        fork(10, key(1, 0), bare),
        Fact::Exec(info(bare, 11, "/bin/a")),
        exit(20, bare, 0),
    ]);
    assert_eq!(table.apply(fork(30, key(1, 0), bare)), Update::New(bare));
    let process = table.get(bare).unwrap();
    assert_eq!((process.ended, process.info.executable.as_deref()), (None, None));
    // The exit of the first is not forgotten twice.
    assert_eq!(table.expire(Mono(100 * SECOND)), []);
    assert!(table.get(bare).is_some());
}

#[test]
fn a_process_seen_in_proc_is_found_by_records_without_start_time() {
    let process = key(10, 77);
    let mut table = table(&[Fact::Seen(info(process, 10, "/bin/a"))]);
    assert_eq!(table.apply(Fact::Exec(info(key(10, 0), 20, "/bin/b"))), Update::Changed(process));
    assert_eq!(table.resolve(key(10, 0), Mono(30)).unwrap().info.key, process);
    assert_eq!(executable(&table, process), Some("/bin/b"));
    assert_eq!(table.apply(exit(40, key(10, 0), 9)), Update::Ended(process));
    assert_eq!(table.apply(fork(50, key(1, 0), key(10, 0))), Update::New(key(10, 0)));
}

#[test]
fn an_exit_is_reported_once() {
    let process = key(10, 1);
    let mut table = table(&[]);
    assert_eq!(table.apply(exit(10, process, 0)), Update::Ended(process));
    assert_eq!(table.apply(exit(10, process, 0)), Update::Nothing);
}

#[test]
fn the_dead_are_kept_for_a_while() {
    let process = key(10, 1);
    let limits = Limits { keep_dead: Duration::from_secs(60), ..Limits::default() };
    let mut table = ProcessTable::new(limits);
    table.apply(Fact::Seen(info(process, 0, "/bin/a")));
    table.apply(exit(SECOND, process, 0));
    assert_eq!(table.expire(Mono(60 * SECOND)), []);
    assert_eq!(executable(&table, process), Some("/bin/a"));
    assert_eq!(table.expire(Mono(61 * SECOND)), [process]);
    assert!(table.is_empty());
    assert_eq!(table.at(10, Mono(SECOND)), None);
}

#[test]
fn a_full_table_gives_up_the_longest_dead_first_and_counts_the_living() {
    let mut table = ProcessTable::new(Limits { processes: 3, ..Limits::default() });
    table.apply(Fact::Seen(info(key(1, 1), 1, "/bin/init")));
    table.apply(Fact::Seen(info(key(2, 2), 2, "/bin/a")));
    table.apply(Fact::Seen(info(key(3, 3), 3, "/bin/b")));
    table.apply(exit(4, key(3, 3), 0));
    table.apply(exit(5, key(2, 2), 0));
    table.apply(fork(6, key(1, 1), key(4, 4)));
    assert_eq!((table.len(), table.evicted()), (3, 0));
    assert!(table.get(key(3, 3)).is_none() && table.get(key(2, 2)).is_some());
    table.apply(fork(7, key(1, 1), key(5, 5)));
    table.apply(fork(8, key(1, 1), key(6, 6)));
    assert_eq!((table.len(), table.evicted()), (3, 1));
    assert_eq!(table.expire(Mono(9)), [key(3, 3), key(2, 2), key(1, 1)]);
    assert_eq!(table.expire(Mono(9)), []);
}

#[test]
fn the_dead_are_bounded_while_there_is_room_for_the_living() {
    let mut table = ProcessTable::new(Limits { dead: 2, ..Limits::default() });
    for pid in 1..=4 {
        table.apply(fork(u64::from(pid), key(100, 1), key(pid, pid)));
        table.apply(exit(u64::from(pid), key(pid, pid), 0));
    }
    assert_eq!((table.len(), table.evicted()), (2, 0));
    assert!(table.get(key(2, 2)).is_none() && table.get(key(3, 3)).is_some());
}

#[test]
fn processes_that_share_a_pid_are_forgotten_in_any_order() {
    let keys = [key(10, 1), key(10, 2), key(10, 3)];
    for victim in keys {
        let mut table = ProcessTable::new(Limits::default());
        for (process, at) in keys.iter().zip([10, 20, 30]) {
            table.apply(fork(at, key(1, 0), *process));
            table.apply(exit(at + 5, *process, 0));
        }
        table.forget(victim);
        for (process, at) in keys.iter().zip([12, 22, 32]) {
            let found = table.at(10, Mono(at)).map(|process| process.info.key);
            if *process != victim {
                assert_eq!(found, Some(*process));
            } else {
                assert_ne!(found, Some(victim));
            }
        }
    }
}

#[test]
fn ancestors_end_even_in_a_circle() {
    let (a, b) = (key(10, 1), key(11, 1));
    let table = table(&[fork(10, a, b), fork(11, b, a)]);
    assert_eq!(table.ancestors(a).count(), MAX_ANCESTORS);
}
