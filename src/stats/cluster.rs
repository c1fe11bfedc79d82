//! Mean of values that come in clusters: scenes of one camera or one video are not independent.

use std::collections::BTreeMap;

use super::distribution::t_sf;
use super::error::{Error, check_count, check_finite, check_level};
use super::mean::{moments, t_bounds};
use super::sum::{exact_mean, exact_sum};
use super::{Estimate, Method};

/// Fewest clusters on which a mean is bounded.
pub const MIN_CLUSTERS: usize = 5;

/// Clusters from which the sandwich standard error is used; below it, the clusters' means.
pub const SANDWICH_FROM: usize = 10;

/// Mean of clustered values with its cluster-robust standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredMean {
    /// Mean over all values.
    pub mean: f64,
    /// Standard error of the mean, > 0.
    pub se: f64,
    /// Clusters.
    pub n_clusters: usize,
}

impl ClusteredMean {
    /// Two-sided p-value of H0 "the mean is 0", Student's t with one degree of freedom less than
    /// there are clusters.
    pub fn p_two_sided(&self) -> f64 {
        2.0 * t_sf((self.mean / self.se).abs(), (self.n_clusters - 1) as f64)
    }
}

/// Mean and cluster-robust standard error.
///
/// * `values`: `[n]`, one per scene
/// * `clusters`: `[n]`, the cluster of each, e.g. its camera
///
/// `se² = G/(G−1) · Σ_g (Σ_{i in g} (x_i − mean))² / n²` with G clusters: the CR1 sandwich of a
/// regression on a constant. Assumes that clusters are independent draws; within a cluster anything
/// goes. Asymptotic in the number of clusters, not of values.
///
/// # Errors
/// [`Error::Lengths`], [`Error::NotFinite`]; [`Error::TooFew`] below two clusters;
/// [`Error::NoSpread`] when the clusters do not differ.
///
/// Source: Liang & Zeger (1986), *Biometrika* 73(1), 13–22; Miller (2024), *Adding Error Bars to
/// Evals*, section 2.
pub fn clustered_mean<K: Ord>(values: &[f64], clusters: &[K]) -> Result<ClusteredMean, Error> {
    let groups = groups(values, clusters)?;
    let n_clusters = groups.len();
    check_count(n_clusters, 2)?;
    let mean = exact_mean(values);
    let square = |group: &Vec<f64>| exact_sum(group.iter().map(|value| value - mean)).powi(2);
    let squares = exact_sum(groups.values().map(square));
    let correction = n_clusters as f64 / (n_clusters - 1) as f64;
    let se = (correction * squares).sqrt() / values.len() as f64;
    let largest = values
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    if se <= 1e-12 * largest.max(1e-3) {
        return Err(Error::NoSpread { n: n_clusters });
    }
    if !se.is_finite() {
        return Err(Error::Unstable);
    }
    Ok(ClusteredMean {
        mean,
        se,
        n_clusters,
    })
}

/// Mean of each cluster, in the order of the clusters' names.
///
/// # Errors
/// [`Error::Lengths`], [`Error::NotFinite`].
pub fn cluster_means<K: Ord>(values: &[f64], clusters: &[K]) -> Result<Vec<f64>, Error> {
    let groups = groups(values, clusters)?;
    Ok(groups.values().map(|group| exact_mean(group)).collect())
}

/// Mean of clustered values with one-sided bounds, Student's t over clusters.
///
/// Arguments as for [`clustered_mean`]; `alpha` is the one-sided error rate in (0, 0.5].
///
/// From [`SANDWICH_FROM`] clusters on, the mean over values with the sandwich standard error and
/// G − 1 degrees of freedom. Below it, where the sandwich is too narrow, the plain t interval of the
/// clusters' means, which speaks of the mean cluster. `n` of the estimate counts clusters.
///
/// # Errors
/// Those of [`clustered_mean`]; [`Error::TooFew`] below [`MIN_CLUSTERS`]; [`Error::Level`].
pub fn clustered_estimate<K: Ord>(
    values: &[f64],
    clusters: &[K],
    alpha: f64,
) -> Result<Estimate, Error> {
    check_level(alpha)?;
    let means = cluster_means(values, clusters)?;
    check_count(means.len(), MIN_CLUSTERS)?;
    let estimate = if means.len() < SANDWICH_FROM {
        let moments = moments(&means)?;
        t_bounds(moments.mean, moments.standard_error(), moments.n, alpha)
    } else {
        let found = clustered_mean(values, clusters)?;
        t_bounds(found.mean, found.se, found.n_clusters, alpha)
    };
    Ok(Estimate {
        method: Method::ClusteredT,
        ..estimate
    })
}

