//! What a generation is made of, as its `generation.json` says it, and the two records readers see.
//!
//! Records are written once, before the generation can be named, and never edited.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layout::{INFO_FILE, RECORD_FILE, VERSION_FILE};
use super::{Error, disk};
use crate::durable;
use crate::manifest::{Artifact, Format, ModelOptions, QuantizationMode, Release, Url};
use crate::units::{Bytes, Hasher, Sha256};

/// Version of the record's layout.
const SCHEMA_VERSION: u32 = 1;

/// Longest record read, in bytes.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// How a generation came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From a manifest.
    Manifest,
    /// From a plain directory that stood there before.
    Migrated,
}

/// `generation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always 1.
    pub schema_version: u32,
    /// Its number.
    pub generation: u64,
    /// How it came about.
    pub origin: Origin,
    /// Version label.
    pub version: String,
    /// `model_name` of the manifest; of a plain directory, its name.
    pub manifest_model_name: String,
    /// Identity of the release.
    pub release_digest: Sha256,
    /// The same without `model_options`: identity of the files alone.
    pub artifacts_digest: Sha256,
    /// Digest of the manifest's text; absent for a plain directory.
    pub manifest_sha256: Option<Sha256>,
    /// RFC 3339, information only.
    pub installed_at: String,
    /// The program that installed it.
    pub tool: String,
    /// Versions of the summarizer it works with.
    pub requires_summarize_scene: Option<String>,
    /// How the files are to be read.
    pub model_options: Option<serde_json::Value>,
    /// What it was made from, in written order.
    pub artifacts: Vec<ArtifactRecord>,
    /// What it consists of, sorted by name.
    pub targets: Vec<Target>,
    /// The two records readers find beside the targets.
    pub records: Vec<FileRecord>,
}

/// One artifact of a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRecord {
    /// Its name.
    pub filename: String,
    /// Digest of its bytes as published.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: Bytes,
    /// Name of its directory.
    pub target: String,
    /// `tar.gz`, `tar` or `file`.
    pub format: String,
    /// Leading directories removed.
    pub strip_components: u8,
    /// Where it came from, without secrets.
    pub url: String,
}

/// One directory of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name below `models/`.
    pub name: String,
    /// Root digest of Model Signing v1.0 over its files.
    pub tree_sha256: Sha256,
    /// Every file, sorted by path.
    pub files: Vec<FileRecord>,
}

/// One file of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Path below the target, with `/`.
    pub path: String,
    /// Its length.
    pub size_bytes: Bytes,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

impl Target {
    /// * `files`: every file of the directory, in any order
    pub(super) fn new(name: &str, mut files: Vec<FileRecord>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            name: name.to_owned(),
            tree_sha256: tree_digest(&files),
            files,
        }
    }

    /// Sum of the lengths of its files.
    pub fn size(&self) -> Bytes {
        Bytes(self.files.iter().map(|file| file.size_bytes.0).sum())
    }
}

/// Root digest of a directory: SHA-256 over the raw digests of its files, sorted by path.
///
/// * `files`: sorted by path
///
/// Source: Model Signing v1.0 of the Open Source Security Foundation, serialization `files`.
fn tree_digest(files: &[FileRecord]) -> Sha256 {
    let mut hasher = Hasher::default();
    for file in files {
        hasher.update(file.sha256.as_bytes());
    }
    hasher.finish()
}

/// The labels and promises of a release about to become a generation.
#[derive(Debug, Clone)]
pub(super) struct Labels<'a> {
    pub(super) origin: Origin,
    pub(super) version: &'a str,
    pub(super) model_name: &'a str,
    pub(super) manifest_sha256: Option<Sha256>,
    pub(super) requires_summarize_scene: Option<&'a str>,
    pub(super) release: &'a Release,
}

