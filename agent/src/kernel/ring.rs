//! Draining a ring buffer.

use aya::maps::{MapData, RingBuf};

use super::Loaded;

/// A ring buffer of a loaded object.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    /// Takes the ring called `name` out of the object.
    pub fn take(loaded: &mut Loaded, name: &str) -> anyhow::Result<Self> {
        let map = loaded
            .bpf
            .take_map(name)
            .ok_or_else(|| anyhow::anyhow!("the object has no map {name}"))?;
        Ok(Self { ring: RingBuf::try_from(map)? })
    }

    /// Calls `each` with every record that is there, at most `limit`. Returns how many there were.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let Some(record) = self.ring.next() else { break };
            each(&record);
            count += 1;
        }
        count
    }
}
