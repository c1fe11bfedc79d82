//! Times and memory, straight from the records.
//!
//! Forced-lane times become log ratios of time per token, candidate over baseline, one per timed
//! pair and grouped by launch: the launch is the unit of inference, so pairs are never pooled.
//! Natural-lane times describe one output each.

use crate::record::{Launch, MemoryRun, OutputObservation, Role, RunRecord, Segment};

const NS_PER_MS: f64 = 1e6;

/// A cost measured on the forced lane, where both roles process the same token ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedCost {
    /// Process CPU time per decoded token.
    CpuPerToken,
    /// Wall time per decoded token.
    WallPerToken,
    /// Process CPU time per prompt token.
    PrefillCpuPerToken,
}

/// Why two latency passes cannot be paired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// A role has another number of launches than the plan.
    #[error("the {role} has {found} launches, the plan has {planned}")]
    Launches {
        /// `baseline` or `candidate`.
        role: &'static str,
        /// Launches in the record.
        found: usize,
        /// Launches in the plan.
        planned: usize,
    },
    /// The launches of the two roles carry other numbers.
    #[error("launch {baseline} of the baseline stands beside launch {candidate} of the candidate")]
    LaunchIndex {
        /// Number in the baseline's record.
        baseline: usize,
        /// Number in the candidate's record.
        candidate: usize,
    },
    /// A launch has other numbers of segments in the two roles, or fewer than planned.
    #[error(
        "launch {launch} has {baseline} segments of the baseline and {candidate} of the candidate, the plan has {planned}"
    )]
    Segments {
        /// Number of the launch.
        launch: usize,
        /// Segments of the baseline.
        baseline: usize,
        /// Segments of the candidate.
        candidate: usize,
        /// Least number planned.
        planned: usize,
    },
    /// Two segments that should pair differ in scene, tokens or turn.
    #[error("pair {pair} of launch {launch} differs in {what}")]
    Pair {
        /// Number of the launch.
        launch: usize,
        /// Number of the pair within it.
        pair: usize,
        /// What differs: `scene`, `tokens` or `turn`.
        what: &'static str,
    },
    /// A segment without time or tokens has no ratio.
    #[error("pair {pair} of launch {launch} has a segment of zero time or zero tokens")]
    Zero {
        /// Number of the launch.
        launch: usize,
        /// Number of the pair within it.
        pair: usize,
    },
}

impl ForcedCost {
    /// Time per token of one segment in milliseconds; `None` without tokens or time.
    pub fn ms_per_token(self, segment: &Segment) -> Option<f64> {
        let ns = match self {
            Self::CpuPerToken | Self::PrefillCpuPerToken => segment.cpu_ns,
            Self::WallPerToken => segment.wall_ns,
        };
        (ns > 0 && segment.n_tokens > 0).then(|| ns as f64 / NS_PER_MS / segment.n_tokens as f64)
    }

    /// Segments of every launch of `record`, launch by launch.
    pub fn segments(self, record: &RunRecord) -> impl Iterator<Item = &[Segment]> {
        record
            .launches
            .iter()
            .map(move |launch| self.of_launch(launch))
    }

    fn of_launch(self, launch: &Launch) -> &[Segment] {
        match self {
            Self::CpuPerToken | Self::WallPerToken => &launch.decode,
            Self::PrefillCpuPerToken => &launch.prefill,
        }
    }

    /// Segments the plan promises for every launch; prefill segments are as many as were taken.
    fn planned(self, record: &RunRecord) -> usize {
        match self {
            Self::CpuPerToken | Self::WallPerToken => record.plan.pairs_per_launch,
            Self::PrefillCpuPerToken => 1,
        }
    }
}

/// `[launches][pairs]` natural logarithms of candidate ÷ baseline time per token.
///
/// # Errors
/// [`CostError`] when a launch or segment is missing, segments do not pair, or a time is zero:
/// what the plan promised must be there.
pub fn log_ratios(
    cost: ForcedCost,
    baseline: &RunRecord,
    candidate: &RunRecord,
) -> Result<Vec<Vec<f64>>, CostError> {
    for record in [baseline, candidate] {
        let (found, planned) = (record.launches.len(), record.plan.n_launches);
        if found != planned {
            return Err(CostError::Launches {
                role: role_name(record.role),
                found,
                planned,
            });
        }
    }
    let sides = cost.segments(baseline).zip(cost.segments(candidate));
    let launches = baseline.launches.iter().zip(&candidate.launches).zip(sides);
    launches
        .map(|((base, cand), segments)| {
            if base.index != cand.index {
                let (baseline, candidate) = (base.index, cand.index);
                return Err(CostError::LaunchIndex {
                    baseline,
                    candidate,
                });
            }
            launch_log_ratios(cost, base.index, cost.planned(baseline), segments)
        })
        .collect()
}

/// The same of the control launches, in which both workers hold the baseline's files.
///
/// # Errors
/// [`CostError`] when segments do not pair or a time is zero.
pub fn control_log_ratios(
    cost: ForcedCost,
    baseline: &RunRecord,
    candidate: &RunRecord,
) -> Result<Vec<Vec<f64>>, CostError> {
    let controls = baseline.controls.iter().zip(&candidate.controls);
    controls
        .map(|(base, cand)| {
            let sides = (cost.of_launch(base), cost.of_launch(cand));
            launch_log_ratios(cost, base.index, cost.planned(baseline), sides)
        })
        .collect()
}

