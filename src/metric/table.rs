//! The metric table.

use super::outputs::Looked;
use super::{Better, Metric, Score, Source};
use Better::{Higher, Lower, Neither};

const NO_REFERENCE: &str = "the scene has no reference";
const NO_SALIENT: &str = "the scene has no salient label";
const NO_CLAIM: &str = "the text makes no such claim";
const NEVER: &str = "";

/// Every metric: what is gated first, then what is only reported, then the costs.
pub const METRICS: &[Metric] = &[
    // Gated. Versions 2 and 3 of `valid`: more flags; version 2 of the shares of objects: mentions are
    // read by more rules; of `fact_score`: version 3 of `valid`.
    at_version(
        3,
        text("valid", Higher, "1 when no form flag is set", NEVER, |l| {
            flag(l.form.is_valid())
        }),
    ),
    facts(
        "fact_ok",
        Higher,
        "1 when the summary has no factual error",
        NEVER,
    ),
    facts(
        "hallucination_rate",
        Lower,
        "1 when the summary names an object the scene does not support, or denies a salient one",
        NEVER,
    ),
    at_version(
        2,
        facts(
            "object_recall",
            Higher,
            "share of salient objects the summary names",
            NO_SALIENT,
        ),
    ),
    at_version(
        2,
        text(
            "fact_score",
            Higher,
            "1 less errors by facts that could be wrong, at least five; 0 for an invalid output",
            NEVER,
            fact_score,
        ),
    ),
    text(
        "chrf_pp",
        Higher,
        "chrF++ against the best reference",
        NO_REFERENCE,
        |l| overlap(l.chrf_pp),
    ),
    Metric {
        version: 2,
        unit: "fraction",
        range: (0.0, 1.0),
        absent: "only a comparison has it",
        ..cost(
            "collapse_rate",
            "fraction",
            "share of scenes whose fact_score fell by a quarter or more",
        )
    },
    // Facts, reported.
    at_version(
        2,
        facts(
            "object_precision",
            Higher,
            "share of named objects the scene supports",
            "the text mentions no object",
        ),
    ),
    facts(
        "count_accuracy",
        Higher,
        "share of stated numbers that fit the scene",
        NO_CLAIM,
    ),
    facts(
        "time_accuracy",
        Higher,
        "share of stated times that fit the scene",
        NO_CLAIM,
    ),
    facts(
        "order_accuracy",
        Higher,
        "share of stated sequences that fit the scene",
        NO_CLAIM,
    ),
    count(
        "slot_error_rate",
        "ratio",
        Lower,
        "factual errors by facts that could be wrong; order not counted",
    ),
    count(
        "accent_errors",
        "count",
        Lower,
        "objects named without their accents",
    ),
    count(
        "unverifiable",
        "count",
        Neither,
        "mentions that the detections cannot confirm or deny",
    ),
    count(
        "weak_unsupported",
        "count",
        Lower,
        "ambiguous words for objects the scene does not have",
    ),
    count(
        "unknown_labels",
        "count",
        Neither,
        "detections whose label the lexicon does not know",
    ),
    // Form, reported.
    text(
        "empty",
        Lower,
        "1 when the output has no letters",
        NEVER,
        |l| flag(l.form.is_empty),
    ),
    text(
        "encoding",
        Lower,
        "1 when a part of the output was no Unicode text",
        NEVER,
        |l| flag(l.form.is_broken_text),
    ),
    text(
        "too_long",
        Lower,
        "1 when the output is longer than 16 KiB",
        NEVER,
        |l| flag(l.form.is_too_long),
    ),
    at_version(
        2,
        text(
            "truncated",
            Lower,
            "1 when the output was cut",
            NEVER,
            |l| flag(l.form.is_truncated),
        ),
    ),
    at_version(
        2,
        text(
            "loop",
            Lower,
            "1 when the output repeats itself",
            NEVER,
            |l| flag(l.form.is_loop),
        ),
    ),
    text(
        "disorder",
        Lower,
        "1 when the words of the output stand in no order",
        NEVER,
        |l| flag(l.form.is_disordered),
    ),
    text(
        "echo",
        Lower,
        "1 when the output is JSON, fenced, or repeats keys of its input",
        NEVER,
        |l| flag(l.form.is_echo),
    ),
    text(
        "portuguese",
        Higher,
        "1 when the output is Portuguese",
        "fewer than six words",
        |l| {
            l.form
                .is_portuguese
                .map_or(Score::Absent("fewer than six words"), flag)
        },
    ),
    text(
        "contract",
        Lower,
        "1 when the output object breaks its contract",
        "the output is plain text",
        |l| {
            l.form
                .breaks_contract
                .map_or(Score::Absent("the output is plain text"), flag)
        },
    ),
    // Overlap, reported.
    text(
        "rouge1",
        Higher,
        "ROUGE-1 F1 against the best reference",
        NO_REFERENCE,
        |l| overlap(l.rouge.map(|rouge| rouge.rouge1.f1)),
    ),
    text(
        "rouge2",
        Higher,
        "ROUGE-2 F1 against the best reference",
        NO_REFERENCE,
        |l| overlap(l.rouge.map(|rouge| rouge.rouge2.f1)),
    ),
    text(
        "rougeL",
        Higher,
        "ROUGE-L F1 against the best reference",
        NO_REFERENCE,
        |l| overlap(l.rouge.map(|rouge| rouge.rouge_l.f1)),
    ),
    text(
        "rougeLsum",
        Higher,
        "ROUGE-Lsum F1 against the best reference",
        NO_REFERENCE,
        |l| overlap(l.rouge.map(|rouge| rouge.rouge_lsum.f1)),
    ),
    text(
        "chrf2",
        Higher,
        "chrF2 against the best reference",
        NO_REFERENCE,
        |l| overlap(l.chrf2),
    ),
    text(
        "bleu",
        Higher,
        "BLEU against all references",
        NO_REFERENCE,
        |l| overlap(l.bleu),
    ),
    // Details, reported.
    text(
        "keyword_f1",
        Higher,
        "F1 of the keywords against the scene's",
        "the scene or the output has no keywords of its own",
        keyword_f1,
    ),
    unbounded(text(
        "length_ratio",
        Neither,
        "characters by the mean of the references",
        NO_REFERENCE,
        |l| overlap(l.length_ratio),
    )),
    text(
        "distinct_1",
        Higher,
        "different words by words",
        "the output has no word",
        |l| {
            l.repetition
                .distinct_1
                .map_or(Score::Absent("the output has no word"), Score::Value)
        },
    ),
    text(
        "distinct_2",
        Higher,
        "different pairs of words by pairs",
        "fewer than two words",
        |l| {
            l.repetition
                .distinct_2
                .map_or(Score::Absent("fewer than two words"), Score::Value)
        },
    ),
    text(
        "rep_4",
        Lower,
        "share of runs of four words that repeat",
        "fewer than four words",
        |l| {
            l.repetition
                .rep_4
                .map_or(Score::Absent("fewer than four words"), Score::Value)
        },
    ),
    Metric {
        unit: "count",
        ..unbounded(text(
            "english_leak",
            Lower,
            "English object names",
            NEVER,
            |l| Score::Value(l.n_english as f64),
        ))
    },
    Metric {
        unit: "count",
        ..unbounded(text(
            "agreement_errors",
            Lower,
            "articles and numbers of another gender or number than their noun",
            NEVER,
            |l| Score::Value(l.order.n_agreement_errors() as f64),
        ))
    },
    // Likelihoods, reported.
    bits(
        "ref_bits_per_byte",
        Lower,
        "bits per byte of the references, mean over them",
    ),
    bits(
        "own_bits_per_byte",
        Neither,
        "bits per byte of the output under the model that wrote it",
    ),
    bits(
        "cross_bits_per_byte",
        Lower,
        "bits per byte of the output under the other model",
    ),
    distance(
        "kld_mean",
        Lower,
        "divergence of next-token distributions on the references, mean over tokens",
    ),
    distance(
        "kld_p99",
        Lower,
        "divergence of next-token distributions on the references, 99 % quantile",
    ),
    Metric {
        unit: "fraction",
        range: (0.0, 1.0),
        ..distance(
            "top1_agreement",
            Higher,
            "share of tokens of the references where both models find the same one most probable",
        )
    },
    // Costs.
    Metric {
        unit: "tokens",
        ..unbounded(text(
            "output_tokens",
            Lower,
            "tokens of the output without the stop token",
            "the tokens were not counted",
            |l| {
                let n = l.said.n_tokens;
                n.map_or(Score::Absent("the tokens were not counted"), |n| {
                    Score::Value(n as f64)
                })
            },
        ))
    },
    cost(
        "cpu_ms_per_token",
        "ms",
        "CPU time per decoded token, forced lane",
    ),
    cost(
        "wall_ms_per_token",
        "ms",
        "wall time per decoded token, forced lane",
    ),
    cost(
        "prefill_cpu_ms_per_token",
        "ms",
        "CPU time per prompt token, forced lane",
    ),
    // Version 2: of the scenes written alone, not of every scene.
    at_version(
        2,
        cost(
            "ttft_ms",
            "ms",
            "request accepted to first token chosen, natural lane, alone",
        ),
    ),
    at_version(
        2,
        cost(
            "tpot_ms",
            "ms",
            "time per token after the first, natural lane, alone",
        ),
    ),
    at_version(
        2,
        cost(
            "e2e_ms",
            "ms",
            "request accepted to text ready, natural lane, alone",
        ),
    ),
    cost("load_ms", "ms", "load request to ready, warm page cache"),
    cost("peak_bytes", "bytes", "peak resident memory of the worker"),
];

