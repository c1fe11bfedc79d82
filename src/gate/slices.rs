//! Slices of scenes: each may veto, none approves.
//!
//! A mean over all scenes hides a subset that fell behind. For every declared slice and every
//! required score over scenes the loss on the slice is tested at Holm's levels of the slices' own
//! error rate; a slice vetoes when its loss is shown and as large as twice the margin.

use super::checks::{Sampled, Statistical, harm_sign, oriented};
use super::comparison::Comparison;
use super::policy::{Policy, SlicePolicy};
use super::sample::{Levels, Sample, holm_levels};
use super::verdict::{Outcome, SliceResult};
use crate::stats::Estimate;

/// A slice vetoes from this multiple of the margin on, unless a waiver of the slice holds.
pub(super) const VETO_FROM: f64 = 2.0;

/// What the slices say, and why they make the run invalid or fail it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Slices {
    pub(crate) results: Vec<SliceResult>,
    /// Outcome and sentence of each slice that is missing or vetoes.
    pub(crate) reasons: Vec<(Outcome, String)>,
}

/// One slice under one check.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) slice: String,
    pub(crate) metric: String,
    pub(crate) sampled: Sampled,
    /// Mean loss from which on it vetoes: twice the margin, or the ceiling of a waiver that holds.
    pub(crate) veto_from: f64,
    /// Last day of that waiver; `None` without one.
    pub(crate) waived_until: Option<String>,
}

impl Part {
    /// Whether the slice vetoes when its loss is tested at `level`.
    pub(crate) fn vetoes(&self, level: f64) -> bool {
        let Sampled { sample, rules, .. } = &self.sampled;
        let values = sample.values();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        sample.p_worse(rules) <= level && mean >= self.veto_from
    }
}

/// Every declared slice under every required score over scenes, where it has values.
pub(crate) fn parts(comparison: &Comparison, policy: &Policy, family: &[Statistical]) -> Vec<Part> {
    let by_scene: Vec<(&String, &Sampled)> = family
        .iter()
        .filter_map(|it| Some((&it.metric, it.sampled.as_ref()?)))
        .filter(|(_, it)| is_by_scene(&it.sample))
        .collect();
    let day = &comparison.candidate().started_at;
    let of = |slice: &SlicePolicy| {
        let part = |(metric, whole): &(&String, &Sampled)| {
            let sampled = subset(comparison, &slice.name, whole)?;
            let waived = policy.waived_on_slice(metric, &slice.name, day);
            Some(Part {
                slice: slice.name.clone(),
                metric: (*metric).clone(),
                sampled,
                veto_from: waived.map_or(VETO_FROM * whole.rules.margin, |it| it.most),
                waived_until: waived.map(|it| it.until.to_owned()),
            })
        };
        by_scene.iter().filter_map(part).collect::<Vec<_>>()
    };
    policy.slices.iter().flat_map(of).collect()
}

/// The part of a sample that lies in a slice; `None` when nothing does.
fn subset(comparison: &Comparison, slice: &str, whole: &Sampled) -> Option<Sampled> {
    let is_in = |scene: &String| {
        let tags = comparison.tags().get(scene);
        tags.is_some_and(|tags| tags.slices.iter().any(|name| name == slice))
    };
    let places: Vec<usize> = (0..whole.scenes.len())
        .filter(|i| is_in(&whole.scenes[*i]))
        .collect();
    if places.is_empty() {
        return None;
    }
    let values = |list: &[f64]| places.iter().map(|i| list[*i]).collect::<Vec<_>>();
    let sample = match &whole.sample {
        Sample::Clustered(losses, clusters) => Sample::Clustered(
            values(losses),
            places.iter().map(|i| clusters[*i]).collect(),
        ),
        other => other.with(values(other.values())),
    };
    Some(Sampled {
        sample,
        rules: whole.rules.clone(),
        scenes: places.iter().map(|i| whole.scenes[*i].clone()).collect(),
    })
}

