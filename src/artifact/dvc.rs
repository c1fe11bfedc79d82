//! DVC files: small texts that stand in a repository for files kept elsewhere.
//!
//! In: the path of a `.dvc` file. Out: the places its file may be at, nearest first. DVC names files
//! by MD5; here that is a name and nothing more, the SHA-256 of the manifest decides.
//!
//! Read are the one form `dvc add` writes and the settings `dvc remote add` writes; anything else is
//! refused by name rather than guessed at.

use std::path::{Path, PathBuf};

use crate::durable;

/// Longest `.dvc` file or settings, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// What a `.dvc` file says of the one file it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Out {
    md5: String,
    /// Whether it was written by DVC 3, which keeps files in a folder of its own.
    is_current: bool,
}

/// A place a file may be at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A file of DVC's own cache in this repository, or a remote that is a directory of this
    /// repository.
    Cached(PathBuf),
    /// The URL of a file in the remote, as a manifest would write it.
    Remote(String),
}

/// Why a `.dvc` file leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {problem}", durable::shown(.path))]
pub struct NoLocation {
    /// The file at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl NoLocation {
    /// A file that is nowhere the repository says.
    pub(super) fn nowhere(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            problem: "its file is not in the cache of DVC, and there is no default remote"
                .to_owned(),
        }
    }
}

/// Where the file is that a `.dvc` file stands for.
///
/// * `path`: the `.dvc` file
///
/// Gives DVC's cache in the repository, then its default remote where there is one.
///
/// # Errors
/// [`NoLocation`]: the file is none that `dvc add` writes, stands for a directory, or lies in no
/// repository of DVC; or the settings name no usable remote.
///
/// Source: dvc.org, "DVC Files", "Configuration" and "Internal Files"; DVC 3.67.
pub(super) fn locate(path: &Path) -> Result<Vec<Location>, NoLocation> {
    let wrong = |path: &Path, problem: String| NoLocation {
        path: path.to_owned(),
        problem,
    };
    let text = read(path).map_err(|error| wrong(path, error.to_string()))?;
    let out = Out::parse(&text).map_err(|problem| wrong(path, problem))?;
    let root = dvc_directory(path)
        .ok_or_else(|| wrong(path, "no directory above it is called `.dvc`".to_owned()))?;
    let inside = out.path();
    let mut found = vec![Location::Cached(root.join("cache").join(&inside))];
    let mut settings = Settings::default();
    // What is private to this host goes before what the repository says.
    for name in ["config", "config.local"] {
        let path = root.join(name);
        match read(&path) {
            Ok(text) => settings.read(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&path, error.to_string())),
        }
    }
    let config = root.join("config");
    let remote = settings
        .default_url()
        .map_err(|problem| wrong(&config, problem))?;
    if let Some(remote) = remote {
        let location = remote_location(&remote, &root, &inside);
        found.push(location.map_err(|problem| wrong(&config, problem))?);
    }
    Ok(found)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let (file, _) = durable::open_regular(path)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "longer than {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn dvc_directory(path: &Path) -> Option<PathBuf> {
    let full = path.canonicalize().ok()?;
    full.ancestors()
        .skip(1)
        .map(|above| above.join(".dvc"))
        .find(|dvc| dvc.is_dir())
}

