//! Random numbers whose seed comes from digests, never from a clock.
//!
//! A [`Seed`] is 32 bytes, usually the digest of everything a verdict depends on. Each use derives
//! its own seed by HMAC-SHA256 over a purpose, and each resample draws from its own numbered ChaCha8
//! stream. So the same records give the same numbers on any machine, and a resample does not depend
//! on which thread drew it or on how many there are.

use hmac::{Hmac, Mac as _};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use sha2::Sha256;

/// A key from which streams of random numbers are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed made of a digest's bytes.
    pub fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The seed for one purpose: HMAC-SHA256 of `purpose` under this seed.
    ///
    /// Different purposes give unrelated numbers, so that no draw is used twice.
    ///
    /// Source: Krawczyk, Bellare & Canetti (1997), RFC 2104.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length will do");
        mac.update(purpose.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    /// The seed for one purpose of the `attempt`-th judgement, from 1: the purpose
    /// `attempt=j|purpose`. A second attempt draws other numbers, and they cannot be chosen.
    #[must_use]
    pub fn attempt(&self, attempt: u32, purpose: &str) -> Self {
        self.derive(&format!("attempt={attempt}|{purpose}"))
    }

    /// The stream number `index` of this seed.
    pub fn stream(&self, index: u64) -> Stream {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(index);
        Stream(rng)
    }
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// A whole number below `n`, each with the same probability.
    ///
    /// # Panics
    /// When `n` is 0: there is no such number.
    ///
    /// Source: Lemire (2019), *ACM Transactions on Modeling and Computer Simulation* 29(1).
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "no number lies below 0");
        // The first 2^32 mod n values of the low half would favour some numbers.
        let biased = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(n);
            let (high, low) = ((product >> 32) as u32, product & u64::from(u32::MAX));
            if low >= u64::from(biased) {
                return high;
            }
        }
    }

    /// A number in [0, 1), a multiple of 2^−53.
    pub fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// +1 or −1, each with probability one half.
    pub fn sign(&mut self) -> f64 {
        if self.0.next_u32() & 1 == 0 {
            1.0
        } else {
            -1.0
        }
    }

    /// Puts `items` in uniformly random order (Fisher–Yates).
    ///
    /// # Panics
    /// When there are more than 2^32 − 1 items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let n = u32::try_from(last + 1).expect("fewer than 2^32 items");
            items.swap(last, self.below(n) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed([7; 32]);

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes any text");
            text
        })
    }

    #[test]
    fn derived_seeds_are_hmac_sha256() {
        // Python: hmac.new(bytes([7]*32), b"bootstrap", "sha256").hexdigest()
        let found = SEED.derive("bootstrap").0;
        assert_eq!(
            hex(&found),
            "f82f526bb5108f6a097909bbb0414271bffc4127735425ca095b4391a84fbf86"
        );
        // Python: hmac.new(bytes([7]*32), b"attempt=2|bootstrap", "sha256").hexdigest()
        let found = SEED.attempt(2, "bootstrap").0;
        assert_eq!(
            hex(&found),
            "aab81515405d8faea4ac60c096e270cf231eb880684e3f69502e78fce8d82209"
        );
    }

    #[test]
    fn streams_are_chacha8_and_never_change() {
        let mut stream = Seed([0; 32]).stream(0);
        // First words of ChaCha8 under a zero key, Strombergson's test vectors (draft-strombergson-
        // chacha-test-vectors-01, TC1): 3e00ef2f895f40d6…
        assert_eq!(hex(&stream.0.next_u64().to_le_bytes()), "3e00ef2f895f40d6");
        let draws = |index| -> Vec<u32> {
            let mut stream = SEED.stream(index);
            (0..4).map(|_| stream.below(1000)).collect()
        };
        assert_eq!(draws(0), draws(0));
        assert_ne!(draws(0), draws(1));
    }

    #[test]
    fn every_number_below_the_limit_is_as_likely() {
        let mut stream = SEED.stream(3);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        // Sd of each count is 91.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 460),
            "{counts:?}"
        );
        assert!((0..100).all(|_| stream.below(1) == 0));
        let n_up = (0..10_000).filter(|_| stream.sign() > 0.0).count();
        assert!(n_up.abs_diff(5_000) < 250, "{n_up}");
        let mean = (0..10_000).map(|_| stream.share()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }

    #[test]
    fn shuffling_keeps_every_item_and_reaches_every_order() {
        let mut orders = std::collections::BTreeSet::new();
        for index in 0..200 {
            let mut items = [1, 2, 3];
            SEED.stream(index).shuffle(&mut items);
            orders.insert(items);
            items.sort_unstable();
            assert_eq!(items, [1, 2, 3]);
        }
        assert_eq!(orders.len(), 6);
    }
}
