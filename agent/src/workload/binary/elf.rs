//! The few things that are wanted of an ELF file: notes, sections by name, bytes by address.
//!
//! Both classes, both byte orders. Read piece by piece within the budget of [`Bounded`]; tables
//! longer than any linker makes them are not read.

use super::bytes::Bounded;

const MOST_SEGMENTS: u64 = 128;
const MOST_SECTIONS: u64 = 1024;
/// Longest table of section names, in bytes.
const LONGEST_NAMES: u64 = 64 * 1024;
/// Longest segment or section of notes that is looked at, in bytes.
const LONGEST_NOTES: u64 = 64 * 1024;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const PF_W: u32 = 2;

/// An ELF file.
pub struct Elf<'a> {
    file: &'a Bounded<'a>,
    pub layout: Layout,
    segments: Vec<Segment>,
    sections: Vec<Section>,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub is_64: bool,
    pub is_big: bool,
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    length: u64,
    align: u64,
}

struct Section {
    name: Vec<u8>,
    kind: u32,
    offset: u64,
    length: u64,
    align: u64,
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Without the zero byte at its end.
    pub name: Vec<u8>,
    pub kind: u32,
    pub content: Vec<u8>,
}

impl Layout {
    /// The number of `length` bytes at `offset`.
    pub fn number(self, bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(offset..offset.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.is_big {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    fn half(self, bytes: &[u8], offset: usize) -> Option<u64> {
        self.number(bytes, offset, 2)
    }

    fn word(self, bytes: &[u8], offset: usize) -> Option<u32> {
        self.number(bytes, offset, 4).map(|number| number as u32)
    }

    /// A field as wide as an address, at one place or the other.
    fn wide(self, bytes: &[u8], offset_32: usize, offset_64: usize) -> Option<u64> {
        match self.is_64 {
            true => self.number(bytes, offset_64, 8),
            false => self.number(bytes, offset_32, 4),
        }
    }

    /// Length of an address in bytes.
    pub fn pointer(self) -> usize {
        if self.is_64 { 8 } else { 4 }
    }
}

impl<'a> Elf<'a> {
    /// `None` for anything that is no ELF file. Tables that cannot be read count as empty.
    pub fn parse(file: &'a Bounded<'a>) -> Option<Self> {
        let ident = file.read(0, 16)?;
        if !ident.starts_with(b"\x7fELF") {
            return None;
        }
        let is_64 = match ident.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let is_big = match ident.get(5)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let layout = Layout { is_64, is_big };
        let header = file.read(0, if is_64 { 64 } else { 52 })?;
        let tail = if is_64 { 54 } else { 42 };
        let mut elf = Self { file, layout, segments: Vec::new(), sections: Vec::new() };
        let at = layout.wide(&header, 28, 32)?;
        let size = layout.half(&header, tail)?;
        let count = layout.half(&header, tail + 2)?;
        elf.segments = elf.read_segments(at, size, count).unwrap_or_default();
        let at = layout.wide(&header, 32, 40)?;
        let size = layout.half(&header, tail + 4)?;
        let count = layout.half(&header, tail + 6)?;
        let names = layout.half(&header, tail + 8)?;
        elf.sections = elf.read_sections(at, size, count, names).unwrap_or_default();
        Some(elf)
    }

    fn read_segments(&self, at: u64, size: u64, count: u64) -> Option<Vec<Segment>> {
        let layout = self.layout;
        let good = size == if layout.is_64 { 56 } else { 32 };
        if !good || count > MOST_SEGMENTS {
            return None;
        }
        let table = self.file.read(at, size * count)?;
        let segment = |entry: &[u8]| {
            Some(Segment {
                kind: layout.word(entry, 0)?,
                flags: layout.word(entry, if layout.is_64 { 4 } else { 24 })?,
                offset: layout.wide(entry, 4, 8)?,
                address: layout.wide(entry, 8, 16)?,
                length: layout.wide(entry, 16, 32)?,
                align: layout.wide(entry, 28, 48)?,
            })
        };
        table.chunks_exact(size as usize).map(segment).collect()
    }

    fn read_sections(&self, at: u64, size: u64, count: u64, names: u64) -> Option<Vec<Section>> {
        let layout = self.layout;
        let good = size == if layout.is_64 { 64 } else { 40 };
        if !good || count > MOST_SECTIONS {
            return None;
        }
        let table = self.file.read(at, size * count)?;
        let range = |entry: &[u8]| Some((layout.wide(entry, 16, 24)?, layout.wide(entry, 20, 32)?));
        let entries = || table.chunks_exact(size as usize);
        let (start, length) = range(entries().nth(names as usize)?)?;
        let names = self.file.read(start, length.min(LONGEST_NAMES))?;
        let section = |entry: &[u8]| {
            let (offset, length) = range(entry)?;
            let name = names.get(layout.word(entry, 0)? as usize..).unwrap_or_default();
            Some(Section {
                name: name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
                kind: layout.word(entry, 4)?,
                offset,
                length,
                align: layout.wide(entry, 32, 48)?,
            })
        };
        entries().map(section).collect()
    }

    /// Every note, of the segments where there are any, else of the sections.
    pub fn notes(&self) -> Vec<Note> {
        let of_segments = self
            .segments
            .iter()
            .filter(|one| one.kind == PT_NOTE)
            .map(|one| (one.offset, one.length, one.align));
        let of_sections = self
            .sections
            .iter()
            .filter(|one| one.kind == SHT_NOTE)
            .map(|one| (one.offset, one.length, one.align));
        let mut notes = Vec::new();
        for (offset, length, align) in of_segments.chain(of_sections).take(32) {
            if length > LONGEST_NOTES {
                continue;
            }
            let Some(bytes) = self.file.read(offset, length) else { continue };
            for note in notes_in(&bytes, self.layout, align) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }

    /// A section of at most `most` bytes.
    pub fn section(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let section = self
            .sections
            .iter()
            .find(|one| one.name == name.as_bytes() && one.kind != SHT_NOBITS)?;
        (section.length <= most).then(|| self.file.read(section.offset, section.length))?
    }

    /// The first bytes, at most `most`, of a section that may be longer.
    pub fn section_head(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let section = self
            .sections
            .iter()
            .find(|one| one.name == name.as_bytes() && one.kind != SHT_NOBITS)?;
        self.file.read(section.offset, section.length.min(most))
    }

    /// The first bytes, at most `most`, of the segment that holds initialised data.
    pub fn data_head(&self, most: u64) -> Option<Vec<u8>> {
        let segment =
            self.segments.iter().find(|one| one.kind == PT_LOAD && one.flags & PF_W != 0)?;
        self.file.read(segment.offset, segment.length.min(most))
    }

    /// Bytes as they are in memory at `address`, unless the program made them.
    pub fn memory(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let (segment, skip) = self.segments.iter().find_map(|one| {
            let skip = address.checked_sub(one.address)?;
            (one.kind == PT_LOAD && skip < one.length).then_some((one, skip))
        })?;
        if skip.checked_add(length)? > segment.length {
            return None;
        }
        self.file.read(segment.offset.checked_add(skip)?, length)
    }
}

/// Notes one behind the other, up to the first that does not fit.
fn notes_in(bytes: &[u8], layout: Layout, align: u64) -> Vec<Note> {
    let align = if align == 8 { 8 } else { 4 };
    let up = |length: usize| length.checked_next_multiple_of(align);
    let mut notes = Vec::new();
    let mut rest = bytes;
    let next = |rest: &mut &[u8]| {
        let (name, content) = (layout.word(rest, 0)? as usize, layout.word(rest, 4)? as usize);
        let kind = layout.word(rest, 8)?;
        let start = up(12_usize.checked_add(name)?)?;
        let end = start.checked_add(content)?;
        let note = Note {
            name: trimmed(rest.get(12..12 + name)?).to_vec(),
            kind,
            content: rest.get(start..end)?.to_vec(),
        };
        *rest = rest.get(up(end)?..).unwrap_or_default();
        Some(note)
    };
    while let Some(note) = next(&mut rest) {
        notes.push(note);
    }
    notes
}

/// Without the zero bytes at its end.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}
