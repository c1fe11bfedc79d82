//! Resampling: bootstrap intervals and the sign-flip permutation test.

use super::distribution::{normal_quantile, normal_sf};
use super::error::{Error, check_count, check_finite, check_level};
use super::mean::{Moments, moments};
use super::quantile::of_sorted;
use super::rng::Seed;
use super::sum::{exact_mean, exact_sum};
use super::{Estimate, Method};

/// Resamples of a verdict.
pub const RESAMPLES: usize = 9_999;

/// Resamples that must lie beyond a quantile for it to be more than noise.
const BEYOND: f64 = 10.0;

/// A spread of a resample below which its studentised deviation is set to 0.
const NO_SPREAD: f64 = 1e-12;

/// Most values of which all sign vectors are tried.
pub const MOST_ENUMERATED: usize = 20;

/// Where resamples come from.
#[derive(Debug, Clone, Copy)]
pub enum Resamples<'a> {
    /// `count` resamples, the r-th from stream r of the seed. The seed comes from the digests of the
    /// records, so the same records give the same interval.
    Seeded {
        /// The seed.
        seed: &'a Seed,
        /// How many.
        count: usize,
    },
    /// Given rows of `n` positions each, as drawn by another implementation.
    Rows(&'a [Vec<usize>]),
}

impl Resamples<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Seeded { count, .. } => *count,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Refuses what cannot be drawn from `n` values, or too few for quantiles at `alpha`.
    fn check(&self, n: usize, alpha: f64) -> Result<(), Error> {
        let needed = BEYOND / alpha;
        if (self.count() as f64) < needed {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive; a float cast saturates"
            )]
            let needed = needed.ceil() as usize;
            let found = self.count();
            return Err(Error::TooFewResamples { found, needed });
        }
        if let Self::Rows(rows) = self {
            if let Some(row) = rows.iter().find(|row| row.len() != n) {
                let (found, expected) = (row.len(), n);
                return Err(Error::Lengths { found, expected });
            }
            if let Some(&position) = rows.iter().flatten().find(|position| **position >= n) {
                return Err(Error::Setting {
                    name: "position in a resample",
                    value: position as f64,
                    demand: "below the number of values",
                });
            }
        }
        u32::try_from(n).map(|_| ()).map_err(|_| Error::Setting {
            name: "number of values",
            value: n as f64,
            demand: "below 2^32",
        })
    }

    /// A statistic of every resample, in the order of the resamples.
    fn map(&self, values: &[f64], statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let mut drawn = vec![0.0; values.len()];
        (0..self.count())
            .map(|row| {
                match self {
                    Self::Seeded { seed, .. } => {
                        let mut stream = seed.stream(row as u64);
                        for slot in &mut drawn {
                            *slot = values[stream.below(n) as usize];
                        }
                    }
                    Self::Rows(rows) => {
                        for (slot, position) in drawn.iter_mut().zip(&rows[row]) {
                            *slot = values[*position];
                        }
                    }
                }
                statistic(&drawn)
            })
            .collect()
    }
}

/// Mean with one-sided bounds by the studentised bootstrap.
///
/// * `values`: `[n]` differences, one per scene
/// * `alpha`: one-sided error rate of each bound, in (0, 0.5]
///
/// A resample with mean m* and spread s* gives t* = (m* − mean)/(s*/√n); one without spread gives 0,
/// a convention without theory. The bounds are `mean − Q(t*; 1 − alpha)·s/√n` and
/// `mean − Q(t*; alpha)·s/√n` with type-7 quantiles. Asymptotic, better than Student's t for skewed
/// values. What the sample does not hold, no resample can show: rare collapses need
/// [`super::bounded`] or [`super::betting`]. At a tiny alpha it fails equal models too often, so
/// only the pass side of a verdict uses it.
///
/// # Errors
/// Those of [`moments`]; [`Error::Level`]; [`Error::TooFewResamples`] below ten beyond the quantile;
/// [`Error::Lengths`] and [`Error::Setting`] for rows that do not fit; [`Error::Unstable`] when the
/// bounds exclude the mean or coincide, as for two values.
///
/// Source: Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, section 12.5.
pub fn studentised(values: &[f64], alpha: f64, resamples: Resamples) -> Result<Estimate, Error> {
    check_level(alpha)?;
    let moments = moments(values)?;
    resamples.check(values.len(), alpha)?;
    let root = (values.len() as f64).sqrt();
    let mut deviations = resamples.map(values, |drawn| {
        let (mean, sd) = mean_and_sd(drawn);
        if sd <= NO_SPREAD {
            0.0
        } else {
            (mean - moments.mean) / (sd / root)
        }
    });
    deviations.sort_by(f64::total_cmp);
    let se = moments.standard_error();
    enclosing(Estimate {
        point: moments.mean,
        low: moments.mean - of_sorted(&deviations, 1.0 - alpha) * se,
        high: moments.mean - of_sorted(&deviations, alpha) * se,
        alpha,
        n: moments.n,
        method: Method::StudentisedBootstrap,
    })
}

