//! What a report says of its own error rates, of sentinels and of slices: at most four lines.

use super::wording::{Lang, NOT_AVAILABLE, Noun};
use crate::gate::certificate::{Certificate, CheckPower};
use crate::gate::file::ReportFile;
use crate::gate::policy::Margin;

/// Lines for "can this be trusted?".
pub(super) fn lines(lang: Lang, file: &ReportFile) -> Vec<String> {
    let certificate = file.certificate.as_ref();
    [
        certificate.map(|found| error_rates(lang, found)),
        certificate.map(|found| detectable(lang, found, file)),
        sentinels(lang, file),
        slices(lang, file),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn percent(lang: Lang, share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    lang.number(&format!("{text} %"))
}

/// `this gate on this data, 2000 times: equal models fail 0 % (at most 0.15 %) …`.
fn error_rates(lang: Lang, certificate: &Certificate) -> String {
    let percent = |share| percent(lang, share);
    let equal = match &certificate.equal {
        Some(equal) => lang
            .pick(
                "equal models fail {fail} (at most {most}) and pass {pass}",
                "modelos iguais reprovam em {fail} (no máximo {most}) e passam em {pass}",
            )
            .replace("{fail}", &percent(equal.fail))
            .replace("{most}", &percent(equal.fail_at_most))
            .replace("{pass}", &percent(equal.pass)),
        None => lang
            .pick(
                "equal models could not be tried",
                "não foi possível experimentar modelos iguais",
            )
            .to_owned(),
    };
    let unexercised = if certificate.scenes_exercised {
        ""
    } else {
        lang.pick(
            ", scores not exercised because none differs",
            ", notas não exercitadas porque nenhuma difere",
        )
    };
    let at = |check: &CheckPower, margins: f64| {
        let found = check
            .at
            .iter()
            .find(|at| (at.margins - margins).abs() < 1e-9);
        found.copied()
    };
    let worst = certificate
        .checks
        .iter()
        .filter_map(|check| Some((&check.metric, at(check, 1.0)?.pass)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let worst = worst.map_or(String::new(), |(metric, pass)| {
        lang.pick(
            "; with a loss at the margin a check passes at most {pass} ({metric})",
            "; com uma perda igual à margem, uma verificação passa em no máximo {pass} ({metric})",
        )
        .replace("{pass}", &percent(pass))
        .replace("{metric}", metric)
    });
    let begin = lang.pick(
        "this gate on this data, {} times",
        "este portão com estes dados, {} vezes",
    );
    let begin = begin.replace("{}", &certificate.replicates.to_string());
    format!("{begin}: {equal}{unexercised}{worst}")
}

/// `detectable loss: object_recall 3.9 pt, cpu_ms_per_token 1.1 % · what is rarer than …`.
fn detectable(lang: Lang, certificate: &Certificate, file: &ReportFile) -> String {
    let is_ratio = |metric: &str| {
        let check = file.policy.checks.iter().find(|it| it.metric == metric);
        check.is_some_and(|it| matches!(it.margin, Some(Margin::Relative(_))))
    };
    let losses: Vec<String> = certificate
        .checks
        .iter()
        .filter_map(|check| {
            let loss = 100.0 * check.detectable?;
            let unit = if is_ratio(&check.metric) { "%" } else { "pt" };
            Some(format!(
                "{} {}",
                check.metric,
                lang.number(&format!("{loss:.1} {unit}"))
            ))
        })
        .collect();
    let losses = if losses.is_empty() {
        NOT_AVAILABLE.to_owned()
    } else {
        losses.join(", ")
    };
    let unseen = certificate.unseen_share.map_or(String::new(), |share| {
        lang.pick(
            " · scenes of a kind rarer than {} may all be missing here",
            " · cenas de um tipo mais raro que {} podem faltar todas aqui",
        )
        .replace("{}", &percent(lang, share))
    });
    let begin = lang.pick("detectable loss", "perda detectável");
    format!("{begin}: {losses}{unseen}")
}

fn sentinels(lang: Lang, file: &ReportFile) -> Option<String> {
    let found = file.verdict.sentinels.as_ref()?;
    let exempt = match found.exempt.as_slice() {
        [] => String::new(),
        ids => format!(
            "{}: {}",
            lang.pick(", let off", ", dispensadas"),
            ids.join(", ")
        ),
    };
    let of = lang.count(found.n, Noun::Sentinel);
    let held = lang.pick("{} of {of} held", "{} de {of} aprovadas");
    let held = held
        .replace("{}", &found.n_held.to_string())
        .replace("{of}", &of);
    Some(format!("{held}{exempt}"))
}

fn slices(lang: Lang, file: &ReportFile) -> Option<String> {
    let found = &file.verdict.slices;
    if found.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = found.iter().map(|it| it.slice.as_str()).collect();
    names.dedup();
    let vetoes: Vec<String> = found
        .iter()
        .filter(|it| it.vetoes)
        .map(|it| format!("{} {} {}", it.slice, lang.pick("by", "por"), it.metric))
        .collect();
    let said = if vetoes.is_empty() {
        lang.pick("none vetoes", "nenhuma veta").to_owned()
    } else {
        format!("{}: {}", lang.pick("vetoed", "vetadas"), vetoes.join(", "))
    };
    let begin = lang.pick("slices", "recortes");
    Some(format!("{begin} {}: {said}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{compare_edited, set_scores, tags};
    use crate::gate::policy::SlicePolicy;
    use crate::gate::{JudgeOptions, Policy, judge};

    #[test]
    fn error_rates_and_slices_are_told() {
        let mut policy = Policy::built_in();
        policy.slices.push(SlicePolicy {
            name: "night".into(),
            min_scenes: 20,
        });
        let comparison = compare_edited(|_, cand| {
            set_scores(cand, "object_recall", |i| {
                0.8 + 0.05 * ((i % 3) as f64 - 1.0)
            });
        });
        let comparison = comparison.unwrap().with_tags(tags());
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        let certificate = Certificate::of(&comparison, &policy, 40);
        let file =
            ReportFile::of_comparison(&comparison, &policy, &verdict).with_certificate(certificate);
        let portuguese = lines(Lang::PtBr, &file);
        let lines = lines(Lang::En, &file);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].starts_with("this gate on this data, 40 times: equal models fail 0 %"));
        assert!(lines[0].contains("with a loss at the margin a check passes at most"));
        assert!(
            lines[1].starts_with("detectable loss: object_recall"),
            "{}",
            lines[1]
        );
        assert!(lines[1].contains("cpu_ms_per_token") && lines[1].contains("4.87 %"));
        assert_eq!(lines[2], "slices night: none vetoes");
        assert!(portuguese[0].starts_with("este portão com estes dados, 40 vezes: modelos iguais"));
        assert!(portuguese[1].contains("cpu_ms_per_token") && portuguese[1].contains("4,87 %"));
        assert_eq!(portuguese[2], "recortes night: nenhuma veta");
    }

    #[test]
    fn shares_have_no_needless_digits() {
        assert_eq!(percent(Lang::En, 0.0), "0 %");
        assert_eq!(percent(Lang::En, 0.0015), "0.15 %");
        assert_eq!(percent(Lang::En, 0.5), "50 %");
    }
}
