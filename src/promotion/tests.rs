//! Requests read from real repositories.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::git::{self, Repository};
use super::*;
use crate::hint::Hint as _;
use crate::units::Sha256;

const POLICY: &str = "schema_version = 1\nmode = \"smoke\"\n[scenes]\nset = \"cenas\"\n";

/// A repository on branch `main`.
struct Repo {
    dir: TempDir,
}

impl Repo {
    fn new() -> Self {
        let repo = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.dir.path())
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git is installed");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
        std::fs::write(path, text).expect("written");
        self
    }

    fn commit(&self) -> &Self {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self
    }

    fn branch(&self, name: &str) -> &Self {
        self.git(&["checkout", "--quiet", "-B", name]);
        self
    }

    fn open(&self) -> Repository {
        Repository::open(self.dir.path()).expect("a repository")
    }

    fn read(&self, head: Option<&str>) -> Result<Request, Error> {
        Request::read(&self.open(), "main", head, &paths())
    }
}

fn paths() -> Paths {
    Paths {
        manifest: "model_manifest.json".to_owned(),
        policy: "gate.toml".to_owned(),
    }
}

fn manifest(version: &str, content: &str) -> String {
    let sha256 = Sha256::of(content.as_bytes());
    let size = content.len();
    format!(
        r#"{{"model_name":"m","version":"{version}","artifacts":[{{"filename":"w.bin","url":"repo:m/w.bin","sha256":"{sha256}","size_bytes":{size},"target_path_in_container":"/app/models/bitnet"}}]}}"#
    )
}

/// `main` with version 1.0 and a policy; the work tree is on `topic` with nothing changed.
fn started() -> Repo {
    let repo = Repo::new();
    repo.write("model_manifest.json", &manifest("1.0", "one"))
        .write("m/w.bin", "one")
        .write("gate.toml", POLICY)
        .write("eval-sets/cenas/1.2.0/set.toml", "old")
        .write("eval-sets/cenas/1.10.0/set.toml", "base")
        .commit()
        .branch("topic");
    repo
}

#[test]
fn both_sides_are_read_where_they_stand() {
    let repo = started();
    repo.write("model_manifest.json", &manifest("1.1", "two"))
        .write("m/w.bin", "two");
    for commits in [false, true] {
        if commits {
            repo.commit();
        }
        let request = repo.read(commits.then_some("topic")).expect("good");
        let before = request
            .baseline(&paths())
            .expect("judged")
            .expect("there is one");
        assert_eq!(before.manifest.version, "1.0");
        assert_eq!(request.candidate.manifest.version, "1.1");
        assert!(!request.is_unchanged());
        assert!(request.edited.is_empty() && request.notices().is_empty());
        let changes: Vec<String> = request.changes.iter().map(ToString::to_string).collect();
        assert!(
            changes.contains(&"version: 1.0 → 1.1 (upgrade)".to_owned()),
            "{changes:?}"
        );
    }
}

#[test]
fn an_untouched_manifest_is_nothing_to_judge() {
    let repo = started();
    repo.write("README.md", "new").commit();
    assert!(repo.read(Some("topic")).expect("good").is_unchanged());
}

#[test]
fn a_rollback_is_a_request_like_any_other() {
    let repo = started();
    repo.branch("main")
        .write("model_manifest.json", &manifest("1.1", "two"))
        .commit();
    repo.branch("back")
        .write("model_manifest.json", &manifest("1.0", "one"))
        .commit();
    let request = repo.read(Some("back")).expect("good");
    let changes: Vec<String> = request.changes.iter().map(ToString::to_string).collect();
    assert!(
        changes.contains(&"version: 1.1 → 1.0 (downgrade)".to_owned()),
        "{changes:?}"
    );
}