/// Mean with one-sided bounds by the bias-corrected, accelerated bootstrap (BCa).
///
/// Arguments as for [`studentised`]. Quantiles (type 7) of the resampled means at levels shifted by
/// the bias z₀, where ties with the mean count half, and by the acceleration from the jackknife.
/// Second-order correct, but not to be trusted below about 30 values or beyond 10/B in the tail.
///
/// # Errors
/// Those of [`studentised`]; [`Error::Unstable`] also when all resampled means lie on one side of
/// the mean.
///
/// Source: Efron (1987), *JASA* 82(397), 171–185.
pub fn bca(values: &[f64], alpha: f64, resamples: Resamples) -> Result<Estimate, Error> {
    check_level(alpha)?;
    let Moments { mean, n, .. } = moments(values)?;
    let means = resampled_means(values, alpha, resamples)?;
    let below = means.partition_point(|value| *value < mean);
    let not_above = means.partition_point(|value| *value <= mean);
    let share = (below + not_above) as f64 / 2.0 / means.len() as f64;
    if share <= 0.0 || share >= 1.0 {
        return Err(Error::Unstable);
    }
    let bias = normal_quantile(share);
    let acceleration = acceleration(values);
    let level = |alpha: f64| {
        let z = bias + normal_quantile(alpha);
        // Φ(z) as the upper tail at −z.
        normal_sf(-(bias + z / (1.0 - acceleration * z)))
    };
    enclosing(Estimate {
        point: mean,
        low: of_sorted(&means, level(alpha)),
        high: of_sorted(&means, level(1.0 - alpha)),
        alpha,
        n,
        method: Method::Bca,
    })
}

/// Mean with one-sided bounds by the percentile bootstrap: plain quantiles of the resampled means.
///
/// Arguments as for [`studentised`]. First-order only: too narrow for small or skewed samples. For
/// comparison; no verdict rests on it.
///
/// # Errors
/// Those of [`studentised`].
///
/// Source: Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, section 13.3.
pub fn percentile(values: &[f64], alpha: f64, resamples: Resamples) -> Result<Estimate, Error> {
    check_level(alpha)?;
    let Moments { mean, n, .. } = moments(values)?;
    let means = resampled_means(values, alpha, resamples)?;
    enclosing(Estimate {
        point: mean,
        low: of_sorted(&means, alpha),
        high: of_sorted(&means, 1.0 - alpha),
        alpha,
        n,
        method: Method::Percentile,
    })
}

/// Standard deviation (divisor B − 1) of the resampled means: the bootstrap standard error.
///
/// # Errors
/// Those of [`percentile`] at level one half.
pub fn bootstrap_se(values: &[f64], resamples: Resamples) -> Result<f64, Error> {
    moments(values)?;
    moments(&resampled_means(values, 0.5, resamples)?).map(|moments| moments.sd)
}

/// Means of all resamples, sorted.
fn resampled_means(values: &[f64], alpha: f64, resamples: Resamples) -> Result<Vec<f64>, Error> {
    resamples.check(values.len(), alpha)?;
    let mut means = resamples.map(values, |drawn| mean_and_sd(drawn).0);
    means.sort_by(f64::total_cmp);
    Ok(means)
}

/// Mean and standard deviation in plain, fixed order: a resample is drawn in one.
fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    (mean, (squares.sum::<f64>() / (n - 1.0)).sqrt())
}

