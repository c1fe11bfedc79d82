//! Form and order of version labels (rule R7).

use std::cmp::Ordering;

/// Whether a text is a version label: an optional `v`, one to four numbers, `-pre` and `+build`, in
/// at most 64 bytes.
pub fn is_version(text: &str) -> bool {
    let is_suffix = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
    };
    let length_ok = text.len() <= 64;
    let (text, build_ok) = match text.split_once('+') {
        Some((before, build)) => (before, is_suffix(build)),
        None => (text, true),
    };
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, pre_ok) = match text.split_once('-') {
        Some((before, pre)) => (before, is_suffix(pre)),
        None => (text, true),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let numbers_ok = numbers.split('.').all(is_number) && numbers.split('.').count() <= 4;
    build_ok && length_ok && pre_ok && numbers_ok
}

/// Compares two version labels: numbers part by part, missing parts as 0, a pre-release below its
/// release, build metadata ignored.
///
/// Identifiers of pre-releases are compared as semantic versions do: numbers as numbers and below
/// words, fewer before more.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    let n = a.numbers.len().max(b.numbers.len());
    let part = |numbers: &[&str], i: usize| numbers.get(i).copied().unwrap_or("0").to_owned();
    (0..n)
        .map(|i| compare_numbers(&part(&a.numbers, i), &part(&b.numbers, i)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| match (a.pre, b.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_pre(a, b),
        })
}

struct Parts<'a> {
    numbers: Vec<&'a str>,
    pre: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let version = version.strip_prefix('v').unwrap_or(version);
        let version = version.split('+').next().unwrap_or_default();
        let (numbers, pre) = match version.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (version, None),
        };
        Self {
            numbers: numbers.split('.').collect(),
            pre,
        }
    }
}

/// Digits of any length as numbers.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => compare_numbers(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "v1.0.0.1",
            "1.2",
            "1.10.0",
            "1.10.99999999999999999999998",
            "1.10.99999999999999999999999",
            "v2",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn spelling_does_not_count() {
        for (a, b) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0+build.5"),
            ("1.02", "1.2"),
            ("1.0-a+x", "1.0-a"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
