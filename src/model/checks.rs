//! Checks at load that every container shares.

use super::{Error, HeadStorage, ModelConfig, TernaryMatrix};

/// Shares of zeros that trained weights have; others are reported.
const USUAL_ZEROS: std::ops::RangeInclusive<f64> = 0.05..=0.95;
/// Scales, in direct form, that trained weights have; others are reported.
const USUAL_SCALES: std::ops::RangeInclusive<f32> = 1e-3..=3.0;

/// Every value of a tensor, or of its part from index `first` on, is finite.
///
/// # Errors
/// [`Error::NotFinite`].
pub(super) fn finite(tensor: &str, first: usize, values: &[f32]) -> Result<(), Error> {
    // Magnitudes are ordered as their bits are, and a maximum of integers runs on whole vectors.
    let largest = values
        .iter()
        .fold(0, |m, x| (x.to_bits() & 0x7fff_ffff).max(m));
    if f32::from_bits(largest).is_finite() {
        return Ok(());
    }
    let odd = values.iter().position(|x| !x.is_finite());
    odd.map_or(Ok(()), |index| {
        Err(Error::NotFinite {
            tensor: tensor.to_owned(),
            index: first + index,
            value: values[index],
        })
    })
}

/// Gains of a norm, which may not silence everything.
///
/// # Errors
/// [`Error::AllZero`].
pub(super) fn gains(tensor: &str, values: Vec<f32>) -> Result<Vec<f32>, Error> {
    if values.iter().all(|g| *g == 0.0) {
        return Err(Error::AllZero {
            tensor: tensor.to_owned(),
        });
    }
    Ok(values)
}

/// What is odd about a ternary matrix but not wrong.
pub(super) fn oddities(tensor: &str, matrix: &TernaryMatrix) -> Vec<String> {
    let mut found = Vec::new();
    let zeros = matrix.zero_fraction();
    if !USUAL_ZEROS.contains(&zeros) {
        found.push(format!("{tensor}: {:.1} % zeros", zeros * 100.0));
    }
    if !USUAL_SCALES.contains(&matrix.scale()) {
        found.push(format!("{tensor}: unusual scale {}", matrix.scale()));
    }
    found
}

/// How the embedding table is kept: one that is not the head is only looked up, so it costs no
/// time to keep it exact.
pub(super) fn embedding_storage(config: &ModelConfig, head: HeadStorage) -> HeadStorage {
    if config.is_head_tied {
        head
    } else {
        HeadStorage::Exact
    }
}
