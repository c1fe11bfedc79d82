//! Changes of a manifest's text that leave everything else as it was written: order of fields,
//! fields nobody here knows, numbers as they are spelt.

use super::finding::Finding;
use super::json::{self, Member, Node, Value};
use super::lint;
use super::url::Url;
use super::{DEFAULT_TARGET, wire};
use crate::units::{Bytes, Sha256};

/// A manifest as a tree of what was written.
#[derive(Debug, Clone)]
pub struct Draft {
    root: Node,
}

/// What one artifact becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// Its name.
    pub filename: String,
    /// Where it will be.
    pub url: String,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its length.
    pub size: Bytes,
    /// Bytes it unpacks to; written only where the field was there.
    pub unpacked: Option<Bytes>,
}

impl Draft {
    /// Reads the text of a manifest, which need not keep any rule but the grammar's.
    ///
    /// # Errors
    /// The finding that it is not JSON in UTF-8, or no object, or has a key twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Finding>> {
        wire::tree(bytes).map(|root| Self { root })
    }

    /// Upgrades the flat form to the list of artifacts and writes digests as they are written
    /// today. The release stays the same one.
    ///
    /// Gives what was done, one sentence each; empty when there was nothing to do.
    pub fn fix(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        if self.upgrade() {
            done.push("moved `url`, `sha256` and `size_bytes` into `artifacts`".to_owned());
        }
        for (index, artifact) in self.artifacts_mut().enumerate() {
            let Some(Value::Text(text)) = value_mut(artifact, "sha256") else {
                continue;
            };
            let digits = text.strip_prefix("sha256:").unwrap_or(text);
            if let Ok(sha256) = digits.parse::<Sha256>()
                && sha256.to_string() != *text
            {
                *text = sha256.to_string();
                done.push(format!(
                    "wrote artifacts[{index}].sha256 in lower case, without prefix"
                ));
            }
        }
        done
    }

    /// Turns the flat form into the list, where that is what stands there.
    fn upgrade(&mut self) -> bool {
        let Value::Object(members) = &mut self.root.value else {
            return false;
        };
        let position = |members: &[Member], key: &str| members.iter().position(|it| it.key == key);
        let (Some(at), None) = (position(members, "url"), position(members, "artifacts")) else {
            return false;
        };
        let Value::Text(url) = &members[at].node.value else {
            return false;
        };
        let Ok(parsed) = Url::parse(url) else {
            return false;
        };
        let filename = parsed.file_name().to_owned();
        if lint::filename(&filename).is_err() {
            return false;
        }
        let mut artifact = vec![member("filename", Value::Text(filename))];
        for key in ["url", "sha256", "size_bytes"] {
            if let Some(found) = position(members, key) {
                artifact.push(members[found].clone());
            }
        }
        let target = format!("/app/models/{DEFAULT_TARGET}");
        artifact.push(member("target_path_in_container", Value::Text(target)));
        let list = Value::List(vec![node(Value::Object(artifact))]);
        members[at] = member("artifacts", list);
        members.retain(|it| !matches!(it.key.as_str(), "sha256" | "size_bytes"));
        true
    }

    /// Writes the version of the next release.
    pub fn set_version(&mut self, version: &str) {
        set(&mut self.root, "version", Value::Text(version.to_owned()));
    }

    /// Writes the date of the release, where the manifest has one.
    pub fn set_date(&mut self, date: &str) {
        if value_mut(&mut self.root, "release_date").is_some() {
            set(&mut self.root, "release_date", Value::Text(date.to_owned()));
        }
    }

    /// Replaces what an artifact is. Mirrors of the old file go: they do not have the new one.
    ///
    /// Gives false when there is no artifact of that number.
    pub fn set_artifact(&mut self, index: usize, new: &NewArtifact) -> bool {
        let Some(artifact) = self.artifacts_mut().nth(index) else {
            return false;
        };
        let number = |Bytes(n): Bytes| Value::Number(n.to_string());
        set(artifact, "filename", Value::Text(new.filename.clone()));
        set(artifact, "url", Value::Text(new.url.clone()));
        set(artifact, "sha256", Value::Text(new.sha256.to_string()));
        set(artifact, "size_bytes", number(new.size));
        if let Value::Object(members) = &mut artifact.value {
            members.retain(|it| it.key != "urls");
        }
        if let Some(unpacked) = new.unpacked
            && value_mut(artifact, "unpacked_bytes").is_some()
        {
            set(artifact, "unpacked_bytes", number(unpacked));
        }
        true
    }

    fn artifacts_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let list = match value_mut(&mut self.root, "artifacts") {
            Some(Value::List(items)) => items.as_mut_slice(),
            _ => &mut [],
        };
        list.iter_mut()
    }

    /// The text: two spaces a level, and a line end.
    pub fn text(&self) -> String {
        format!("{}\n", json::write(&self.root))
    }
}

