//! Reads the reference values that other implementations made.

use serde_json::Value;

/// Both files of reference values.
fn all() -> Vec<Value> {
    let files = [
        include_str!("../../tests/fixtures/stats/fixtures.json"),
        include_str!("../../tests/fixtures/stats/more.json"),
    ];
    let cases = |text: &str| {
        let file: Value = serde_json::from_str(text).expect("reference values are JSON");
        let cases = file["cases"].as_array().expect("they hold a list of cases");
        cases.clone()
    };
    files.iter().flat_map(|text| cases(text)).collect()
}

/// Cases whose name starts with `family`. Panics when there are none, so no test passes unread.
pub(crate) fn cases(family: &str) -> Vec<Value> {
    let is_of = |case: &Value| {
        let name = case["name"].as_str();
        name.is_some_and(|name| name.starts_with(family))
    };
    let found: Vec<Value> = all().into_iter().filter(is_of).collect();
    assert!(!found.is_empty(), "no golden case of family {family}");
    found
}

/// The case called `name`.
pub(crate) fn find(name: &str) -> Value {
    let mut found = cases(name);
    found.retain(|case| case["name"] == name);
    assert_eq!(found.len(), 1, "cases called {name}");
    found.remove(0)
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
