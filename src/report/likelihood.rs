//! What both models make of given texts, in words.

use super::wording::{Lang, Noun};
use crate::gate::likelihood_file::{BothFile, FidelityFile, LikelihoodsFile, MeanFile};

/// From this ratio on the candidate's outputs are remarked upon: the baseline finds them that much
/// less likely than its own. A loose flag, for errors of grammar and spelling that nothing else
/// sees.
const REMARKABLE: f64 = 1.5;

/// Lines for the part on trust: likelihoods, then distances.
pub(super) fn lines(lang: Lang, file: &LikelihoodsFile) -> Vec<String> {
    let bits: Vec<String> = [references(lang, file), outputs(lang, file)]
        .into_iter()
        .flatten()
        .collect();
    let begin = lang.pick("bits per byte", "bits por byte");
    let bits = (!bits.is_empty()).then(|| format!("{begin}: {}", bits.join(" · ")));
    let distance = match (&file.fidelity, &file.absent) {
        (Some(fidelity), _) => Some(distance(lang, fidelity)),
        (None, Some(reason)) => {
            let begin = lang.pick("next tokens not compared", "próximos tokens não comparados");
            Some(format!("{begin}: {}", lang.sentence(reason)))
        }
        (None, None) => None,
    };
    bits.into_iter().chain(distance).collect()
}

fn references(lang: Lang, file: &LikelihoodsFile) -> Option<String> {
    let BothFile {
        n_texts,
        baseline_bits_per_byte,
        candidate_bits_per_byte,
    } = file.references.as_ref()?;
    let [base, cand] =
        [baseline_bits_per_byte, candidate_bits_per_byte].map(|bits| shown(lang, *bits));
    let n = lang.count(*n_texts, Noun::Reference);
    Some(match lang {
        Lang::En => format!("{n} {base} under the baseline, {cand} under the candidate"),
        Lang::PtBr => format!("{n} {base} sob o modelo atual, {cand} sob o candidato"),
    })
}

fn outputs(lang: Lang, file: &LikelihoodsFile) -> Option<String> {
    let (base, cand) = (
        file.baseline_outputs.as_ref()?,
        file.candidate_outputs.as_ref()?,
    );
    let (own, cross) = (base.baseline_bits_per_byte, cand.baseline_bits_per_byte);
    let remark = if cross > REMARKABLE * own {
        lang.pick(
            ", remarkably more: read some",
            ", bem mais do que o normal: leia algumas",
        )
    } else {
        ""
    };
    let [own, cross] = [own, cross].map(|bits| shown(lang, bits));
    Some(match lang {
        Lang::En => {
            format!("the candidate's outputs {cross} under the baseline, its own {own}{remark}")
        }
        Lang::PtBr => {
            format!("as saídas do candidato {cross} sob o modelo atual, as dele {own}{remark}")
        }
    })
}

fn distance(lang: Lang, fidelity: &FidelityFile) -> String {
    let MeanFile {
        mean,
        standard_error,
    } = &fidelity.divergence;
    let nats = |value| lang.number(&nats(value));
    let error = standard_error.map_or(String::new(), |error| format!(" ± {}", nats(error)));
    let p99 = fidelity
        .divergence_quantiles
        .as_ref()
        .map_or(String::new(), |quantiles| {
            format!(", p99 {}", nats(quantiles.p99))
        });
    let mean = nats(*mean);
    let same = lang.number(&format!("{:.1}", 100.0 * fidelity.same_first.mean));
    let n = fidelity.n_tokens;
    match lang {
        Lang::En => format!(
            "next tokens of the references: divergence {mean}{error} nats{p99}, same first choice \
             on {same} % of {n} tokens"
        ),
        Lang::PtBr => format!(
            "próximos tokens das referências: divergência {mean}{error} nats{p99}, mesma primeira \
             escolha em {same} % de {n} tokens"
        ),
    }
}

/// Bits per byte: `0.412`.
fn shown(lang: Lang, bits: f64) -> String {
    lang.number(&format!("{bits:.3}"))
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

    fn both(base: f64, cand: f64) -> BothFile {
        BothFile {
            n_texts: 8,
            baseline_bits_per_byte: base,
            candidate_bits_per_byte: cand,
        }
    }

    fn file(cross: f64) -> LikelihoodsFile {
        LikelihoodsFile {
            n_scenes: 4,
            references: Some(both(0.5, 0.25)),
            baseline_outputs: Some(both(0.2, 0.4)),
            candidate_outputs: Some(both(cross, 0.1)),
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
            lines(Lang::En, &file(0.3)),
            [
                "bits per byte: 8 references 0.500 under the baseline, 0.250 under the candidate · \
                 the candidate's outputs 0.300 under the baseline, its own 0.200",
                "next tokens of the references: divergence 0.041 ± 2.3e-5 nats, same first choice \
                 on 93.1 % of 99 tokens",
            ]
        );
    }

    #[test]
    fn they_say_the_same_in_portuguese() {
        assert_eq!(
            lines(Lang::PtBr, &file(0.31)),
            [
                "bits por byte: 8 referências 0,500 sob o modelo atual, 0,250 sob o candidato · as \
                 saídas do candidato 0,310 sob o modelo atual, as dele 0,200, bem mais do que o \
                 normal: leia algumas",
                "próximos tokens das referências: divergência 0,041 ± 2,3e-5 nats, mesma primeira \
                 escolha em 93,1 % de 99 tokens",
            ]
        );
    }

    #[test]
    fn outputs_that_the_baseline_finds_odd_are_remarked_upon() {
        let lines = lines(Lang::En, &file(0.31));
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
        let found = lines(Lang::En, &absent);
        assert!(
            found[0].starts_with("bits per byte: the candidate's"),
            "{found:?}"
        );
        assert_eq!(found[1], "next tokens not compared: the tokenizers differ");
        assert_eq!(nats(0.0), "0");
    }
}
