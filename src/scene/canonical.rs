//! Canonical JSON: one way to write a value, so that equal scenes have equal bytes.
//!
//! RFC 8785 (JSON Canonicalization Scheme) for objects with ASCII keys: keys sorted, no spaces,
//! other characters unescaped, numbers in the shortest form that reads back equal.

use serde_json::{Number, Value};

/// The canonical text of `value`, without a line feed.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(n) => text.push_str(&number(n)),
        Value::String(s) => quote(s, text),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                quote(key, text);
                text.push(':');
                write(&map[key], text);
            }
            text.push('}');
        }
    }
}

/// `serde_json` escapes what RFC 8785 escapes, in the same form.
fn quote(s: &str, text: &mut String) {
    text.push_str(&Value::from(s).to_string());
}

/// Integers as they are; others without a fraction if integral and without an exponent in
/// `[1e-6, 1e21)`, as ECMAScript writes them.
fn number(n: &Number) -> String {
    let (Some(value), false) = (n.as_f64(), n.is_i64() || n.is_u64()) else {
        return n.to_string();
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&value.abs()) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let value: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(canonical(&value), expected);
        let again: Value = serde_json::from_str(expected).expect("canonical JSON is JSON");
        assert_eq!(canonical(&again), expected, "not stable");
    }

    #[test]
    fn keys_are_sorted_and_spaces_dropped() {
        check(
            r#"{ "b": 1, "a": [ true, null ] }"#,
            r#"{"a":[true,null],"b":1}"#,
        );
    }

    #[test]
    fn numbers_have_one_form() {
        check("[30.0, 30, 3e1, -0.0, 0.5000]", "[30,30,30,0,0.5]");
        // Examples of RFC 8785, appendix B, and the ends of the range without exponent.
        check(
            "[333333333.3333332, 1e21, 1e20]",
            "[333333333.3333332,1e+21,100000000000000000000]",
        );
        check("[0.000001, 1e-7, 1.5e-9]", "[0.000001,1e-7,1.5e-9]");
    }

    #[test]
    fn accents_stand_unescaped_and_control_characters_escaped() {
        check(
            r#""caminh\u00e3o\u000a\u0007\"""#,
            "\"caminhão\\n\\u0007\\\"\"",
        );
    }
}
