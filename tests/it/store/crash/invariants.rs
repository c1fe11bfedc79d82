//! What must hold of a store at any moment, read from its files alone: nothing here asks the
//! program or its library.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Host, sha256};

/// Names that may stand in the models directory.
const PUBLIC: [&str; 5] = [
    "bitnet",
    ".vv",
    ".current_model_info.json",
    ".current_model_version",
    ".model_updated_flag",
];

/// Names that may stand in the store's own directory once nothing is going on.
const OWN: [&str; 8] = [
    "FORMAT",
    "lock",
    "current",
    "generations",
    "blobs",
    "partial",
    "staging",
    "journal.jsonl",
];

/// I1 and I2 from the outside: what a reader finds is whole and of one release, `current` names a
/// complete generation, and nothing temporary stands where readers look.
///
/// Gives the version found; `None` where there is no model.
pub(super) fn check(host: &Host) -> Result<Option<String>, String> {
    let models = host.path("models");
    for name in names(&models)? {
        if !PUBLIC.contains(&name.as_str()) {
            return Err(format!("models/{name} is left over"));
        }
    }
    let current = current(&models)?;
    if let Some(number) = current {
        check_complete(&models, number)?;
    }
    let flag = models.join(".model_updated_flag");
    if let Some(bytes) = optional(&flag)? {
        let value = json(&flag, &bytes)?;
        if value["generation"].as_u64().is_none() || bytes.last() != Some(&b'\n') {
            return Err(format!("the flag holds {bytes:?}"));
        }
    }
    read(&models, current.is_some())
}

/// A reader, as docs/store.md asks readers to read.
fn read(models: &Path, is_installed: bool) -> Result<Option<String>, String> {
    let base = match fs::canonicalize(models.join("bitnet")) {
        Ok(base) => base,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if is_installed {
                Err("a generation is current and models/bitnet leads nowhere".into())
            } else {
                Ok(None)
            };
        }
        Err(error) => return Err(format!("models/bitnet: {error}")),
    };
    let beside = base.parent().expect("it is below models");
    let info = beside.join(".current_model_info.json");
    let info = json(&info, &bytes(&info)?)?;
    let version = info["version"].as_str().ok_or("no version")?.to_owned();
    if info["model_name"] != "bitnet" {
        return Err(format!("the record is about {}", info["model_name"]));
    }
    let label = optional(&beside.join(".current_model_version"))?;
    if label.is_some_and(|label| label != format!("{version}\n").into_bytes()) {
        return Err("the version file is of another release than the record".into());
    }
    is_release(&base, &version)?;
    Ok(Some(version))
}

/// Whether a directory holds the files of a release, all of them and no others.
fn is_release(directory: &Path, version: &str) -> Result<(), String> {
    let expected = super::files(version);
    let found = tree(directory)?;
    if found == expected {
        return Ok(());
    }
    let names = |files: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
        let named = files.iter().map(|(path, bytes)| (path, bytes.len()));
        named.map(|(path, n)| format!("{path} ({n} B)")).collect()
    };
    Err(format!(
        "version {version} is {:?} in {} instead of {:?}",
        names(&found),
        directory.display(),
        names(&expected)
    ))
}

/// I3 and I5: a generation holds what it held when it was installed.
pub(super) fn check_generation(host: &Host, number: u64, version: &str) -> Result<(), String> {
    let models = host.path("models");
    check_complete(&models, number)?;
    is_release(&generation(&models, number).join("bitnet"), version)
}

/// I1: a generation is what its record says, the record is what the journal says, and both public
/// records are about it.
fn check_complete(models: &Path, number: u64) -> Result<(), String> {
    let directory = generation(models, number);
    let record_path = directory.join("generation.json");
    let record_bytes = bytes(&record_path)?;
    let record = json(&record_path, &record_bytes)?;
    let mut expected = BTreeMap::from([("generation.json".to_owned(), sha256(&record_bytes))]);
    let mut promise = |prefix: &str, files: &Value| {
        for file in files.as_array().into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default();
            let digest = file["sha256"].as_str().unwrap_or_default();
            expected.insert(format!("{prefix}{path}"), digest.to_owned());
        }
    };
    for target in record["targets"].as_array().into_iter().flatten() {
        let name = target["name"].as_str().unwrap_or_default();
        promise(&format!("{name}/"), &target["files"]);
    }
    promise("", &record["records"]);
    let found = tree(&directory)?;
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|(path, bytes)| (path.clone(), sha256(bytes)))
        .collect();
    if found != expected {
        return Err(format!(
            "generation {number} is {found:?}, not {expected:?}"
        ));
    }
    let info_path = directory.join(".current_model_info.json");
    let info = json(&info_path, &bytes(&info_path)?)?;
    let is_of_one = record["generation"].as_u64() == Some(number)
        && info["generation"].as_u64() == Some(number)
        && info["version"] == record["version"]
        && info["release_digest"].as_str().map(without_prefix)
            == record["release_digest"].as_str().map(without_prefix);
    if !is_of_one {
        return Err(format!("generation {number}: {info} beside {record}"));
    }
    let journal = journal(models)?;
    let told = journal
        .iter()
        .rev()
        .find(|entry| entry["generation"].as_u64() == Some(number));
    match told.map(|entry| &entry["record_sha256"]) {
        Some(Value::String(told)) if *told != sha256(&record_bytes) => {
            Err(format!("the journal knows generation {number} as {told}"))
        }
        _ => Ok(()),
    }
}

