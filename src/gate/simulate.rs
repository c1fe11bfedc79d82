//! Samples like a given one, drawn anew with a known true loss.

use super::sample::{Rules, Sample};
use crate::stats::rng::Stream;

/// Units of inference in a sample: scenes, launches or clusters.
pub(crate) fn n_units(sample: &Sample) -> usize {
    match sample {
        Sample::Clustered(_, clusters) => clusters.iter().max().map_or(0, |last| last + 1),
        _ => sample.values().len(),
    }
}

/// `n` units like those of `sample`, drawn with replacement, with the true loss `loss`.
///
/// Graded scores and launches: centred, moved and drawn; scores cut at the ends of their scale.
/// 0/1 scores: as often different as they are, without a direction, and then lost with probability
/// `loss`. Clusters are drawn whole. Collapses: each scene collapses with probability `loss`.
///
/// # Panics
/// When the sample is empty.
pub(crate) fn moved(
    sample: &Sample,
    rules: &Rules,
    loss: f64,
    n: usize,
    stream: &mut Stream,
) -> Sample {
    let values = sample.values();
    let most = u32::try_from(values.len()).expect("fewer than 2^32 values");
    assert!(most > 0, "nothing to draw from");
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    match sample {
        Sample::Graded(_) => {
            let draw = |_| (values[stream.below(most) as usize] - mean + loss).clamp(-1.0, 1.0);
            Sample::Graded((0..n).map(draw).collect())
        }
        Sample::Launches(_) => {
            let draw = |_| values[stream.below(most) as usize] - mean + loss;
            Sample::Launches((0..n).map(draw).collect())
        }
        Sample::Rate(_) => {
            let draw = |_| {
                let value = values[stream.below(most) as usize].abs() * stream.sign();
                if stream.share() < loss { 1.0 } else { value }
            };
            Sample::Rate((0..n).map(draw).collect())
        }
        Sample::Clustered(_, clusters) => {
            let n_clusters = u32::try_from(n_units(sample)).expect("fewer than 2^32 clusters");
            let (mut losses, mut names) = (Vec::new(), Vec::new());
            for name in 0..n {
                let chosen = stream.below(n_clusters) as usize;
                let members = values.iter().zip(clusters);
                for (value, _) in members.filter(|(_, cluster)| **cluster == chosen) {
                    losses.push((value - mean + loss).clamp(-1.0, 1.0));
                    names.push(name);
                }
            }
            Sample::Clustered(losses, names)
        }
        Sample::Collapse(_) => {
            let draw = |_| {
                if stream.share() < loss {
                    rules.collapse.drop
                } else {
                    0.0
                }
            };
            Sample::Collapse((0..n).map(draw).collect())
        }
    }
}