impl Record {
    /// * `sizes`: length of each artifact, in the order of the release
    pub(super) fn new(
        labels: &Labels<'_>,
        generation: u64,
        installed_at: String,
        sizes: &[Bytes],
        mut targets: Vec<Target>,
    ) -> Self {
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        let artifacts = labels.release.artifacts.iter().zip(sizes);
        let mut record = Self {
            schema_version: SCHEMA_VERSION,
            generation,
            origin: labels.origin,
            version: labels.version.to_owned(),
            manifest_model_name: labels.model_name.to_owned(),
            release_digest: labels.release.digest(),
            artifacts_digest: artifacts_digest(labels.release),
            manifest_sha256: labels.manifest_sha256,
            installed_at,
            tool: format!("vv-eval {}", env!("CARGO_PKG_VERSION")),
            requires_summarize_scene: labels.requires_summarize_scene.map(str::to_owned),
            model_options: labels.release.model_options.as_ref().map(options_json),
            artifacts: artifacts
                .map(|(artifact, size)| artifact_record(artifact, *size))
                .collect(),
            targets,
            records: Vec::new(),
        };
        let records = record.public_records().into_iter();
        record.records = records
            .map(|(name, bytes)| FileRecord {
                path: name.to_owned(),
                size_bytes: Bytes(bytes.len() as u64),
                sha256: Sha256::of(&bytes),
            })
            .collect();
        record
    }

    /// Whether this generation carries the same labels: only URLs, dates, notes and sizes may
    /// differ.
    pub(super) fn has_labels(&self, labels: &Labels<'_>) -> bool {
        let names = |release: &Release| -> Vec<String> {
            release
                .artifacts
                .iter()
                .map(|it| it.filename.clone())
                .collect()
        };
        let own: Vec<String> = self
            .artifacts
            .iter()
            .map(|it| it.filename.clone())
            .collect();
        self.version == labels.version
            && self.manifest_model_name == labels.model_name
            && self.requires_summarize_scene.as_deref() == labels.requires_summarize_scene
            && own == names(labels.release)
    }

    /// The record of a generation's directory and the digest of its bytes.
    pub(super) fn read(directory: &Path) -> Result<(Self, Sha256), Error> {
        let path = directory.join(RECORD_FILE);
        let broken = |problem: String| Error::corrupt(&path, problem);
        let unread = |source: io::Error| {
            if disk::is_silent(&source) {
                Error::unreadable(&path, source)
            } else {
                broken(source.to_string())
            }
        };
        let (_, found) = durable::open_regular(&path).map_err(unread)?;
        if found.len() > MAX_RECORD_BYTES {
            return Err(broken(format!(
                "{} is longer than any record",
                Bytes(found.len())
            )));
        }
        let bytes = fs::read(&path).map_err(unread)?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if record.schema_version != SCHEMA_VERSION {
            return Err(broken(format!(
                "its schema_version is {}",
                record.schema_version
            )));
        }
        Ok((record, Sha256::of(&bytes)))
    }

