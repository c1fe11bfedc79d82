//! The published schema of the canonical report.

use super::file::{ReportFile, SCHEMA_VERSION};

/// The JSON Schema (draft 2020-12) of a `report.json`, indented, with a line feed at the end.
///
/// It is made from the structs themselves and stands in `schema/`, where a test keeps it equal.
///
/// # Panics
/// Never: a schema is plain data.
pub fn report_schema() -> String {
    let mut schema = schemars::schema_for!(ReportFile);
    let title = format!("vv-eval report, version {SCHEMA_VERSION}");
    schema.insert("title".to_owned(), title.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::gate::fixture::compare_edited;
    use crate::gate::{JudgeOptions, Policy, identical_verdict, judge};

    fn path() -> std::path::PathBuf {
        let name = format!("schema/report.v{SCHEMA_VERSION}.json");
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    #[test]
    fn the_published_schema_is_that_of_the_structs() {
        let schema = report_schema();
        if std::env::var_os("VV_EVAL_BLESS").is_some() {
            std::fs::write(path(), &schema).expect("the schema can be written");
        }
        let published = std::fs::read_to_string(path()).expect("the schema is published");
        assert!(
            published == schema,
            "{} is out of date; make it again with VV_EVAL_BLESS=1 cargo test --lib schema",
            path().display()
        );
    }

    /// Reports with and without a run, as JSON.
    fn reports() -> [Value; 2] {
        let comparison = compare_edited(|_, _| ()).expect("comparable");
        let policy = Policy::built_in();
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        let run = ReportFile::of_comparison(&comparison, &policy, &verdict);
        let model = &comparison.baseline().model;
        let verdict = identical_verdict(model, model).expect("the same files");
        let identical = ReportFile::without_run(model, model, &policy, &verdict);
        [run, identical].map(|file| serde_json::to_value(file).expect("plain data"))
    }

    #[test]
    fn reports_keep_to_the_schema_and_damage_does_not() {
        let schema: Value = serde_json::from_str(&report_schema()).expect("JSON");
        let validator = jsonschema::draft202012::new(&schema).expect("a schema of the draft");
        let [run, identical] = reports();
        for report in [&run, &identical] {
            let errors: Vec<String> = validator
                .iter_errors(report)
                .map(|error| format!("{}: {error}", error.instance_path))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
        let damages: [fn(&mut Value); 5] = [
            |report| report["verdict"]["outcome"] = "passed".into(),
            |report| report["verdict"]["count"] = true.into(),
            |report| report["policy_sha256"] = "abc".into(),
            |report| report["evidence"]["baseline_record"]["outputs"][0]["text"] = 3.into(),
            |report| {
                report
                    .as_object_mut()
                    .expect("an object")
                    .remove("candidate");
            },
        ];
        for (i, damage) in damages.iter().enumerate() {
            let mut report = run.clone();
            damage(&mut report);
            assert!(!validator.is_valid(&report), "damage {i} was not seen");
        }
    }
}
