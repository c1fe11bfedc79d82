//! What changed between two manifests, in the words a reviewer uses.

use std::cmp::Ordering;
use std::fmt;

use super::finding::quoted;
use super::{Artifact, ModelManifest, Url, version};

/// What a change means for who runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Other bytes, or bytes read in another way: another model.
    Model,
    /// The same bytes from elsewhere, or with other bounds.
    Place,
    /// Labels and texts.
    Label,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it means.
    pub weight: Weight,
    /// JSON path or name of what changed.
    pub what: String,
    /// In words, escaped, e.g. `1.2.0 → 1.3.0 (upgrade)`.
    pub text: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.text)
    }
}

/// Everything that differs between two manifests, the weightiest first; empty when nothing does.
pub fn diff(before: &ModelManifest, after: &ModelManifest) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |weight, what: &str, text: String| {
        changes.push(Change {
            weight,
            what: what.to_owned(),
            text,
        });
    };
    let (old, new) = (before.release.digest(), after.release.digest());
    if old != new {
        let text = format!("sha256 {} → {}", old.short(), new.short());
        add(Weight::Model, "release", text);
    }
    if before.version != after.version || old != new {
        let text = versions(before, after, old == new);
        add(Weight::Label, "version", text);
    }
    let named = |text: &str| format!("`{}`", quoted(text));
    let mut label = |what, old: Option<&String>, new: Option<&String>| {
        if old != new {
            let shown = |text: Option<&String>| text.map_or("none".to_owned(), |it| named(it));
            add(
                Weight::Label,
                what,
                format!("{} → {}", shown(old), shown(new)),
            );
        }
    };
    label(
        "model_name",
        Some(&before.model_name),
        Some(&after.model_name),
    );
    label(
        "release_date",
        before.release_date.as_ref(),
        after.release_date.as_ref(),
    );
    label(
        "description",
        before.description.as_ref(),
        after.description.as_ref(),
    );
    label("notes", before.notes.as_ref(), after.notes.as_ref());
    label(
        "requires.summarize_scene",
        before.requires_summarize_scene.as_ref(),
        after.requires_summarize_scene.as_ref(),
    );
    let options = |manifest: &ModelManifest| {
        let options = manifest.release.model_options.as_ref();
        options.map_or("none".to_owned(), |it| it.canonical_json.clone())
    };
    let (old, new) = (options(before), options(after));
    if old != new {
        let text = format!("{} → {}", quoted(&old), quoted(&new));
        add(Weight::Model, "model_options", text);
    }
    changes.extend(artifacts(before, after));
    changes.sort_by_key(|change| change.weight);
    changes
}

/// `1.2.0 → 1.3.0 (upgrade)`.
fn versions(before: &ModelManifest, after: &ModelManifest, is_same_release: bool) -> String {
    let (old, new) = (&before.version, &after.version);
    let kind = match (version::compare(old, new), is_same_release) {
        (_, true) => "a new label for the same release",
        (Ordering::Less, false) => "upgrade",
        (Ordering::Greater, false) => "downgrade",
        (Ordering::Equal, false) => "the same version for another release",
    };
    format!("{old} → {new} ({kind})")
}

