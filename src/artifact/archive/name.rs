//! Names of entries: which ones are allowed, and their components.

use unicode_normalization::is_nfc;

use super::Error;
use crate::units::is_invisible;

/// Deepest path, in components.
const MAX_DEPTH: usize = 16;

/// Longest component, in bytes.
const MAX_COMPONENT: usize = 255;

/// Names of devices on systems that give them a meaning in every directory.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Names that belong to the store of models.
const RESERVED: [&str; 2] = [".vv", ".current_model_"];

/// Names a signature of the model does not cover.
const UNSIGNED: [&str; 4] = [".git", ".gitignore", ".gitattributes", ".github"];

/// The components of a file's name after `strip` leading ones.
///
/// # Errors
/// [`Error::Unsafe`] for a name that is not allowed; [`Error::Malformed`] when nothing is left of
/// it.
pub(super) fn parts(name: &[u8], strip: u8) -> Result<Vec<String>, Error> {
    let all = components(name, name)?;
    let kept: Vec<String> = all.into_iter().skip(usize::from(strip)).collect();
    if kept.is_empty() {
        let text = crate::manifest::quoted(&String::from_utf8_lossy(name));
        return Err(Error::Malformed(format!(
            "file `{text}` is not below {strip} directories, which strip_components removes"
        )));
    }
    checked(kept, name)
}

/// The components of a directory's name after `strip` leading ones; `None` for the root.
///
/// # Errors
/// [`Error::Unsafe`].
pub(super) fn directory_parts(name: &[u8], strip: u8) -> Result<Option<Vec<String>>, Error> {
    let bare = name.strip_suffix(b"/").unwrap_or(name);
    if bare == b"." {
        return Ok(None);
    }
    let all = components(bare, name)?;
    let kept: Vec<String> = all.into_iter().skip(usize::from(strip)).collect();
    if kept.is_empty() {
        return Ok(None);
    }
    checked(kept, name).map(Some)
}

/// All components, each safe by itself.
///
/// * `shown`: the whole name, for messages
fn components(name: &[u8], shown: &[u8]) -> Result<Vec<String>, Error> {
    let refuse = |problem: &str| Err(Error::unsafe_entry(shown, problem));
    let Ok(text) = std::str::from_utf8(name) else {
        return refuse("has a name that is not UTF-8");
    };
    let text = text.strip_prefix("./").unwrap_or(text);
    if text.is_empty() {
        return refuse("has an empty name");
    }
    if text.starts_with('/') {
        return refuse("has an absolute name");
    }
    let parts: Vec<&str> = text.split('/').collect();
    for part in &parts {
        if let Some(problem) = problem_of(part) {
            return refuse(&problem);
        }
    }
    Ok(parts.into_iter().map(str::to_owned).collect())
}

/// What is wrong with a component.
fn problem_of(part: &str) -> Option<String> {
    let says = |text: &str| Some(text.to_owned());
    match part {
        "" => return says("has an empty component in its name"),
        "." => return says("has a `.` in its name"),
        ".." => return says("has a `..` in its name"),
        _ => {}
    }
    if part.len() > MAX_COMPONENT {
        return Some(format!(
            "has a component of more than {MAX_COMPONENT} bytes"
        ));
    }
    if part.contains('\\') {
        return says("has a backslash in its name");
    }
    if part.chars().any(char::is_control) {
        return says("has a control character in its name");
    }
    if part.chars().any(is_invisible) {
        return says("has a character in its name that changes the order of text or is not seen");
    }
    if part.as_bytes().get(1) == Some(&b':') && part.as_bytes()[0].is_ascii_alphabetic() {
        return says("has a drive letter in its name");
    }
    if part.ends_with([' ', '.']) {
        return says("has a name that ends in a space or a dot");
    }
    if !is_nfc(part) {
        return says("has a name that is not in Unicode normal form C");
    }
    if is_device(part) {
        return says("has the name of a device on some systems");
    }
    let lower = part.to_lowercase();
    if RESERVED.iter().any(|start| lower.starts_with(start)) || lower == ".model_updated_flag" {
        return says("has a name that belongs to the store");
    }
    None
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_lowercase();
    let is_port = |kind: &str| {
        stem.strip_prefix(kind)
            .is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
    };
    DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt")
}

/// What must hold of the whole name once its leading directories are gone.
fn checked(parts: Vec<String>, shown: &[u8]) -> Result<Vec<String>, Error> {
    if parts.len() > MAX_DEPTH {
        let problem = format!("is deeper than {MAX_DEPTH} directories");
        return Err(Error::unsafe_entry(shown, problem));
    }
    if UNSIGNED.contains(&parts[0].to_lowercase().as_str()) {
        let problem = "has a name that signatures of models leave out";
        return Err(Error::unsafe_entry(shown, problem));
    }
    Ok(parts)
}

/// The name by which two components are the same on some system.
pub(super) fn folded(part: &str) -> String {
    part.to_uppercase().to_lowercase()
}