impl Out {
    /// Reads the block list `outs:` with its one entry, as `dvc add` writes it.
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().skip_while(|line| line.trim_end() != "outs:");
        if lines.next().is_none() {
            return Err("it has no list `outs:`, which `dvc add` writes".to_owned());
        }
        let (mut md5, mut hash, mut n_entries) = (None, None, 0);
        for line in lines {
            let line = line.trim_end();
            let is_inside = line.starts_with([' ', '-']);
            if !is_inside && !line.is_empty() {
                break;
            }
            let entry = line.trim_start();
            n_entries += usize::from(entry.starts_with("- "));
            let pair = entry.trim_start_matches("- ").split_once(": ");
            match pair.map(|(key, value)| (key, value.trim_matches(['\'', '"']))) {
                Some(("md5", value)) => md5 = Some(value.to_owned()),
                Some(("hash", value)) => hash = Some(value.to_owned()),
                _ => {}
            }
        }
        if n_entries != 1 {
            return Err(format!(
                "it stands for {n_entries} files, and one is expected"
            ));
        }
        let md5 = md5.ok_or("its entry has no `md5`")?;
        // A mark of DVC behind the digits, not the ending of a file's name.
        if md5.contains(".dir") {
            return Err("it stands for a directory; pack the model into one file".to_owned());
        }
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if md5.len() != 32 || !md5.bytes().all(is_hex) {
            return Err("its `md5` is no digest".to_owned());
        }
        if hash.as_deref().is_some_and(|hash| hash != "md5") {
            return Err("its `hash` is not `md5`".to_owned());
        }
        Ok(Self {
            md5,
            is_current: hash.is_some(),
        })
    }

    /// Where the file is below a cache or a remote.
    fn path(&self) -> String {
        let (start, rest) = self.md5.split_at(2);
        if self.is_current {
            format!("files/md5/{start}/{rest}")
        } else {
            format!("{start}/{rest}")
        }
    }
}

/// What the settings say of remotes.
#[derive(Debug, Default)]
struct Settings {
    default: Option<String>,
    /// Names and URLs, later ones first.
    urls: Vec<(String, String)>,
}