#[test]
fn the_rules_are_the_bases_and_edits_are_told() {
    let repo = started();
    let loose = format!("{POLICY}min_scenes = 1000\n");
    repo.write("model_manifest.json", &manifest("1.1", "two"))
        .write("gate.toml", &loose)
        .write("eval-sets/cenas/1.10.0/set.toml", "head")
        .write("eval-sets/other/1.0.0/set.toml", "unused")
        .write(".github/workflows/gate.yml", "on: push")
        .write("docs/x.md", "fine")
        .commit();
    let request = repo.read(Some("topic")).expect("good");
    assert_eq!(
        request.edited,
        [
            ".github/workflows/gate.yml",
            "eval-sets/cenas/1.10.0/set.toml",
            "eval-sets/other/1.0.0/set.toml",
            "gate.toml"
        ]
    );
    assert_ne!(request.policy.scenes.min_scenes, 1000);
    let notice = request.notices().join("\n");
    assert!(
        notice.contains("`gate.toml`") && notice.contains(request.base.short()),
        "{notice}"
    );
    let room = tempfile::tempdir().expect("a temporary directory");
    let scenes = request
        .export_scenes(&repo.open(), room.path())
        .expect("written");
    assert!(
        scenes.ends_with("eval-sets/cenas/1.10.0"),
        "the highest version counts"
    );
    assert_eq!(
        std::fs::read_to_string(scenes.join("set.toml")).expect("there"),
        "base"
    );
}

#[test]
fn edits_of_the_work_tree_are_told_too() {
    let repo = started();
    repo.write("gate.toml", "mode = 1")
        .write("keys/mine.pem", "x");
    let request = repo.read(None).expect("the base's policy is good");
    assert_eq!(request.edited, ["gate.toml", "keys/mine.pem"]);
}

#[test]
fn artifacts_of_the_base_are_the_bases() {
    let repo = started();
    repo.write("model_manifest.json", &manifest("1.1", "two"))
        .write("m/w.bin", "two")
        .commit();
    let request = repo.read(Some("topic")).expect("good");
    let room = tempfile::tempdir().expect("a temporary directory");
    let loaded = request
        .baseline(&paths())
        .expect("judged")
        .expect("there is one");
    let path = export(
        &repo.open(),
        &request.base,
        loaded,
        "model_manifest.json",
        room.path(),
    )
    .expect("written");
    let weights = path.with_file_name("m/w.bin");
    assert_eq!(std::fs::read_to_string(weights).expect("there"), "one");
}

#[track_caller]
fn refuses(result: Result<Request, Error>, words: &str) {
    let error = result.expect_err("refused");
    let hint = error.hint().unwrap_or_default();
    let mut text = format!("{error}\n{hint}");
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        text.push_str(&format!("\n{deeper}"));
        cause = deeper.source();
    }
    assert!(text.contains(words), "no `{words}` in: {text}");
}

#[test]
fn a_base_that_is_not_there_is_said_with_advice() {
    let repo = started();
    let of = |base: &str| Request::read(&repo.open(), base, None, &paths());
    for base in ["origin/main", "", "--all", "main..topic", "no\u{1b}such"] {
        refuses(of(base), "there is no commit");
        refuses(of(base), "git fetch");
    }
    let room = tempfile::tempdir().expect("a temporary directory");
    let outside = Repository::open(room.path()).expect_err("no repository");
    assert!(
        outside.to_string().contains("not in a git repository"),
        "{outside}"
    );
}

#[test]
fn a_tag_named_like_the_base_is_not_taken_for_it() {
    let repo = started();
    repo.git(&["update-ref", "refs/remotes/origin/main", "main"]);
    let of = |base: &str| Request::read(&repo.open(), base, Some("topic"), &paths());
    assert!(of("origin/main").is_ok());
    repo.git(&["tag", "origin/main", "topic"]);
    refuses(of("origin/main"), "names several things");
    assert!(of("refs/remotes/origin/main").is_ok());
}

#[test]
fn a_policy_that_is_not_there_means_no_other_rules() {
    let repo = started();
    let slip = Paths {
        policy: "gate.tmol".to_owned(),
        ..paths()
    };
    let read = Request::read(&repo.open(), "main", Some("topic"), &slip);
    refuses(read, "there is no policy `gate.tmol`");
}

#[test]
fn unrelated_histories_are_not_compared() {
    let repo = started();
    repo.git(&["checkout", "--quiet", "--orphan", "other"]);
    // Equal files in the same second would be the same commit.
    repo.write("other.txt", "other").commit();
    refuses(repo.read(Some("other")), "no common ancestor");
}

