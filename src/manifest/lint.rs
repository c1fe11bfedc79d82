//! Rules of single values: versions, digests, sizes, targets, file names, dates.
//!
//! Each function takes the text of one value and gives the checked value or the [`Breach`].

use unicode_normalization::is_nfc;

use super::finding::{Class, quoted};
use super::version::is_version;
use crate::units::{Bytes, DigestSyntax, Sha256, is_date};

/// Largest artifact accepted, in bytes (16 GiB).
const MAX_ARTIFACT_BYTES: u64 = 16 << 30;

/// Largest sum of all artifacts accepted, in bytes (32 GiB).
const MAX_TOTAL_BYTES: u64 = 32 << 30;

/// Largest integer every JSON reader keeps exactly, 2^53 − 1.
const MAX_JSON_INTEGER: u64 = (1 << 53) - 1;

/// Directory all targets are below.
const TARGET_ROOT: &str = "/app/models/";

/// Digests that stand in examples instead of a real one.
const PLACEHOLDER_DIGESTS: [&str; 3] = [
    "abcdef123456...",
    "sha256_hash_of_the_tar_gz_file",
    "new_sha256_hash",
];

/// The size that stands in examples.
const PLACEHOLDER_SIZE: u64 = 123_456_789;

/// How a value breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) class: Class,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) hint: Option<String>,
}

impl Breach {
    pub(super) fn invalid(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            class: Class::Invalid,
            expected: expected.into(),
            found: found.into(),
            hint: None,
        }
    }

    pub(super) fn refused(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            class: Class::Refused,
            ..Self::invalid(expected, found)
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// A value copied from an example.
    fn placeholder(expected: &str, text: &str) -> Self {
        Self::refused(expected, format!("the placeholder `{}`", quoted(text)))
    }
}

fn in_ticks(text: &str) -> String {
    format!("`{}`", quoted(text))
}

/// Free text or a label: `min`–`max` characters; a label has no control characters.
pub(super) fn label(text: &str, max: usize) -> Result<(), Breach> {
    let expected = format!("1 to {max} characters, none of them a control character");
    match text.chars().count() {
        0 => Err(Breach::invalid(expected, "an empty string")),
        n if n > max => Err(Breach::invalid(expected, format!("{n} characters"))),
        _ if text.chars().any(char::is_control) => Err(Breach::invalid(expected, in_ticks(text))),
        _ => Ok(()),
    }
}

/// Free text of at most `max` characters.
pub(super) fn prose(text: &str, max: usize) -> Result<(), Breach> {
    match text.chars().count() {
        n if n > max => Err(Breach::invalid(
            format!("at most {max} characters"),
            format!("{n} characters"),
        )),
        _ => Ok(()),
    }
}

/// A version label (rule R7).
pub(super) fn version(text: &str) -> Result<(), Breach> {
    if text.contains("YYYY") {
        return Err(Breach::placeholder("the version of this release", text));
    }
    if is_version(text) {
        return Ok(());
    }
    let breach = Breach::invalid(
        "a version such as 1.2.0, v1.2 or 1.2.0-rc.1",
        in_ticks(text),
    );
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(breach.hint("a name that moves pins nothing: write the number of the release"));
    }
    Err(breach)
}

/// A checked digest and whether it was written in upper case.
#[derive(Debug)]
pub(super) struct WrittenDigest {
    pub(super) sha256: Sha256,
    pub(super) has_upper_case: bool,
}

/// A SHA-256 (rules R8 and R9).
pub(super) fn digest(text: &str) -> Result<WrittenDigest, Breach> {
    const REAL: &str = "the SHA-256 of the artifact";
    let advice = "run `sha256sum FILE` on the artifact and put the result here";
    if PLACEHOLDER_DIGESTS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(Breach::placeholder(REAL, text).hint(advice));
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let sha256: Sha256 = digits.parse().map_err(|error: DigestSyntax| {
        let found = match error {
            DigestSyntax::Length { found } => format!("{} ({found} characters)", in_ticks(text)),
            DigestSyntax::Digit(c) => format!("`{}` among the digits", c.escape_debug()),
        };
        Breach::invalid("64 hex digits", found).hint(advice)
    })?;
    let mut bytes = digits.bytes();
    let first = bytes.next();
    if bytes.all(|byte| Some(byte) == first) {
        return Err(Breach::placeholder(REAL, text).hint(advice));
    }
    if sha256 == Sha256::of(b"") {
        return Err(Breach::refused(REAL, "the SHA-256 of an empty file").hint(advice));
    }
    Ok(WrittenDigest {
        sha256,
        has_upper_case: digits.bytes().any(|b| b.is_ascii_uppercase()),
    })
}

