//! Writes the manifest of a model whose files stand beside it.

use serde_json::{Map, Value, json};

use super::ModelOptions;
use crate::units::{Bytes, Sha256};

/// What such a manifest says.
#[derive(Debug, Clone)]
pub struct Local<'a> {
    /// Name of the model.
    pub model_name: &'a str,
    /// Version label.
    pub version: &'a str,
    /// Free text.
    pub description: &'a str,
    /// Versions of the summarizer it works with.
    pub requires_summarize_scene: Option<&'a str>,
    /// Directory below `/app/models/` it is installed into.
    pub target: &'a str,
    /// How the files are to be read.
    pub options: Option<&'a ModelOptions>,
    /// Name, digest and length of every file, in the order they are listed.
    pub files: Vec<(&'a str, Sha256, Bytes)>,
}

impl Local<'_> {
    /// The manifest as JSON with sorted keys, two spaces a level, and a line end.
    ///
    /// Nothing is checked here: what breaks a rule is found when it is [read](super::read).
    ///
    /// # Panics
    /// Never: the options were read from JSON.
    pub fn to_json(&self) -> String {
        let artifacts: Vec<Value> = self
            .files
            .iter()
            .map(|(name, sha256, size)| {
                json!({
                    "filename": name,
                    "format": "file",
                    "sha256": sha256,
                    "size_bytes": size,
                    "target_path_in_container": format!("/app/models/{}", self.target),
                    "url": format!("repo:{name}"),
                })
            })
            .collect();
        let mut all = json!({
            "artifacts": artifacts,
            "description": self.description,
            "model_name": self.model_name,
            "schema_version": 1,
            "version": self.version,
        });
        if let Some(versions) = self.requires_summarize_scene {
            all["requires"] = json!({ "summarize_scene": versions });
        }
        if let Some(options) = self.options {
            let options = serde_json::from_str(&options.canonical_json);
            all["model_options"] = options.expect("options are JSON");
        }
        format!("{all:#}\n")
    }
}

impl ModelOptions {
    /// The options that still hold once the weights stand in another container: those about ends
    /// and perplexity. `None` when none does.
    ///
    /// # Panics
    /// Never: the options were read from JSON.
    pub fn of_other_container(&self) -> Option<Self> {
        let options = serde_json::from_str(&self.canonical_json);
        let mut options: Map<String, Value> = options.expect("options are JSON");
        options.retain(|key, _| !matches!(key.as_str(), "i2s_layout" | "quantization_mode"));
        if options.is_empty() {
            return None;
        }
        Some(Self {
            i2s_layout: None,
            quantization_mode: None,
            stop_token_ids: self.stop_token_ids.clone(),
            max_load_perplexity: self.max_load_perplexity,
            max_summary_perplexity: self.max_summary_perplexity,
            canonical_json: Value::Object(options).to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    const OPTIONS: &str = r#"{"i2s_layout": 64, "max_load_perplexity": 17.50, "max_summary_perplexity": 3, "stop_token_ids": [9, 2]}"#;

    fn options() -> ModelOptions {
        let text = format!(
            r#"{{"model_name":"m","version":"1.0","url":"repo:a.gguf","sha256":"{}","size_bytes":1,"model_options":{OPTIONS}}}"#,
            Sha256::of(b"x")
        );
        let (manifest, _) = wire::parse(text.as_bytes(), "2030-01-01").expect("a manifest");
        manifest.release.model_options.expect("has options")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let options = options().of_other_container().expect("three are left");
        let digest = Sha256::of(b"weights");
        let local = Local {
            model_name: "bitnet \"x\"",
            version: "1.0.0-q4-0",
            description: "the same weights",
            requires_summarize_scene: Some(">=2.1,<3"),
            target: "bitnet",
            options: Some(&options),
            files: vec![("model.gguf", digest, Bytes(7))],
        };
        let (manifest, warnings) =
            wire::parse(local.to_json().as_bytes(), "2030-01-01").expect("a manifest");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(manifest.model_name, local.model_name);
        assert_eq!(
            manifest.requires_summarize_scene.as_deref(),
            Some(">=2.1,<3")
        );
        let artifact = &manifest.release.artifacts[0];
        assert_eq!((artifact.sha256, artifact.size), (digest, Some(Bytes(7))));
        assert_eq!(artifact.target, "bitnet");
        assert_eq!(manifest.release.model_options, Some(options));
    }

    #[test]
    fn options_of_the_old_container_do_not_survive() {
        let left = options().of_other_container().expect("three are left");
        assert_eq!(left.i2s_layout, None);
        assert_eq!(left.stop_token_ids, Some(vec![9, 2]));
        assert_eq!(
            left.canonical_json,
            r#"{"max_load_perplexity":17.5,"max_summary_perplexity":3,"stop_token_ids":[9,2]}"#
        );
    }
}