/// Changes of the artifacts. An artifact is the same one where its name is, or, once its name
/// changed, where it is the only one left on both sides.
fn artifacts(before: &ModelManifest, after: &ModelManifest) -> Vec<Change> {
    let (old, new) = (&before.release.artifacts, &after.release.artifacts);
    let twin =
        |of: &Artifact, among: &[Artifact]| among.iter().position(|it| it.filename == of.filename);
    let gone: Vec<&Artifact> = old.iter().filter(|it| twin(it, new).is_none()).collect();
    let come: Vec<&Artifact> = new.iter().filter(|it| twin(it, old).is_none()).collect();
    let mut changes = Vec::new();
    if let ([gone], [come]) = (gone.as_slice(), come.as_slice()) {
        let name = quoted(&gone.filename);
        changes.push(Change {
            weight: Weight::Label,
            what: format!("artifact `{name}`"),
            text: format!("now called `{}`", quoted(&come.filename)),
        });
        changes.extend(artifact(gone, come));
    } else {
        let listed = |list: &[&Artifact], word: &str| {
            let of = |it: &&Artifact| Change {
                weight: Weight::Model,
                what: format!("artifact `{}`", quoted(&it.filename)),
                text: format!("{word}, sha256 {}{}", it.sha256.short(), size(it)),
            };
            list.iter().map(of).collect::<Vec<_>>()
        };
        changes.extend(listed(&gone, "removed"));
        changes.extend(listed(&come, "added"));
    }
    for kept in old {
        if let Some(index) = twin(kept, new) {
            changes.extend(artifact(kept, &new[index]));
        }
    }
    changes
}

fn size(artifact: &Artifact) -> String {
    artifact
        .size
        .map_or(String::new(), |size| format!(", {size}"))
}

/// Changes of one artifact.
fn artifact(old: &Artifact, new: &Artifact) -> Vec<Change> {
    let what = format!("artifact `{}`", quoted(&new.filename));
    let mut changes = Vec::new();
    let mut add = |weight, text: String| {
        changes.push(Change {
            weight,
            what: what.clone(),
            text,
        });
    };
    if old.sha256 != new.sha256 {
        let text = format!(
            "other bytes, sha256 {} → {}{}",
            old.sha256.short(),
            new.sha256.short(),
            resized(old, new)
        );
        add(Weight::Model, text);
    } else if old.size != new.size {
        let shown = |it: &Artifact| {
            it.size
                .map_or("not given".to_owned(), |it| it.0.to_string())
        };
        add(
            Weight::Place,
            format!("size_bytes {} → {}", shown(old), shown(new)),
        );
    }
    if old.format != new.format {
        let text = format!("format {} → {}", old.format.as_str(), new.format.as_str());
        add(Weight::Model, text);
    }
    if old.target != new.target {
        add(
            Weight::Model,
            format!("installed into {} → {}", old.target, new.target),
        );
    }
    if old.strip_components != new.strip_components {
        let text = format!(
            "strip_components {} → {}",
            old.strip_components, new.strip_components
        );
        add(Weight::Model, text);
    }
    if old.unpacked != new.unpacked {
        let shown = |it: &Artifact| it.unpacked.map_or("none".to_owned(), |it| it.0.to_string());
        add(
            Weight::Place,
            format!("unpacked_bytes {} → {}", shown(old), shown(new)),
        );
    }
    if old.urls != new.urls {
        let shown = |it: &Artifact| {
            let urls: Vec<String> = it.urls.iter().map(Url::shown).collect();
            urls.join(", ")
        };
        let (before, after) = (shown(old), shown(new));
        let text = if before == after {
            format!("from {after}, with another query")
        } else {
            format!("from {before} → {after}")
        };
        add(Weight::Place, text);
    }
    changes
}

