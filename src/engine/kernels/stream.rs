//! Reading memory as fast as it comes: the probe behind every roofline.

#![expect(unsafe_code, reason = "prefetching takes a raw address")]

use super::float::LANES;
use super::for_every_kernel;

/// How far ahead lines are asked for, as in the decode kernels.
const AHEAD: usize = 2048;
/// Values between two prefetches: one cache line.
const LINE: usize = 8;

for_every_kernel! {
    /// Combines all values, reading each once.
    pub fn fold(values: &[u64]) -> u64 {
        let mut lanes = [0u64; LANES];
        let (whole, rest) = values.as_chunks::<LANES>();
        for values in whole {
            prefetch(values.as_ptr());
            prefetch(values[LINE..].as_ptr());
            for l in 0..LANES {
                lanes[l] ^= values[l];
            }
        }
        lanes.iter().chain(rest).fold(0, |all, v| all ^ v)
    }
}

#[inline(always)]
fn prefetch(at: *const u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching reads nothing, wherever it points.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast::<i8>().wrapping_add(AHEAD));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::Kernel;

    #[test]
    fn every_value_counts_once() {
        let values: Vec<u64> = (0..100).map(|i| 1 << (i % 64)).collect();
        let expected = values.iter().fold(0, |all, v| all ^ v);
        for kernel in Kernel::all() {
            assert_eq!(fold(kernel, &values), expected);
        }
    }
}
