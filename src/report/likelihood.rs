//! What both models make of given texts, in words.

use crate::gate::likelihood_file::{BothFile, FidelityFile, LikelihoodsFile, MeanFile};

/// From this ratio on the candidate's outputs are remarked upon: the baseline finds them that much
/// less likely than its own. A loose flag, for errors of grammar and spelling that nothing else
/// sees.
const REMARKABLE: f64 = 1.5;

/// Lines for the part on trust: likelihoods, then distances.
pub(super) fn lines(file: &LikelihoodsFile) -> Vec<String> {
    let bits: Vec<String> = [references(file), outputs(file)]
        .into_iter()
        .flatten()
        .collect();
    let bits = (!bits.is_empty()).then(|| format!("bits per byte: {}", bits.join(" · ")));
    let distance = match (&file.fidelity, &file.absent) {
        (Some(fidelity), _) => Some(distance(fidelity)),
        (None, Some(reason)) => Some(format!("next tokens not compared: {reason}")),
        (None, None) => None,
    };
    bits.into_iter().chain(distance).collect()
}

fn references(file: &LikelihoodsFile) -> Option<String> {
    let BothFile {
        n_texts,
        baseline_bits_per_byte: base,
        candidate_bits_per_byte: cand,
    } = file.references.as_ref()?;
    Some(format!(
        "{n_texts} references {base:.3} under the baseline, {cand:.3} under the candidate"
    ))
}

fn outputs(file: &LikelihoodsFile) -> Option<String> {
    let (base, cand) = (
        file.baseline_outputs.as_ref()?,
        file.candidate_outputs.as_ref()?,
    );
    let (own, cross) = (base.baseline_bits_per_byte, cand.baseline_bits_per_byte);
    let remark = if cross > REMARKABLE * own {
        ", remarkably more: read some"
    } else {
        ""
    };
    Some(format!(
        "the candidate's outputs {cross:.3} under the baseline, its own {own:.3}{remark}"
    ))
}

fn distance(fidelity: &FidelityFile) -> String {
    let MeanFile {
        mean,
        standard_error,
    } = &fidelity.divergence;
    let error = standard_error.map_or(String::new(), |error| format!(" ± {}", nats(error)));
    let p99 = fidelity
        .divergence_quantiles
        .as_ref()
        .map_or(String::new(), |quantiles| {
            format!(", p99 {}", nats(quantiles.p99))
        });
    format!(
        "next tokens of the references: divergence {}{error} nats{p99}, same first choice on {:.1} \
         % of {} tokens",
        nats(*mean),
        100.0 * fidelity.same_first.mean,
        fidelity.n_tokens,
    )
}

/// Three digits: `0.0412`, `4.1e-5`; exactly zero is `0`.
fn nats(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 1e-3 {
        format!("{value:.1e}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(base: f64, cand: f64) -> Option<BothFile> {
        Some(BothFile {
            n_texts: 8,
            baseline_bits_per_byte: base,
            candidate_bits_per_byte: cand,
        })
    }

    fn file(cross: f64) -> LikelihoodsFile {
        LikelihoodsFile {
            n_scenes: 4,
            references: both(0.5, 0.25),
            baseline_outputs: both(0.2, 0.4),
            candidate_outputs: both(cross, 0.1),
            fidelity: Some(FidelityFile {
                n_tokens: 99,
                divergence: MeanFile {
                    mean: 0.041_23,
                    standard_error: Some(2.34e-5),
                },
                divergence_max: 1.0,
                divergence_quantiles: None,
                same_first: MeanFile {
                    mean: 0.931,
                    standard_error: None,
                },
                rms_probability_change: 0.1,
            }),
            absent: None,
        }
    }

    #[test]
    fn both_lines_say_what_they_speak_of() {
        assert_eq!(
            lines(&file(0.3)),
            [
                "bits per byte: 8 references 0.500 under the baseline, 0.250 under the candidate · \
                 the candidate's outputs 0.300 under the baseline, its own 0.200",
                "next tokens of the references: divergence 0.041 ± 2.3e-5 nats, same first choice \
                 on 93.1 % of 99 tokens",
            ]
        );
    }

    #[test]
    fn outputs_that_the_baseline_finds_odd_are_remarked_upon() {
        let lines = lines(&file(0.31));
        assert!(
            lines[0].ends_with("its own 0.200, remarkably more: read some"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_missing_distance_has_its_reason_and_equal_models_none_at_all() {
        let absent = LikelihoodsFile {
            fidelity: None,
            absent: Some("the tokenizers differ".to_owned()),
            references: None,
            ..file(0.3)
        };
        let found = lines(&absent);
        assert!(
            found[0].starts_with("bits per byte: the candidate's"),
            "{found:?}"
        );
        assert_eq!(found[1], "next tokens not compared: the tokenizers differ");
        assert_eq!(nats(0.0), "0");
    }
}
