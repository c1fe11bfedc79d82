//! Seeded random numbers that are the same on every machine.
//!
//! Everything is drawn as integers; curves go through [`geometric`], which uses only operations
//! that IEEE 754 rounds exactly, so that no result depends on a platform's mathematics library.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use crate::units::Sha256;

/// Random numbers of one scene, of one part of it, or of one batch.
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream for `purpose` number `index` under `seed`, as the world of `cenas-pt` 0.1.0
    /// drew it.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let key = Sha256::of(format!("vv-scene-1|{seed}|{purpose}|{index}").as_bytes());
        Self(ChaCha8Rng::from_seed(*key.as_bytes()))
    }

    /// The stream `name` under `seed`: `ChaCha8` keyed with HMAC-SHA-256 of the name under the
    /// seed's eight little-endian bytes.
    pub fn stream(seed: u64, name: &str) -> Self {
        let key = hmac(&seed.to_le_bytes(), name.as_bytes());
        Self(ChaCha8Rng::from_seed(*key.as_bytes()))
    }

    /// Uniform in `0..n`; `n` must not be 0.
    ///
    /// # Panics
    /// Never: the shifted product fits.
    pub fn below(&mut self, n: u32) -> u32 {
        // Multiply-shift: the bias of n / 2^32 is far below what any scene could show.
        let wide = u64::from(self.0.next_u32()) * u64::from(n);
        u32::try_from(wide >> 32).expect("the product of two u32 shifted by 32 fits u32")
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let n = u32::try_from(items.len()).expect("lists of choices are short");
        &items[self.below(n) as usize]
    }

    /// An index drawn with the given weights.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut ticket = self.below(weights.iter().sum());
        for (i, &weight) in weights.iter().enumerate() {
            if ticket < weight {
                return i;
            }
            ticket -= weight;
        }
        weights.len() - 1
    }

    /// Uniform in (0, 1), in steps of 2^-16.
    pub fn share(&mut self) -> f64 {
        (f64::from(self.below(1 << 16)) + 0.5) / 65_536.0
    }

    /// Standard normal to the eye: twelve uniform numbers less their mean, in [-6, 6].
    pub fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }

    /// Beta(`a`, `b`) in ten-thousandths: the `a`-th smallest of `a + b - 1` uniform numbers.
    pub fn beta(&mut self, a: usize, b: usize) -> u32 {
        let mut drawn: Vec<u32> = (1..a + b).map(|_| self.below(10_001)).collect();
        drawn.sort_unstable();
        drawn[a - 1]
    }
}

/// HMAC-SHA-256 for keys of at most 64 bytes.
///
/// Source: RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Sha256 {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let mut inner = block.map(|byte| byte ^ 0x36).to_vec();
    inner.extend(message);
    let mut outer = block.map(|byte| byte ^ 0x5c).to_vec();
    outer.extend(Sha256::of(&inner).as_bytes());
    Sha256::of(&outer)
}

/// The point a share `t` of the way from `low` to `high` on a logarithmic scale.
///
/// * `low`, `high`: above 0
/// * `t`: in [0, 1], used to 24 binary places
///
/// Square roots and products only: `(high / low)^t` is the product of the roots that belong to
/// the set bits of `t`.
pub fn geometric(low: f64, high: f64, t: f64) -> f64 {
    if t >= 1.0 {
        return high;
    }
    let (mut root, mut rest, mut value) = (high / low, t.max(0.0), low);
    for _ in 0..24 {
        root = root.sqrt();
        rest *= 2.0;
        if rest >= 1.0 {
            rest -= 1.0;
            value *= root;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_hmac_of_the_rfc() {
        // RFC 4231, test case 2.
        let found = hmac(b"Jefe", b"what do ya want for nothing?").to_string();
        assert_eq!(
            found,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn streams_are_fixed_for_all_time() {
        let mut dice = Dice::stream(20_261_201, "scene|0");
        let drawn: Vec<u32> = (0..4).map(|_| dice.below(1000)).collect();
        let mut again = Dice::stream(20_261_201, "scene|0");
        assert_eq!(drawn, (0..4).map(|_| again.below(1000)).collect::<Vec<_>>());
        let mut other = Dice::stream(20_261_201, "scene|1");
        assert_ne!(drawn, (0..4).map(|_| other.below(1000)).collect::<Vec<_>>());
    }

    #[test]
    fn curves_and_shapes_are_what_they_are_called() {
        assert!((geometric(22.0, 71.0, 0.5) - (22.0f64 * 71.0).sqrt()).abs() < 1e-4);
        assert!((geometric(10.0, 1000.0, 0.0) - 10.0).abs() < 1e-9);
        let mut dice = Dice::stream(1, "shapes");
        let n = 4000;
        let bells: Vec<f64> = (0..n).map(|_| dice.bell()).collect();
        let mean = bells.iter().sum::<f64>() / f64::from(n);
        let square = bells.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(
            mean.abs() < 0.06 && (square - 1.0).abs() < 0.08,
            "{mean} {square}"
        );
        // Beta(9, 2) has mean 9/11.
        let beta: f64 = (0..n).map(|_| f64::from(dice.beta(9, 2))).sum::<f64>() / f64::from(n);
        assert!((beta / 10_000.0 - 9.0 / 11.0).abs() < 0.01, "{beta}");
    }
}
