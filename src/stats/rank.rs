//! Location by ranks, for times: robust against the slow pairs every machine has.

/// No values: there is no location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no values, no location")]
pub struct NoValues;

/// Hodges–Lehmann estimate: the median of all Walsh averages `(y_i + y_k) / 2` with `i <= k`.
///
/// * `values`: `[n]` log ratios of one launch; finite
///
/// Estimates the centre of a symmetric distribution. Symmetry holds by design for timed pairs in
/// coin-flipped order; it does not for quality differences, where this estimator must not be used.
///
/// # Errors
/// [`NoValues`] for an empty slice. One value is its own estimate.
///
/// Source: Hodges & Lehmann (1963), *Annals of Mathematical Statistics* 34(2), 598–611.
pub fn hodges_lehmann(values: &[f64]) -> Result<f64, NoValues> {
    median(&mut walsh_averages(values))
}

/// All `n(n+1)/2` Walsh averages, in no particular order.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let mut averages = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (i, a) in values.iter().enumerate() {
        averages.extend(values[i..].iter().map(|b| f64::midpoint(*a, *b)));
    }
    averages
}

/// Middle value, or the mean of the two middle ones. Sorts `values`.
///
/// # Errors
/// [`NoValues`] for an empty slice.
pub fn median(values: &mut [f64]) -> Result<f64, NoValues> {
    if values.is_empty() {
        return Err(NoValues);
    }
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    Ok(if values.len() % 2 == 1 {
        values[half]
    } else {
        f64::midpoint(values[half - 1], values[half])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn estimate_agrees_with_numpy() {
        for case in cases("hl_") {
            let values = numbers(&case["input"]["y"]);
            let found = hodges_lehmann(&values).unwrap();
            assert_close(found, number(&case["output"]["hl"]), 1e-12);
            let mut walsh = walsh_averages(&values);
            walsh.sort_by(f64::total_cmp);
            for (found, expected) in walsh.iter().zip(numbers(&case["output"]["first5"])) {
                assert_close(*found, expected, 1e-12);
            }
        }
    }

    #[test]
    fn few_values() {
        assert_eq!(hodges_lehmann(&[]), Err(NoValues));
        assert_eq!(hodges_lehmann(&[0.25]), Ok(0.25));
        assert_eq!(median(&mut [3.0, 1.0]), Ok(2.0));
    }
}
