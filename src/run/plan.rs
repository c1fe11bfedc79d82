//! Decides the order of everything before anything runs.
//!
//! In: the digests of the inputs and the effort allowed. Out: a [`RunPlan`]. Pure: the same inputs
//! give the same plan, so an order cannot be shopped for.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use crate::record::{PlanSummary, PlannedLook, Role};
use crate::run::protocol;
use crate::units::{Bytes, Hasher, Sha256};

/// The digests a run's random orders derive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedInputs {
    /// Release digest of the baseline.
    pub baseline: Sha256,
    /// Release digest of the candidate.
    pub candidate: Sha256,
    /// Digest of the scene set.
    pub scene_set: Sha256,
    /// Digest of the policy.
    pub policy: Sha256,
}

/// How much work a run may do, and how long each step may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Effort {
    /// Launches of the latency pass; 0 leaves the pass out.
    pub n_launches: usize,
    /// Decode pairs in each launch.
    pub pairs_per_launch: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Limit of new tokens per output.
    pub max_new_tokens: usize,
    /// Most outputs in progress at the same time while the scenes are written.
    pub batch: usize,
    /// Scenes written again alone, for their times and to see that outputs repeat.
    pub timed_scenes: usize,
    /// Scenes whose texts both models read; 0 leaves the likelihood pass out.
    pub read_scenes: usize,
    /// Runs of the memory pass per role.
    pub memory_runs: usize,
    /// When the launches are looked at, the last one after all of them; empty for that one only.
    pub looks: Vec<PlannedLook>,
    /// Launches with the baseline's files in both workers, at random places among the others.
    pub controls: usize,
    /// Time after which no further launch begins; `None` without a limit.
    pub budget: Option<Duration>,
    /// Longest time one natural output may take; a batch may take as much for each of its scenes.
    pub scene_timeout: Duration,
    /// Longest time a model may take to load, digest checks included.
    pub load_timeout: Duration,
    /// Longest time any other request may take.
    pub segment_timeout: Duration,
    /// Most memory a worker may take for itself; `None` leaves it what the machine, or its container,
    /// has.
    pub worker_memory: Option<Bytes>,
}

impl Default for Effort {
    /// A smoke run of a small model.
    fn default() -> Self {
        Self {
            n_launches: 8,
            pairs_per_launch: 16,
            threads: 1,
            max_new_tokens: 128,
            batch: 8,
            timed_scenes: 20,
            read_scenes: 100,
            memory_runs: 3,
            looks: Vec::new(),
            controls: 0,
            budget: None,
            scene_timeout: Duration::from_secs(120),
            load_timeout: Duration::from_secs(300),
            segment_timeout: Duration::from_secs(30),
            worker_memory: None,
        }
    }
}

/// One scene of a launch: a prefill pair and a decode pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairPlan {
    /// Index of the scene in the caller's list.
    pub scene: usize,
    /// Role that prefills first.
    pub prefill_first: Role,
    /// Role that decodes first.
    pub decode_first: Role,
}

/// One launch: a fresh pair of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// Role whose worker is spawned, and loads, first.
    pub spawn_first: Role,
    /// The pairs, in order.
    pub pairs: Vec<PairPlan>,
}

/// One launch in which nothing differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlan {
    /// Index of the launch it comes before.
    pub before: usize,
    /// What is done in it.
    pub launch: LaunchPlan,
}

/// The order of all work of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// Seed every order was drawn from.
    pub seed: Sha256,
    /// Sizes and limits.
    pub effort: Effort,
    /// Scenes of the outputs pass, as indices into the caller's list, in order.
    pub scene_order: Vec<usize>,
    /// Role that answers first, per entry of `scene_order`.
    pub outputs_first: Vec<Role>,
    /// Role that runs first, per round of the memory pass.
    pub memory_first: Role,
    /// Launches of the latency pass.
    pub launches: Vec<LaunchPlan>,
    /// Control launches among them, in order.
    pub controls: Vec<ControlPlan>,
}

