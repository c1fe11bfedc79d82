//! The table of cases: what is planted, and what the gate must say to it.

use crate::record::Role;

/// One known subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Short name, as in `--case`.
    pub name: &'static str,
    /// What is wrong with the candidate, in words.
    pub what: &'static str,
    /// Folder of the baseline below the reference models.
    pub baseline: &'static str,
    /// Folder of the candidate.
    pub candidate: &'static str,
    /// What is done to it.
    pub plant: Plant,
    /// Under which rules it is judged.
    pub rules: Rules,
    /// Exit codes that are right.
    pub codes: &'static [i32],
    /// Words one of which the reasons must hold; empty where any reason will do.
    pub reasons: &'static [&'static str],
}

/// What is done to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nothing: the models are what they are.
    Nothing,
    /// A harm of the engine; see `engine::planted`.
    Harm(Role, &'static str),
    /// One bit of the candidate's weights is flipped on disk.
    FlippedBit,
}

/// The rules of a case, as a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Quality only, no times.
    Quality,
    /// Quality with a short limit of time for a scene.
    QualityInTime,
    /// Quality with a third of the tokens an answer needs.
    QualityCut,
    /// Peak memory.
    Memory,
    /// CPU time per token, +3 % allowed, 10 launches at most.
    Times,
    /// CPU time per token, +2 % allowed, the launches of a promotion.
    TimesInFull,
    /// Everything the built-in smoke policy checks.
    Whole,
}

impl Rules {
    /// Whether times are taken, which needs minutes and a machine that is not too busy.
    pub fn takes_times(self) -> bool {
        matches!(self, Self::Times | Self::TimesInFull | Self::Whole)
    }

    /// The policy file.
    pub fn policy(self) -> String {
        let head = "schema_version = 1\nmode = \"smoke\"\n";
        let quality = [
            ("fact_ok", 0.10),
            ("hallucination_rate", 0.05),
            ("object_recall", 0.05),
            ("collapse_rate", 0.05),
        ]
        .map(|(metric, margin)| {
            format!("[[check]]\nmetric = \"{metric}\"\nmargin = {{ absolute = {margin} }}\n")
        })
        .concat();
        let quality = format!("{quality}[[check]]\nmetric = \"valid\"\n");
        let cpu = |margin: f64| {
            format!(
                "[[check]]\nmetric = \"cpu_ms_per_token\"\nmargin = {{ relative = {margin} }}\n"
            )
        };
        // Likelihoods decide nothing.
        let effort = |keys: &str| format!("[effort]\nlikelihood_scenes = 0\n{keys}\n");
        match self {
            Self::Quality => format!("{head}{}{quality}", effort("launches = 0")),
            Self::QualityInTime => {
                let keys = "launches = 0\nscene_timeout_s = 3";
                format!("{head}{}{quality}", effort(keys))
            }
            Self::QualityCut => {
                let keys = "launches = 0\nmax_new_tokens = 8";
                format!("{head}{}{quality}", effort(keys))
            }
            Self::Memory => format!(
                "{head}{}[[check]]\nmetric = \"peak_bytes\"\nmargin = {{ relative = 0.02 }}\n",
                effort("launches = 0")
            ),
            Self::Times => format!("{head}{}{}", effort("launches = 10"), cpu(0.03)),
            Self::TimesInFull => {
                let keys = "launches = 60\npairs = 6\nlooks = [15, 25, 40, 60]\n\
                            shares = [0.08, 0.17, 0.25, 0.50]";
                format!("{head}{}{}", effort(keys), cpu(0.02))
            }
            Self::Whole => head.to_owned(),
        }
    }
}

const GOOD: &str = "1.1.0";
/// Reasons of a model that says less or worse.
const WORSE: &[&str] = &[
    "fact_ok",
    "object_recall",
    "hallucination_rate",
    "collapse_rate",
    "valid",
];

const fn harmed(
    name: &'static str,
    what: &'static str,
    harm: &'static str,
    rules: Rules,
    reasons: &'static [&'static str],
) -> Case {
    Case {
        name,
        what,
        baseline: GOOD,
        candidate: GOOD,
        plant: Plant::Harm(Role::Candidate, harm),
        rules,
        codes: &[1],
        reasons,
    }
}

