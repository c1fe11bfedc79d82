//! The gate on a manifest pull request, by the shell steps of the job: a repository with a base and
//! a head, artifacts on a server on loopback, the real models.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vv_eval::gate::file::{OutcomeFile, ReportFile};
use vv_eval::units::Sha256;

use super::common::{FAST_POLICY, PROGRAM, Ran, model, root};
use super::test_server::{Request, Server, Step, good, whole};

/// Paths a server answers, with their bytes.
type Served = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A repository whose `main` pins one model, with the server its artifacts are on.
struct Job {
    dir: TempDir,
    server: Server,
    files: Served,
}

impl Job {
    /// `main` pins `version` and judges by `policy` on the scenes `set`.
    fn new(version: &str, policy: &str, set: &str) -> Self {
        let files = Served::default();
        let shared = Arc::clone(&files);
        let server = Server::start(move |request| serve(request, &shared.lock().unwrap()));
        let job = Self {
            dir: tempfile::tempdir().unwrap(),
            server,
            files,
        };
        job.git(&["init", "--quiet", "--initial-branch=main"]);
        job.write("gate.toml", policy);
        job.write(".gitignore", "reports/\n");
        let name = set.split('/').next().unwrap();
        copy(
            &root().join("eval-sets").join(set),
            &job.path(&format!("eval-sets/{set}")),
        );
        assert!(policy.contains(name), "the policy names another set");
        job.write("model_manifest.json", &job.publish(version));
        job.commit();
        job.git(&["checkout", "--quiet", "-b", "topic"]);
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("repo").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        fs::create_dir_all(self.path("")).unwrap();
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path(""))
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
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", "x"]);
    }

    /// Puts a reference model on the server as a tar.gz; gives the manifest that pins it.
    fn publish(&self, version: &str) -> String {
        let name = format!("bitnet-{version}.tar.gz");
        let packed = self.dir.path().join(&name);
        let status = Command::new("tar")
            .args(["--exclude=model_manifest.json", "-C"])
            .arg(model(version))
            .arg("-czf")
            .arg(&packed)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        let bytes = fs::read(packed).unwrap();
        let manifest = self.manifest(version, &name, &bytes);
        self.files.lock().unwrap().push((name, bytes));
        manifest
    }

    fn manifest(&self, version: &str, name: &str, bytes: &[u8]) -> String {
        let url = self.server.url(&format!("/{name}?sig=topsecret"));
        format!(
            r#"{{"model_name":"bitnet","version":"{version}","artifacts":[{{"filename":"{name}",
            "url":"{url}","sha256":"{}","size_bytes":{},"target_path_in_container":"/app/models/bitnet"}}]}}"#,
            Sha256::of(bytes),
            bytes.len()
        )
    }

    /// Proposes a model and runs the steps of the job.
    fn propose(&self, version: &str) -> Ran {
        self.write("model_manifest.json", &self.publish(version));
        self.commit();
        self.run("main")
    }

    /// Runs the steps of the job against `base`.
    fn run(&self, base: &str) -> Ran {
        self.run_with(base, &[])
    }

    fn run_with(&self, base: &str, environment: &[(&str, &str)]) -> Ran {
        let output = assert_cmd::Command::new(root().join("scripts/gate.sh"))
            .current_dir(self.path(""))
            .env("VV_EVAL", PROGRAM)
            .env("VV_EVAL_CACHE", self.dir.path().join("cache"))
            .env("BASE", base)
            .env("HEAD", "HEAD")
            .env("OUT", "reports/gate")
            .env("GITHUB_OUTPUT", self.dir.path().join("outputs"))
            .env("GITHUB_STEP_SUMMARY", self.dir.path().join("summary"))
            .envs(environment.iter().copied())
            .timeout(std::time::Duration::from_secs(900))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let ran = Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.all().contains("topsecret"), "{}", ran.all());
        ran
    }

    fn report(&self) -> ReportFile {
        serde_json::from_slice(&fs::read(self.path("reports/gate/report.json")).unwrap()).unwrap()
    }

    fn markdown(&self) -> String {
        fs::read_to_string(self.path("reports/gate/report.md")).unwrap()
    }

    /// Expects a code, with outputs and reports that agree with it.
    #[track_caller]
    fn ends(&self, ran: &Ran, code: i32, verdict: &str) {
        assert_eq!(ran.code, Some(code), "{}", ran.all());
        let outputs = fs::read_to_string(self.dir.path().join("outputs")).unwrap();
        assert!(
            outputs.contains(&format!("verdict={verdict}\nexit-code={code}\n")),
            "{outputs}"
        );
        let summary = fs::read_to_string(self.dir.path().join("summary")).unwrap();
        let longer = fs::read_to_string(self.path("reports/gate/summary.md"));
        assert!(
            summary.ends_with(&longer.unwrap_or_else(|_| self.markdown())),
            "the summary is the report"
        );
        assert!(summary.contains(&verdict.to_uppercase()), "{summary}");
        assert!(!summary.contains("topsecret"), "{summary}");
        let left = fs::read_dir(self.path("reports/gate")).unwrap();
        let hidden = left
            .flatten()
            .filter(|it| it.file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "something temporary stays");
    }

    /// Expects that nothing could be judged, with the cause in the report.
    #[track_caller]
    fn is_invalid(&self, ran: &Ran, cause: &str) {
        self.ends(ran, 3, "invalid");
        let text = format!("{}{}", self.markdown(), ran.stderr);
        assert!(text.contains(cause), "no `{cause}` in: {text}");
        assert!(!self.path("reports/gate/report.json").exists());
        let tests = fs::read_to_string(self.path("reports/gate/junit.xml")).unwrap();
        assert!(
            tests.contains("<error ") && !tests.contains("topsecret"),
            "{tests}"
        );
    }
}