/// `, 12.4 MiB → 13.0 MiB (+4.8 %)`.
fn resized(old: &Artifact, new: &Artifact) -> String {
    match (old.size, new.size) {
        (Some(a), Some(b)) if a.0 > 0 => {
            let change = (b.0 as f64 / a.0 as f64 - 1.0) * 100.0;
            format!(", {a} → {b} ({change:+.1} %)")
        }
        (_, Some(b)) => format!(", {b}"),
        (_, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    const OLD: &str = r#"{"model_name":"m","version":"1.0.0","artifacts":[{"filename":"m-1.0.0.tar.gz",
        "url":"https://a.dev/m-1.0.0.tar.gz?sig=secret","size_bytes":1000,
        "sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "target_path_in_container":"/app/models/bitnet"}]}"#;

    fn read(text: &str) -> ModelManifest {
        wire::parse(text.as_bytes(), "2030-01-01")
            .expect("a manifest")
            .0
    }

    fn lines(after: &str) -> String {
        let changes = diff(&read(OLD), &read(after));
        let lines: Vec<String> = changes.iter().map(Change::to_string).collect();
        let text = lines.join("\n");
        assert!(!text.contains("secret"), "{text}");
        text
    }

    #[test]
    fn nothing_changed_is_said_by_nothing() {
        assert_eq!(lines(OLD), "");
    }

    #[test]
    fn an_upgrade_reads_as_one() {
        let new = OLD
            .replace("1.0.0", "1.1.0")
            .replace("ba7816bf", "aa7816bf")
            .replace(":1000", ":1100");
        insta::assert_snapshot!(lines(&new), @r"
        release: sha256 a4f19124bc77 → 915d03c8d8fc
        artifact `m-1.1.0.tar.gz`: other bytes, sha256 ba7816bf8f01 → aa7816bf8f01, 1000 B → 1.1 KiB (+10.0 %)
        artifact `m-1.1.0.tar.gz`: from https://a.dev/m-1.0.0.tar.gz → https://a.dev/m-1.1.0.tar.gz
        version: 1.0.0 → 1.1.0 (upgrade)
        artifact `m-1.0.0.tar.gz`: now called `m-1.1.0.tar.gz`
        ");
    }

    #[test]
    fn the_kind_of_version_change_is_named() {
        let check = |after: &str, word: &str| {
            let text = lines(after);
            assert!(text.contains(word), "{text}");
        };
        let other = OLD.replace("ba7816bf", "aa7816bf");
        check(
            &other,
            "1.0.0 → 1.0.0 (the same version for another release)",
        );
        check(
            &other.replace("\"version\":\"1.0.0\"", "\"version\":\"0.9\""),
            "(downgrade)",
        );
        check(
            &OLD.replace("\"version\":\"1.0.0\"", "\"version\":\"1.1\""),
            "(a new label for the same release)",
        );
    }

    #[test]
    fn places_labels_and_options_are_told_apart() {
        let moved = OLD.replace("a.dev", "b.dev");
        assert_eq!(
            lines(&moved),
            "artifact `m-1.0.0.tar.gz`: from https://a.dev/m-1.0.0.tar.gz → https://b.dev/m-1.0.0.tar.gz"
        );
        let signed = OLD.replace("sig=secret", "sig=secret2");
        assert!(lines(&signed).contains("another query"));
        let options = OLD.replace(
            "\"artifacts\"",
            "\"model_options\":{\"i2s_layout\":64},\"artifacts\"",
        );
        assert!(
            lines(&options).contains("model_options: none → {\\\"i2s_layout\\\":64}"),
            "{}",
            lines(&options)
        );
        let unsized_ = OLD.replace("\"size_bytes\":1000,", "");
        assert!(lines(&unsized_).contains("size_bytes 1000 → not given"));
        let target = OLD.replace("models/bitnet", "models/other");
        assert!(lines(&target).contains("installed into bitnet → other"));
        let noted = OLD.replace("\"artifacts\"", "\"notes\":\"a\\u001bb\",\"artifacts\"");
        assert!(
            lines(&noted).contains("notes: none → `a\\u{1b}b`"),
            "{}",
            lines(&noted)
        );
    }

    #[test]
    fn added_and_removed_artifacts_are_listed() {
        let extra = r#"},{"filename":"tok.json","url":"repo:tok.json","sha256":"aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","target_path_in_container":"/app/models/bitnet"}]}"#;
        let two = OLD.replace("}]}", extra);
        assert!(lines(&two).contains("artifact `tok.json`: added, sha256 aa7816bf8f01"));
        let changes = diff(&read(&two), &read(OLD));
        assert!(
            changes.iter().any(|it| it.text.starts_with("removed")),
            "{changes:?}"
        );
    }
}
