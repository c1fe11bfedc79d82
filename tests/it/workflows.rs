//! The steps of the action and of the workflows, taken from their files and run as the runner would:
//! the shell and its flags, the variables, the files for outputs. What the platform itself does
//! (checkouts, uploads, permissions) is not run here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::common::{PROGRAM, model, root};

/// The text of a step's `run`, by the step's name.
fn run_of(file: &str, step: &str) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let head = format!("- name: {step}\n");
    let (_, step_text) = text.split_once(&head).expect("the step");
    let step_text = step_text.split("\n      - ").next().unwrap_or_default();
    let (before, run) = step_text.split_once("run: ").expect("it runs something");
    let indent = before.rsplit('\n').next().unwrap_or_default().len();
    match run.strip_prefix("|\n") {
        None => run.lines().next().unwrap_or_default().to_owned(),
        Some(block) => {
            let is_deeper = |line: &&str| {
                line.trim().is_empty() || line.len() - line.trim_start().len() > indent
            };
            let lines = block.lines().take_while(is_deeper);
            let lines = lines.map(|line| line.get(indent + 2..).unwrap_or_default());
            lines.collect::<Vec<_>>().join("\n") + "\n"
        }
    }
}

/// A script run as `shell: bash` runs it.
fn bash(script: &str, directory: &Path) -> Command {
    let path = directory.join("step.sh");
    fs::write(&path, script).unwrap();
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-eo", "pipefail"])
        .arg(path)
        .current_dir(directory);
    command
}

/// Runs a step that must succeed; gives its output.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout
}

fn git(directory: &Path, arguments: &[&str]) {
    fs::create_dir_all(directory).unwrap();
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t"];
    succeeds(
        Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(identity)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null"),
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn steps_are_found_in_their_files() {
    let judge = run_of("action.yml", "Judge the pull request");
    assert!(judge.ends_with("\"$ACTION/scripts/gate.sh\""), "{judge}");
    let build = run_of("action.yml", "Build vv-eval");
    let build = build.trim_end();
    assert!(
        build.starts_with("rm -rf") && build.ends_with("/vv-eval\""),
        "{build}"
    );
    assert_eq!(build.lines().count(), 5, "{build}");
}

/// The work tree of the job: the target branch, the pull request below it.
fn workspace(lab: &TempDir) -> PathBuf {
    let origin = lab.path().join("origin");
    git(&origin, &["init", "--quiet", "--initial-branch=main"]);
    copy(&model("1.0.0"), &origin);
    let set = "eval-sets/smoke/1.0.0";
    copy(&root().join(set), &origin.join(set));
    fs::write(
        origin.join("gate.toml"),
        "schema_version = 1\nmode = \"smoke\"\n[scenes]\nset = \"smoke\"\nversion = \"1.0.0\"\n",
    )
    .unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "-m", "base"]);
    let workspace = lab.path().join("workspace");
    let clone = |into: &str| {
        let (from, into) = (origin.to_str().unwrap(), workspace.join(into));
        git(
            lab.path(),
            &["clone", "--quiet", from, into.to_str().unwrap()],
        );
    };
    clone("");
    git(&origin, &["checkout", "--quiet", "-b", "topic"]);
    // Another version and other texts about it, and the same files: a verdict without a run.
    let manifest = fs::read_to_string(origin.join("model_manifest.json")).unwrap();
    assert!(manifest.contains("\"1.0.0\""), "{manifest}");
    fs::write(
        origin.join("model_manifest.json"),
        manifest.replacen("\"1.0.0\"", "\"1.0.1\"", 1),
    )
    .unwrap();
    fs::write(origin.join("gate.toml"), "nothing of the kind").unwrap();
    git(&origin, &["commit", "--quiet", "-am", "head"]);
    clone("pull-request");
    workspace
}