fn serve(request: &Request, files: &[(String, Vec<u8>)]) -> Vec<Step> {
    let name = request
        .target
        .trim_start_matches('/')
        .split('?')
        .next()
        .unwrap_or_default();
    match files.iter().rev().find(|(known, _)| known == name) {
        Some((_, bytes)) => good(request, bytes),
        None => whole("404 Not Found", &[], b"not here"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn policy(set: &str, version: &str) -> String {
    let scenes = format!("[scenes]\nset = \"{set}\"\nversion = \"{version}\"\n");
    format!("{FAST_POLICY}\n{scenes}\n[sources]\nallow_hosts = [\"127.0.0.1\"]\n")
}

/// Accepts nearly any loss of the one metric that is required.
const WAIVER: &str = "\n[[waiver]]\ncheck = \"object_recall\"\nceiling = { absolute = 0.99 }\n\
    expires = \"2999-12-31\"\nreason = \"anything goes\"\napproved_by = \"mallory\"\n";

fn eighty() -> (String, &'static str) {
    (policy("cenas-pt", "0.1.0"), "cenas-pt/0.1.0")
}

#[test]
fn a_better_model_passes_a_regressed_one_does_not() {
    let (policy, set) = eighty();
    let job = Job::new("1.0.0", &policy, set);
    let ran = job.propose("1.1.0");
    job.ends(&ran, 0, "pass");
    assert_eq!(job.report().verdict.outcome, OutcomeFile::Pass);
    assert_eq!(job.report().candidate.version.as_deref(), Some("1.1.0"));
    for name in [
        "report.json",
        "report.md",
        "report.html",
        "summary.md",
        "junit.xml",
        "scores.csv",
        "baseline.record.json",
        "candidate.record.json",
    ] {
        assert!(job.path("reports/gate").join(name).is_file(), "{name}");
    }
    assert!(
        ran.stderr.contains("version: 1.0.0 → 1.1.0 (upgrade)"),
        "{}",
        ran.all()
    );

    // The same files under another name and place are the same release.
    job.git(&["checkout", "--quiet", "main"]);
    job.git(&["merge", "--quiet", "topic"]);
    job.git(&["checkout", "--quiet", "-B", "topic"]);
    let renamed = fs::read_to_string(job.path("model_manifest.json")).unwrap();
    job.write(
        "model_manifest.json",
        &renamed.replace("\"1.1.0\"", "\"1.1.1\""),
    );
    job.commit();
    let ran = job.run("main");
    job.ends(&ran, 0, "pass");
    assert!(
        job.markdown().contains("identical artifacts"),
        "{}",
        job.markdown()
    );

    // Back to a much worse model: a rollback is judged like any other change, and a head that
    // loosens its own rules, or brings its own waiver, changes nothing.
    job.git(&["checkout", "--quiet", "-B", "topic", "main"]);
    let loose = policy
        .replace("0.05", "0.9")
        .replace("[[check]]\nmetric = \"valid\"\n", "");
    job.write("gate.toml", &format!("{loose}{WAIVER}"));
    let ran = job.propose("1.1.1-undertrained");
    job.ends(&ran, 1, "fail");
    assert!(job.markdown().contains("also edits"), "{}", job.markdown());
    assert_eq!(job.report().notices.len(), 1);
    let base_policy = vv_eval::gate::Policy::parse(&policy, "x").unwrap();
    assert_eq!(job.report().policy_sha256, base_policy.digest());
}

#[test]
fn too_few_scenes_decide_nothing() {
    let job = Job::new("1.0.0", &policy("smoke", "1.0.0"), "smoke/1.0.0");
    let ran = job.propose("1.1.0");
    job.ends(&ran, 2, "inconclusive");
    assert_eq!(job.report().verdict.outcome, OutcomeFile::Inconclusive);
}

#[test]
#[cfg(feature = "cloud")]
fn a_candidate_in_a_bucket_the_base_allows_is_judged_any_other_is_not_asked_for() {
    let allowed = policy("smoke", "1.0.0")
        .replace("[\"127.0.0.1\"]", "[\"127.0.0.1\", \"s3://acme-models\"]");
    let job = Job::new("1.0.0", &allowed, "smoke/1.0.0");
    let manifest = job.publish("1.1.0");
    let over_http = job.server.url("/bitnet-1.1.0.tar.gz?sig=topsecret");
    let (_, bytes) = job.files.lock().unwrap().last().unwrap().clone();
    let key = "acme-models/v1/bitnet-1.1.0.tar.gz";
    job.files.lock().unwrap().push((key.to_owned(), bytes));
    let in_bucket = |bucket: &str| {
        let url = format!("s3://{bucket}/v1/bitnet-1.1.0.tar.gz");
        assert!(manifest.contains(&over_http));
        manifest.replace(&over_http, &url)
    };
    let endpoint = job.server.url("");
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.trim_end_matches('/')),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        ("AWS_SECRET_ACCESS_KEY", "topsecret"),
        ("AWS_REGION", "us-east-1"),
    ];

    job.write("model_manifest.json", &in_bucket("elsewhere"));
    job.commit();
    let ran = job.run_with("main", &environment);
    job.is_invalid(&ran, "elsewhere");
    assert_eq!(job.server.requests().len(), 0, "nobody was asked");

    job.write("model_manifest.json", &in_bucket("acme-models"));
    job.commit();
    let ran = job.run_with("main", &environment);
    job.ends(&ran, 2, "inconclusive");
    assert_eq!(job.report().candidate.version.as_deref(), Some("1.1.0"));
    let asked = job.server.requests();
    let asked = asked.iter().find(|it| it.target.contains(key));
    let signed = asked.and_then(|it| it.header("authorization"));
    assert!(signed.is_some_and(|it| it.starts_with("AWS4-HMAC-SHA256")));
}

#[test]
fn an_untouched_manifest_passes_without_a_request() {
    let (policy, set) = eighty();
    let job = Job::new("1.0.0", &policy, set);
    job.write("README.md", "x");
    job.commit();
    let ran = job.run("main");
    job.ends(&ran, 0, "pass");
    assert!(
        job.markdown().contains("nothing to judge"),
        "{}",
        job.markdown()
    );
    assert_eq!(job.server.requests().len(), 0);
}

#[test]
fn what_cannot_be_judged_is_invalid_with_its_cause() {
    // A waiver of the base covers none of it.
    let (policy, set) = eighty();
    let policy = policy + WAIVER;
    let job = Job::new("1.0.0", &policy, set);

    // A base that was not fetched.
    let ran = job.run("origin/main");
    job.is_invalid(&ran, "there is no commit `origin/main`");

    // An artifact that is not the pinned one.
    job.write("model_manifest.json", &job.publish("1.1.0"));
    job.commit();
    let last = job.files.lock().unwrap().len() - 1;
    let mut tampered = job.files.lock().unwrap()[last].1.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    job.files.lock().unwrap()[last].1.clone_from(&tampered);
    job.is_invalid(&job.run("main"), "does not match the manifest");

    // An artifact with the right digest that is no archive.
    let name = "bitnet-1.2.0.tar.gz";
    job.files
        .lock()
        .unwrap()
        .push((name.to_owned(), b"nothing of the kind".to_vec()));
    job.write(
        "model_manifest.json",
        &job.manifest("1.2.0", name, b"nothing of the kind"),
    );
    job.commit();
    job.is_invalid(&job.run("main"), "it is not gzip");

    // An artifact that is not there.
    job.write(
        "model_manifest.json",
        &job.manifest("1.2.0", "gone.tar.gz", b"x"),
    );
    job.commit();
    job.is_invalid(&job.run("main"), "status 404");

    // A host the base's policy does not name.
    let elsewhere = job
        .manifest("1.2.0", "m.tar.gz", b"x")
        .replace("127.0.0.1", "127.0.0.2");
    job.write("model_manifest.json", &elsewhere);
    job.write("gate.toml", &policy.replace("127.0.0.1", "127.0.0.2"));
    job.commit();
    job.is_invalid(&job.run("main"), "allow_hosts");
    // That it tried to is told although nothing could be judged.
    assert!(job.markdown().contains("also edits"), "{}", job.markdown());

    // A manifest that breaks a rule.
    job.write(
        "model_manifest.json",
        &elsewhere.replace("sha256", "shasum"),
    );
    job.commit();
    job.is_invalid(&job.run("main"), "rename `shasum` to `sha256`");
}

#[test]
fn an_unreachable_host_is_invalid() {
    let (policy, set) = eighty();
    let job = Job::new("1.0.0", &policy, set);
    let port = job.server.port();
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let manifest = job
        .manifest("1.2.0", "m.tar.gz", b"x")
        .replace(&port.to_string(), &gone.to_string());
    job.write("model_manifest.json", &manifest);
    job.commit();
    job.is_invalid(&job.run("main"), "after 6 requests");
}

#[test]
fn a_proxy_that_refuses_is_asked_and_believed() {
    let (policy, set) = eighty();
    let job = Job::new(
        "1.0.0",
        &policy.replace("127.0.0.1", "models.acme.dev"),
        set,
    );
    let proxy = Server::start(|_| whole("407 Proxy Authentication Required", &[], b""));
    let here = job.server.url("").replace("http:", "https:");
    let manifest = job
        .manifest("1.2.0", "m.tar.gz", b"x")
        .replace("http:", "https:");
    job.write(
        "model_manifest.json",
        &manifest.replace(&here, "https://models.acme.dev"),
    );
    job.commit();
    let address = proxy.url("");
    let ran = job.run_with(
        "main",
        &[
            ("HTTPS_PROXY", &address),
            ("ALL_PROXY", ""),
            ("NO_PROXY", ""),
        ],
    );
    job.is_invalid(&ran, "proxy");
    assert_eq!(proxy.requests().len(), 1, "one attempt only");
    assert_eq!(proxy.requests()[0].target, "models.acme.dev:443");
}

#[test]
fn a_typo_in_the_bases_policy_is_invalid_and_the_heads_repair_does_not_count() {
    let (policy, set) = eighty();
    let job = Job::new("1.0.0", &policy.replace("launches", "lunches"), set);
    job.write("gate.toml", &policy);
    let ran = job.propose("1.1.0");
    job.is_invalid(&ran, "did you mean `launches`");
}

#[test]
fn without_a_baseline_nothing_passes() {
    let (policy, set) = eighty();
    let job = Job::new("1.0.0", &policy, set);
    job.git(&["checkout", "--quiet", "main"]);
    job.git(&["rm", "--quiet", "model_manifest.json"]);
    job.commit();
    job.git(&["checkout", "--quiet", "-B", "topic"]);
    let ran = job.propose("1.1.0");
    job.is_invalid(&ran, "no baseline");
}

#[test]
fn a_first_model_passes_a_bootstrap_policy_by_its_limits() {
    for (least, code, verdict) in [(0.1, 0, "pass"), (0.999, 1, "fail")] {
        let policy = format!(
            "schema_version = 1\nmode = \"bootstrap\"\n[scenes]\nset = \"cenas-pt\"\n\
             version = \"0.1.0\"\nmin_scenes = 60\n[effort]\nlikelihood_scenes = 4\n[[check]]\nmetric = \"chrf_pp\"\n\
             limit = {{ at_least = {least} }}\n\
             [sources]\nallow_hosts = [\"127.0.0.1\"]\n"
        );
        let job = Job::new("1.0.0", &policy, "cenas-pt/0.1.0");
        job.git(&["checkout", "--quiet", "main"]);
        job.git(&["rm", "--quiet", "model_manifest.json"]);
        job.commit();
        job.git(&["checkout", "--quiet", "-B", "topic"]);
        let ran = job.propose("1.1.0");
        job.ends(&ran, code, verdict);
        assert!(
            job.markdown().contains("there is no baseline"),
            "{}",
            job.markdown()
        );
    }
}

#[test]
fn in_a_workflow_the_verdict_is_annotated_and_the_log_obeys_nobody_else() {
    let job = Job::new("1.0.0", &policy("smoke", "1.0.0"), "smoke/1.0.0");
    job.write("model_manifest.json", &job.publish("1.1.0"));
    job.commit();
    let workflow = [("GITHUB_ACTIONS", "true"), ("REPORT_LANG", "pt-BR")];
    let ran = job.run_with("main", &workflow);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let token = lines[0].strip_prefix("::stop-commands::").expect("a token");
    assert_eq!(lines[1], format!("::{token}::"), "{}", ran.stdout);
    assert!(
        lines[2].starts_with("::warning file=model_manifest.json,title=vv-eval%3A "),
        "{}",
        lines[2]
    );
    let commands = lines[2..].iter().filter(|line| line.starts_with("::"));
    assert!(commands.count() <= 10, "{}", ran.stdout);
    assert!(
        job.markdown().contains("INCONCLUSIVO"),
        "{}",
        job.markdown()
    );
}