/// Judges the declared slices.
pub(crate) fn judge_slices(
    comparison: &Comparison,
    policy: &Policy,
    family: &[Statistical],
) -> Slices {
    let mut found = Slices::default();
    let parts = parts(comparison, policy, family);
    for slice in &policy.slices {
        let missing = missing(comparison, slice);
        if missing.is_none() {
            found.reasons.extend(unheard(slice, family, &parts));
        }
        found.reasons.extend(missing);
    }
    let p: Vec<f64> = parts
        .iter()
        .map(|part| part.sampled.sample.p_worse(&part.sampled.rules))
        .collect();
    let levels = holm_levels(&p, policy.confidence.slice_fail);
    for ((part, p_worse), fail) in parts.iter().zip(p).zip(levels) {
        let Sampled { sample, rules, .. } = &part.sampled;
        let sign = harm_sign(&part.metric);
        let pass = policy.confidence.false_pass;
        let shown = sample.shown(rules, Levels { pass, fail }).ok();
        let vetoes = part.vetoes(fail);
        if vetoes && let Some(shown) = &shown {
            let change = oriented(shown.loss, sign);
            found.reasons.push((Outcome::Fail, veto(part, &change)));
        }
        found.results.push(SliceResult {
            slice: part.slice.clone(),
            metric: part.metric.clone(),
            n: sample.values().len(),
            estimate: shown.map(|shown| oriented(shown.loss, sign)),
            certified: sample.certified(rules, pass).map(|bound| sign * bound),
            p_worse: Some(p_worse),
            fail_level: Some(fail),
            veto_from: sign * part.veto_from,
            waived_until: part.waived_until.clone(),
            vetoes,
        });
    }
    found
}

/// Scores that a slice cannot veto by, because too few of its scenes have a value.
///
/// Some scores have a value only where the candidate said something: silence must not help it.
fn unheard(slice: &SlicePolicy, family: &[Statistical], parts: &[Part]) -> Vec<(Outcome, String)> {
    let of = |it: &Statistical| {
        let whole = it.sampled.as_ref()?;
        if !is_by_scene(&whole.sample) {
            return None;
        }
        let part = parts
            .iter()
            .find(|part| part.slice == slice.name && part.metric == it.metric);
        let n = part.map_or(0, |part| part.sampled.sample.values().len());
        // Every score may be absent somewhere; half of what is demanded still tells a loss.
        (n < slice.min_scenes.div_ceil(2)).then(|| {
            let reason = format!(
                "slice {}: {} has a value on {n} scenes, too few to see a loss; {} more would settle it",
                slice.name,
                it.metric,
                slice.min_scenes.div_ceil(2) - n
            );
            (Outcome::Inconclusive, reason)
        })
    };
    family.iter().filter_map(of).collect()
}

fn is_by_scene(sample: &Sample) -> bool {
    matches!(
        sample,
        Sample::Graded(_) | Sample::Rate(_) | Sample::Clustered(..)
    )
}

/// Why a declared slice makes the run invalid, if it does.
fn missing(comparison: &Comparison, slice: &SlicePolicy) -> Option<(Outcome, String)> {
    let planned = &comparison.baseline().plan.scene_ids;
    let is_in = |scene: &&String| {
        let tags = comparison.tags().get(*scene);
        tags.is_some_and(|tags| tags.slices.contains(&slice.name))
    };
    let n = planned.iter().filter(is_in).count();
    (n < slice.min_scenes).then(|| {
        let reason = format!(
            "slice {} has {n} scenes, the policy demands {}",
            slice.name, slice.min_scenes
        );
        (Outcome::Invalid, reason)
    })
}

fn veto(part: &Part, change: &Estimate) -> String {
    let verb = if change.point < 0.0 { "fell" } else { "rose" };
    let points = |share: f64| format!("{:.1} points", share * 100.0);
    let line = match &part.waived_until {
        None => format!(
            "at least twice what is allowed ({})",
            points(part.sampled.rules.margin)
        ),
        Some(day) => format!(
            "at least what is waived until {day} ({})",
            points(part.veto_from)
        ),
    };
    format!(
        "slice {}: {} {verb} by {} on {} scenes, shown to be a loss and {line}",
        part.slice,
        part.metric,
        points(change.point.abs()),
        part.sampled.scenes.len(),
    )
}
