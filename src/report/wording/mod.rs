//! All text for readers, in English and in Brazilian Portuguese.
//!
//! A language is one [`Words`]: a text that is missing in one does not compile. Sentences of the
//! gate are stored in English and put into another language by `sentences`. Keys, ids, codes and
//! digests are the same in every language.

mod english;
mod portuguese;
mod sentences;

use crate::gate::Outcome;
use crate::gate::policy::{Confidence, Origin};
use crate::gate::words::level;
use crate::report::escape;

/// A language of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Brazilian Portuguese, with decimal commas.
    PtBr,
}

/// Stands for a number that does not exist.
pub const NOT_AVAILABLE: &str = "n/a";
/// Outcome of a check that does not decide.
pub const NO_OUTCOME: &str = "–";

/// A number of things in English, in the singular where there is one; see [`Lang::count`] for both
/// languages.
pub fn count(n: usize, unit: &str) -> String {
    if n == 1 {
        format!("1 {unit}")
    } else {
        format!("{n} {unit}s")
    }
}

/// The texts of one language.
pub struct Words {
    /// Title of the reasons.
    pub why: &'static str,
    /// Title of the table.
    pub checks: &'static str,
    /// Title of the worst scenes.
    pub look_first: &'static str,
    /// Title of the changes by slice.
    pub slices: &'static str,
    /// Title of times and memory.
    pub costs: &'static str,
    /// Title of what the verdict rests on.
    pub trust: &'static str,
    /// Title of the digests.
    pub tested: &'static str,
    /// Title of the explanation.
    pub how_to_read: &'static str,
    /// Title of what a failed worker last wrote.
    pub last_words: &'static str,
    /// Allowance of a check that does not decide.
    pub watched: &'static str,
    /// Stands for a text that was never produced.
    pub no_text: &'static str,
    /// Opens the list of changes without bounds.
    pub no_interval: &'static str,
    /// Opens the list of checks without a number.
    pub no_value: &'static str,
    /// The sentence under a verdict that may not be acted on.
    pub does_not_count: &'static str,
    /// The one reason of a pass.
    pub all_within: &'static str,
    /// The model now pinned.
    pub baseline: &'static str,
    /// The model proposed.
    pub candidate: &'static str,
    /// Titles of the table's columns; `{}` stands for the level of the bounds.
    pub columns: [&'static str; 7],
    /// Titles of the table of slices; `{}` as above.
    pub slice_columns: [&'static str; 7],
    /// What the last of them holds.
    pub slice_note: &'static str,
    /// Titles of the table of times and memory.
    pub cost_columns: [&'static str; 4],
    /// What its cells hold.
    pub cost_note: &'static str,
    /// Words of the outcomes of a verdict: pass, inconclusive, fail, invalid.
    pub outcomes: [&'static str; 4],
    /// Words of the outcomes of a check, in the same order.
    pub check_outcomes: [&'static str; 4],
    /// What an outcome means for the promotion, in the same order.
    pub consequences: [&'static str; 4],
    /// `exit` before a code.
    pub exit: &'static str,
    /// What stands before `at least`, where no loss is allowed.
    pub no_loss: &'static str,
    /// The outcomes and bounds explained; `{}` of the first stands for the error rate in percent.
    pub explanation: [&'static str; 6],
    /// Title of a scene's references.
    pub references: &'static str,
    /// Title of a scene's detections.
    pub detections: &'static str,
    /// Nothing was detected.
    pub none: &'static str,
    /// Words only the baseline wrote, words only the candidate wrote: the key of a word diff.
    pub diff_key: [&'static str; 2],
    /// Link that leads past the navigation.
    pub skip: &'static str,
    /// Name of the navigation.
    pub contents: &'static str,
    /// Title of the figures behind a plot.
    pub figures: &'static str,
    /// What an element with a scroll bar holds.
    pub scroll: &'static str,
    /// How to make the report again.
    pub again: &'static str,
    /// Where the rest is, after a cut.
    pub rest: &'static str,
    /// Titles and captions of the plots.
    pub plots: PlotWords,
    /// Titles of the list of runs.
    pub history: HistoryWords,
}

/// Texts of the plots.
pub struct PlotWords {
    /// Title and caption of the intervals against their allowances.
    pub intervals: [&'static str; 2],
    /// Labels of its axis: better, no change, allowed.
    pub axis: [&'static str; 3],
    /// Title and caption of the differences scene by scene.
    pub differences: [&'static str; 2],
    /// Title and caption of the distributions of times.
    pub times: [&'static str; 2],
    /// Title and caption of the ratios by launch.
    pub launches: [&'static str; 2],
    /// Title and caption of memory.
    pub memory: [&'static str; 2],
    /// Title and caption of the slices.
    pub slices: [&'static str; 2],
    /// Phases of memory: load, peak, anonymous at the end, file-backed at the end.
    pub phases: [&'static str; 4],
    /// Scenes in which the candidate is better, equal, worse.
    pub signs: [&'static str; 3],
    /// Columns of a distribution: metric, role, n, smallest, median, largest.
    pub quantiles: [&'static str; 6],
}

/// Texts of `history`.
pub struct HistoryWords {
    /// Title.
    pub title: &'static str,
    /// Titles of the columns: time, verdict, from, to, scenes, folder.
    pub columns: [&'static str; 6],
    /// Title of the trends.
    pub trends: &'static str,
    /// Columns of a trend: metric, values, last, lowest, highest.
    pub trend_columns: [&'static str; 5],
    /// No report was found.
    pub nothing: &'static str,
    /// Files that could not be read.
    pub unreadable: &'static str,
    /// What stands before the times of the runs at which the level changes.
    pub change: &'static str,
    /// Caption of a trend plot.
    pub caption: &'static str,
}

impl Lang {
    /// The texts of the language.
    pub fn words(self) -> &'static Words {
        match self {
            Self::En => &english::WORDS,
            Self::PtBr => &portuguese::WORDS,
        }
    }

    /// The language's tag, as HTML and XML write it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::PtBr => "pt-BR",
        }
    }

    /// Mark and word of an outcome; colour is never the only signal.
    pub fn outcome(self, outcome: Outcome) -> (&'static str, &'static str) {
        let mark = match outcome {
            Outcome::Pass => "✓",
            Outcome::Fail => "✗",
            Outcome::Inconclusive => "?",
            Outcome::Invalid => "!",
        };
        (mark, self.words().outcomes[place(outcome)])
    }

    /// Outcome of one check in the table: what stops a promotion stands in capitals.
    pub fn check_outcome(self, outcome: Outcome) -> &'static str {
        self.words().check_outcomes[place(outcome)]
    }

    /// What the outcome means for the promotion.
    pub fn consequence(self, outcome: Outcome) -> &'static str {
        self.words().consequences[place(outcome)]
    }

    /// Titles of the table's columns; `alpha` is the error rate of each bound.
    pub fn columns(self, alpha: f64) -> [String; 7] {
        self.words()
            .columns
            .map(|title| self.at_level(title, alpha))
    }

    /// Titles of the table of slices.
    pub fn slice_columns(self, alpha: f64) -> [String; 7] {
        let titles = self.words().slice_columns;
        titles.map(|title| self.at_level(title, alpha))
    }

    fn at_level(self, title: &str, alpha: f64) -> String {
        title.replace("{}", &self.number(&level(alpha)))
    }

    /// A number of things, in the singular where there is one.
    pub fn count(self, n: usize, noun: Noun) -> String {
        let [one, many] = match self {
            Self::En => english::noun(noun),
            Self::PtBr => portuguese::noun(noun),
        };
        format!("{n} {}", if n == 1 { one } else { many })
    }

    /// What a check's `n` counts: `scenes`, `launches`, `runs`.
    pub fn unit(self, unit: &str) -> String {
        match self {
            Self::En => unit.to_owned(),
            Self::PtBr => sentences::word(unit).unwrap_or(unit).to_owned(),
        }
    }

    /// A formatted number with the decimal mark of the language; versions keep their points.
    pub fn number(self, text: &str) -> String {
        match self {
            Self::En => text.to_owned(),
            Self::PtBr => sentences::decimal_commas(text),
        }
    }

    /// A sentence of the gate, or a note of a metric, in this language.
    ///
    /// One that is not known stays as it is: it is better read in English than not at all.
    pub fn sentence(self, text: &str) -> String {
        match self {
            Self::En => text.to_owned(),
            Self::PtBr => sentences::portuguese(text).unwrap_or_else(|| text.to_owned()),
        }
    }

    /// What kind of fault a note tells of: `invented object`, `wrong time`; `None` for a new one.
    pub fn cause(self, note: &str) -> Option<&'static str> {
        let cause = Cause::of(note)?;
        Some(match self {
            Self::En => english::cause(cause),
            Self::PtBr => portuguese::cause(cause),
        })
    }

    /// Share of memory on huge pages in the workers of a role, e.g. `baseline 96–97 %`.
    ///
    /// * `shares`: one per worker, in [0, 1]; `None` where the system did not say
    pub fn huge_pages(self, role: &str, shares: impl Iterator<Item = Option<f64>>) -> String {
        let shares: Option<Vec<f64>> = shares.collect();
        let percent = |share: f64| format!("{:.0}", 100.0 * share);
        let least = |a: f64, b: f64| a.min(b);
        let ends = shares.as_deref().and_then(|shares| {
            let low = shares.iter().copied().reduce(least)?;
            let high = shares.iter().copied().reduce(f64::max)?;
            Some((percent(low), percent(high)))
        });
        match ends {
            None => format!("{role} {}", self.pick("unknown", "desconhecido")),
            Some((low, high)) if low == high => format!("{role} {low} %"),
            Some((low, high)) => format!("{role} {low}–{high} %"),
        }
    }

    /// At most `most` characters; a longer text ends with its true length, in this language.
    pub fn cut(self, text: &str, most: usize) -> String {
        let cut = escape::cut(text, most);
        match (self, cut.strip_suffix("characters)")) {
            (Self::PtBr, Some(head)) if cut.len() != text.len() => format!("{head}caracteres)"),
            _ => cut,
        }
    }

    /// One of two texts, for short words that stand in one place only.
    pub(super) fn pick<'a>(self, en: &'a str, pt_br: &'a str) -> &'a str {
        match self {
            Self::En => en,
            Self::PtBr => pt_br,
        }
    }

    /// How many scenes lost something, beyond those shown.
    pub fn more_scenes(self, n: usize) -> String {
        match self {
            Self::En => format!("… {} lost something", self.count(n, Noun::MoreScene)),
            Self::PtBr if n == 1 => "… mais 1 cena perdeu algo".to_owned(),
            Self::PtBr => format!("… mais {n} cenas perderam algo"),
        }
    }

    /// How many lines were left out.
    pub fn more(self, n: usize) -> String {
        self.pick("… {} more", "… mais {}")
            .replace("{}", &n.to_string())
    }

    /// Scenes whose `metric` flipped, in both directions.
    pub fn flips(self, metric: &str, n_lost: usize, n_won: usize) -> String {
        match self {
            Self::En => format!("{metric}: {n_lost} ok → bad, {n_won} bad → ok"),
            Self::PtBr => format!("{metric}: {n_lost} certas → erradas, {n_won} erradas → certas"),
        }
    }

    /// What is said of a pull request that leaves the manifest alone.
    ///
    /// * `manifest`: its path, without back-ticks; `base`: the commit it was compared with
    pub fn nothing_to_judge(self, manifest: &str, base: &str) -> String {
        let (_, word) = self.outcome(Outcome::Pass);
        match self {
            Self::En => format!(
                "**{word}** · nothing to judge: `{manifest}` is the same as at the base {base}"
            ),
            Self::PtBr => {
                format!("**{word}** · nada a julgar: `{manifest}` é o mesmo que na base {base}")
            }
        }
    }

    /// What is said of a pull request that could not be judged; the cause follows it.
    ///
    /// * `is_bug`: whether the program itself is to blame; `exit`: the code it ends with
    pub fn not_judged(self, is_bug: bool, exit: u8) -> String {
        let word = if is_bug {
            self.pick("INTERNAL ERROR", "ERRO INTERNO")
        } else {
            self.outcome(Outcome::Invalid).1
        };
        let text = self.pick(
            "this pull request could not be judged, so it must not be merged",
            "este pull request não pôde ser julgado, por isso não deve ser integrado",
        );
        format!("**{word}** · {text} ({} {exit})", self.words().exit)
    }

    /// Where the policy came from.
    pub fn origin(self, origin: &Origin) -> String {
        match origin {
            Origin::BuiltIn => self.pick("built-in policy", "política embutida").to_owned(),
            Origin::File(path) => format!("{} {path}", self.pick("policy", "política")),
        }
    }

    /// The error rates the verdict was made at.
    pub fn error_rates(self, confidence: Confidence) -> String {
        let [pass, fail] = [confidence.false_pass, confidence.false_fail]
            .map(|rate| self.number(&level(1.0 - rate)));
        match self {
            Self::En => {
                format!("at most {pass} % false passes per check, {fail} % false fails in all")
            }
            Self::PtBr => format!(
                "no máximo {pass} % de aprovações falsas por verificação e {fail} % de \
                 reprovações falsas ao todo"
            ),
        }
    }

    /// Equal ternary layers in both roles.
    ///
    /// * `containers`: of the baseline and of the candidate, where they differ
    pub fn same_layers(self, digest: &str, containers: Option<&(String, String)>) -> String {
        match (self, containers) {
            (Self::En, Some((base, cand))) => format!(
                "same weights, other container: {base} and {cand} hold the same ternary layers, \
                 {digest}"
            ),
            (Self::En, None) => format!("same ternary layers in both roles, {digest}"),
            (Self::PtBr, Some((base, cand))) => format!(
                "mesmos pesos, outro contêiner: {base} e {cand} têm as mesmas camadas ternárias, \
                 {digest}"
            ),
            (Self::PtBr, None) => format!("as mesmas camadas ternárias nos dois modelos, {digest}"),
        }
    }

    /// Whether digests were promised by a manifest.
    pub fn pinned(self, is_pinned: bool) -> &'static str {
        match (self, is_pinned) {
            (Self::En, true) => "pinned",
            (Self::En, false) => "unpinned",
            (Self::PtBr, true) => "fixado",
            (Self::PtBr, false) => "não fixado",
        }
    }

    /// What the bounds and the outcomes claim; the sentence on bounds comes first.
    pub fn how_to_read(self, alpha: f64) -> Vec<String> {
        let rate = self.number(&level(1.0 - alpha));
        let lines = self.words().explanation.iter();
        lines.map(|line| line.replace("{}", &rate)).collect()
    }
}

/// A countable thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A scene.
    Scene,
    /// A scene beyond those shown.
    MoreScene,
    /// A launch of the latency pass.
    Launch,
    /// A pair of timed segments.
    Pair,
    /// A thread.
    Thread,
    /// An output.
    Output,
    /// A reference summary.
    Reference,
    /// An occasion.
    Time,
    /// A scene that must be told right.
    Sentinel,
}

/// What kind of fault a text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Omission,
    Invention,
    Denial,
    Count,
    Time,
    Order,
    EmptyNotStated,
    Loop,
    Disorder,
    Truncation,
    Language,
    Empty,
    Form,
    Length,
}

impl Cause {
    fn of(note: &str) -> Option<Self> {
        let (kind, rest) = note.split_once(':')?;
        Some(match kind {
            "missing" => Self::Omission,
            "hallucination" => Self::Invention,
            "contradiction" => Self::Denial,
            "count" => Self::Count,
            "time" => Self::Time,
            "order" => Self::Order,
            "empty_not_stated" => Self::EmptyNotStated,
            "length" => Self::Length,
            "disorder" => Self::Disorder,
            "contract" => Self::Form,
            "form" => match rest.trim() {
                "loop" => Self::Loop,
                "disorder" => Self::Disorder,
                "truncated" | "too_long" => Self::Truncation,
                "portuguese" | "not portuguese" => Self::Language,
                "empty" => Self::Empty,
                _ => Self::Form,
            },
            _ => return None,
        })
    }
}

fn place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Inconclusive => 1,
        Outcome::Fail => 2,
        Outcome::Invalid => 3,
    }
}

#[cfg(test)]
mod tests;