impl SeedInputs {
    /// The seed of one purpose: SHA-256 over the four digests and the purpose's name.
    pub fn seed(&self, purpose: &str) -> Sha256 {
        let mut hasher = Hasher::default();
        for digest in [self.baseline, self.candidate, self.scene_set, self.policy] {
            hasher.update(digest.as_bytes());
        }
        hasher.update(purpose.as_bytes());
        hasher.finish()
    }

    fn stream(&self, purpose: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(*self.seed(purpose).as_bytes())
    }
}

impl RunPlan {
    /// Plans a run over `n_scenes` scenes.
    ///
    /// Scenes are shuffled uniformly; launches walk through the shuffled order and continue where
    /// the launch before stopped, so all scenes are used before one is used twice.
    pub fn new(inputs: &SeedInputs, n_scenes: usize, effort: Effort) -> Self {
        let scene_order = shuffled(n_scenes, &mut inputs.stream("scene order"));
        let mut flips = inputs.stream("outputs order");
        let outputs_first = scene_order.iter().map(|_| flip(&mut flips)).collect();
        let n_launches = if n_scenes == 0 { 0 } else { effort.n_launches };
        let launch = |index: usize, flips: &mut ChaCha8Rng| LaunchPlan {
            spawn_first: flip(flips),
            pairs: (0..effort.pairs_per_launch)
                .map(|pair| PairPlan {
                    scene: scene_order[(index * effort.pairs_per_launch + pair) % n_scenes],
                    prefill_first: flip(flips),
                    decode_first: flip(flips),
                })
                .collect(),
        };
        let mut flips = inputs.stream("launches");
        let launches = (0..n_launches)
            .map(|index| launch(index, &mut flips))
            .collect();
        let mut flips = inputs.stream("controls");
        let n_controls = if n_launches == 0 { 0 } else { effort.controls };
        // Before the first look: a run that ends early has them all.
        let first_look = effort
            .looks
            .first()
            .map_or(n_launches, |look| look.launches);
        let mut places: Vec<usize> = (0..n_controls)
            .map(|_| below(first_look.clamp(1, n_launches), &mut flips))
            .collect();
        places.sort_unstable();
        let controls = places
            .into_iter()
            .enumerate()
            .map(|(index, before)| ControlPlan {
                before,
                launch: launch(index, &mut flips),
            })
            .collect();
        Self {
            seed: inputs.seed("run"),
            memory_first: flip(&mut inputs.stream("memory order")),
            effort,
            scene_order,
            outputs_first,
            launches,
            controls,
        }
    }

    /// Scenes written again alone: the first of `scene_order`, which is drawn from the seed.
    pub fn n_timed(&self) -> usize {
        self.effort.timed_scenes.min(self.scene_order.len())
    }

    /// Scenes whose texts both models read: the first of `scene_order`.
    pub fn n_read(&self) -> usize {
        self.effort.read_scenes.min(self.scene_order.len())
    }

    /// The plan as it stands in the record.
    ///
    /// * `scene_ids`: ids of the caller's scenes, in the caller's order
    /// * `segment_tokens`: forced tokens per decode segment, once calibrated
    pub fn summary(&self, scene_ids: &[&str], segment_tokens: Option<usize>) -> PlanSummary {
        PlanSummary {
            seed: self.seed,
            scene_ids: self
                .scene_order
                .iter()
                .map(|&i| scene_ids[i].to_owned())
                .collect(),
            batch: self.effort.batch,
            n_timed: self.n_timed(),
            n_read: self.n_read(),
            n_launches: self.launches.len(),
            n_controls: self.controls.len(),
            looks: self.effort.looks.clone(),
            stopped: None,
            pairs_per_launch: self.effort.pairs_per_launch,
            segment_tokens,
            max_new_tokens: self.effort.max_new_tokens,
            threads: self.effort.threads,
            worker_memory_bytes: self.effort.worker_memory,
            protocol_version: protocol::VERSION,
        }
    }
}

fn flip(rng: &mut ChaCha8Rng) -> Role {
    if rng.next_u32() & 1 == 0 {
        Role::Baseline
    } else {
        Role::Candidate
    }
}