#[test]
fn a_base_that_moved_on_wants_a_rebase() {
    let repo = started();
    repo.write("model_manifest.json", &manifest("1.1", "two"))
        .commit();
    repo.git(&["checkout", "--quiet", "main"]);
    repo.write("model_manifest.json", &manifest("1.0.1", "fix"))
        .commit();
    refuses(repo.read(Some("topic")), "out of date");
    refuses(repo.read(Some("topic")), "rebase");
}

#[test]
fn without_a_baseline_nothing_passes_by_itself() {
    let repo = Repo::new();
    repo.write("gate.toml", POLICY).commit().branch("topic");
    repo.write("model_manifest.json", &manifest("1.0", "one"))
        .commit();
    let request = repo.read(Some("topic")).expect("it is read");
    assert!(!request.is_unchanged());
    let error = request.baseline(&paths()).expect_err("there is none");
    assert!(error.to_string().contains("no baseline"), "{error}");
    assert!(error.hint().expect("advice").contains("bootstrap"));
}

#[test]
fn the_first_model_is_judged_where_the_base_says_that_it_is_one() {
    let first = POLICY.replace("smoke", "bootstrap");
    let repo = Repo::new();
    repo.write("gate.toml", &first).commit().branch("topic");
    repo.write("model_manifest.json", &manifest("1.0", "one"))
        .commit();
    let request = repo.read(Some("topic")).expect("good");
    assert!(request.baseline(&paths()).expect("judged").is_none());
    // Once there is a model, the next one is not the first.
    repo.branch("main").branch("next");
    repo.write("model_manifest.json", &manifest("1.1", "two"))
        .commit();
    let request = repo.read(Some("next")).expect("good");
    let error = request.baseline(&paths()).expect_err("not the first");
    assert!(
        error.to_string().contains("pins a model already"),
        "{error}"
    );
}

#[test]
fn broken_files_of_either_side_are_named() {
    let repo = started();
    repo.write("model_manifest.json", "{").commit();
    refuses(repo.read(Some("topic")), "candidate manifest");
    repo.write(
        "model_manifest.json",
        &manifest("1.1", "two").replace("\"size_bytes\":3,", ""),
    )
    .commit();
    refuses(repo.read(Some("topic")), "not strict");
    repo.git(&["rm", "--quiet", "model_manifest.json"]);
    repo.commit();
    refuses(
        repo.read(Some("topic")),
        "no manifest `model_manifest.json`",
    );
    refuses(repo.read(None), "no manifest `model_manifest.json`");

    let repo = Repo::new();
    repo.write("model_manifest.json", "[]")
        .write("gate.toml", POLICY)
        .commit()
        .branch("topic");
    refuses(repo.read(Some("topic")), "baseline manifest");

    let repo = Repo::new();
    repo.write("model_manifest.json", &manifest("1.0", "one"))
        .write("gate.toml", &POLICY.replace("mode", "mood"))
        .commit()
        .branch("topic");
    repo.write("gate.toml", POLICY).commit();
    refuses(repo.read(Some("topic")), "mood");
}

#[test]
fn links_and_paths_that_lead_out_are_refused() {
    let repo = started();
    std::fs::remove_file(repo.dir.path().join("model_manifest.json")).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", repo.dir.path().join("model_manifest.json"))
        .expect("linked");
    repo.commit();
    refuses(repo.read(Some("topic")), "a symbolic link");
    for path in ["../x", "/etc/passwd", "a//b", "", "./a", "a\nb"] {
        let paths = Paths {
            manifest: path.to_owned(),
            ..paths()
        };
        refuses(
            Request::read(&repo.open(), "main", None, &paths),
            "no path inside",
        );
    }
}

#[test]
fn long_files_are_cut_off() {
    let repo = started();
    repo.write("big", &"x".repeat(2000)).commit();
    let open = repo.open();
    let commit = open.resolve("topic").expect("there");
    assert!(matches!(
        open.blob(&commit, "big", 1999),
        Err(git::Error::TooLong { .. })
    ));
    assert_eq!(
        open.blob(&commit, "big", 2000)
            .expect("there")
            .map(|it| it.len()),
        Some(2000)
    );
    assert_eq!(open.blob(&commit, "absent", 1).expect("asked"), None);
    assert!(matches!(
        open.blob(&commit, "m", 9),
        Err(git::Error::NotAFile { .. })
    ));
    assert!(Path::new(open.root()).is_absolute());
}
