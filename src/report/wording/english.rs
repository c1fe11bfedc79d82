//! Texts in English.

use super::{Cause, HistoryWords, Noun, PlotWords, Words};

pub(super) static WORDS: Words = Words {
    why: "Why",
    checks: "Checks",
    look_first: "Look here first",
    slices: "Slices",
    costs: "Latency and memory",
    trust: "Can this be trusted?",
    tested: "What was tested",
    how_to_read: "How to read this report",
    last_words: "The worker's last lines on stderr",
    watched: "watched",
    no_text: "(no text)",
    no_interval: "no interval",
    no_value: "no value",
    does_not_count: "This verdict does not count: a harm was planted on purpose to test the gate.",
    all_within: "every required check was shown to stay within its allowance",
    baseline: "baseline",
    candidate: "candidate",
    columns: [
        "check",
        "baseline",
        "candidate",
        "change [{} % bounds]",
        "n",
        "allowed",
        "outcome",
    ],
    slice_columns: [
        "slice",
        "metric",
        "baseline",
        "candidate",
        "change [{} % bounds]",
        "n",
        "certified",
    ],
    slice_note: "certified: the largest loss that these scenes cannot rule out, whatever the \
                 distribution of the scores; only for slices that the policy names",
    cost_columns: ["measure", "baseline", "candidate", "n"],
    cost_note: "smallest · median · largest of the measurements of each model",
    outcomes: ["PASS", "INCONCLUSIVE", "FAIL", "INVALID"],
    check_outcomes: ["pass", "UNDECIDED", "FAIL", "INVALID"],
    consequences: [
        "may be promoted",
        "was not decided",
        "must not be promoted",
        "was not judged",
    ],
    exit: "exit",
    no_loss: "no loss",
    explanation: [
        "each bound misses the true change with probability at most {} %; scenes stand for the \
         population they were drawn from, and nothing else",
        "pass: for every required check the evidence rules out a loss as large as allowed",
        "fail: a loss was shown and not shown to stay within the allowance, or a rule was broken",
        "inconclusive: neither could be shown; the reasons name what would settle it",
        "invalid: the run may not be judged at all",
        "watched checks are printed and never decide",
    ],
    references: "references",
    detections: "detections",
    none: "none",
    diff_key: ["only in the baseline", "only in the candidate"],
    skip: "Skip to the report",
    contents: "Contents",
    figures: "Figures of this plot",
    scroll: "table, scrolls sideways",
    again: "to reproduce",
    rest: "the whole report is in report.html and report.json",
    plots: PlotWords {
        intervals: [
            "Changes against their allowances",
            "Each bar runs from the lower to the upper bound of the change, told as a share of \
             what is allowed. A check passes when its bar ends before the line of the allowance.",
        ],
        axis: ["better", "no change", "allowed"],
        differences: [
            "Differences scene by scene",
            "Candidate less baseline on every scene, sorted, and turned where less is better: \
             below the line the candidate is worse. A metric that is equal on every scene has \
             figures and no curve.",
        ],
        times: [
            "Distributions of times",
            "Share of the measurements that took at most as long. A curve further left is faster.",
        ],
        launches: [
            "Ratios by launch",
            "Time per token of the candidate by that of the baseline, one dot for each launch: \
             the mean of its pairs.",
        ],
        memory: [
            "Memory by phase",
            "Resident memory of a worker that holds one model alone; the whisker spans all runs.",
        ],
        slices: [
            "Changes by slice",
            "Mean change on the scenes of each slice with its bounds. Only a slice that the policy names can veto.",
        ],
        phases: [
            "peak after loading",
            "peak in all",
            "anonymous at the end",
            "file-backed at the end",
        ],
        signs: ["better", "equal", "worse"],
        quantiles: ["measure", "role", "n", "smallest", "median", "largest"],
    },
    history: HistoryWords {
        title: "Earlier runs",
        columns: ["time", "verdict", "from", "to", "scenes", "folder"],
        trends: "Trend of the candidate by metric",
        trend_columns: ["metric", "runs", "last", "lowest", "highest"],
        nothing: "no report was found",
        unreadable: "not readable as reports",
        change: "the level changes before the run of",
        caption: "Value of the candidate in each run, in the order of time; hollow dots are runs \
                  that were not a pass, a dashed line stands where the level changes. Times of \
                  different machines do not compare.",
    },
};

/// Singular and plural.
pub(super) fn noun(noun: Noun) -> [&'static str; 2] {
    match noun {
        Noun::Scene => ["scene", "scenes"],
        Noun::MoreScene => ["more scene", "more scenes"],
        Noun::Launch => ["launch", "launches"],
        Noun::Pair => ["pair", "pairs"],
        Noun::Thread => ["thread", "threads"],
        Noun::Output => ["output", "outputs"],
        Noun::Reference => ["reference", "references"],
        Noun::Sentinel => ["sentinel", "sentinels"],
        Noun::Time => ["time", "times"],
    }
}

pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Omission => "omission",
        Cause::Invention => "invented object",
        Cause::Denial => "denied object",
        Cause::Count => "wrong count",
        Cause::Time => "wrong time",
        Cause::Order => "wrong order",
        Cause::EmptyNotStated => "emptiness not stated",
        Cause::Loop => "loop",
        Cause::Disorder => "words in no order",
        Cause::Truncation => "truncation",
        Cause::Language => "language",
        Cause::Empty => "empty text",
        Cause::Form => "broken form",
        Cause::Length => "length",
    }
}