/// The lines of the journal; the digest of each stands in the next one. A last line without an end
/// was not written to its end.
fn journal(models: &Path) -> Result<Vec<Value>, String> {
    let path = models.join(".vv/journal.jsonl");
    let bytes = optional(&path)?.unwrap_or_default();
    let whole = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut prev = sha256(b"");
    let mut entries = Vec::new();
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        let entry = json(&path, line)?;
        if entry["prev"] != prev.as_str() {
            return Err(format!("the journal's chain breaks at {entry}"));
        }
        prev = sha256(line);
        entries.push(entry);
    }
    Ok(entries)
}

/// That nothing is left over: no staging, no downloads, no generation but those that stay, no open
/// intent, and a flag that names the current generation.
///
/// * `n_generations`: how many stay
pub(super) fn check_tidy(host: &Host, n_generations: usize) -> Result<(), String> {
    let models = host.path("models");
    let own = models.join(".vv");
    if let Some(name) = names(&own)?.iter().find(|it| !OWN.contains(&it.as_str())) {
        return Err(format!(".vv/{name} is left over"));
    }
    for empty in ["staging", "partial", "blobs/sha256"] {
        let left = tree(&own.join(empty))?;
        let directories = names(&own.join(empty))?;
        if !left.is_empty() || !directories.is_empty() {
            return Err(format!("{empty} holds {directories:?}"));
        }
    }
    let generations = names(&own.join("generations"))?;
    if generations.len() != n_generations {
        return Err(format!("generations {generations:?} are left"));
    }
    let number = current(&models)?.ok_or("nothing is current")?;
    let flag = models.join(".model_updated_flag");
    let flag = json(&flag, &bytes(&flag)?)?;
    if flag["generation"].as_u64() != Some(number) {
        return Err(format!("the flag says {flag}, current is {number}"));
    }
    let told = journal(&models)?;
    let last = told.iter().rev().find(|entry| {
        ["intent", "committed", "rollback", "migrated"]
            .iter()
            .any(|event| entry["event"] == *event)
    });
    let last = last.ok_or("the journal tells of no generation")?;
    if last["event"] == "intent" || last["generation"].as_u64() != Some(number) {
        return Err(format!("current is {number}, the journal ends with {last}"));
    }
    Ok(())
}

/// What `current` names.
fn current(models: &Path) -> Result<Option<u64>, String> {
    match fs::read_link(models.join(".vv/current")) {
        Ok(text) => {
            let number = text.to_str().and_then(|it| it.strip_prefix("generations/"));
            let number = number.and_then(|it| it.parse().ok());
            number
                .map(Some)
                .ok_or_else(|| format!("current leads to {}", text.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("current: {error}")),
    }
}

fn generation(models: &Path, number: u64) -> PathBuf {
    models.join(format!(".vv/generations/{number:06}"))
}

fn without_prefix(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// The names in a directory, which may be missing.
fn names(directory: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("{}: {error}", directory.display());
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| {
                let name = entry.map_err(failed)?.file_name();
                Ok(name.to_string_lossy().into_owned())
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Every regular file below a directory, which may be missing; anything else is refused.
fn tree(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![String::new()];
    while let Some(inner) = pending.pop() {
        for name in names(&directory.join(&inner))? {
            let inner = format!("{inner}{name}");
            let path = directory.join(&inner);
            let kind = fs::symlink_metadata(&path).map_err(|e| format!("{inner}: {e}"))?;
            if kind.is_dir() {
                pending.push(format!("{inner}/"));
            } else if kind.is_file() {
                found.insert(inner, bytes(&path)?);
            } else {
                return Err(format!("{} is no file", path.display()));
            }
        }
    }
    Ok(found)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display())),
    }
}

fn json(path: &Path, bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{}: {error}", path.display()))
}