fn node(value: Value) -> Node {
    Node { at: 0, value }
}

fn member(key: &str, value: Value) -> Member {
    Member {
        at: 0,
        key: key.to_owned(),
        node: node(value),
    }
}

/// The value of a member of an object.
fn value_mut<'a>(object: &'a mut Node, key: &str) -> Option<&'a mut Value> {
    let Value::Object(members) = &mut object.value else {
        return None;
    };
    let found = members.iter_mut().find(|it| it.key == key);
    found.map(|it| &mut it.node.value)
}

/// Replaces a member where it stands, or adds it at the end.
fn set(object: &mut Node, key: &str, value: Value) {
    if let Some(found) = value_mut(object, key) {
        *found = value;
    } else if let Value::Object(members) = &mut object.value {
        members.push(member(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2025-11-23";
    const DIGEST: &str = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";

    fn draft(text: &str) -> Draft {
        Draft::parse(text.as_bytes()).expect("JSON")
    }

    fn release(text: &str) -> Sha256 {
        let (manifest, _) = wire::parse(text.as_bytes(), TODAY).expect("a manifest");
        manifest.release.digest()
    }

    #[test]
    fn the_flat_form_becomes_a_list_of_the_same_release() {
        let flat = format!(
            r#"{{"model_name":"m","team":{{"a":1.50}},"url":"repo:d/m.tar.gz","version":"1.0","sha256":"sha256:{DIGEST}","size_bytes":3}}"#
        );
        let mut draft = draft(&flat);
        assert_eq!(draft.fix().len(), 2);
        insta::assert_snapshot!(draft.text(), @r#"
        {
          "model_name": "m",
          "team": {
            "a": 1.50
          },
          "artifacts": [
            {
              "filename": "m.tar.gz",
              "url": "repo:d/m.tar.gz",
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
              "size_bytes": 3,
              "target_path_in_container": "/app/models/bitnet"
            }
          ],
          "version": "1.0"
        }
        "#);
        assert_eq!(release(&draft.text()), release(&flat));
        assert!(draft.fix().is_empty(), "once is enough");
    }

    #[test]
    fn what_cannot_be_fixed_stays() {
        for text in [
            r#"{"url":"nowhere","sha256":"x"}"#,
            r#"{"url":1}"#,
            r#"{"url":"repo:a","artifacts":[]}"#,
            r#"{"artifacts":[{"sha256":"short"},{"sha256":7},3]}"#,
            "{}",
        ] {
            let mut draft = draft(text);
            assert!(draft.fix().is_empty(), "{text}");
            let before: serde_json::Value = serde_json::from_str(text).expect("JSON");
            let after: serde_json::Value = serde_json::from_str(&draft.text()).expect("JSON");
            assert_eq!(before, after);
        }
        assert!(Draft::parse(b"[]").is_err());
        assert!(Draft::parse(b"{\"a\":1,\"a\":2}").is_err());
        assert!(Draft::parse(b"{").is_err());
    }

    #[test]
    fn a_bump_keeps_order_and_foreign_fields() {
        let text = format!(
            r#"{{"version":"1.0","x_owner":"é\u001b","model_name":"m","release_date":"2025-01-01","artifacts":[{{"url":"repo:a","urls":["repo:b"],"filename":"a","sha256":"{}","unpacked_bytes":9,"target_path_in_container":"/app/models/bitnet","x":null}}]}}"#,
            DIGEST.to_lowercase()
        );
        let mut draft = draft(&text);
        draft.set_version("1.1");
        draft.set_date(TODAY);
        let new = NewArtifact {
            filename: "b".to_owned(),
            url: "repo:b".to_owned(),
            sha256: Sha256::of(b"b"),
            size: Bytes(1),
            unpacked: Some(Bytes(4)),
        };
        assert!(draft.set_artifact(0, &new));
        assert!(!draft.set_artifact(1, &new));
        let digest = Sha256::of(b"b").to_string();
        insta::assert_snapshot!(draft.text().replace(&digest, "DIGEST"), @r#"
        {
          "version": "1.1",
          "x_owner": "é\u001b",
          "model_name": "m",
          "release_date": "2025-11-23",
          "artifacts": [
            {
              "url": "repo:b",
              "filename": "b",
              "sha256": "DIGEST",
              "unpacked_bytes": 4,
              "target_path_in_container": "/app/models/bitnet",
              "x": null,
              "size_bytes": 1
            }
          ]
        }
        "#);
    }
}
