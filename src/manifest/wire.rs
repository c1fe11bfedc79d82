//! Both JSON forms of a manifest, the flat one and the one with a list of artifacts.
//!
//! In: the bytes of the file. Out: a [`ModelManifest`] with its warnings, or every finding.

use super::finding::{Class, Finding, Position, Warning, quoted};
use super::json::{self, Node};
use super::lint::{self, Breach};
use super::reader::{Object, Reader, UnknownKey};
use super::url::Url;
use super::{Artifact, DEFAULT_TARGET, Format, ModelManifest, Release, options};
use crate::units::{Bytes, Sha256};

/// Most artifacts of one release.
const MAX_ARTIFACTS: usize = 16;

/// Most mirrors of one artifact.
const MAX_MIRRORS: usize = 8;

/// Longest free text, in characters.
const MAX_PROSE: usize = 4096;

/// Keys that only the flat form has.
const FLAT_KEYS: [&str; 3] = ["url", "sha256", "size_bytes"];

/// Keys of a whole manifest, in either form.
pub(super) const MANIFEST_KEYS: [&str; 12] = [
    "schema_version",
    "model_name",
    "version",
    "release_date",
    "description",
    "notes",
    "requires",
    "model_options",
    "artifacts",
    "url",
    "sha256",
    "size_bytes",
];

/// Keys of an artifact.
pub(super) const ARTIFACT_KEYS: [&str; 9] = [
    "filename",
    "url",
    "urls",
    "sha256",
    "size_bytes",
    "unpacked_bytes",
    "target_path_in_container",
    "strip_components",
    "format",
];

/// Reads a manifest; `today` is a date `YYYY-MM-DD` no release may be younger than.
pub(super) fn parse(
    bytes: &[u8],
    today: &str,
) -> Result<(ModelManifest, Vec<Warning>), Vec<Finding>> {
    let (text, has_mark) = decode(bytes).map_err(|finding| vec![finding])?;
    let mut reader = Reader::new(text, today);
    if has_mark {
        reader.warn(
            0,
            "",
            "starts with a byte order mark, which was skipped".into(),
        );
    }
    let manifest = match json::parse(text) {
        Ok(document) => {
            for key in document.duplicates {
                let breach = Breach::invalid("each key once", "the same key a second time");
                reader.breach(key.at, &key.path, breach);
            }
            reader.manifest(&document.root)
        }
        Err(error) => {
            reader.breach(
                error.at,
                &error.path,
                Breach::invalid(error.expected, error.found),
            );
            None
        }
    };
    reader.finish(manifest)
}

/// The tree of a text in which no key stands twice, when it is that of an object.
pub(super) fn tree(bytes: &[u8]) -> Result<Node, Vec<Finding>> {
    let (text, _) = decode(bytes).map_err(|finding| vec![finding])?;
    let mut reader = Reader::new(text, "");
    let root = match json::parse(text) {
        Ok(document) => {
            for key in document.duplicates {
                let breach = Breach::invalid("each key once", "the same key a second time");
                reader.breach(key.at, &key.path, breach);
            }
            let is_object = matches!(document.root.value, json::Value::Object(_));
            if !is_object {
                reader.wrong_kind(&document.root, "", "an object");
            }
            Some(document.root)
        }
        Err(error) => {
            let breach = Breach::invalid(error.expected, error.found);
            reader.breach(error.at, &error.path, breach);
            None
        }
    };
    reader.finish(root).map(|(root, _)| root)
}

/// The text without its byte order mark, and whether there was one.
fn decode(bytes: &[u8]) -> Result<(&str, bool), Finding> {
    let (body, has_mark) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(body) => (body, true),
        None => (bytes, false),
    };
    let (at, found) = match (body, std::str::from_utf8(body)) {
        ([0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..], _) => (0, "UTF-16".into()),
        (_, Ok(text)) => return Ok((text, has_mark)),
        (_, Err(error)) => {
            let at = error.valid_up_to();
            (
                at,
                format!("the byte 0x{:02x}, which is not UTF-8", body[at]),
            )
        }
    };
    Err(Finding {
        position: Position::of(body, at),
        path: String::new(),
        class: Class::Invalid,
        expected: "text encoded as UTF-8".into(),
        found,
        hint: Some("save the manifest as UTF-8 without a byte order mark".into()),
    })
}

