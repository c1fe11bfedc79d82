//! A factual error and its reason.

use std::fmt;

use serde_json::{Value, json};

use crate::scene::facts::CountRange;

/// The rule that a text broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A salient label is not mentioned.
    Missing,
    /// Something is mentioned that no detection supports.
    Hallucination,
    /// A salient label is denied.
    Contradiction,
    /// A number that is not possible.
    Count,
    /// A time at which what the sentence mentions was not there.
    Time,
    /// Two labels in the order opposite to their appearance.
    Order,
    /// Nothing was there, and the text does not say so.
    EmptyNotStated,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Hallucination,
        Self::Contradiction,
        Self::Count,
        Self::Time,
        Self::Order,
        Self::EmptyNotStated,
    ];

    /// Name in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Hallucination => "hallucination",
            Self::Contradiction => "contradiction",
            Self::Count => "count",
            Self::Time => "time",
            Self::Order => "order",
            Self::EmptyNotStated => "empty_not_stated",
        }
    }
}

/// What was claimed, or what the scene allows.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// A label or hypernym.
    Label(String),
    /// Labels in the order in which they appear.
    Order(Vec<String>),
    /// Numbers of objects.
    Count(CountRange),
    /// Seconds from the start of the video.
    AtS(f64),
    /// Spans in seconds from the start of the video, tolerance included.
    SpansS(Vec<(f64, f64)>),
}

impl Detail {
    /// A string for labels, `[lo, hi]` for numbers (`hi` null without an upper end), a number for
    /// a time, a list of pairs for spans.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Label(label) => json!(label),
            Self::Order(labels) => json!(labels),
            Self::Count(range) => json!([range.lo, range.hi]),
            Self::AtS(at_s) => json!(at_s),
            Self::SpansS(spans) => json!(spans),
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => f.write_str(label),
            Self::Order(labels) => f.write_str(&labels.join(" before ")),
            Self::Count(range) => write!(f, "{range}"),
            Self::AtS(at_s) => write!(f, "{at_s} s"),
            Self::SpansS(spans) => {
                let shown: Vec<String> = spans
                    .iter()
                    .map(|(from, to)| format!("{from} to {to} s"))
                    .collect();
                f.write_str(&shown.join(" or "))
            }
        }
    }
}

/// One factual error with its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct FactError {
    /// The rule that was broken.
    pub rule: Rule,
    /// Index of the sentence, from 0; `None` where the text as a whole is at fault.
    pub sentence: Option<usize>,
    /// Byte span in the text as given.
    pub span: Option<(usize, usize)>,
    /// The words at fault, as written.
    pub surface: Option<String>,
    /// What the text claims.
    pub claimed: Option<Detail>,
    /// What the scene allows.
    pub allowed: Option<Detail>,
}

impl FactError {
    /// The error as `{"rule", "sentence", "span", "surface", "claimed", "allowed"}`.
    pub fn to_json(&self) -> Value {
        let of = |detail: &Option<Detail>| detail.as_ref().map(Detail::to_json);
        json!({
            "rule": self.rule.name(),
            "sentence": self.sentence,
            "span": self.span.map(|(from, to)| [from, to]),
            "surface": self.surface,
            "claimed": of(&self.claimed),
            "allowed": of(&self.allowed),
        })
    }
}

impl fmt::Display for FactError {
    /// One line for people, e.g. `count: três pessoas says 3, possible 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.rule.name())?;
        if let Some(surface) = &self.surface {
            write!(f, " `{surface}`")?;
        }
        if let Some(claimed) = &self.claimed {
            write!(f, " says {claimed}")?;
        }
        match &self.allowed {
            None => Ok(()),
            Some(allowed) if self.claimed.is_none() => write!(f, " {allowed}"),
            Some(allowed) => write!(f, ", the scene allows {allowed}"),
        }
    }
}
