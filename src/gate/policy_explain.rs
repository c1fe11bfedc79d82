//! What a policy demands, key by key, and where each value comes from.

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::policy::{Mode, Policy, PolicyError};
use super::policy_toml::{GateToml, line_of};

/// One value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Dotted path of the key, as in `gate.toml`.
    pub key: String,
    /// The value, as TOML writes it; `none` where nothing is demanded.
    pub value: String,
    /// Line of the file, from 1; `None` for a default.
    pub line: Option<usize>,
}

/// Every value in force: of a file's text, or of the built-in policy of a mode.
///
/// * `text`, `file`: as for [`Policy::parse`]
///
/// # Errors
/// Those of [`Policy::parse`].
pub fn explain(text: &str, file: &str) -> Result<(Policy, Vec<InForce>), PolicyError> {
    let policy = Policy::parse(text, file)?;
    let document = DeTable::parse(text).ok();
    let line = |key: &str| {
        let table = document.as_ref()?.get_ref();
        Some(line_of(text, place(table, key)?))
    };
    let values = in_force(&policy, line);
    Ok((policy, values))
}

/// Every value of the built-in policy of `mode`.
pub fn explain_built_in(mode: Mode) -> (Policy, Vec<InForce>) {
    let policy = Policy::built_in_for(mode);
    let values = in_force(&policy, |_| None);
    (policy, values)
}

/// The JSON Schema of `gate.toml`, indented, with a line feed at the end.
///
/// # Panics
/// Never: a schema is plain data.
pub fn schema() -> String {
    let schema = schemars::schema_for!(GateToml);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    text.push('\n');
    text
}

/// Tables in the order of the file; others follow.
const ORDER: [&str; 9] = [
    "schema_version",
    "mode",
    "scenes",
    "confidence",
    "effort",
    "collapse",
    "check",
    "slice",
    "sentinels",
];

fn in_force(policy: &Policy, line: impl Fn(&str) -> Option<usize>) -> Vec<InForce> {
    let mut value = serde_json::to_value(policy).expect("a policy is plain data");
    // Left out of the JSON where they are not used, so that digests of older policies hold.
    value["scenes"]["lexicon"] = serde_json::json!(policy.scenes.lexicon);
    value["effort"]["likelihood_scenes"] = policy.effort.likelihood_scenes.into();
    for (i, waiver) in policy.waivers.iter().enumerate() {
        value["waiver"][i]["slice"] = serde_json::json!(waiver.slice);
    }
    let tables = value.as_object().expect("a policy is a table");
    let place = |key: &str| ORDER.iter().position(|known| *known == key);
    let mut keys: Vec<&String> = tables.keys().filter(|key| *key != "origin").collect();
    keys.sort_by_key(|key| place(key).unwrap_or(ORDER.len()));
    let mut leaves = Vec::new();
    for key in keys {
        flatten(&tables[key], key, &mut leaves);
    }
    leaves
        .into_iter()
        .map(|(key, value)| InForce {
            line: line(&key),
            key,
            value,
        })
        .collect()
}

/// Paths and values below `value`; a table in a list is numbered.
fn flatten(value: &Value, path: &str, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                // How a margin of memory is told apart is no key of the file.
                if key == "memory" {
                    flatten(value, path, leaves);
                } else {
                    flatten(value, &format!("{path}.{key}"), leaves);
                }
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (i, value) in list.iter().enumerate() {
                flatten(value, &format!("{path}[{i}]"), leaves);
            }
        }
        Value::Null => leaves.push((path.to_owned(), "none".to_owned())),
        value => leaves.push((path.to_owned(), value.to_string())),
    }
}

/// Offset of the key at exactly this path.
fn place(document: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut table = document;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let (name, position) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let (key, value) = table.get_key_value(name)?;
        let item = match (value.get_ref(), position) {
            (DeValue::Array(list), Some(i)) => list.get(i)?,
            _ => value,
        };
        if parts.peek().is_none() {
            return Some(if position.is_some() {
                item.span().start
            } else {
                key.span().start
            });
        }
        table = item.get_ref().as_table()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "schema_version = 1\nmode = \"smoke\"\n\n[effort]\nlaunches = 12\n\n\
        [[check]]\nmetric = \"object_recall\"\nmargin = { absolute = 0.05 }\n\
        [[check]]\nmetric = \"peak_bytes\"\nmargin = { relative = 0.02 }\n";

    fn line_of_key(values: &[InForce], key: &str) -> (String, Option<usize>) {
        let found = values.iter().find(|value| value.key == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {values:#?}"));
        (found.value.clone(), found.line)
    }

    #[test]
    fn values_of_the_file_have_lines_and_the_others_are_defaults() {
        let (_, values) = explain(FILE, "gate.toml").unwrap();
        let check = |key: &str, value: &str, line| {
            assert_eq!(line_of_key(&values, key), (value.to_owned(), line), "{key}");
        };
        check("mode", "\"smoke\"", Some(2));
        check("effort.launches", "12", Some(5));
        check("effort.pairs", "20", None);
        check("check[0].metric", "\"object_recall\"", Some(8));
        check("check[0].margin.absolute", "0.05", Some(9));
        check("check[0].required", "true", None);
        check("check[1].margin.relative", "0.02", Some(12));
        check("check[1].margin.floor_bytes", "4194304", None);
        check("sentinels", "none", None);
        check("confidence.method", "\"plug-in\"", None);
    }

    #[test]
    fn the_built_in_policy_has_no_lines() {
        for mode in [Mode::Smoke, Mode::Promotion, Mode::Bootstrap] {
            let (policy, values) = explain_built_in(mode);
            assert_eq!(policy.check(), Ok(()), "{mode:?}");
            assert!(values.len() > 40 && values.iter().all(|value| value.line.is_none()));
        }
    }

    #[test]
    fn a_bad_file_is_refused_as_ever() {
        assert!(explain("mode = 1", "g").is_err());
    }

    #[test]
    fn the_schema_is_the_one_that_is_published() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/gate.v1.json");
        if std::env::var_os("VV_UPDATE").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        let published = std::fs::read_to_string(path).expect("schema/gate.v1.json");
        assert_eq!(published, schema(), "run this test with VV_UPDATE=1");
    }

    #[test]
    fn what_the_schema_accepts_is_what_the_reader_accepts() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let accepts = |text: &str| {
            let document: toml::Value = toml::from_str(text).unwrap();
            validator.is_valid(&serde_json::to_value(document).unwrap())
        };
        assert!(accepts(FILE));
        assert!(accepts(include_str!("../../gate.toml")));
        for bad in [
            "mode = \"smoke\"\n",
            "schema_version = 1\nmode = \"fast\"\n",
            "schema_version = 1\nmode = \"smoke\"\n[effort]\nlaunch = 3\n",
            "schema_version = 1\nmode = \"smoke\"\n[effort]\nlaunches = \"six\"\n",
            "schema_version = 1\nmode = \"smoke\"\n[[check]]\nmargin = { absolute = 1 }\n",
        ] {
            assert!(!accepts(bad), "{bad}");
            assert!(Policy::parse(bad, "g").is_err(), "{bad}");
        }
    }
}
