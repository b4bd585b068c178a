//! Finds and reads what a process publishes, in the memory of the process.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    thread,
    time::Duration,
};

use super::payload;
use crate::workload::Attribute;

const SIGNATURE: &[u8; 8] = b"OTEL_CTX";
/// The version of the header that is understood.
const VERSION: u32 = 2;
/// Most bytes of a payload. Publishers write a few hundred.
const MOST_PAYLOAD: u32 = 64 * 1024;
/// Most bytes of a list of mappings that are looked at: about 200,000 mappings.
const MOST_MAPS: u64 = 16 * 1024 * 1024;
/// How often a header that is being written is looked at.
const ATTEMPTS: usize = 5;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What was found in a process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    /// Where the header is.
    pub address: u64,
    /// When it was written, in the publisher's time: another number for every update.
    pub at: u64,
    pub attributes: Vec<Attribute>,
}

/// What a process publishes; `None` when that is nothing, or nothing that can be read.
pub(super) fn find(tgid: u32) -> Option<Published> {
    let maps = File::open(format!("/proc/{tgid}/maps")).ok()?;
    let address = address(BufReader::new(maps.take(MOST_MAPS)))?;
    let memory = File::open(format!("/proc/{tgid}/mem")).ok()?;
    read(&memory, address)
}

/// Whether the header at `address` is still the one that was written at `at`.
pub(super) fn is_current(tgid: u32, address: u64, at: u64) -> bool {
    let header = File::open(format!("/proc/{tgid}/mem"))
        .ok()
        .and_then(|memory| Header::read(&memory, address).ok().flatten());
    header.is_some_and(|header| header.at == at)
}

/// Where the first mapping with the agreed name begins.
fn address(mut maps: impl io::BufRead) -> Option<u64> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if maps.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if let Some(address) = address_in(&line) {
            return Some(address);
        }
    }
}

/// `7f12a000-7f12b000 rw-s 00000000 00:01 2055 /memfd:OTEL_CTX (deleted)`
fn address_in(line: &[u8]) -> Option<u64> {
    const NAMES: [&[u8]; 3] = [b"/memfd:OTEL_CTX", b"[anon_shmem:OTEL_CTX]", b"[anon:OTEL_CTX]"];
    // Most mappings have another name or none: the line is not even text then.
    let name = line.splitn(6, |byte| *byte == b' ').nth(5)?.trim_ascii();
    if !NAMES.iter().any(|known| name.starts_with(known)) {
        return None;
    }
    let begin = line.split(|byte| *byte == b'-').next()?;
    u64::from_str_radix(std::str::from_utf8(begin).ok()?, 16).ok()
}

#[derive(Clone, Copy, PartialEq)]
struct Header {
    size: u32,
    at: u64,
    payload: u64,
}

impl Header {
    /// The header at `address`; `None` when it is no header, or one that is being written.
    fn read(memory: &File, address: u64) -> io::Result<Option<Self>> {
        let mut bytes = [0; 32];
        memory.read_exact_at(&mut bytes, address)?;
        Ok(Self::parse(&bytes))
    }

    /// The byte order is the machine's.
    fn parse(bytes: &[u8; 32]) -> Option<Self> {
        let (signature, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (payload, _) = rest.split_first_chunk()?;
        let (version, size) = (u32::from_ne_bytes(*version), u32::from_ne_bytes(*size));
        let (at, payload) = (u64::from_ne_bytes(*at), u64::from_ne_bytes(*payload));
        (signature == SIGNATURE && version == VERSION && at != 0 && size <= MOST_PAYLOAD)
            .then_some(Self { size, at, payload })
    }
}

/// Reads header, payload and header again: what changed in between is not taken.
fn read(memory: &File, address: u64) -> Option<Published> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        let Some(header) = Header::read(memory, address).ok()? else { continue };
        let mut bytes = vec![0; header.size as usize];
        // A payload that is gone belonged to a header that is being replaced.
        if memory.read_exact_at(&mut bytes, header.payload).is_err()
            || Header::read(memory, address).ok()? != Some(header)
        {
            continue;
        }
        let attributes = payload::decode(&bytes)?;
        return Some(Published { address, at: header.at, attributes });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(maps: &str, expected: Option<u64>) {
        assert_eq!(address(maps.as_bytes()), expected, "{maps}");
    }

    #[test]
    fn mappings_by_name() {
        check(
            "7f12a000-7f12b000 rw-s 00000000 00:01 2055   /memfd:OTEL_CTX (deleted)\n",
            Some(0x7f12_a000),
        );
        check("7f12a000-7f12b000 rw-p 00000000 00:00 0      [anon:OTEL_CTX]\n", Some(0x7f12_a000));
        check(
            "ffffa000-ffffb000 rw-s 00000000 00:01 9      [anon_shmem:OTEL_CTX]",
            Some(0xffff_a000),
        );
        check("7f12a000-7f12b000 r--p 00000000 08:01 20     /srv/memfd:OTEL_CTX\n", None);
        check("7f12a000-7f12b000 rw-p 00000000 00:00 0      [heap]\n7f\n\n", None);
        check("zz-7f12b000 rw-s 00000000 00:01 2055 /memfd:OTEL_CTX\n", None);
        check("", None);
    }

    #[test]
    fn headers() {
        let header = |signature: &[u8; 8], version: u32, size: u32, at: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(signature);
            bytes[8..12].copy_from_slice(&version.to_ne_bytes());
            bytes[12..16].copy_from_slice(&size.to_ne_bytes());
            bytes[16..24].copy_from_slice(&at.to_ne_bytes());
            Header::parse(&bytes).is_some()
        };
        assert!(header(SIGNATURE, 2, 100, 1));
        assert!(header(SIGNATURE, 2, 0, 1));
        assert!(!header(b"OTEL_XXX", 2, 100, 1), "no header");
        assert!(!header(SIGNATURE, 1, 100, 1), "another version");
        assert!(!header(SIGNATURE, 2, 100, 0), "being written");
        assert!(!header(SIGNATURE, 2, u32::MAX, 1), "too much");
    }
}