impl Settings {
    /// Reads `[core] remote` and `['remote "NAME"'] url`.
    fn read(&mut self, text: &str) {
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(inner) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                inner.trim_matches('\'').clone_into(&mut section);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let remote = section
                .strip_prefix("remote \"")
                .and_then(|name| name.strip_suffix('"'));
            match (section.as_str(), remote, key) {
                ("core", None, "remote") => self.default = Some(value.to_owned()),
                (_, Some(name), "url") => {
                    self.urls.insert(0, (name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
    }

    /// The URL of the default remote; `None` where there is no default.
    fn default_url(&self) -> Result<Option<String>, String> {
        let Some(name) = &self.default else {
            return Ok(None);
        };
        let url = self.urls.iter().find(|(known, _)| known == name);
        match url {
            Some((_, url)) => Ok(Some(url.clone())),
            None => Err(format!(
                "the default remote `{}` has no url",
                name.escape_debug()
            )),
        }
    }
}

/// The place of a file in a remote.
///
/// * `dvc`: the directory `.dvc`, which paths in its settings are relative to
fn remote_location(remote: &str, dvc: &Path, inside: &str) -> Result<Location, String> {
    let remote = remote.trim_end_matches('/');
    let Some((scheme, rest)) = remote.split_once("://") else {
        let path = dvc.join(remote);
        let repository = dvc.parent().unwrap_or(dvc);
        let full = path.canonicalize().unwrap_or(path);
        return Ok(if full.starts_with(repository) {
            Location::Cached(full.join(inside))
        } else {
            Location::Remote(format!("file://{}/{inside}", full.display()))
        });
    };
    match scheme {
        "s3" | "gs" | "http" | "https" => Ok(Location::Remote(format!("{remote}/{inside}"))),
        "azure" => Ok(Location::Remote(format!("az://{rest}/{inside}"))),
        other => Err(format!(
            "a remote behind `{}:` is not read here; s3, gs, azure, https, http and directories are",
            other.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As DVC 3.67 wrote it.
    const FILE: &str =
        "outs:\n- md5: 900150983cd24fb0d6963f7d28e17f72\n  size: 3\n  hash: md5\n  path: m.bin\n";

    fn repository(file: &str, config: &str, local: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dvc = dir.path().join(".dvc");
        std::fs::create_dir_all(dir.path().join("deep")).expect("made");
        std::fs::create_dir(&dvc).expect("made");
        std::fs::write(dvc.join("config"), config).expect("written");
        if !local.is_empty() {
            std::fs::write(dvc.join("config.local"), local).expect("written");
        }
        let path = dir.path().join("deep/m.bin.dvc");
        std::fs::write(&path, file).expect("written");
        (dir, path)
    }

    fn config(url: &str) -> String {
        format!("[core]\n    remote = models\n['remote \"models\"']\n    url = {url}\n")
    }

    #[track_caller]
    fn leads_to(url: &str, expected: &str) {
        let (_dir, path) = repository(FILE, &config(url), "");
        let found = locate(&path).expect(url);
        let [Location::Cached(cache), Location::Remote(remote)] = found.as_slice() else {
            panic!("{found:?}")
        };
        let inside = ".dvc/cache/files/md5/90/0150983cd24fb0d6963f7d28e17f72";
        assert!(cache.ends_with(inside), "{cache:?}");
        assert_eq!(remote, expected);
    }

    const INSIDE: &str = "files/md5/90/0150983cd24fb0d6963f7d28e17f72";

    #[test]
    fn files_are_in_the_cache_or_the_default_remote() {
        leads_to("s3://models/dvc", &format!("s3://models/dvc/{INSIDE}"));
        leads_to("gs://models/", &format!("gs://models/{INSIDE}"));
        leads_to("azure://models/dvc", &format!("az://models/dvc/{INSIDE}"));
        leads_to("https://h.dev/dvc", &format!("https://h.dev/dvc/{INSIDE}"));
        leads_to("/srv/dvc", &format!("file:///srv/dvc/{INSIDE}"));
    }

    #[test]
    fn a_remote_inside_the_repository_is_a_directory() {
        let (dir, path) = repository(FILE, &config("../store"), "");
        std::fs::create_dir(dir.path().join("store")).expect("made");
        let found = locate(&path).expect("a location");
        let full = dir.path().canonicalize().expect("there");
        assert_eq!(found[1], Location::Cached(full.join("store").join(INSIDE)));
    }

    #[test]
    fn settings_of_this_host_go_before_those_of_the_repository() {
        let local = "['remote \"models\"']\n    url = https://near.dev/d\n";
        let (_dir, path) = repository(FILE, &config("s3://far/d"), local);
        let found = locate(&path).expect("a location");
        let near = format!("https://near.dev/d/{INSIDE}");
        assert_eq!(found[1], Location::Remote(near));
        let (_dir, path) = repository(FILE, "", "");
        assert_eq!(locate(&path).expect("the cache").len(), 1);
    }

    #[test]
    fn files_of_earlier_versions_are_elsewhere() {
        let old = FILE.replace("  hash: md5\n", "");
        let (_dir, path) = repository(&old, &config("s3://models/d"), "");
        let found = locate(&path).expect("a location");
        let expected = "s3://models/d/90/0150983cd24fb0d6963f7d28e17f72";
        assert_eq!(found[1], Location::Remote(expected.to_owned()));
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        let cases: [(&str, &str, &str); 10] = [
            ("", "", "no list `outs:`"),
            ("outs: [a]\n", "", "no list `outs:`"),
            ("outs:\n", "", "0 files"),
            (&FILE.replace("72\n", "72.dir\n"), "", "a directory"),
            (&FILE.replace("md5: 9", "md5: ../9"), "", "no digest"),
            (
                &FILE.replace("hash: md5", "hash: etag"),
                "",
                "`hash` is not",
            ),
            (&format!("{FILE}- md5: x\n"), "", "2 files"),
            (FILE, "[core]\nremote = gone\n", "`gone` has no url"),
            (FILE, &config("gdrive://x"), "`gdrive:`"),
            (FILE, &config("ssh://u:topsecret@h/x"), "`ssh:`"),
        ];
        for (file, config, words) in cases {
            let (_dir, path) = repository(file, config, "");
            let error = locate(&path).expect_err(words).to_string();
            assert!(error.contains(words), "{words}: {error}");
            assert!(!error.contains("topsecret"), "{error}");
        }
        let alone = tempfile::tempdir().expect("a temporary directory");
        let path = alone.path().join("m.dvc");
        std::fs::write(&path, FILE).expect("written");
        // Where the tests run, no directory above may be one of DVC.
        assert!(locate(&path).expect_err("alone").problem.contains("`.dvc`"));
        assert!(locate(&alone.path().join("gone.dvc")).is_err());
    }
}