/// A number of bytes, written as a plain integer.
pub(super) fn byte_count(number: &str) -> Result<Bytes, Breach> {
    let expected = format!("an integer from 1 to {MAX_JSON_INTEGER}");
    match number.parse::<u64>() {
        Ok(value) if (1..=MAX_JSON_INTEGER).contains(&value) => Ok(Bytes(value)),
        _ => Err(Breach::invalid(expected, in_ticks(number))),
    }
}

/// The size of an artifact (rules R9 and R14).
pub(super) fn size(number: &str) -> Result<Bytes, Breach> {
    let Bytes(size) = byte_count(number)?;
    if size == PLACEHOLDER_SIZE {
        return Err(Breach::placeholder(
            "the size of the artifact in bytes",
            number,
        ));
    }
    if size > MAX_ARTIFACT_BYTES {
        return Err(Breach::refused(
            format!("at most {MAX_ARTIFACT_BYTES} bytes"),
            number,
        ));
    }
    Ok(Bytes(size))
}

/// The sum of all sizes (rule R14).
pub(super) fn total_size(sizes: impl Iterator<Item = Bytes>) -> Result<(), Breach> {
    // At most 16 sizes below 2^53 each: no overflow.
    match sizes.map(|Bytes(size)| size).sum::<u64>() {
        total if total > MAX_TOTAL_BYTES => {
            let found = format!("{total} bytes");
            Err(Breach::refused(
                format!("at most {MAX_TOTAL_BYTES} bytes in all"),
                found,
            ))
        }
        _ => Ok(()),
    }
}

/// The name of the target directory, from its path in the container (rule R10).
pub(super) fn target(path: &str) -> Result<String, Breach> {
    let name = path
        .strip_prefix(TARGET_ROOT)
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match name {
        Some(name) if is_target_name(name) => Ok(name.to_owned()),
        _ => Err(Breach::refused(
            "/app/models/NAME, the name of 1 to 64 characters A-Z a-z 0-9 . _ -, first a letter or digit",
            in_ticks(path),
        )),
    }
}

fn is_target_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= 64
        && name.bytes().all(is_allowed)
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
}

/// A file name (rule R11).
pub(super) fn filename(text: &str) -> Result<(), Breach> {
    let refused = |expected: &str| Err(Breach::refused(expected, in_ticks(text)));
    match text {
        "" => refused("a file name"),
        _ if text.len() > 255 => refused("a file name of at most 255 bytes"),
        _ if text.contains(['/', '\\']) => refused("a file name without directories"),
        _ if text.chars().any(char::is_control) => refused("a name without control characters"),
        _ if text.starts_with(['.', '-']) => refused("a name not starting with `.` or `-`"),
        _ if !is_nfc(text) => refused("a name in Unicode normal form C"),
        _ => Ok(()),
    }
}

/// A date that is real and not after `today`; a placeholder is refused, the rest is only odd.
pub(super) fn date(text: &str, today: &str) -> Result<Result<(), String>, Breach> {
    if text.contains("YYYY") {
        return Err(Breach::placeholder("the date of this release", text));
    }
    if !is_date(text) {
        return Ok(Err(format!(
            "{} is not a date of the form 2025-11-23",
            in_ticks(text)
        )));
    }
    // Dates of this form sort as text.
    if text > today {
        return Ok(Err(format!("{} is in the future", in_ticks(text))));
    }
    Ok(Ok(()))
}

/// The requirement on the summarizer that free text states, e.g. `summarize_scene.py versão >= 2.1`.
pub(super) fn stated_requirement(notes: &str) -> Option<String> {
    let (_, after) = notes.split_once("summarize_scene")?;
    let start = after.find(['<', '>', '='])?;
    let comparator: String = after[start..]
        .chars()
        .take_while(|c| "<>=. ".contains(*c) || c.is_ascii_digit())
        .filter(|c| *c != ' ')
        .collect();
    let comparator = comparator.trim_end_matches('.');
    requirement(comparator).ok().map(|()| comparator.to_owned())
}

/// Comparators joined by commas, e.g. `>=2.1,<3`.
pub(super) fn requirement(text: &str) -> Result<(), Breach> {
    let is_comparator = |part: &str| {
        let part = part.trim();
        let version = [">=", "<=", ">", "<", "="]
            .iter()
            .find_map(|op| part.strip_prefix(op));
        version.is_some_and(|version| is_version(version.trim_start()))
    };
    if text.split(',').all(is_comparator) {
        Ok(())
    } else {
        Err(Breach::invalid(
            "comparators joined by commas, such as `>=2.1,<3`",
            in_ticks(text),
        ))
    }
}
