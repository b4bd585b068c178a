//! Reading a file piece by piece, so much and no more.

use std::{cell::Cell, fs::File, os::unix::fs::FileExt as _};

/// Something that can be read at any place: a file, or bytes in memory.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on. `None` when there are not that many bytes.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset).ok()
    }
}

impl ReadAt for &[u8] {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.get(start..start.checked_add(buffer.len())?)?;
        buffer.copy_from_slice(bytes);
        Some(())
    }
}

/// A file of known length of which only so many bytes are read in all. What a file says about itself
/// (sizes, offsets, counts) may be anything, so everything that it makes us read is charged here.
pub struct Bounded<'a> {
    file: &'a dyn ReadAt,
    length: u64,
    left: Cell<u64>,
}

impl<'a> Bounded<'a> {
    /// Allows `budget` bytes to be read from `file`.
    pub fn new(file: &'a dyn ReadAt, length: u64, budget: u64) -> Self {
        Self { file, length, left: Cell::new(budget) }
    }

    /// Length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Exactly these bytes. `None` when they reach beyond the end or the budget.
    pub fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let end = offset.checked_add(length)?;
        let left = self.left.get().checked_sub(length)?;
        if end > self.length {
            return None;
        }
        self.left.set(left);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.file.read_exact_at(offset, &mut bytes)?;
        Some(bytes)
    }
}

/// The start of a file, at most `most` bytes of it. What grows or shrinks meanwhile is what it is.
pub fn head(file: &File, most: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}