#[test]
fn the_steps_of_the_job_judge_the_pull_request_below_the_target_branch() {
    let lab = tempfile::tempdir().unwrap();
    let workspace = workspace(&lab);
    let fetch = run_of(
        ".github/workflows/model-gate.yml",
        "Bring its commits beside those of the target branch",
    );
    succeeds(&mut bash(&fetch, &workspace));

    let out = lab.path().join("temp/model-gate-report");
    let file = |name: &str| lab.path().join(name);
    let judge = run_of("action.yml", "Judge the pull request");
    let mut step = bash(&judge, &workspace);
    let environment = [
        ("ACTION", root().to_str().unwrap()),
        ("BASE", "HEAD"),
        ("HEAD", "refs/remotes/pull-request/head"),
        ("MANIFEST", "model_manifest.json"),
        ("POLICY", "gate.toml"),
        ("OUT", out.to_str().unwrap()),
        ("REPORT_LANG", "pt-BR"),
        ("PROGRAM", PROGRAM),
        ("RUNNER_TEMP", lab.path().to_str().unwrap()),
        ("GITHUB_ACTIONS", "true"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ];
    step.envs(environment)
        .env("GITHUB_OUTPUT", file("outputs"))
        .env("GITHUB_STEP_SUMMARY", file("summary"))
        .env("GITHUB_EVENT_PATH", file("event.json"))
        .env("VV_EVAL_CACHE", file("cache"));
    let stdout = succeeds(&mut step);

    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.starts_with("## ✓ APROVADO"), "{report}");
    assert!(report.contains("também altera"), "{report}");
    let outputs = fs::read_to_string(file("outputs")).unwrap();
    let expected = format!(
        "verdict=pass\nexit-code=0\nreport={}/report.md\n",
        out.display()
    );
    assert_eq!(outputs, expected);
    let summary = fs::read_to_string(file("summary")).unwrap();
    assert!(summary.starts_with("## ✓ APROVADO"), "{summary}");
    assert!(stdout.starts_with("::stop-commands::"), "{stdout}");
    assert!(
        stdout.contains("::warning file=model_manifest.json,title=vv-eval%3A APROVADO::"),
        "{stdout}"
    );
    assert!(stdout.contains("verdict: pass (exit 0)"), "{stdout}");
}

/// What stands in for the platform: answers from files, and a list of what was asked.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
echo "$*" >> "$LAB/calls"
filter=. url= input= method=GET
while [ $# -gt 0 ]; do
    case "$1" in
        api | --paginate) shift ;;
        --method) method="$2"; shift 2 ;;
        -f) shift 2 ;;
        --jq) filter="$2"; shift 2 ;;
        --input) input="$2"; shift 2 ;;
        *) url="$1"; shift ;;
    esac
done
case "$method $url" in
    "GET "*/zip) cat "$LAB/report.zip" ;;
    "GET "*/artifacts\?*) jq -r "$filter" "$LAB/artifacts.json" ;;
    "GET "*/files\?*) jq -r "$filter" "$LAB/files.json" ;;
    "GET "*/comments\?*) jq -r "$filter" "$LAB/comments.json" ;;
    "GET "*/pulls) jq -r "$filter" "$LAB/pulls.json" ;;
    "POST "* | "PATCH "*) cp "$input" "$LAB/posted.json" ;;
    *) echo "unexpected: $method $url" >&2; exit 1 ;;
esac
"#;

/// The step that posts the comment, with a platform of files.
struct Platform {
    lab: TempDir,
}

