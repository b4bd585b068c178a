//! A few small files out of a zip archive, without reading the rest.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

use super::bytes::Bounded;

/// Longest list of files that is read, in bytes.
const LONGEST_DIRECTORY: u64 = 4 * 1024 * 1024;
/// Longest file that is unpacked, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;
/// The list of files ends with a record of this length and a comment of at most 65,535 bytes.
const END: u64 = 22;

/// A zip archive.
pub struct Zip<'a> {
    file: &'a Bounded<'a>,
    directory: Vec<u8>,
    /// Bytes in front of the archive: executable jars begin with a script.
    base: u64,
}

struct Entry<'a> {
    name: &'a [u8],
    method: u64,
    packed: u64,
    at: u64,
}

impl<'a> Zip<'a> {
    /// `None` for anything that is no archive, and for the rare ones with very many or very large files.
    pub fn parse(file: &'a Bounded<'a>) -> Option<Self> {
        let length = file.length();
        let end = |tail: u64| {
            let tail = tail.min(length);
            let bytes = file.read(length - tail, tail)?;
            let at = bytes.windows(4).rposition(|window| window == b"PK\x05\x06")?;
            let record = bytes.get(at..at.checked_add(END as usize)?)?.to_vec();
            Some((record, length - tail + at as u64))
        };
        let (record, at) = end(END).or_else(|| end(END + 65_535))?;
        let size = number(&record, 12, 4)?;
        let offset = number(&record, 16, 4)?;
        if size > LONGEST_DIRECTORY {
            return None;
        }
        let start = at.checked_sub(size)?;
        let base = start.checked_sub(offset)?;
        Some(Self { file, directory: file.read(start, size)?, base })
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = self.directory.as_slice();
        std::iter::from_fn(move || {
            if !rest.starts_with(b"PK\x01\x02") {
                return None;
            }
            let (name, extra, comment) =
                (number(rest, 28, 2)?, number(rest, 30, 2)?, number(rest, 32, 2)?);
            let entry = Entry {
                name: rest.get(46..46 + name as usize)?,
                method: number(rest, 10, 2)?,
                packed: number(rest, 20, 4)?,
                at: number(rest, 42, 4)?,
            };
            rest = rest.get(46 + (name + extra + comment) as usize..)?;
            Some(entry)
        })
    }

    /// Names of the files that `keep` accepts, at most `most`.
    pub fn names(&self, most: usize, keep: impl Fn(&str) -> bool) -> Vec<&str> {
        self.entries()
            .filter_map(|entry| std::str::from_utf8(entry.name).ok())
            .filter(|name| keep(name))
            .take(most)
            .collect()
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.entries().any(|entry| entry.name == name.as_bytes())
    }

    /// A file, unless it is long.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let entry = self.entries().find(|entry| entry.name == name.as_bytes())?;
        if entry.packed > LONGEST_FILE {
            return None;
        }
        let at = self.base.checked_add(entry.at)?;
        let header = self.file.read(at, 30)?;
        if !header.starts_with(b"PK\x03\x04") {
            return None;
        }
        let skip = 30 + number(&header, 26, 2)? + number(&header, 28, 2)?;
        let packed = self.file.read(at.checked_add(skip)?, entry.packed)?;
        match entry.method {
            0 => Some(packed),
            8 => {
                let mut plain = Vec::new();
                let mut decoder = DeflateDecoder::new(packed.as_slice()).take(LONGEST_FILE);
                decoder.read_to_end(&mut plain).ok()?;
                Some(plain)
            }
            _ => None,
        }
    }
}

/// A number of `length` bytes, the least significant first.
fn number(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