/// A share of a text.
const fn text(
    id: &'static str,
    better: Better,
    summary: &'static str,
    absent: &'static str,
    score: fn(&Looked<'_>) -> Score,
) -> Metric {
    Metric {
        id,
        version: 1,
        unit: "fraction",
        better,
        summary,
        range: (0.0, 1.0),
        absent,
        source: Source::Text(score),
    }
}

/// A share that the fact checker gives.
const fn facts(
    id: &'static str,
    better: Better,
    summary: &'static str,
    absent: &'static str,
) -> Metric {
    Metric {
        id,
        version: 1,
        unit: "fraction",
        better,
        summary,
        range: (0.0, 1.0),
        absent,
        source: Source::Facts,
    }
}

/// A number of the fact checker without an upper end.
const fn count(
    id: &'static str,
    unit: &'static str,
    better: Better,
    summary: &'static str,
) -> Metric {
    Metric {
        unit,
        range: (0.0, f64::INFINITY),
        ..facts(id, better, summary, NEVER)
    }
}

const fn unbounded(metric: Metric) -> Metric {
    Metric {
        unit: "ratio",
        range: (0.0, f64::INFINITY),
        ..metric
    }
}

const fn at_version(version: u32, metric: Metric) -> Metric {
    Metric { version, ..metric }
}

/// Bits per byte of a text that was read.
const fn bits(id: &'static str, better: Better, summary: &'static str) -> Metric {
    Metric {
        unit: "bits/byte",
        better,
        absent: "the scene was not read, or the text is empty",
        ..cost(id, "bits/byte", summary)
    }
}

/// How far two models are from each other.
const fn distance(id: &'static str, better: Better, summary: &'static str) -> Metric {
    Metric {
        better,
        absent: "only a comparison of models with the same tokenizer has it",
        ..cost(id, "nats", summary)
    }
}

const fn cost(id: &'static str, unit: &'static str, summary: &'static str) -> Metric {
    Metric {
        id,
        version: 1,
        unit,
        better: Lower,
        summary,
        range: (0.0, f64::INFINITY),
        absent: "the pass that measures it did not run",
        source: Source::Record,
    }
}

fn flag(is_set: bool) -> Score {
    Score::Value(f64::from(u8::from(is_set)))
}

fn overlap(score: Option<f64>) -> Score {
    score.map_or(Score::Absent(NO_REFERENCE), Score::Value)
}

/// The fact score, 0 where the form is invalid: a text that fell apart earns nothing.
fn fact_score(looked: &Looked<'_>) -> Score {
    let mut facts = looked.facts.iter();
    match facts.find(|(id, _)| *id == "fact_score") {
        Some((_, score)) if looked.form.is_valid() => score.clone(),
        _ => Score::Value(0.0),
    }
}

fn keyword_f1(looked: &Looked<'_>) -> Score {
    match looked.keyword_f1 {
        Some(score) => Score::Value(score),
        None if looked.scene.keywords.is_empty() => Score::Absent("the scene has no keywords"),
        None => Score::Absent("the output's keywords were derived"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_ids_are_unique() {
        let mut ids: Vec<_> = METRICS.iter().map(|metric| metric.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), METRICS.len());
    }

    #[test]
    fn ranges_are_ranges_and_fractions_lie_between_0_and_1() {
        for metric in METRICS {
            let (low, high) = metric.range;
            assert!(low < high, "{}", metric.id);
            assert_eq!(metric.unit == "fraction", high <= 1.0, "{}", metric.id);
        }
    }

    #[test]
    fn values_out_of_range_are_faults() {
        let metric = super::super::find("fact_ok").unwrap();
        assert_eq!(metric.fault(1.0), None);
        assert_eq!(metric.fault(1.1), Some("out of range"));
        assert_eq!(metric.fault(f64::NAN), Some("not a finite number"));
    }
}