const fn trained(
    name: &'static str,
    what: &'static str,
    candidate: &'static str,
    reasons: &'static [&'static str],
) -> Case {
    Case {
        name,
        what,
        baseline: GOOD,
        candidate,
        plant: Plant::Nothing,
        rules: Rules::Quality,
        codes: &[1],
        reasons,
    }
}

/// Every case, the quick ones first.
pub const CASES: &[Case] = &[
    trained(
        "undertrained",
        "trained too briefly",
        "1.1.1-undertrained",
        WORSE,
    ),
    trained(
        "hallucinating",
        "names what is not in the scene",
        "1.1.3-hallucinating",
        &["hallucination_rate", "fact_ok"],
    ),
    Case {
        name: "wrong-digest",
        what: "one bit of its weights is not the manifest's",
        baseline: GOOD,
        candidate: GOOD,
        plant: Plant::FlippedBit,
        rules: Rules::Quality,
        codes: &[3],
        reasons: &["sha256"],
    },
    harmed("crash", "panics", "panic@40", Rules::Quality, &["crashed"]),
    harmed("abort", "aborts", "abort@7", Rules::Quality, &["crashed"]),
    harmed(
        "hang",
        "never answers",
        "hang@3",
        Rules::QualityInTime,
        &["hung and was killed"],
    ),
    harmed(
        "nan",
        "computes logits that are no numbers",
        "nan@0",
        Rules::Quality,
        &["not finite"],
    ),
    Case {
        name: "baseline-crash",
        what: "nothing; the baseline panics",
        plant: Plant::Harm(Role::Baseline, "panic@40"),
        codes: &[3],
        ..harmed("", "", "", Rules::Quality, &["the baseline crashed"])
    },
    Case {
        name: "truncated",
        what: "its answers are cut at eight tokens",
        // The bytes are another model's with the same function, so that there is a run.
        candidate: "1.1.2-heavy",
        plant: Plant::Nothing,
        rules: Rules::QualityCut,
        codes: &[1],
        ..harmed("", "", "", Rules::QualityCut, &["valid"])
    },
    harmed(
        "fat",
        "holds 8 MiB more",
        "ballast:8",
        Rules::Memory,
        &["peak_bytes rose"],
    ),
    harmed(
        "slow-10",
        "computes 10 % of all tokens twice",
        "slow:10",
        Rules::Times,
        &["cpu_ms_per_token"],
    ),
    Case {
        name: "same",
        what: "nothing: the same files twice",
        plant: Plant::Nothing,
        codes: &[0, 2],
        ..harmed("", "", "", Rules::Whole, &[])
    },
    harmed(
        "slow-3",
        "computes 3 % of all tokens twice",
        "slow:3",
        Rules::TimesInFull,
        &["cpu_ms_per_token"],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::Harm;
    use crate::gate::Policy;

    #[test]
    fn names_are_distinct_and_every_case_demands_something() {
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        for case in CASES {
            assert!(
                !case.codes.is_empty() && !case.what.is_empty(),
                "{}",
                case.name
            );
            let may_pass = case.codes.contains(&0);
            assert_eq!(may_pass, case.name == "same", "{}", case.name);
            assert!(may_pass || !case.reasons.is_empty(), "{}", case.name);
        }
    }

    #[test]
    fn harms_exist_and_policies_are_usable() {
        for case in CASES {
            if let Plant::Harm(_, harm) = case.plant {
                assert_eq!(harm.parse::<Harm>().unwrap().to_string(), harm);
            }
            Policy::parse(&case.rules.policy(), case.name).unwrap();
        }
    }

    #[test]
    fn the_issue_is_covered() {
        for name in [
            "same",
            "slow-3",
            "slow-10",
            "fat",
            "undertrained",
            "hallucinating",
            "wrong-digest",
            "crash",
            "hang",
            "nan",
        ] {
            assert!(CASES.iter().any(|case| case.name == name), "{name}");
        }
    }
}
