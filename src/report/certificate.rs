//! What a report says of its own error rates, of sentinels and of slices: at most four lines.

use super::wording;
use crate::gate::certificate::{Certificate, CheckPower};
use crate::gate::file::ReportFile;
use crate::gate::policy::Margin;

/// Lines for "can this be trusted?".
pub(super) fn lines(file: &ReportFile) -> Vec<String> {
    let certificate = file.certificate.as_ref();
    [
        certificate.map(error_rates),
        certificate.map(|found| detectable(found, file)),
        sentinels(file),
        slices(file),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// `this gate on this data, 2000 times: equal models fail 0 % (at most 0.15 %) …`.
fn error_rates(certificate: &Certificate) -> String {
    let equal = match &certificate.equal {
        Some(equal) => format!(
            "equal models fail {} (at most {}) and pass {}",
            percent(equal.fail),
            percent(equal.fail_at_most),
            percent(equal.pass)
        ),
        None => "equal models could not be tried".to_owned(),
    };
    let unexercised = if certificate.scenes_exercised {
        ""
    } else {
        ", scores not exercised because none differs"
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
        format!(
            "; with a loss at the margin a check passes at most {} ({metric})",
            percent(pass)
        )
    });
    format!(
        "this gate on this data, {} times: {equal}{unexercised}{worst}",
        certificate.replicates
    )
}

/// `detectable loss: object_recall 3.9 pt, cpu_ms_per_token 1.1 % · what is rarer than …`.
fn detectable(certificate: &Certificate, file: &ReportFile) -> String {
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
            Some(format!("{} {loss:.1} {unit}", check.metric))
        })
        .collect();
    let losses = if losses.is_empty() {
        wording::NOT_AVAILABLE.to_owned()
    } else {
        losses.join(", ")
    };
    let unseen = certificate.unseen_share.map_or(String::new(), |share| {
        format!(
            " · scenes of a kind rarer than {} may all be missing here",
            percent(share)
        )
    });
    format!("detectable loss: {losses}{unseen}")
}

fn sentinels(file: &ReportFile) -> Option<String> {
    let found = file.verdict.sentinels.as_ref()?;
    let exempt = match found.exempt.as_slice() {
        [] => String::new(),
        ids => format!(", let off: {}", ids.join(", ")),
    };
    Some(format!(
        "{} of {} held{exempt}",
        found.n_held,
        wording::count(found.n, "sentinel")
    ))
}

fn slices(file: &ReportFile) -> Option<String> {
    let found = &file.verdict.slices;
    if found.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = found.iter().map(|it| it.slice.as_str()).collect();
    names.dedup();
    let vetoes = found.iter().filter(|it| it.vetoes);
    let vetoes: Vec<String> = vetoes
        .map(|it| format!("{} by {}", it.slice, it.metric))
        .collect();
    let said = if vetoes.is_empty() {
        "none vetoes".to_owned()
    } else {
        format!("vetoed: {}", vetoes.join(", "))
    };
    Some(format!("slices {}: {said}", names.join(", ")))
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
        let lines = lines(&file);
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
    }

    #[test]
    fn shares_have_no_needless_digits() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.0015), "0.15 %");
        assert_eq!(percent(0.5), "50 %");
    }
}
