//! Rotary position embedding, half-split: value i turns with value i + d/2.
//!
//! Source: Su et al. (2021), "RoFormer"; rounding steps as in transformers, whose table is in f32.

use crate::model::rope::frequencies;

/// Cosines and sines of every position.
pub(super) struct RopeTable {
    /// `[head_dim / 2]` frequencies.
    frequencies: Vec<f32>,
    /// `[positions, head_dim / 2]`
    cos: Vec<f32>,
    /// `[positions, head_dim / 2]`
    sin: Vec<f32>,
}

impl RopeTable {
    /// A table without positions yet.
    pub(super) fn new(theta: f64, head_dim: usize) -> Self {
        Self {
            frequencies: frequencies(theta, head_dim),
            cos: Vec::new(),
            sin: Vec::new(),
        }
    }

    /// Makes the table at least `positions` long.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "accurate in f64, stored in f32"
    )]
    pub(super) fn grow(&mut self, positions: usize) {
        let half = self.frequencies.len();
        let first = self.cos.len() / half;
        self.cos
            .reserve_exact(positions.saturating_sub(first) * half);
        self.sin
            .reserve_exact(positions.saturating_sub(first) * half);
        for position in first..positions {
            for frequency in &self.frequencies {
                // The angle is rounded to f32 before its cosine is taken, as in the reference.
                let angle = f64::from(position as f32 * frequency);
                self.cos.push(libm::cos(angle) as f32);
                self.sin.push(libm::sin(angle) as f32);
            }
        }
    }

    /// Cosines and sines of a position, `[head_dim / 2]` each.
    pub(super) fn angles(&self, position: usize) -> (&[f32], &[f32]) {
        let half = self.frequencies.len();
        (
            &self.cos[position * half..][..half],
            &self.sin[position * half..][..half],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::Kernel;
    use crate::engine::kernels::float::rotate;

    #[test]
    fn pairs_are_half_a_head_apart() {
        let mut table = RopeTable::new(10_000.0, 4);
        table.grow(2);
        let mut head = [1.0, 0.0, 0.0, 0.0];
        let (cos, sin) = table.angles(1);
        rotate(Kernel::SCALAR, &mut head, cos, sin);
        let expected = [1f32.cos(), 0.0, 1f32.sin(), 0.0];
        assert!(
            head.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7),
            "{head:?}"
        );
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the reference rounds here")]
    fn angles_are_those_of_f32() {
        // At position 4095 the f32 angle of the second frequency differs from the f64 one.
        let mut table = RopeTable::new(500_000.0, 128);
        table.grow(4096);
        let f = 1.0f32 / 500_000f64.powf(2.0 / 128.0) as f32;
        let angle = 4095f32 * f;
        let cos = table.cos[4095 * 64 + 1];
        assert!((f64::from(cos) - f64::from(angle).cos()).abs() < 1e-7);
        let in_f64 = (4095.0 / 500_000f64.powf(2.0 / 128.0)).cos();
        assert!((f64::from(cos) - in_f64).abs() > 1e-6);
    }

    #[test]
    fn growing_in_steps_changes_nothing() {
        let mut once = RopeTable::new(500_000.0, 16);
        once.grow(20);
        let mut twice = RopeTable::new(500_000.0, 16);
        twice.grow(7);
        twice.grow(3);
        twice.grow(20);
        assert_eq!(once.cos, twice.cos);
        assert_eq!(once.sin, twice.sin);
    }
}
