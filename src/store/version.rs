//! Labels that may be no versions compared, and the versions of the summarizer a release works with.

use std::cmp::Ordering;

use crate::manifest;

/// Compares two labels; `None` when one of them is no version.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let are_versions = manifest::is_version(a) && manifest::is_version(b);
    are_versions.then(|| manifest::compare_versions(a, b))
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
            "1.10.99999999999999999999999999999999999999998",
            "1.10.99999999999999999999999999999999999999999",
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