/// A uniform permutation of `0..n`.
///
/// Source: Durstenfeld (1964), Algorithm 235, *Communications of the ACM* 7(7), 420.
fn shuffled(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, below(last + 1, rng));
    }
    order
}

/// A uniform integer in `0..bound`; draws that would favour small values are thrown away.
fn below(bound: usize, rng: &mut ChaCha8Rng) -> usize {
    let bound = bound as u64;
    let whole = u64::MAX - u64::MAX % bound;
    loop {
        let draw = rng.next_u64();
        if draw < whole {
            return usize::try_from(draw % bound).expect("smaller than a usize");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inputs(seed: u64) -> SeedInputs {
        let digest = |part: &str| Sha256::of(format!("{seed} {part}").as_bytes());
        SeedInputs {
            baseline: digest("b"),
            candidate: digest("c"),
            scene_set: digest("s"),
            policy: digest("p"),
        }
    }

    fn plan(seed: u64, n_scenes: usize, n_launches: usize, pairs_per_launch: usize) -> RunPlan {
        let effort = Effort {
            n_launches,
            pairs_per_launch,
            ..Effort::default()
        };
        RunPlan::new(&inputs(seed), n_scenes, effort)
    }

    proptest! {
        #[test]
        fn every_scene_is_planned_once(seed: u64, n in 0usize..200) {
            let plan = plan(seed, n, 2, 3);
            let mut order = plan.scene_order.clone();
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(plan.outputs_first.len(), n);
        }

        #[test]
        fn launches_use_scenes_evenly(
            seed: u64, n in 1usize..50, launches in 0usize..12, pairs in 0usize..20,
        ) {
            let plan = plan(seed, n, launches, pairs);
            let mut uses = vec![0usize; n];
            for pair in plan.launches.iter().flat_map(|launch| &launch.pairs) {
                uses[pair.scene] += 1;
            }
            prop_assert_eq!(plan.launches.len(), launches);
            prop_assert_eq!(uses.iter().sum::<usize>(), launches * pairs);
            let (least, most) = (uses.iter().min().unwrap(), uses.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn the_same_inputs_give_the_same_plan(seed: u64, n in 0usize..50) {
            prop_assert_eq!(plan(seed, n, 3, 4), plan(seed, n, 3, 4));
        }

        #[test]
        fn a_longer_run_begins_like_a_shorter_one(seed: u64, n in 1usize..50) {
            let (short, long) = (plan(seed, n, 3, 4), plan(seed, n, 6, 4));
            prop_assert_eq!(&long.launches[..3], &short.launches[..]);
        }
    }

    #[test]
    fn every_input_and_the_purpose_move_the_seed() {
        let base = inputs(0);
        let other = Sha256::of(b"other");
        let seeds = [
            base.seed("run"),
            base.seed("launches"),
            SeedInputs {
                baseline: other,
                ..base
            }
            .seed("run"),
            SeedInputs {
                candidate: other,
                ..base
            }
            .seed("run"),
            SeedInputs {
                scene_set: other,
                ..base
            }
            .seed("run"),
            SeedInputs {
                policy: other,
                ..base
            }
            .seed("run"),
            SeedInputs {
                baseline: base.candidate,
                candidate: base.baseline,
                ..base
            }
            .seed("run"),
        ];
        let distinct: std::collections::BTreeSet<_> = seeds.iter().collect();
        assert_eq!(distinct.len(), seeds.len());
    }

    #[test]
    fn coins_are_fair_enough() {
        let plan = plan(1, 10, 100, 100);
        let heads = plan
            .launches
            .iter()
            .flat_map(|launch| &launch.pairs)
            .filter(|pair| pair.decode_first == Role::Baseline)
            .count();
        // 10,000 flips: five standard deviations are 250.
        assert!((4_750..=5_250).contains(&heads), "{heads}");
    }

    #[test]
    fn every_order_of_three_is_drawn() {
        let orders: std::collections::BTreeSet<_> = (0..200)
            .map(|seed| plan(seed, 3, 0, 0).scene_order)
            .collect();
        assert_eq!(orders.len(), 6);
    }
}
