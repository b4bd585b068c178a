//! Base-2 exponential buckets: which bucket a value belongs to, and how many values each one holds.
//!
//! At scale `s`, bucket `i` holds the values in `(base^i, base^(i+1)]` with `base = 2^(2^-s)`.

/// The smallest scale: three buckets hold every `f64`.
pub const MIN_SCALE: i32 = -10;
/// The largest scale: buckets are 0.00007 % wide.
pub const MAX_SCALE: i32 = 20;

const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;

/// Bucket of `value` at `scale`. `value` must be positive and finite, `scale` between [`MIN_SCALE`] and
/// [`MAX_SCALE`].
///
/// Exact at powers of two at every scale; elsewhere at positive scales as exact as `f64::log2`.
pub fn index(value: f64, scale: i32) -> i32 {
    // A subnormal has no hidden bit, so it is brought into the normal range first.
    let (bits, shifted) = if value < f64::MIN_POSITIVE {
        ((value * 2f64.powi(54)).to_bits(), 54)
    } else {
        (value.to_bits(), 0)
    };
    let exponent = ((bits >> MANTISSA_BITS) & 0x7ff) as i32 - EXPONENT_BIAS - shifted;
    let mantissa = bits & MANTISSA_MASK;
    if mantissa == 0 {
        // A power of two is the inclusive upper bound of the bucket below.
        return if scale > 0 { (exponent << scale) - 1 } else { (exponent - 1) >> -scale };
    }
    if scale <= 0 {
        return exponent >> -scale;
    }
    let significand = f64::from_bits(mantissa | ((EXPONENT_BIAS as u64) << MANTISSA_BITS));
    let per_octave = 1 << scale;
    let within = (significand.log2() * f64::from(per_octave)).ceil() as i32 - 1;
    (exponent << scale) + within.clamp(0, per_octave - 1)
}

/// Exclusive lower bound of bucket `index` at `scale`; the inclusive upper bound is that of
/// `index + 1`. Zero or infinite where the bound is no `f64`.
pub fn lower_bound(index: i64, scale: i32) -> f64 {
    (index as f64 * f64::from(-scale).exp2()).exp2()
}

/// How far the scale must be lowered until the buckets `low..=high` are at most `most`.
pub fn excess(low: i64, high: i64, most: i64) -> u32 {
    let mut by = 0;
    while (high >> by) - (low >> by) >= most {
        by += 1;
    }
    by
}

/// Counts of neighbouring buckets. Four bytes each until one of them needs eight.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Default for Counts {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Counts {
    /// Number of buckets.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(counts) => counts.len(),
            Self::Wide(counts) => counts.len(),
        }
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `count` to the bucket at `at`; nothing happens when there is none.
    pub fn add(&mut self, at: usize, count: u64) {
        if let Self::Narrow(counts) = self {
            let Some(slot) = counts.get_mut(at) else { return };
            match u32::try_from(u64::from(*slot).saturating_add(count)) {
                Ok(total) => {
                    *slot = total;
                    return;
                }
                Err(_) => {
                    *self = Self::Wide(counts.iter().map(|count| u64::from(*count)).collect())
                }
            }
        }
        if let Self::Wide(counts) = self
            && let Some(slot) = counts.get_mut(at)
        {
            *slot = slot.saturating_add(count);
        }
    }

    /// Adds `below` empty buckets in front and `above` behind.
    pub fn widen(&mut self, below: usize, above: usize) {
        fn widen<T: Copy + Default>(counts: &mut Vec<T>, below: usize, above: usize) {
            let before = counts.len();
            // Room for exactly what is needed, in steps of eight: most histograms stay small.
            let len = before + below + above;
            counts.reserve_exact(len.next_multiple_of(8).saturating_sub(before));
            counts.resize(len, T::default());
            if below > 0 {
                counts.copy_within(0..before, below);
                counts[..below].fill(T::default());
            }
        }
        match self {
            Self::Narrow(counts) => widen(counts, below, above),
            Self::Wide(counts) => widen(counts, below, above),
        }
    }

    /// Merges buckets `2^by` at a time. `offset` is the index of the first bucket; the new one is
    /// `offset >> by`.
    pub fn downscale(&mut self, offset: i64, by: u32) {
        let mut merged = Self::default();
        if let Some(last) = self.len().checked_sub(1) {
            let first = offset >> by;
            merged.widen(0, (((offset + last as i64) >> by) - first) as usize + 1);
            for (at, count) in self.iter().enumerate() {
                merged.add((((offset + at as i64) >> by) - first) as usize, count);
            }
        }
        *self = merged;
    }

    /// The counts in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + Clone + '_ {
        let (narrow, wide): (&[u32], &[u64]) = match self {
            Self::Narrow(counts) => (counts, &[]),
            Self::Wide(counts) => (&[], counts),
        };
        narrow.iter().map(|count| u64::from(*count)).chain(wide.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_index(value: f64, scale: i32, expected: i32) {
        assert_eq!(index(value, scale), expected, "{value:e} at scale {scale}");
    }

    #[test]
    fn powers_of_two_close_the_bucket_below() {
        for exponent in -1074..=1023 {
            let value = f64::from(exponent).exp2();
            check_index(value, 0, exponent - 1);
            check_index(value, -3, (exponent - 1) >> 3);
            for scale in [1, 4, 20] {
                check_index(value, scale, exponent * (1 << scale) - 1);
            }
        }
    }

    #[test]
    fn neighbours_of_powers_of_two() {
        for exponent in -1021..=1023 {
            let value = f64::from(exponent).exp2();
            for scale in [-10, -1, 0] {
                check_index(value.next_up(), scale, exponent >> -scale);
            }
            check_index(value.next_up(), 20, exponent << 20);
            check_index(value.next_down(), 20, (exponent << 20) - 1);
        }
    }

    #[test]
    fn extremes_fit_the_smallest_scale() {
        check_index(f64::MAX, MIN_SCALE, 0);
        check_index(f64::MIN_POSITIVE, MIN_SCALE, -1);
        check_index(f64::from_bits(1), MIN_SCALE, -2);
    }

    #[test]
    fn values_lie_between_the_bounds_of_their_bucket() {
        let mut value = 1.1e-12;
        while value < 1e12 {
            for scale in -10..=10 {
                let index = i64::from(index(value, scale));
                let (low, high) = (lower_bound(index, scale), lower_bound(index + 1, scale));
                assert!(low < value && value <= high, "{value:e} in ({low:e}, {high:e}]");
            }
            value *= 1.37;
        }
    }

    #[test]
    fn a_count_beyond_four_bytes_is_kept() {
        let mut counts = Counts::default();
        counts.widen(0, 2);
        counts.add(1, 7);
        counts.add(0, u64::from(u32::MAX));
        counts.add(0, 1);
        counts.add(9, 1);
        assert_eq!(counts.iter().collect::<Vec<_>>(), [1 << 32, 7]);
    }
}