impl Platform {
    /// `None`, said aloud, where the step's own programs are missing.
    fn new(report: &str) -> Option<Self> {
        for program in ["jq", "unzip"] {
            let found = Command::new(program).arg("--help").output();
            if found.is_err() {
                // Past the capture of the test runner: a skipped test must be seen.
                let _ = writeln!(
                    std::io::stderr(),
                    "\nSKIPPED: no {program} here, which the step of the comment uses"
                );
                return None;
            }
        }
        let platform = Self {
            lab: tempfile::tempdir().unwrap(),
        };
        platform.write("gh", GH);
        succeeds(
            Command::new("chmod")
                .arg("+x")
                .arg(platform.lab.path().join("gh")),
        );
        platform.write(
            "pulls.json",
            r#"[{"number": 6, "head": {"sha": "other"}}, {"number": 7, "head": {"sha": "c0ffee"}}]"#,
        );
        platform.write("files.json", r#"[{"filename": "model_manifest.json"}]"#);
        platform.write("comments.json", "[]");
        platform.write(
            "artifacts.json",
            r#"{"artifacts": [
                {"id": 1, "size_in_bytes": 500, "created_at": "2026-01-02T00:00:00Z"},
                {"id": 2, "size_in_bytes": 500, "created_at": "2026-01-03T00:00:00Z"},
                {"id": 3, "size_in_bytes": 900000000, "created_at": "2026-01-04T00:00:00Z"}]}"#,
        );
        fs::write(
            platform.lab.path().join("report.zip"),
            zip("report.md", report.as_bytes()),
        )
        .unwrap();
        Some(platform)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.lab.path().join(name), text).unwrap();
    }

    /// Runs the step; gives the body of the comment posted, if any, and what was asked.
    fn post(&self) -> (Option<String>, String) {
        let script = run_of(
            ".github/workflows/model-gate-comment.yml",
            "Post the report",
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let lab = self.lab.path();
        let work = lab.join("work");
        fs::create_dir_all(&work).unwrap();
        let mut step = bash(&script, &work);
        step.env("PATH", format!("{}:{path}", lab.display()))
            .env("LAB", lab)
            .env("REPOSITORY", "acme/models")
            .env("RUN_ID", "99")
            .env("RUN_URL", "https://github.example/acme/models/runs/99")
            .env("HEAD_SHA", "c0ffee")
            .env("HEAD_BRANCH", "topic/$(touch evil)\"; x")
            .env("HEAD_OWNER", "fork");
        succeeds(&mut step);
        assert!(!work.join("evil").exists());
        let calls = fs::read_to_string(lab.join("calls")).unwrap();
        let posted = fs::read_to_string(lab.join("posted.json")).ok();
        let body = posted.map(|text| {
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            json["body"].as_str().expect("a text").to_owned()
        });
        (body, calls)
    }
}

/// An archive of one file, stored without compression (PKWARE APPNOTE 6.3.10, 4.3.7 and 4.3.12).
fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    // Version 2.0, no flags, stored, no time; then digest, both sizes, lengths of name and extras.
    let common = [
        &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &crc.sum().to_le_bytes(),
        &size,
        &size,
        &length,
        &[0, 0],
    ]
    .concat();
    let local = [b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat();
    let central = [
        b"PK\x01\x02\x14\x00",
        &common[..],
        &[0; 14],
        name.as_bytes(),
    ]
    .concat();
    let [offset, extent] =
        [local.len(), central.len()].map(|length| u32::try_from(length).unwrap().to_le_bytes());
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &extent[..],
        &offset,
        &[0, 0],
    ]
    .concat();
    [local, central, end].concat()
}

const MARKER: &str = "<!-- vv-eval report -->";

#[test]
fn the_report_becomes_one_comment_of_the_pull_request_the_event_names() {
    let Some(platform) = Platform::new(&format!("## ✓ PASS — x\n\n{MARKER}\n")) else {
        return;
    };
    let (body, calls) = platform.post();
    assert_eq!(
        body.as_deref(),
        Some(&*format!("## ✓ PASS — x\n\n\n\n\n{MARKER}")),
        "{calls}"
    );
    assert!(
        calls.contains("-f head=fork:topic/$(touch evil)\"; x"),
        "{calls}"
    );
    assert!(
        calls.contains("api repos/acme/models/actions/artifacts/2/zip"),
        "{calls}"
    );
    assert!(
        calls.contains("--method POST repos/acme/models/issues/7/comments"),
        "{calls}"
    );
}