/// Acceleration of the mean from the jackknife.
fn acceleration(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let total = exact_sum(values.iter().copied());
    let without: Vec<f64> = values
        .iter()
        .map(|value| (total - value) / (n - 1.0))
        .collect();
    let mean = exact_mean(&without);
    let cubes = exact_sum(without.iter().map(|value| (mean - value).powi(3)));
    let squares = exact_sum(without.iter().map(|value| (mean - value).powi(2)));
    cubes / (6.0 * squares.powf(1.5))
}

/// Refuses bounds that miss their point, or of width zero: two values resample to one mean.
fn enclosing(estimate: Estimate) -> Result<Estimate, Error> {
    let encloses = estimate.low <= estimate.point && estimate.point <= estimate.high;
    if encloses && estimate.low < estimate.high {
        Ok(estimate)
    } else {
        Err(Error::Unstable)
    }
}

/// Exact sign-flip test of H0 "the differences are symmetric around −`margin`", against a mean above.
///
/// * `differences`: `[n]` candidate − baseline, n at most [`MOST_ENUMERATED`]
/// * `margin`: loss that is tolerated
///
/// The share of all 2^n sign vectors of `d + margin` whose mean is at least the one seen; equal up
/// to rounding counts as equal. Exact for symmetric differences, whatever their size. Without
/// symmetry it tests something else than the mean.
///
/// # Errors
/// [`Error::TooFew`] without values, [`Error::NotFinite`]; [`Error::Setting`] for more than
/// [`MOST_ENUMERATED`] values, where [`sign_flip_sampled`] serves, or a margin that is not finite.
///
/// Source: Fisher (1935), *The Design of Experiments*, section 21.
pub fn sign_flip(differences: &[f64], margin: f64) -> Result<f64, Error> {
    let shifted = shifted(differences, margin)?;
    if shifted.len() > MOST_ENUMERATED {
        return Err(Error::Setting {
            name: "number of values",
            value: shifted.len() as f64,
            demand: "at most 20 to try all signs",
        });
    }
    let line = reached_from(&shifted);
    let total = 1u32 << shifted.len();
    let n_reached = (0..total)
        .filter(|signs| {
            let flip =
                |(i, value): (usize, &f64)| if signs >> i & 1 == 0 { *value } else { -value };
            shifted.iter().enumerate().map(flip).sum::<f64>() >= line
        })
        .count();
    Ok(n_reached as f64 / f64::from(total))
}

/// The sign-flip test with `count` random sign vectors: `(1 + reached) / (1 + count)`.
///
/// Arguments as for [`sign_flip`], for any number of values. Valid at every `count`, because the
/// vector seen counts as one of those tried.
///
/// # Errors
/// [`Error::TooFew`], [`Error::NotFinite`], [`Error::Setting`] as for [`sign_flip`];
/// [`Error::TooFewResamples`] without any.
///
/// Source: Phipson & Smyth (2010), *Statistical Applications in Genetics and Molecular Biology* 9(1).
pub fn sign_flip_sampled(
    differences: &[f64],
    margin: f64,
    seed: &Seed,
    count: usize,
) -> Result<f64, Error> {
    let shifted = shifted(differences, margin)?;
    if count == 0 {
        return Err(Error::TooFewResamples {
            found: 0,
            needed: 1,
        });
    }
    let line = reached_from(&shifted);
    let reaches = |row: &usize| {
        let mut stream = seed.stream(*row as u64);
        shifted
            .iter()
            .map(|value| stream.sign() * value)
            .sum::<f64>()
            >= line
    };
    let n_reached = (0..count).filter(reaches).count();
    Ok((1 + n_reached) as f64 / (1 + count) as f64)
}

fn shifted(differences: &[f64], margin: f64) -> Result<Vec<f64>, Error> {
    check_count(differences.len(), 1)?;
    check_finite(differences)?;
    if !margin.is_finite() {
        return Err(Error::Setting {
            name: "margin",
            value: margin,
            demand: "a finite number",
        });
    }
    Ok(differences.iter().map(|value| value + margin).collect())
}

/// The sum seen, less what rounding may take from an equal one.
fn reached_from(shifted: &[f64]) -> f64 {
    let size: f64 = shifted.iter().map(|value| value.abs()).sum();
    shifted.iter().sum::<f64>() - 1e-12 * size
}

#[cfg(test)]
#[path = "resample_tests.rs"]
mod tests;
