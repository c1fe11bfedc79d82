//! Walks a parsed manifest: typed access to members, and a list of everything found wrong.

use super::finding::{Finding, MAX_LISTED, Position, Warning, quoted};
use super::json::{Member, Node, Value, join_key};
use super::lint::Breach;
use crate::hint::did_you_mean;

/// Longest key that can be a slip of a known one, in bytes.
const MAX_SLIP_BYTES: usize = 64;

/// Keys people write for one of ours, too far from it to be a slip.
const MISNOMERS: [(&str, &str); 6] = [
    ("shasum", "sha256"),
    ("sha_256", "sha256"),
    ("checksum", "sha256"),
    ("md5", "sha256"),
    ("uri", "url"),
    ("size", "size_bytes"),
];

/// An object of the document with the keys its misspelt members were meant to be.
pub(super) struct Object<'a> {
    pub(super) at: usize,
    pub(super) path: String,
    members: &'a [Member],
    meant: Vec<&'static str>,
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.members
            .iter()
            .find(|member| member.key == key)
            .map(|member| &member.node)
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        join_key(&self.path, key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some() || self.meant.contains(&key)
    }
}

/// What to do with a key nobody knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownKey {
    Warn,
    Refuse,
}

/// Walks the document and collects what is wrong with it.
///
/// Methods that give `None` have left a finding, unless the value was optional and absent.
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) today: &'a str,
    findings: Vec<Finding>,
    warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, today: &'a str) -> Self {
        Self {
            text,
            today,
            findings: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<(T, Vec<Warning>), Vec<Finding>> {
        if self.findings.is_empty() {
            self.warnings.sort_by_key(|warning| warning.position);
            let read = read.expect("what is missing left a finding");
            return Ok((read, self.warnings));
        }
        self.findings.sort_by_key(|finding| finding.position);
        Err(self.findings)
    }

    /// Notes a broken rule; past the limit only when it makes the manifest worse.
    pub(super) fn breach(&mut self, at: usize, path: &str, breach: Breach) {
        if self.findings.len() == MAX_LISTED {
            let is_worse = |listed: &Finding| listed.class < breach.class;
            match self.findings.iter().rposition(is_worse) {
                Some(listed) => drop(self.findings.remove(listed)),
                None => return,
            }
        }
        let position = Position::of(self.text.as_bytes(), at);
        let Breach {
            class,
            expected,
            found,
            hint,
        } = breach;
        self.findings.push(Finding {
            position,
            path: path.to_owned(),
            class,
            expected,
            found,
            hint,
        });
    }

    pub(super) fn warn(&mut self, at: usize, path: &str, text: String) {
        if self.warnings.len() == MAX_LISTED {
            return;
        }
        let position = Position::of(self.text.as_bytes(), at);
        self.warnings.push(Warning {
            position,
            path: path.to_owned(),
            text,
        });
    }

    /// Keeps the checked value, or the finding.
    pub(super) fn keep<T>(
        &mut self,
        at: usize,
        path: &str,
        checked: Result<T, Breach>,
    ) -> Option<T> {
        checked.map_err(|breach| self.breach(at, path, breach)).ok()
    }

    pub(super) fn wrong_kind(&mut self, node: &Node, path: &str, expected: &str) {
        self.breach(node.at, path, Breach::invalid(expected, node.value.kind()));
    }

    /// An object whose keys are all in `known`, or warned of.
    pub(super) fn object<'n>(
        &mut self,
        node: &'n Node,
        path: String,
        known: &[&'static str],
        unknown: UnknownKey,
    ) -> Option<Object<'n>> {
        let Value::Object(members) = &node.value else {
            self.wrong_kind(node, &path, "an object");
            return None;
        };
        let mut object = Object {
            at: node.at,
            path,
            members,
            meant: Vec::new(),
        };
        for member in members
            .iter()
            .filter(|member| !known.contains(&member.key.as_str()))
        {
            let key_path = object.path_of(&member.key);
            let found = format!("the unknown key `{}`", quoted(&member.key));
            match meant_key(&member.key, known) {
                Some(meant) => {
                    let hint = format!("rename `{}` to `{meant}`", quoted(&member.key));
                    let breach = Breach::invalid(format!("the key `{meant}`"), found);
                    self.breach(member.at, &key_path, breach.hint(hint));
                    object.meant.push(meant);
                }
                None if unknown == UnknownKey::Refuse => {
                    let expected = format!("one of the keys {}", known.join(", "));
                    self.breach(member.at, &key_path, Breach::invalid(expected, found));
                }
                None => self.warn(member.at, &key_path, "unknown key, ignored".into()),
            }
        }
        Some(object)
    }

    /// The member a manifest cannot do without.
    pub(super) fn required<'n>(&mut self, object: &Object<'n>, key: &str) -> Option<&'n Node> {
        let node = object.get(key);
        if !object.has(key) {
            let breach = Breach::invalid(format!("the key `{key}`"), "no such key");
            self.breach(object.at, &object.path_of(key), breach);
        }
        node
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        let Value::Text(text) = &node.value else {
            self.wrong_kind(node, path, "a string");
            return None;
        };
        Some(text)
    }

    pub(super) fn number<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        let Value::Number(number) = &node.value else {
            self.wrong_kind(node, path, "a number");
            return None;
        };
        Some(number)
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [Node]> {
        let Value::List(items) = &node.value else {
            self.wrong_kind(node, path, "a list");
            return None;
        };
        Some(items)
    }

    /// The items of a list with `1..=max` of them.
    pub(super) fn items<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
        max: usize,
    ) -> Option<&'n [Node]> {
        let items = self.list(node, path)?;
        if (1..=max).contains(&items.len()) {
            return Some(items);
        }
        let breach = Breach::invalid(format!("1 to {max} entries"), format!("{}", items.len()));
        self.breach(node.at, path, breach);
        None
    }

    /// A string member that keeps `rule`; `None` when it is absent or broken.
    pub(super) fn checked_text(
        &mut self,
        object: &Object<'_>,
        key: &str,
        rule: impl FnOnce(&str) -> Result<(), Breach>,
    ) -> Option<String> {
        let node = object.get(key)?;
        let path = object.path_of(key);
        let text = self.text(node, &path)?;
        self.keep(node.at, &path, rule(text))
            .map(|()| text.to_owned())
    }

    /// A number member that keeps `rule`; `None` when it is absent or broken.
    pub(super) fn checked_number<T>(
        &mut self,
        object: &Object<'_>,
        key: &str,
        rule: impl FnOnce(&str) -> Result<T, Breach>,
    ) -> Option<T> {
        let node = object.get(key)?;
        let path = object.path_of(key);
        let number = self.number(node, &path)?;
        self.keep(node.at, &path, rule(number))
    }
}

/// The known key a misspelt one was meant to be.
fn meant_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if key.len() > MAX_SLIP_BYTES {
        return None;
    }
    let folded = key.to_lowercase();
    let misnomer = MISNOMERS
        .iter()
        .find_map(|&(wrong, right)| (wrong == folded).then_some(right));
    misnomer
        .filter(|right| known.contains(right))
        .or_else(|| did_you_mean(key, known.iter().copied()))
        .or_else(|| known.iter().copied().find(|&known| known == folded))
}
