//! Version labels compared, and the versions of the summarizer a release works with.
//!
//! A label is an optional `v`, one to four numbers, `-pre` and `+build`. Numbers compare as
//! numbers, missing ones are 0, a pre-release stands below its release, build is ignored.

use std::cmp::Ordering;

/// Compares two labels; `None` when one of them is no version.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Version::parse(a)?, Version::parse(b)?);
    Some(
        a.numbers
            .cmp(&b.numbers)
            .then_with(|| match (a.pre, b.pre) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) => compare_pre(a, b),
            }),
    )
}

struct Version<'a> {
    numbers: [u128; 4],
    pre: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.split('+').next()?;
        let text = text.strip_prefix('v').unwrap_or(text);
        let (numbers_text, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (text, None),
        };
        let mut numbers = [0; 4];
        for (i, part) in numbers_text.split('.').enumerate() {
            let is_number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            // A label has at most 64 bytes; numbers beyond 128 bits are all the same size here.
            *numbers.get_mut(i).filter(|_| is_number)? = part.parse().unwrap_or(u128::MAX);
        }
        Some(Self { numbers, pre })
    }
}

/// Dot-separated parts: numbers as numbers and below words, fewer parts below more.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let number = |part: &str| -> Option<u128> {
        let is_number = part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|_| is_number)
    };
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Whether a version keeps every comparator of a list such as `>=2.1,<3`.
///
/// Gives `None` when the version or a comparator cannot be understood.
pub(super) fn satisfies(version: &str, comparators: &str) -> Option<bool> {
    let mut keeps = true;
    for comparator in comparators.split(',') {
        let comparator = comparator.trim();
        let operators = [">=", "<=", "==", "!=", ">", "<", "="];
        let operator = operators.iter().find(|it| comparator.starts_with(**it));
        let (operator, bound) = match operator {
            Some(operator) => (*operator, comparator[operator.len()..].trim()),
            None => ("=", comparator),
        };
        let ordering = compare(version, bound)?;
        keeps &= match operator {
            ">=" => ordering.is_ge(),
            "<=" => ordering.is_le(),
            ">" => ordering.is_gt(),
            "<" => ordering.is_lt(),
            "!=" => ordering.is_ne(),
            _ => ordering.is_eq(),
        };
    }
    Some(keeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_an_order() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.11",
            "1",
            "1.0.0.1",
            "v1.0.1",
            "1.2",
            "1.10",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), Some(i.cmp(&j)), "{a} {b}");
            }
        }
        assert_eq!(compare("v1.0", "1.0.0+build.7"), Some(Ordering::Equal));
        assert_eq!(compare("unknown", "1"), None);
        assert_eq!(compare("1.2.3.4.5", "1"), None);
    }

    #[test]
    fn requirements_are_comparators_joined_by_commas() {
        let check = |version, list, expected| {
            assert_eq!(satisfies(version, list), expected, "{version} {list}");
        };
        check("2.1", ">=2.1", Some(true));
        check("2.0", ">=2.1", Some(false));
        check("2.9", ">=2.1, <3", Some(true));
        check("3", ">=2.1,<3", Some(false));
        check("2.1.0", "2.1", Some(true));
        check("2.1", "!=2.1", Some(false));
        check("new", ">=2", None);
        check("2", "about 2", None);
    }
}
