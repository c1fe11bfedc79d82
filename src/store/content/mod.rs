//! Whether the files of a release are a model and nothing else: looked at, never run or trusted.
//!
//! In: a directory of unpacked, digested files. Out: nothing, or the first reason not to install
//! them. Reads headers only; that the model works is for the smoke test to find out.

mod gguf;
mod json;
mod safetensors;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::record::{FileRecord, Target};
use super::{ContentProblem, Error};
use crate::artifact::digest::digest_file;
use crate::durable;
use crate::units::Bytes;

/// Endings of files that belong to a model.
const ENDINGS: [&str; 8] = [
    ".gguf",
    ".safetensors",
    ".json",
    ".jinja",
    ".txt",
    ".md",
    ".model",
    ".tiktoken",
];

/// Beginnings of file names that belong beside a model.
const BEGINNINGS: [&str; 3] = ["LICENSE", "NOTICE", "README"];

/// First bytes of what must not stand in a model's directory, with its name.
const UNSAFE: [(&[u8], &str); 9] = [
    (b"\x7fELF", "an ELF program or library"),
    (b"#!", "a script"),
    (b"MZ", "a Windows program"),
    (
        b"PK\x03\x04",
        "a zip archive, as PyTorch writes pickles into",
    ),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
];

/// First bytes of a Git LFS pointer.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Longest JSON file, in bytes, `tokenizer.json` apart.
const MAX_JSON: Bytes = Bytes(16 << 20);

/// Longest `tokenizer.json`, in bytes.
const MAX_TOKENIZER: Bytes = Bytes(256 << 20);

/// Checks every file of a release and that together they are a model.
///
/// * `directory`: holds the targets
/// * `allowed`: patterns of further file names, `*` for any text
pub(super) fn check(directory: &Path, targets: &[Target], allowed: &[String]) -> Result<(), Error> {
    for target in targets {
        for file in &target.files {
            check_file(&directory.join(&target.name), target, file, allowed)?;
        }
    }
    check_whole(targets)
}

/// Checks a directory that is to be packed: an installer must accept what is in it.
///
/// * `files`: paths below it, of what is to be packed
/// * `allowed`: as for an installation, from `[archive]` of the policy
///
/// # Errors
/// [`Error::Content`] as an installation would give it; [`Error::Artifact`] for what cannot be
/// read.
pub fn check_directory(
    directory: &Path,
    files: &[String],
    allowed: &[String],
) -> Result<(), Error> {
    let records = files.iter().map(|path| {
        let found = digest_file(&directory.join(path))?;
        Ok(FileRecord {
            path: path.clone(),
            size_bytes: found.size(),
            sha256: found.sha256(),
        })
    });
    let records = records.collect::<Result<_, Error>>()?;
    let parent = directory.parent().unwrap_or(Path::new("."));
    let Some(name) = directory.file_name().and_then(|name| name.to_str()) else {
        return Err(Error::corrupt(directory, "its name is not UTF-8"));
    };
    check(parent, &[Target::new(name, records)], allowed)
}

fn fault(target: &Target, file: &FileRecord, kind: ContentProblem, problem: String) -> Error {
    Error::Content {
        file: format!("{}/{}", target.name, file.path),
        kind,
        problem,
        hint: None,
    }
}