fn launch_log_ratios(
    cost: ForcedCost,
    launch: usize,
    planned: usize,
    (baseline, candidate): (&[Segment], &[Segment]),
) -> Result<Vec<f64>, CostError> {
    if baseline.len() != candidate.len() || baseline.len() < planned {
        return Err(CostError::Segments {
            launch,
            baseline: baseline.len(),
            candidate: candidate.len(),
            planned,
        });
    }
    let pairs = baseline.iter().zip(candidate).enumerate();
    pairs
        .map(|(pair, (base, cand))| {
            if let Some(what) = mismatch(base, cand) {
                return Err(CostError::Pair { launch, pair, what });
            }
            let times = cost.ms_per_token(base).zip(cost.ms_per_token(cand));
            let (base_ms, cand_ms) = times.ok_or(CostError::Zero { launch, pair })?;
            Ok(cand_ms.ln() - base_ms.ln())
        })
        .collect()
}

fn mismatch(base: &Segment, cand: &Segment) -> Option<&'static str> {
    if base.scene != cand.scene {
        Some("scene")
    } else if base.n_tokens != cand.n_tokens {
        Some("tokens")
    } else if base.went_first == cand.went_first {
        Some("turn")
    } else {
        None
    }
}

/// Request accepted → first token chosen, in milliseconds; `None` for an output that was not timed.
pub fn ttft_ms(output: &OutputObservation) -> Option<f64> {
    Some(output.times.as_ref()?.ttft_ns as f64 / NS_PER_MS)
}

/// Mean time between consecutive tokens, in milliseconds; `None` below two tokens and for an output
/// that was not timed.
pub fn tpot_ms(output: &OutputObservation) -> Option<f64> {
    let itl_ns = &output.times.as_ref()?.itl_ns;
    let total: u64 = itl_ns.iter().sum();
    (!itl_ns.is_empty()).then(|| total as f64 / NS_PER_MS / itl_ns.len() as f64)
}

/// Request accepted → text ready, in milliseconds; `None` for an output that was not timed.
pub fn e2e_ms(output: &OutputObservation) -> Option<f64> {
    Some(output.times.as_ref()?.e2e_ns as f64 / NS_PER_MS)
}

/// Load request accepted → ready, in milliseconds.
pub fn load_ms(run: &MemoryRun) -> f64 {
    run.load_ns as f64 / NS_PER_MS
}

/// Peak resident memory of the worker over all phases, in bytes.
pub fn peak_bytes(run: &MemoryRun) -> u64 {
    run.peak_bytes.0.max(run.load_peak_bytes.0)
}

/// The role's name in messages.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Baseline => "baseline",
        Role::Candidate => "candidate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NaturalTimes, StopReason};

    fn segment(wall_ns: u64, cpu_ns: u64, went_first: bool) -> Segment {
        Segment {
            scene: "a".into(),
            n_tokens: 10,
            wall_ns,
            cpu_ns,
            went_first,
            health: None,
        }
    }

    fn ratios(cost: ForcedCost, base: Segment, cand: Segment) -> Result<Vec<f64>, CostError> {
        launch_log_ratios(cost, 3, 1, (&[base], &[cand]))
    }

    #[test]
    fn a_ratio_compares_time_per_token_of_the_right_clock() {
        let (base, cand) = (segment(100, 50, true), segment(200, 25, false));
        let wall = ratios(ForcedCost::WallPerToken, base.clone(), cand.clone()).unwrap();
        let cpu = ratios(ForcedCost::CpuPerToken, base, cand).unwrap();
        assert!((wall[0] - 2f64.ln()).abs() < 1e-12);
        assert!((cpu[0] - 0.5f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn segments_that_do_not_pair_are_refused() {
        let base = segment(100, 50, true);
        let cost = ForcedCost::CpuPerToken;
        let check = |cand: Segment, what| {
            let expected = Err(CostError::Pair {
                launch: 3,
                pair: 0,
                what,
            });
            assert_eq!(ratios(cost, base.clone(), cand), expected);
        };
        check(
            Segment {
                scene: "b".into(),
                ..segment(1, 1, false)
            },
            "scene",
        );
        check(
            Segment {
                n_tokens: 9,
                ..segment(1, 1, false)
            },
            "tokens",
        );
        check(segment(1, 1, true), "turn");
        let zero = ratios(cost, base.clone(), segment(1, 0, false));
        assert_eq!(zero, Err(CostError::Zero { launch: 3, pair: 0 }));
        let short = launch_log_ratios(cost, 3, 1, (&[base], &[]));
        assert!(matches!(short, Err(CostError::Segments { .. })));
    }

    #[test]
    fn natural_times_of_one_output() {
        let mut output = OutputObservation {
            scene: "a".into(),
            n_prompt: 5,
            token_ids: vec![1, 2, 3],
            text: String::new(),
            stop: StopReason::Eos,
            times: Some(NaturalTimes {
                ttft_ns: 4_000_000,
                itl_ns: vec![1_000_000, 3_000_000],
                e2e_ns: 9_000_000,
            }),
        };
        assert_eq!(ttft_ms(&output), Some(4.0));
        assert_eq!(e2e_ms(&output), Some(9.0));
        assert_eq!(tpot_ms(&output), Some(2.0));
        output.times.as_mut().unwrap().itl_ns.clear();
        assert_eq!(tpot_ms(&output), None);
    }

    #[test]
    fn an_output_that_was_not_timed_has_no_times() {
        let output = OutputObservation {
            scene: "a".into(),
            n_prompt: 5,
            token_ids: vec![1, 2, 3],
            text: String::new(),
            stop: StopReason::Eos,
            times: None,
        };
        for time in [ttft_ms(&output), tpot_ms(&output), e2e_ms(&output)] {
            assert_eq!(time, None);
        }
    }
}
