//! Reads the reference values that other implementations made.

use serde_json::Value;

/// Cases whose name starts with `family`. Panics when there are none, so no test passes unread.
pub(crate) fn cases(family: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../../tests/golden/stats.json"))
        .expect("tests/golden/stats.json is JSON");
    let found: Vec<Value> = file["cases"]
        .as_array()
        .expect("it holds a list of cases")
        .iter()
        .filter(|case| {
            case["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(family))
        })
        .cloned()
        .collect();
    assert!(!found.is_empty(), "no golden case of family {family}");
    found
}

/// A number of a case.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().expect("a golden number")
}

/// A list of numbers of a case.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a golden list")
        .iter()
        .map(number)
        .collect()
}

/// Demands agreement within `tolerance`, relative to the larger of the two.
#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let scale = found.abs().max(expected.abs());
    assert!(
        (found - expected).abs() <= tolerance * scale,
        "found {found:e}, expected {expected:e}"
    );
}