#[test]
fn a_comment_of_its_own_is_replaced_and_one_of_somebody_else_is_not() {
    let Some(platform) = Platform::new("new") else {
        return;
    };
    platform.write(
        "comments.json",
        &format!(
            r#"[{{"id": 11, "user": {{"login": "mallory"}}, "body": "{MARKER}"}},
                {{"id": 12, "user": {{"login": "github-actions[bot]"}}, "body": "another bot's"}},
                {{"id": 13, "user": {{"login": "github-actions[bot]"}}, "body": "x {MARKER}"}}]"#
        ),
    );
    let (body, calls) = platform.post();
    assert_eq!(body.as_deref(), Some(&*format!("new\n\n{MARKER}")));
    assert!(
        calls.contains("--method PATCH repos/acme/models/issues/comments/13"),
        "{calls}"
    );
    assert!(!calls.contains("--method POST"), "{calls}");
}

#[test]
fn a_pull_request_that_edits_its_workflow_is_said_to() {
    let Some(platform) = Platform::new("## ✓ PASS") else {
        return;
    };
    platform.write(
        "files.json",
        r#"[{"filename": "README.md"}, {"filename": "x", "previous_filename": ".github/workflows/a.yml"}]"#,
    );
    let (body, _) = platform.post();
    let body = body.expect("posted");
    assert!(
        body.starts_with("> **This pull request edits .github/"),
        "{body}"
    );
}

#[test]
fn a_report_of_any_length_is_cut_to_what_the_platform_takes() {
    let Some(platform) = Platform::new(&"ação ".repeat(2_000_000)) else {
        return;
    };
    let (body, _) = platform.post();
    let body = body.expect("posted");
    assert_eq!(body.chars().count(), 60_000 + 2 + MARKER.len());
    assert!(body.ends_with(MARKER));
}

#[test]
fn a_run_without_a_usable_report_is_told_all_the_same() {
    let Some(platform) = Platform::new("x") else {
        return;
    };
    fs::write(
        platform.lab.path().join("report.zip"),
        zip("other.md", b"y"),
    )
    .unwrap();
    let (body, _) = platform.post();
    assert!(
        body.expect("posted")
            .starts_with("**vv-eval left no report**")
    );

    platform.write("artifacts.json", r#"{"artifacts": []}"#);
    let (body, calls) = platform.post();
    assert!(body.expect("posted").contains("/runs/99"));
    assert_eq!(calls.matches("/zip").count(), 1, "{calls}");
}

#[test]
fn a_commit_that_is_no_head_any_more_gets_no_comment() {
    let Some(platform) = Platform::new("x") else {
        return;
    };
    platform.write("pulls.json", r#"[{"number": 6, "head": {"sha": "other"}}]"#);
    let (body, _) = platform.post();
    assert_eq!(body, None);
}

#[test]
fn workflows_name_their_actions_by_commit_and_ask_for_little() {
    let workflows = root().join(".github/workflows");
    let mut files: Vec<PathBuf> = fs::read_dir(workflows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(root().join("action.yml"));
    assert!(files.len() > 3);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display();
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let used = line.split("uses: ").nth(1).unwrap_or_default();
            let revision = used.split('@').nth(1).unwrap_or_default();
            let revision = revision.split(' ').next().unwrap_or_default();
            let is_commit =
                revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(used == "./" || is_commit, "{name}: {line}");
        }
        let checkouts = text.matches("uses: actions/checkout@").count();
        let kept = text.matches("persist-credentials: false").count();
        assert_eq!(checkouts, kept, "{name} leaves a token behind");
        assert!(!text.contains("pull_request_target"), "{name}");
        assert!(!text.contains("secrets."), "{name}");
    }
    let comment = root().join(".github/workflows/model-gate-comment.yml");
    let comment = fs::read_to_string(comment).unwrap();
    assert!(!comment.contains("checkout"), "it checks nothing out");
    assert!(!comment.contains("uses:"), "it runs one script of its own");
}