fn groups<'a, K: Ord>(
    values: &[f64],
    clusters: &'a [K],
) -> Result<BTreeMap<&'a K, Vec<f64>>, Error> {
    if values.len() != clusters.len() {
        return Err(Error::Lengths {
            found: clusters.len(),
            expected: values.len(),
        });
    }
    check_finite(values)?;
    let mut groups: BTreeMap<&K, Vec<f64>> = BTreeMap::new();
    for (value, cluster) in values.iter().zip(clusters) {
        groups.entry(cluster).or_default().push(*value);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};
    use crate::stats::mean::t_estimate;

    #[test]
    fn standard_error_agrees_with_statsmodels() {
        for case in cases("cluster_se_") {
            let values = numbers(&case["input"]["d"]);
            let clusters: Vec<i64> = case["input"]["g"]
                .as_array()
                .unwrap()
                .iter()
                .map(|group| group.as_i64().unwrap())
                .collect();
            let found = clustered_mean(&values, &clusters).unwrap();
            let output = &case["output"];
            assert_close(found.se, number(&output["se"]), 1e-9);
            assert_close(found.mean / found.se, number(&output["t"]), 1e-9);
            assert_close(found.p_two_sided(), number(&output["p"]), 1e-9);
        }
    }

    #[test]
    fn clusters_of_one_are_the_plain_t_interval() {
        let values: Vec<f64> = (0..20).map(|i| f64::from(i * i % 7) / 10.0).collect();
        let names: Vec<usize> = (0..20).collect();
        let found = clustered_estimate(&values, &names, 0.05).unwrap();
        let plain = t_estimate(&values, 0.05).unwrap();
        assert_close(found.low, plain.low, 1e-12);
        assert_close(found.high, plain.high, 1e-12);
        assert_eq!((found.n, found.method), (20, Method::ClusteredT));
    }

    #[test]
    fn repeating_a_camera_adds_no_evidence() {
        let values: Vec<f64> = (0..12).map(|i| f64::from(i * 5 % 12) / 10.0).collect();
        let names: Vec<usize> = (0..12).collect();
        let once = clustered_estimate(&values, &names, 0.05).unwrap();
        let ten_times = |list: &[f64]| list.repeat(10);
        let names: Vec<usize> = names.repeat(10);
        let again = clustered_estimate(&ten_times(&values), &names, 0.05).unwrap();
        assert_close(once.low, again.low, 1e-12);
        let naive = t_estimate(&ten_times(&values), 0.05).unwrap();
        assert!(naive.high - naive.low < 0.4 * (again.high - again.low));
    }

    #[test]
    fn few_clusters_are_judged_by_their_means_and_fewer_not_at_all() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40) / 40.0).collect();
        let names = |n: usize| -> Vec<usize> { (0..40).map(|i| i % n).collect() };
        let found = clustered_estimate(&values, &names(8), 0.05).unwrap();
        let means = cluster_means(&values, &names(8)).unwrap();
        assert_close(found.low, t_estimate(&means, 0.05).unwrap().low, 1e-12);
        assert_eq!(found.n, 8);
        assert_eq!(
            clustered_estimate(&values, &names(4), 0.05),
            Err(Error::TooFew {
                found: 4,
                needed: 5
            })
        );
        assert_eq!(
            clustered_mean(&values, &names(1)),
            Err(Error::TooFew {
                found: 1,
                needed: 2
            })
        );
    }

    #[test]
    fn odd_input_is_refused() {
        let names = ["a", "b", "a"];
        assert_eq!(
            clustered_mean(&[0.1, 0.2], &names),
            Err(Error::Lengths {
                found: 3,
                expected: 2
            })
        );
        assert_eq!(
            clustered_mean(&[0.1, f64::NAN, 0.2], &names),
            Err(Error::NotFinite { index: 1 })
        );
        assert_eq!(
            clustered_mean(&[0.1; 3], &names),
            Err(Error::NoSpread { n: 2 })
        );
        let empty: [f64; 0] = [];
        assert!(clustered_estimate(&empty, &[] as &[u8], 0.05).is_err());
    }
}
