//! The running kernel's BTF, hand-made BTF, and BTF that was damaged.

use super::*;

/// Builds the bytes of a `.BTF` section.
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        if name.is_empty() { 0 } else { at }
    }

    fn record(&mut self, name: &str, kind: u32, count: u32, size: u32, rest: &[u32]) -> &mut Self {
        let name = self.name(name);
        for word in [name, kind << 24 | count, size].iter().chain(rest) {
            self.types.extend(word.to_le_bytes());
        }
        self
    }

    /// Members: name, type, bit offset.
    fn structure(&mut self, name: &str, members: &[(&str, u32, u32)]) -> &mut Self {
        let count = u32::try_from(members.len()).unwrap();
        let rest: Vec<u32> =
            members.iter().flat_map(|(name, of, bits)| [self.name(name), *of, *bits]).collect();
        self.record(name, STRUCT, count, 64, &rest)
    }

    fn bytes(&self) -> Vec<u8> {
        let types = u32::try_from(self.types.len()).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let header = [0x0001_eb9f, 24, 0, types, types, strings];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

#[track_caller]
fn check(btf: &Btf, candidate: &str, expected: Option<u32>) {
    assert_eq!(btf.candidate(&btf.names(), candidate), expected, "{candidate}");
}

#[test]
fn members_are_found_through_anonymous_members_typedefs_and_nesting() {
    let mut builder = Builder::new();
    builder
        .record("int", INT, 0, 4, &[32]) // 1
        .structure("", &[("hidden", 1, 32)]) // 2
        .structure("inner", &[("value", 1, 64)]) // 3
        .record("inner_t", TYPEDEF, 0, 3, &[]) // 4
        .record("", CONST, 0, 4, &[]) // 5
        .structure("outer", &[("first", 1, 0), ("", 2, 64), ("nested", 5, 128)]); // 6
    let btf = Btf::parse(builder.bytes()).unwrap();
    check(&btf, "outer.first", Some(0));
    check(&btf, "outer.hidden", Some(12));
    check(&btf, "outer.nested.value", Some(24));
    check(&btf, "outer.nested.value+8", Some(32));
    check(&btf, "outer.absent", None);
    check(&btf, "outer.first.value", None);
    check(&btf, "absent.first", None);
    check(&btf, "outer", Some(6));
    check(&btf, "int", None);
}

#[test]
fn every_kind_of_record_is_stepped_over() {
    let mut builder = Builder::new();
    builder
        .record("int", INT, 0, 4, &[32])
        .record("", ARRAY, 0, 0, &[1, 1, 4])
        .record("colour", ENUM, 2, 4, &[0; 4])
        .record("f", FUNC_PROTO, 1, 0, &[0, 1])
        .record("v", VAR, 0, 1, &[0])
        .record(".data", DATASEC, 1, 4, &[5, 0, 4])
        .record("tag", DECL_TAG, 0, 1, &[0])
        .record("tag", TYPE_TAG, 0, 1, &[])
        .record("big", ENUM64, 1, 8, &[0, 1, 0])
        .structure("last", &[("member", 1, 8)]);
    let btf = Btf::parse(builder.bytes()).unwrap();
    check(&btf, "last.member", Some(1));
}

#[test]
fn enumerators() {
    let mut builder = Builder::new();
    let (first, second) = (builder.name("cpu_cgrp_id"), builder.name("memory_cgrp_id"));
    builder.record("cgroup_subsys_id", ENUM, 2, 4, &[first, 1, second, 4]);
    let btf = Btf::parse(builder.bytes()).unwrap();
    assert_eq!(btf.enumerator("cgroup_subsys_id", "memory_cgrp_id"), Some(4));
    assert_eq!(btf.enumerator("cgroup_subsys_id", "absent"), None);
    assert_eq!(btf.enumerator("absent", "memory_cgrp_id"), None);
}

#[test]
fn a_struct_that_contains_itself_ends() {
    let mut builder = Builder::new();
    builder.structure("", &[("", 1, 0), ("", 1, 0)]).structure("loop", &[("", 1, 0)]);
    builder.record("t", TYPEDEF, 0, 3, &[]).structure("typed", &[("x", 3, 0)]);
    let btf = Btf::parse(builder.bytes()).unwrap();
    check(&btf, "loop.member", None);
    check(&btf, "typed.x.y", None);
}

#[test]
fn a_maze_of_anonymous_members_ends() {
    let mut builder = Builder::new();
    let maze: Vec<_> = (0..1000).map(|_| ("", 1, 0)).collect();
    builder.structure("maze", &maze);
    let btf = Btf::parse(builder.bytes()).unwrap();
    check(&btf, "maze.member", None);
}

#[test]
fn what_is_no_btf_is_refused() {
    assert!(Btf::parse(Vec::new()).is_err());
    assert!(Btf::parse(b"\x7fELF".repeat(100)).is_err());
    assert!(Btf::parse(vec![0xff; 4096]).is_err());
    // A header whose sizes point far outside.
    let mut bytes = Builder::new().bytes();
    for word in bytes[8..24].chunks_exact_mut(4) {
        word.copy_from_slice(&u32::MAX.to_le_bytes());
    }
    if let Ok(btf) = Btf::parse(bytes) {
        assert_eq!(btf.offsets(), Offsets::ABSENT);
    }
}

#[test]
fn damaged_btf_never_panics() {
    let mut builder = Builder::new();
    builder
        .record("int", INT, 0, 4, &[32])
        .structure("", &[("tgid", 1, 32)])
        .structure("task_struct", &[("pid", 1, 0), ("", 2, 64)]);
    let whole = builder.bytes();
    for length in 0..whole.len() {
        exercise(whole[..length].to_vec());
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            exercise(bytes);
        }
    }
}

fn exercise(bytes: Vec<u8>) {
    if let Ok(btf) = Btf::parse(bytes) {
        let _ = btf.offsets();
        let _ = btf.enumerator("task_struct", "pid");
    }
}

#[test]
fn the_running_kernel_has_every_process_field() {
    let Ok(bytes) = std::fs::read(super::super::load::VMLINUX) else {
        println!("SKIPPED: this kernel publishes no BTF");
        return;
    };
    let offsets = Btf::parse(bytes.clone()).unwrap().offsets();
    let Offsets { task_tgid, task_pid, task_start_boottime, signal_live, kn_name, .. } = offsets;
    let fields = [task_tgid, task_pid, task_start_boottime, signal_live, kn_name];
    assert!(!fields.contains(&ABSENT), "{offsets:?}");
    // `pid_t pid` and `pid_t tgid` have been neighbours since they exist.
    assert_eq!(task_tgid, task_pid + 4);
    // Cut anywhere, what is found is right or absent.
    for part in 1..8 {
        let cut = bytes[..bytes.len() * part / 8].to_vec();
        if let Ok(btf) = Btf::parse(cut) {
            let found = btf.offsets();
            assert!([task_tgid, ABSENT].contains(&found.task_tgid), "{part}");
        }
    }
}
