//! Field offsets from the kernel's own type information (BTF).
//!
//! Format: <https://docs.kernel.org/bpf/btf.html>. Total: any bytes give offsets or an error.

use std::collections::HashMap;

use shipwake_ebpf::offsets::{ABSENT, FIELDS, Offsets, RDONLY_CAST_NAME};

const MAGIC: u16 = 0xeb9f;
const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// How deep anonymous members may nest before the data is called malformed.
const MAX_DEPTH: u32 = 16;
/// How many members are looked at for one field. The biggest structures of the kernel have a few hundred.
const MAX_MEMBERS: u32 = 20_000;

/// The bytes are no BTF that we understand.
#[derive(Debug, thiserror::Error)]
#[error("malformed BTF: {0}")]
pub struct Malformed(&'static str);

/// Parsed type information of one kernel.
pub struct Btf {
    data: Vec<u8>,
    /// Position of each type's record; index 0 is void.
    types: Vec<usize>,
    strings: usize,
    /// Structs and unions by name.
    named: HashMap<u32, Vec<u32>>,
}

impl Btf {
    /// Reads and parses the running kernel's BTF.
    pub fn of_kernel() -> anyhow::Result<Self> {
        Ok(Self::parse(std::fs::read(super::load::VMLINUX)?)?)
    }

    /// Parses the bytes of a `.BTF` section.
    pub fn parse(data: Vec<u8>) -> Result<Self, Malformed> {
        let header = |at| read(&data, at).ok_or(Malformed("header"));
        if header(0)? & 0xffff != u32::from(MAGIC) {
            return Err(Malformed("magic"));
        }
        let (length, types_at, types_len, strings_at) =
            (header(4)?, header(8)?, header(12)?, header(16)?);
        let sum = |a: u32, b: u32| (a as usize).checked_add(b as usize).ok_or(Malformed("size"));
        let strings = sum(length, strings_at)?;
        let mut at = sum(length, types_at)?;
        let end = at.checked_add(types_len as usize).ok_or(Malformed("size"))?.min(data.len());
        let mut btf = Self { data, types: vec![0], strings, named: HashMap::new() };
        while at + 12 <= end {
            let (kind, count) = btf.kind_at(at).ok_or(Malformed("type"))?;
            let name = btf.word(at).ok_or(Malformed("type"))?;
            if (kind == STRUCT || kind == UNION) && name != 0 {
                let id = u32::try_from(btf.types.len()).map_err(|_| Malformed("types"))?;
                btf.named.entry(name).or_default().push(id);
            }
            btf.types.push(at);
            at += 12 + trailer(kind, count as usize);
        }
        Ok(btf)
    }

    /// Resolves every field of [`FIELDS`]; what the kernel lacks is [`ABSENT`].
    pub fn offsets(&self) -> Offsets {
        let by_name = self.names();
        let resolved: Vec<u32> = FIELDS
            .iter()
            .map(|(_, candidates)| {
                candidates
                    .iter()
                    .find_map(|candidate| self.candidate(&by_name, candidate))
                    .unwrap_or(ABSENT)
            })
            .collect();
        let offsets: Offsets = bytemuck::try_pod_read_unaligned(bytemuck::cast_slice(&resolved))
            .unwrap_or(Offsets::ABSENT);
        match self.function(RDONLY_CAST_NAME) {
            Some(_) => offsets,
            None => Offsets { words: ABSENT, ..offsets },
        }
    }

    /// Value of an enumerator, for example `memory_cgrp_id` of `cgroup_subsys_id`.
    pub fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        for at in self.types.iter().skip(1) {
            let Some((ENUM, count)) = self.kind_at(*at) else { continue };
            if self.word(*at).and_then(|offset| self.string(offset)) != Some(name) {
                continue;
            }
            for value in (0..count as usize).map(|index| at + 12 + 8 * index) {
                if self.word(value).and_then(|offset| self.string(offset)) == Some(enumerator) {
                    return self.word(value + 4);
                }
            }
        }
        None
    }

    /// Number of a function of the kernel.
    pub fn function(&self, name: &str) -> Option<u32> {
        let is_meant = |at: &usize| {
            matches!(self.kind_at(*at), Some((FUNC, _)))
                && self.word(*at).is_some_and(|offset| self.is_string(offset, name))
        };
        u32::try_from(1 + self.types.iter().skip(1).position(is_meant)?).ok()
    }

    fn candidate(&self, names: &HashMap<&str, &Vec<u32>>, candidate: &str) -> Option<u32> {
        let (path, plus) = match candidate.split_once('+') {
            Some((path, plus)) => (path, plus.parse().ok()?),
            None => (candidate, 0),
        };
        let Some((name, members)) = path.split_once('.') else {
            return names.get(path)?.first().copied();
        };
        let field = names.get(name)?.iter().find_map(|id| self.field(*id, members))?;
        field.checked_add(plus)
    }

    fn names(&self) -> HashMap<&str, &Vec<u32>> {
        self.named.iter().filter_map(|(name, ids)| Some((self.string(*name)?, ids))).collect()
    }

    /// Byte offset of `a.b.c` inside the struct `id`; of a bit field, the byte it begins in.
    fn field(&self, mut id: u32, members: &str) -> Option<u32> {
        let mut bits = 0_u32;
        for member in members.split('.') {
            let (offset, kind) = self.member(id, member, 0, &mut { MAX_MEMBERS })?;
            bits = offset.checked_add(bits)?;
            id = self.strip(kind)?;
        }
        Some(bits / 8)
    }

    /// Bit offset and type of a member, looking into anonymous members.
    fn member(&self, id: u32, name: &str, depth: u32, budget: &mut u32) -> Option<(u32, u32)> {
        let at = *self.types.get(id as usize)?;
        let (kind, count) = self.kind_at(at)?;
        if (kind != STRUCT && kind != UNION) || depth > MAX_DEPTH {
            return None;
        }
        let packed = self.word(at + 4)? >> 31 == 1;
        for index in 0..count as usize {
            *budget = budget.checked_sub(1)?;
            let member = at + 12 + 12 * index;
            let (named, kind, offset) =
                (self.word(member)?, self.word(member + 4)?, self.word(member + 8)?);
            let bits = if packed { offset & 0x00ff_ffff } else { offset };
            if named == 0 {
                let inner = self.member(self.strip(kind)?, name, depth + 1, budget);
                if let Some((inner, kind)) = inner {
                    return Some((bits.checked_add(inner)?, kind));
                }
            } else if self.string(named) == Some(name) {
                return Some((bits, kind));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let at = *self.types.get(id as usize)?;
            if id == 0 {
                return Some(0);
            }
            let (kind, _) = self.kind_at(at)?;
            match kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = self.word(at + 8)?,
                _ => return Some(id),
            }
        }
        None
    }

    fn kind_at(&self, at: usize) -> Option<(u32, u32)> {
        let info = self.word(at + 4)?;
        Some((info >> 24 & 0x1f, info & 0xffff))
    }

    fn word(&self, at: usize) -> Option<u32> {
        read(&self.data, at)
    }

    fn is_string(&self, offset: u32, text: &str) -> bool {
        let rest = self.strings.checked_add(offset as usize).and_then(|at| self.data.get(at..));
        let rest = rest.and_then(|bytes| bytes.strip_prefix(text.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let bytes = self.data.get(self.strings.checked_add(offset as usize)?..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }
}

/// Bytes that follow the 12-byte record of a type.
fn trailer(kind: u32, count: usize) -> usize {
    match kind {
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => 12 * count,
        ENUM | FUNC_PROTO => 8 * count,
        _ => 0,
    }
}

fn read(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
