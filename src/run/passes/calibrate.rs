//! Fixes, once per run, how many tokens a timed segment has in both roles.

use crate::record::Role;
use crate::run::Run;
use crate::run::pair::{Pair, turns};
use crate::run::protocol::{LoadAnswer, Timing};
use crate::run::supervisor::{At, Fault, Session};

/// How long a segment should last.
#[derive(Debug, Clone, Copy)]
struct BudgetNs {
    /// The baseline's segment, when nothing speaks against it.
    target: u64,
    /// The slower role's segment; a slow candidate shortens both roles' segments.
    longest: u64,
    /// The baseline's segment, however slow the other role is.
    shortest: u64,
}

const MS: u64 = 1_000_000;
const PREFILL: BudgetNs = BudgetNs {
    target: 60 * MS,
    longest: 120 * MS,
    shortest: 15 * MS,
};
const DECODE: BudgetNs = BudgetNs {
    target: 80 * MS,
    longest: 150 * MS,
    shortest: 20 * MS,
};

/// Prompt tokens of the first, rough look.
const FIRST_LOOK: usize = 32;

/// Fewest prompt tokens of a prefill segment, where the prompt has so many.
const FEWEST_PROMPT_TOKENS: usize = 16;

/// Decode segments timed before their size is fixed.
const SAMPLES: usize = 3;

/// A decode segment spans at most so many generations: feeding the prompt again costs time.
const MOST_GENERATIONS: usize = 4;

/// Sizes of the timed segments in tokens, equal in both roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct SegmentSizes {
    /// Context used.
    pub(in crate::run) context: usize,
    /// Tokens of the prompt, at most.
    pub(in crate::run) prompt: usize,
    /// Tokens of a decode segment.
    pub(in crate::run) decode: usize,
}

impl Run<'_> {
    /// Times both roles in a launch of its own and derives the sizes.
    pub(super) fn calibrate(&mut self) -> Result<SegmentSizes, Fault> {
        let loaded = Pair::try_new(Role::Baseline, |role| self.loaded(role, "latency"))?;
        let limit = |answer: &LoadAnswer| answer.context_limit;
        let mut sizes = SegmentSizes {
            context: limit(&loaded.baseline.1).min(limit(&loaded.candidate.1)),
            prompt: FIRST_LOOK,
            decode: 8,
        };
        let mut pair = Pair {
            baseline: loaded.baseline.0,
            candidate: loaded.candidate.0,
        };

        let scene = self.plan.scene_order[0];
        let at = At::scene("latency", &self.inputs.scenes[scene].id);
        let opened = self.open_forced(&mut pair, scene, sizes)?;
        // The first prefill meets cold caches; the second counts.
        both(&mut pair, |role, worker| {
            worker.prefill(opened.of(role).handle, at)
        })?;
        let seen = both(&mut pair, |role, worker| {
            worker.prefill(opened.of(role).handle, at)
        })?;
        both(&mut pair, |role, worker| {
            worker.close(opened.of(role).handle, at)
        })?;
        sizes.prompt = tokens_within(PREFILL, &seen).max(FEWEST_PROMPT_TOKENS);

        let opened = self.open_forced(&mut pair, scene, sizes)?;
        let most = opened.baseline.n_forced * MOST_GENERATIONS;
        both(&mut pair, |role, worker| {
            worker.prefill(opened.of(role).handle, at)
        })?;
        let decode = |pair: &mut Pair<Session>, tokens| {
            both(pair, |role, worker| {
                worker.decode(opened.of(role).handle, tokens, at)
            })
        };
        let mut seen = decode(&mut pair, sizes.decode)?;
        while seen.baseline.wall_ns < DECODE.shortest && sizes.decode < most {
            sizes.decode *= 2;
            seen = decode(&mut pair, sizes.decode)?;
        }
        // Other work on the machine only ever lengthens a segment: the shortest tells most.
        for _ in 1..SAMPLES {
            let again = decode(&mut pair, sizes.decode)?;
            for role in turns(Role::Baseline) {
                let shortest = again.of(role).wall_ns.min(seen.of(role).wall_ns);
                seen.of_mut(role).wall_ns = shortest;
            }
        }
        sizes.decode = tokens_within(DECODE, &seen).min(most);
        // Both are killed when dropped; a calibration has no exit status to check.
        Ok(sizes)
    }
}

/// Asks both roles the same, the baseline first.
fn both<T>(
    pair: &mut Pair<Session>,
    mut ask: impl FnMut(Role, &mut Session) -> Result<T, Fault>,
) -> Result<Pair<T>, Fault> {
    Pair::try_new(Role::Baseline, |role| ask(role, pair.of_mut(role)))
}

/// Tokens of a segment that keeps to the budget, judged by two timed samples; at least 1.
fn tokens_within(budget: BudgetNs, seen: &Pair<Timing>) -> usize {
    let tokens = |ns: u64, timing: Timing| {
        let n = u128::from(ns) * timing.tokens as u128 / u128::from(timing.wall_ns.max(1));
        usize::try_from(n).unwrap_or(usize::MAX)
    };
    let slower = tokens(budget.longest, seen.baseline)
        .min(tokens(budget.longest, seen.candidate))
        .max(tokens(budget.shortest, seen.baseline));
    tokens(budget.target, seen.baseline).min(slower).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens per decode segment when a token takes so many microseconds in each role.
    #[track_caller]
    fn check(baseline_us: u64, candidate_us: u64, expected: usize) {
        let timing = |us| Timing {
            tokens: 10,
            wall_ns: us * 10_000,
            cpu_ns: 0,
            health: None,
        };
        let seen = Pair {
            baseline: timing(baseline_us),
            candidate: timing(candidate_us),
        };
        assert_eq!(tokens_within(DECODE, &seen), expected);
    }

    #[test]
    fn the_baseline_sets_the_size() {
        check(200, 200, 400);
        check(200, 10, 400);
        check(1_000, 1_800, 80);
    }

    #[test]
    fn a_slow_candidate_shortens_both() {
        check(200, 1_000, 150);
        check(1_000, 5_000, 30);
    }

    #[test]
    fn a_very_slow_candidate_cannot_make_the_baseline_unmeasurable() {
        check(1_000, 1_000_000, 20);
    }

    #[test]
    fn a_segment_has_at_least_one_token() {
        check(500_000, 500_000, 1);
    }

    #[test]
    fn a_clock_that_did_not_move_is_no_division_by_zero() {
        check(0, 0, usize::try_from(80 * MS * 10).unwrap());
    }
}