    /// Its bytes on disk.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a record is JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The files readers find beside the weights: name and bytes of each.
    pub(super) fn public_records(&self) -> [(&'static str, Vec<u8>); 2] {
        [
            (INFO_FILE, self.info()),
            (VERSION_FILE, format!("{}\n", self.version).into_bytes()),
        ]
    }

    /// `.current_model_info.json`; its first three keys are those of the first installer, with its
    /// meaning.
    fn info(&self) -> Vec<u8> {
        let first = self.artifacts.first();
        let named = first.map(|artifact| artifact.target.as_str());
        let named = named.or(self.targets.first().map(|target| target.name.as_str()));
        let artifacts: Vec<_> = self
            .artifacts
            .iter()
            .map(|it| self.artifact_info(it))
            .collect();
        let entries = [
            ("version", json!(self.version)),
            ("model_name", json!(named)),
            (
                "artifact_file",
                json!(first.map(|artifact| &artifact.filename)),
            ),
            ("schema_version", json!(SCHEMA_VERSION)),
            ("manifest_model_name", json!(self.manifest_model_name)),
            ("generation", json!(self.generation)),
            (
                "release_digest",
                json!(format!("sha256:{}", self.release_digest)),
            ),
            ("manifest_sha256", json!(self.manifest_sha256)),
            ("installed_at", json!(self.installed_at)),
            ("state", json!("trial")),
            ("artifacts", json!(artifacts)),
        ];
        // Written by hand because the map of serde_json would sort the keys.
        let lines: Vec<String> = entries
            .iter()
            .map(|(key, value)| format!("  \"{key}\": {value}"))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
    }

    fn artifact_info(&self, artifact: &ArtifactRecord) -> serde_json::Value {
        let tree = self
            .targets
            .iter()
            .find(|target| target.name == artifact.target);
        json!({
            "filename": artifact.filename,
            "sha256": artifact.sha256,
            "size_bytes": artifact.size_bytes,
            "target_path_in_container": format!("/app/models/{}", artifact.target),
            "tree_sha256": tree.map(|target| target.tree_sha256),
        })
    }
}

/// Identity of the files of a release, however they are to be read.
pub(super) fn artifacts_digest(release: &Release) -> Sha256 {
    let bare = Release {
        artifacts: release.artifacts.clone(),
        model_options: None,
    };
    bare.digest()
}

fn artifact_record(artifact: &Artifact, size: Bytes) -> ArtifactRecord {
    ArtifactRecord {
        filename: artifact.filename.clone(),
        sha256: artifact.sha256,
        size_bytes: size,
        target: artifact.target.clone(),
        format: artifact.format.as_str().to_owned(),
        strip_components: match artifact.format {
            Format::File => 0,
            Format::TarGz | Format::Tar => artifact.strip_components,
        },
        url: artifact.urls.first().map(Url::shown).unwrap_or_default(),
    }
}

fn options_json(options: &ModelOptions) -> serde_json::Value {
    let mut map = serde_json::Map::new();
    if let Some(values) = options.i2s_layout {
        map.insert("i2s_layout".into(), json!(values));
    }
    if let Some(mode) = options.quantization_mode {
        let word = match mode {
            QuantizationMode::Offline => "offline",
            QuantizationMode::Online => "online",
        };
        map.insert("quantization_mode".into(), json!(word));
    }
    if let Some(ids) = &options.stop_token_ids {
        map.insert("stop_token_ids".into(), json!(ids));
    }
    if let Some(limit) = options.max_load_perplexity {
        map.insert("max_load_perplexity".into(), json!(limit));
    }
    if let Some(limit) = options.max_summary_perplexity {
        map.insert("max_summary_perplexity".into(), json!(limit));
    }
    map.into()
}

/// The flag that tells services to load again.
pub(super) fn flag_bytes(generation: u64, release: Sha256) -> Vec<u8> {
    format!("{{\"generation\":{generation},\"release_digest\":\"sha256:{release}\"}}\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_directory_is_that_of_model_signing() {
        // Vector made with the reference tool of OpenSSF Model Signing v1.0.
        let file = |path: &str, bytes: &[u8]| FileRecord {
            path: path.to_owned(),
            size_bytes: Bytes(bytes.len() as u64),
            sha256: Sha256::of(bytes),
        };
        let files = vec![
            file("weights.safetensors", b"abc"),
            file("config.json", b"{}\n"),
        ];
        let target = Target::new("bitnet", files);
        assert_eq!(
            target.tree_sha256.to_string(),
            "ab4e5c42ac4187413a25473c60f768bf10c1a0bb85c7c6b45ab11d5254051435"
        );
        assert_eq!(target.files[0].path, "config.json");
    }

    #[test]
    fn the_options_of_a_record_are_those_of_the_manifest() {
        let text = format!(
            r#"{{"model_name":"m","version":"1","url":"repo:a","sha256":"{}","size_bytes":1,
                "model_options":{{"i2s_layout":64,"quantization_mode":"online","stop_token_ids":[2],"max_load_perplexity":9.5,"max_summary_perplexity":2.5}}}}"#,
            Sha256::of(b"x")
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model_manifest.json");
        fs::write(&path, text).unwrap();
        let release = crate::manifest::read(&path).unwrap().manifest.release;
        let written = options_json(release.model_options.as_ref().unwrap());
        assert_eq!(
            written.to_string(),
            r#"{"i2s_layout":64,"max_load_perplexity":9.5,"max_summary_perplexity":2.5,"quantization_mode":"online","stop_token_ids":[2]}"#
        );
        assert_ne!(release.digest(), artifacts_digest(&release));
    }
}