impl Reader<'_> {
    fn manifest(&mut self, root: &Node) -> Option<ModelManifest> {
        let object = self.object(root, String::new(), &MANIFEST_KEYS, UnknownKey::Warn)?;
        self.schema_version(&object);
        self.required(&object, "model_name");
        self.required(&object, "version");
        let model_name = self.checked_text(&object, "model_name", |text| lint::label(text, 128));
        let version = self.checked_text(&object, "version", lint::version);
        let release_date = self.release_date(&object);
        let prose = |text: &str| lint::prose(text, MAX_PROSE);
        let description = self.checked_text(&object, "description", prose);
        let notes = self.checked_text(&object, "notes", prose);
        let requires_summarize_scene = self.requires(&object);
        self.stated_requirement(&object, notes.as_deref());
        let model_options = object
            .get("model_options")
            .and_then(|node| options::read(self, node, object.path_of("model_options")));
        let artifacts = self.artifacts(&object);
        Some(ModelManifest {
            model_name: model_name?,
            version: version?,
            release_date,
            description,
            notes,
            requires_summarize_scene,
            release: Release {
                artifacts: artifacts?,
                model_options,
            },
        })
    }

    fn schema_version(&mut self, object: &Object<'_>) {
        let Some(node) = object.get("schema_version") else {
            return;
        };
        let path = object.path_of("schema_version");
        if let Some(number) = self.number(node, &path)
            && number != "1"
        {
            self.breach(
                node.at,
                &path,
                Breach::invalid("the integer 1", format!("`{number}`")),
            );
        }
    }

    fn release_date(&mut self, object: &Object<'_>) -> Option<String> {
        let node = object.get("release_date")?;
        let path = object.path_of("release_date");
        let text = self.text(node, &path)?;
        match self.keep(node.at, &path, lint::date(text, self.today))? {
            Ok(()) => Some(text.to_owned()),
            Err(odd) => {
                self.warn(node.at, &path, odd);
                None
            }
        }
    }

    fn requires(&mut self, object: &Object<'_>) -> Option<String> {
        let node = object.get("requires")?;
        let path = object.path_of("requires");
        let requires = self.object(node, path, &["summarize_scene"], UnknownKey::Warn)?;
        self.checked_text(&requires, "summarize_scene", lint::requirement)
    }

    /// Warns of a requirement that only people can read.
    fn stated_requirement(&mut self, object: &Object<'_>, notes: Option<&str>) {
        let stated = notes.and_then(lint::stated_requirement);
        if let (Some(stated), Some(node), false) =
            (stated, object.get("notes"), object.has("requires"))
        {
            let text = format!(
                "states a requirement no program reads; write `\"requires\": \
                 {{\"summarize_scene\": \"{stated}\"}}` besides"
            );
            self.warn(node.at, &object.path_of("notes"), text);
        }
    }

    /// The artifacts of either form.
    fn artifacts(&mut self, object: &Object<'_>) -> Option<Vec<Artifact>> {
        let is_flat = FLAT_KEYS.iter().any(|key| object.has(key));
        let is_list = object.has("artifacts");
        match (is_flat, is_list) {
            (true, true) => {
                for key in FLAT_KEYS {
                    if let Some(node) = object.get(key) {
                        let breach =
                            Breach::invalid("either this key or `artifacts`", "both of them")
                                .hint("move `url`, `sha256` and `size_bytes` into `artifacts[0]`");
                        self.breach(node.at, &object.path_of(key), breach);
                    }
                }
                None
            }
            (true, false) => self.flat(object).map(|artifact| vec![artifact]),
            (false, true) => self.artifact_list(object.get("artifacts")?),
            (false, false) => {
                let expected = "`artifacts`, or `url` and `sha256`";
                self.breach(
                    object.at,
                    &object.path,
                    Breach::invalid(expected, "none of them"),
                );
                None
            }
        }
    }

    fn flat(&mut self, object: &Object<'_>) -> Option<Artifact> {
        self.required(object, "url");
        let url = object
            .get("url")
            .and_then(|node| self.url(node, &object.path_of("url")));
        let sha256 = self.digest(object);
        let size = self.size(object);
        let url = url?;
        let filename = url.file_name().to_owned();
        let at = object.get("url")?.at;
        self.keep(at, &object.path_of("url"), lint::filename(&filename))?;
        Some(Artifact {
            format: Format::of_name(&filename),
            filename,
            urls: vec![url],
            sha256: sha256?,
            size,
            unpacked: None,
            target: DEFAULT_TARGET.to_owned(),
            strip_components: 0,
        })
    }

    fn artifact_list(&mut self, node: &Node) -> Option<Vec<Artifact>> {
        let items = self.items(node, "artifacts", MAX_ARTIFACTS)?;
        let read: Vec<Option<Artifact>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.artifact(item, format!("artifacts[{index}]")))
            .collect();
        let artifacts: Vec<Artifact> = read.into_iter().collect::<Option<_>>()?;
        self.check_together(&artifacts, items);
        let sizes = artifacts.iter().filter_map(|artifact| artifact.size);
        self.keep(node.at, "artifacts", lint::total_size(sizes))?;
        Some(artifacts)
    }

    /// What must hold between the artifacts of one release (rule R15).
    fn check_together(&mut self, artifacts: &[Artifact], items: &[Node]) {
        for (index, artifact) in artifacts.iter().enumerate() {
            let before = &artifacts[..index];
            let at = items[index].at;
            let is_twin = |other: &&Artifact| {
                other.target != artifact.target
                    && other.target.eq_ignore_ascii_case(&artifact.target)
            };
            if let Some(twin) = before.iter().find(is_twin) {
                let path = format!("artifacts[{index}].target_path_in_container");
                let expected = format!("`{}`, or a clearly different name", twin.target);
                let found = format!("`{}`", artifact.target);
                self.breach(at, &path, Breach::refused(expected, found));
            }
            let is_namesake = |other: &Artifact| {
                other.filename == artifact.filename && other.sha256 != artifact.sha256
            };
            if before.iter().any(is_namesake) {
                let path = format!("artifacts[{index}].filename");
                self.warn(
                    at,
                    &path,
                    "an earlier artifact has this name and other bytes".into(),
                );
            }
        }
    }

    fn artifact(&mut self, node: &Node, path: String) -> Option<Artifact> {
        let object = self.object(node, path, &ARTIFACT_KEYS, UnknownKey::Warn)?;
        self.required(&object, "filename");
        let filename = self.checked_text(&object, "filename", lint::filename);
        let urls = self.urls(&object);
        let sha256 = self.digest(&object);
        let size = self.size(&object);
        let unpacked = self.checked_number(&object, "unpacked_bytes", lint::byte_count);
        let target = self.target(&object);
        let strip = self.checked_number(&object, "strip_components", |number| {
            let wrong = || Breach::invalid("an integer from 0 to 3", format!("`{number}`"));
            number
                .parse()
                .ok()
                .filter(|strip| *strip <= 3)
                .ok_or_else(wrong)
        });
        let format = self.format(&object);
        let filename = filename?;
        Some(Artifact {
            format: format.unwrap_or_else(|| Format::of_name(&filename)),
            filename,
            urls: urls?,
            sha256: sha256?,
            size,
            unpacked,
            target: target?,
            strip_components: strip.unwrap_or(0),
        })
    }

    fn url(&mut self, node: &Node, path: &str) -> Option<Url> {
        let text = self.text(node, path)?;
        let url = self.keep(node.at, path, Url::parse(text))?;
        let http = url.http();
        if http.is_some_and(|http| !http.is_tls() && !http.host().is_loopback_literal()) {
            self.warn(
                node.at,
                path,
                "plain http, which needs --allow-http: use https".into(),
            );
        }
        Some(url)
    }

    /// `url` and the mirrors of `urls`, in that order.
    fn urls(&mut self, object: &Object<'_>) -> Option<Vec<Url>> {
        if !object.has("urls") {
            self.required(object, "url");
        }
        let mut urls = Vec::new();
        if let Some(node) = object.get("url") {
            urls.push(self.url(node, &object.path_of("url")));
        }
        if let Some(node) = object.get("urls") {
            let path = object.path_of("urls");
            for (index, item) in self.items(node, &path, MAX_MIRRORS)?.iter().enumerate() {
                urls.push(self.url(item, &format!("{path}[{index}]")));
            }
        }
        let urls: Vec<Url> = urls.into_iter().collect::<Option<_>>()?;
        (!urls.is_empty()).then_some(urls)
    }

    fn digest(&mut self, object: &Object<'_>) -> Option<Sha256> {
        let node = self.required(object, "sha256")?;
        let path = object.path_of("sha256");
        let text = self.text(node, &path)?;
        let written = self.keep(node.at, &path, lint::digest(text))?;
        if written.has_upper_case {
            self.warn(
                node.at,
                &path,
                "a digest in upper case was read as lower case".into(),
            );
        }
        Some(written.sha256)
    }

    fn size(&mut self, object: &Object<'_>) -> Option<Bytes> {
        if !object.has("size_bytes") {
            let path = object.path_of("size_bytes");
            self.warn(
                object.at,
                &path,
                "not given: a cut file is found late, by its digest".into(),
            );
        }
        self.checked_number(object, "size_bytes", lint::size)
    }

    fn target(&mut self, object: &Object<'_>) -> Option<String> {
        let node = self.required(object, "target_path_in_container")?;
        let path = object.path_of("target_path_in_container");
        let text = self.text(node, &path)?;
        self.keep(node.at, &path, lint::target(text))
    }

    fn format(&mut self, object: &Object<'_>) -> Option<Format> {
        let node = object.get("format")?;
        let path = object.path_of("format");
        let text = self.text(node, &path)?;
        let known = [Format::TarGz, Format::Tar, Format::File];
        let format = known.into_iter().find(|format| format.as_str() == text);
        let wrong = || Breach::invalid("tar.gz, tar or file", format!("`{}`", quoted(text)));
        self.keep(node.at, &path, format.ok_or_else(wrong))
    }
}