fn check_file(
    directory: &Path,
    target: &Target,
    file: &FileRecord,
    allowed: &[String],
) -> Result<(), Error> {
    let path = directory.join(&file.path);
    let unreadable = |source| Error::unreadable(&path, source);
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let is_named = allowed.iter().any(|pattern| matches(pattern, name));
    let unsafe_ = |problem| fault(target, file, ContentProblem::Unsafe, problem);
    let (mut opened, _) = durable::open_regular(&path).map_err(unreadable)?;
    let mut start = Vec::new();
    opened
        .by_ref()
        .take(64)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    if start.starts_with(LFS_POINTER) {
        return Err(Error::Content {
            file: format!("{}/{}", target.name, file.path),
            kind: ContentProblem::Malformed,
            problem: "it is a Git LFS pointer, not the file it stands for".into(),
            hint: Some("run `git lfs pull` where the release is packed, and pack it again".into()),
        });
    }
    // Eight bytes of a safetensors file are a length and may look like anything.
    let is_sniffed = !is_named && !name.ends_with(".safetensors");
    if is_sniffed && let Some((_, what)) = UNSAFE.iter().find(|(magic, _)| start.starts_with(magic))
    {
        return Err(unsafe_(format!(
            "it is {what}, and nothing of a model may run"
        )));
    }
    let is_known = ENDINGS.iter().any(|ending| name.ends_with(ending))
        || BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning));
    if !is_known && !is_named {
        return Err(unsafe_(format!(
            "files of this name are not part of a model ({})",
            ENDINGS.join(" ")
        )));
    }
    check_format(name, &path, file.size_bytes)
        .map_err(unreadable)?
        .map_err(|problem| fault(target, file, ContentProblem::Malformed, problem))
}

/// Looks into the formats that are known. The outer error is the system's.
fn check_format(name: &str, path: &Path, size: Bytes) -> io::Result<Result<(), String>> {
    let file = || -> io::Result<File> { Ok(durable::open_regular(path)?.0) };
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("safetensors") => safetensors::check(&mut file()?, size.0),
        Some("gguf") => gguf::check(&mut file()?, size.0),
        Some("json") => {
            let limit = if name == "tokenizer.json" {
                MAX_TOKENIZER
            } else {
                MAX_JSON
            };
            if size > limit {
                return Ok(Err(format!(
                    "{size} are more than any such file has ({limit})"
                )));
            }
            Ok(json::check(&mut io::BufReader::new(file()?)))
        }
        _ => Ok(Ok(())),
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Some target carries weights, and every one that does is complete.
fn check_whole(targets: &[Target]) -> Result<(), Error> {
    let mut carries_weights = false;
    for target in targets {
        let has = |path: &str| target.files.iter().any(|file| file.path == path);
        let ends = |ending: &str| {
            let at_root = target.files.iter().filter(|file| !file.path.contains('/'));
            at_root.filter(|file| file.path.ends_with(ending)).count()
        };
        if ends(".gguf") > 0 {
            carries_weights = true;
        } else if ends(".safetensors") > 0 {
            carries_weights = true;
            for name in ["config.json", "tokenizer.json"] {
                if !has(name) {
                    let problem = format!("it has safetensors weights and no {name}");
                    return Err(incomplete(target, problem, None));
                }
            }
        } else if let Some(folder) = only_folder(target) {
            let problem = format!("everything stands one level down, in `{folder}`");
            let hint = "set `\"strip_components\": 1` for this artifact in the manifest";
            return Err(incomplete(target, problem, Some(hint)));
        }
    }
    let Some(first) = targets.first().filter(|_| !carries_weights) else {
        return Ok(());
    };
    let problem = "it has no weights: no .gguf and no .safetensors file".to_owned();
    Err(incomplete(first, problem, None))
}

fn incomplete(target: &Target, problem: String, hint: Option<&str>) -> Error {
    Error::Content {
        file: target.name.clone(),
        kind: ContentProblem::Malformed,
        problem,
        hint: hint.map(str::to_owned),
    }
}

/// The one directory everything of a target stands in, when its weights are there too.
fn only_folder(target: &Target) -> Option<&str> {
    let (folder, _) = target.files.first()?.path.split_once('/')?;
    let is_below = |file: &FileRecord| file.path.split_once('/').is_some_and(|(f, _)| f == folder);
    let has_weights = |file: &FileRecord| {
        let ending = file.path.rsplit_once('.').map(|(_, ending)| ending);
        matches!(ending, Some("gguf" | "safetensors"))
    };
    let is_only = target.files.iter().all(is_below) && target.files.iter().any(has_weights);
    is_only.then_some(folder)
}

#[cfg(test)]
mod tests;
