//! Reading a hash map in few system calls.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Pod;

use super::{Loaded, Wire};

/// `BPF_MAP_LOOKUP_BATCH`.
const LOOKUP_BATCH: libc::c_long = 24;
/// Entries asked for at a time, at first.
const ENTRIES: usize = 64;
/// Never more than this many at a time: a bucket this full does not happen.
const ENTRIES_MAX: usize = 4096;

/// A hash map that is read whole, again and again.
pub struct Batches<K: Pod, V: Pod> {
    map: HashMap<MapData, Wire<K>, Wire<V>>,
    fd: OwnedFd,
    keys: Vec<K>,
    values: Vec<V>,
    /// Cleared when the kernel has no batches (before 5.6): then entries are read one by one.
    supported: bool,
}

/// The part of `union bpf_attr` that batch commands use.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Attr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

impl<K: Pod, V: Pod> Batches<K, V> {
    /// Takes the hash map called `name` out of the object.
    ///
    /// # Errors
    /// The object has no such map, or its key or value has another size.
    pub fn take(loaded: &mut Loaded, name: &str) -> anyhow::Result<Self> {
        let map = loaded
            .bpf
            .take_map(name)
            .ok_or_else(|| anyhow::anyhow!("the object has no map {name}"))?;
        let Map::HashMap(data) = &map else { anyhow::bail!("the map {name} is no hash map") };
        let fd = data.fd().as_fd().try_clone_to_owned()?;
        Ok(Self {
            fd,
            map: HashMap::try_from(map)?,
            keys: vec![K::zeroed(); ENTRIES],
            values: vec![V::zeroed(); ENTRIES],
            supported: true,
        })
    }

    /// Asks for `entries` at a time from the first call on: for maps that are large as a rule.
    #[must_use]
    pub fn with_room(mut self, entries: usize) -> Self {
        self.keys.resize(entries, K::zeroed());
        self.values.resize(entries, V::zeroed());
        self
    }

    /// Removes an entry; nothing happens when it is not there.
    pub fn remove(&mut self, key: K) {
        // The only refusal a valid map gives is that the entry is not there.
        let _ = self.map.remove(&Wire(key));
    }

    /// The value under `key` now.
    pub fn get(&self, key: K) -> Option<V> {
        self.map.get(&Wire(key), 0).ok().map(|value| value.0)
    }

    /// Calls `each` with every entry. Entries that come or go meanwhile may be missed or, rarely,
    /// seen twice. Returns how many calls there were.
    ///
    /// # Errors
    /// The kernel refused to read the map; entries seen until then have been handed out.
    pub fn each(&mut self, mut each: impl FnMut(&K, &V)) -> io::Result<usize> {
        if self.supported {
            match self.batches(&mut each) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.supported = false,
                other => return other,
            }
        }
        let mut count = 0;
        for entry in self.map.iter() {
            match entry {
                Ok((key, value)) => {
                    each(&key.0, &value.0);
                    count += 1;
                }
                Err(MapError::KeyNotFound | MapError::ElementNotFound) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(count)
    }

    fn batches(&mut self, each: &mut impl FnMut(&K, &V)) -> io::Result<usize> {
        let mut position: u64 = 0;
        let mut first = true;
        let mut total = 0;
        loop {
            let mut next: u64 = 0;
            let mut attr = Attr {
                in_batch: if first { 0 } else { (&raw const position).addr() as u64 },
                out_batch: (&raw mut next).expose_provenance() as u64,
                keys: self.keys.as_mut_ptr().expose_provenance() as u64,
                values: self.values.as_mut_ptr().expose_provenance() as u64,
                count: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
                map_fd: u32::try_from(self.fd.as_raw_fd()).unwrap_or(u32::MAX),
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: keys and values have room for `count` entries of the sizes that were compared
            // with the map's when it was taken; the positions of a hash map take four bytes of the
            // eight; all live until the call returns, and the kernel keeps no pointer.
            let result = unsafe {
                libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attr, size_of::<Attr>())
            };
            let error = (result < 0).then(io::Error::last_os_error);
            let code = error.as_ref().and_then(io::Error::raw_os_error);
            if code == Some(libc::ENOSPC) && self.keys.len() < ENTRIES_MAX {
                // A bucket has more entries than there is room. Nothing was read from it.
                let len = self.keys.len() * 2;
                self.keys.resize(len, K::zeroed());
                self.values.resize(len, V::zeroed());
                continue;
            }
            let end = code == Some(libc::ENOENT);
            if let Some(error) = error
                && !end
            {
                return Err(error);
            }
            let count = usize::try_from(attr.count).unwrap_or(0).min(self.keys.len());
            for (key, value) in self.keys.iter().zip(&self.values).take(count) {
                each(key, value);
            }
            total += count;
            if end {
                return Ok(total);
            }
            position = next;
            first = false;
        }
    }
}
