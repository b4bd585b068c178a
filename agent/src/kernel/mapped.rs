//! An array map in the agent's own memory.

use std::{
    marker::PhantomData,
    num::NonZeroUsize,
    os::fd::{AsFd as _, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::Map;
use bytemuck::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::Loaded;

/// An array map made with `BPF_F_MMAPABLE`, read and written without system calls. Each word is read and written
/// whole; a value of several words may be caught in the middle of a change.
pub struct Mapped<T: Pod> {
    words: NonNull<AtomicU64>,
    word_count: usize,
    bytes: NonZeroUsize,
    _map: OwnedFd,
    _values: PhantomData<T>,
}

// SAFETY: all access to the shared memory is atomic.
unsafe impl<T: Pod> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Words of one value. Values of an array lie at multiples of eight bytes.
    const WORDS: usize = size_of::<T>() / 8;

    /// Maps the array called `name` of the object.
    ///
    /// # Errors
    /// The object has no such array, its values have another size, or the kernel refuses to map it.
    pub fn of(loaded: &Loaded, name: &str) -> anyhow::Result<Self> {
        let map = loaded.bpf.map(name).ok_or_else(|| anyhow::anyhow!("no map {name}"))?;
        let Map::Array(data) = map else { anyhow::bail!("the map {name} is no array") };
        let info = data.info()?;
        anyhow::ensure!(
            info.value_size() as usize == size_of::<T>()
                && size_of::<T>() == 8 * Self::WORDS
                && align_of::<T>() == align_of::<u64>(),
            "the values of map {name} have another size"
        );
        let word_count = Self::WORDS * info.max_entries() as usize;
        let bytes = NonZeroUsize::new(8 * word_count)
            .ok_or_else(|| anyhow::anyhow!("the map {name} is empty"))?;
        let map = data.fd().as_fd().try_clone_to_owned()?;
        // SAFETY: a fresh mapping at an address that the kernel chooses.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes.get(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &map,
                0,
            )
        }?;
        let words = NonNull::new(address.cast::<AtomicU64>())
            .ok_or_else(|| anyhow::anyhow!("the map {name} was mapped nowhere"))?;
        Ok(Self { words, word_count, bytes, _map: map, _values: PhantomData })
    }

    /// Number of values.
    #[expect(clippy::len_without_is_empty, reason = "an array without values cannot be made")]
    pub fn len(&self) -> usize {
        self.word_count / Self::WORDS
    }

    /// Copies a value; `None` behind the end.
    pub fn read(&self, index: usize) -> Option<T> {
        let mut value = T::zeroed();
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut value));
        let from = self.words().get(index * Self::WORDS..(index + 1) * Self::WORDS)?;
        for (word, from) in words.iter_mut().zip(from) {
            *word = from.load(Ordering::Relaxed);
        }
        Some(value)
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this many words, is page-aligned, and lives as long as `self`. Others write to
        // it in words only.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.word_count) }
    }
}

impl Mapped<u64> {
    /// Replaces a value. Nothing happens behind the end.
    pub fn write(&self, index: usize, value: u64) {
        if let Some(word) = self.words().get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl<T: Pod> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `of`, and nothing refers to it any more.
        let result = unsafe { munmap(self.words.as_ptr().cast(), self.bytes.get()) };
        debug_assert!(result.is_ok(), "a mapping of our own");
    }
}
