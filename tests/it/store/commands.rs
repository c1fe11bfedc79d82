//! The commands end to end: what they print, their exit codes, and real models in the smoke test.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::common;
use super::tree::{changes, tree};
use super::{Host, gguf};

/// Publishes a reference model as the release the manifest names.
fn reference(host: &Host, version: &str) {
    let from = common::model(version);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), host.path("repo").join(entry.file_name())).unwrap();
    }
}

/// Replaces a file of the release and what the manifest says of it.
fn replace(host: &Host, name: &str, bytes: &[u8]) {
    let path = host.path("repo").join(name);
    let before = fs::read(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let text = fs::read_to_string(host.manifest()).unwrap();
    let size = |bytes: &[u8]| format!("\"size_bytes\": {}", bytes.len());
    let text = text
        .replacen(&super::sha256(&before), &super::sha256(bytes), 1)
        .replacen(&size(&before), &size(bytes), 1);
    host.set_manifest(text);
}

#[test]
fn a_real_model_is_tried_before_it_becomes_current() {
    let host = Host::new();
    reference(&host, "1.0.0");
    let ran = host.model("install", &["--smoke", "scene"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json["change"], "installed");
    assert_eq!(host.current(), Some(1));

    // Right in every digest, and no model: the width does not fit the weights.
    let config = fs::read_to_string(host.path("repo/config.json")).unwrap();
    let from = config.find("\"hidden_size\"").unwrap();
    let to = from + config[from..].find(',').unwrap();
    let config = format!("{}\"hidden_size\": 77{}", &config[..from], &config[to..]);
    replace(&host, "config.json", config.as_bytes());
    let ran = host.model("install", &[]);
    assert_eq!(ran.code, 60, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json["error"]["name"], "smoke_failed");
    assert_eq!(host.current(), Some(1));
    assert_eq!(host.model("verify", &[]).code, 0);
    assert_eq!(
        host.model("install", &["--smoke", "none"]).code,
        0,
        "asked for in so many words"
    );
}

#[test]
fn a26_an_endless_chat_template_is_stored_and_found_by_the_smoke_test() {
    let host = Host::new();
    reference(&host, "1.0.0");
    let template = "{% for a in range(99999) %}{% for b in range(99999) %}\
                    {% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}";
    fs::write(host.path("repo/chat_template.jinja"), template).unwrap();
    let text = fs::read_to_string(host.manifest()).unwrap();
    let entry = super::artifact(
        "chat_template.jinja",
        "repo:chat_template.jinja",
        template.as_bytes(),
    );
    host.set_manifest(text.replacen("\"artifacts\": [", &format!("\"artifacts\": [{entry},"), 1));
    let ran = host.model("install", &["--smoke", "scene", "--smoke-timeout", "10"]);
    assert_eq!(ran.code, 60, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.current(), None);
    // The installer itself renders nothing.
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(host.path("models/bitnet/chat_template.jinja").is_file());
}

#[test]
fn a_broken_policy_stops_only_what_it_decides_about() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.installed("1.1.0", "two");
    fs::write(host.path("repo/gate.toml"), "[store]\nkep = 5\n").unwrap();
    for command in ["install", "fetch", "gc", "status"] {
        let ran = host.model(command, &[]);
        assert_eq!(ran.code, 3, "{command}: {}", ran.stdout);
        assert!(ran.stdout.contains("kep"), "{command}: {}", ran.stdout);
    }
    for command in ["verify", "history", "doctor", "rollback"] {
        let ran = host.model(command, &[]);
        assert_eq!(ran.code, 0, "{command}: {}", ran.stdout);
    }
    assert_eq!(host.current(), Some(1));
}

#[test]
fn a_release_goes_in_comes_back_and_is_remembered() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    assert_eq!(
        host.model("status", &[]).code,
        1,
        "nothing is installed yet"
    );
    host.installed("1.0.0", "one");
    assert_eq!(host.model("status", &["--verify", "full"]).code, 0);
    assert_eq!(host.model("verify", &["--mark", "good"]).code, 0);
    host.installed("1.1.0", "two");
    let rolled = host.model("rollback", &["--reason", "empty summaries", "--offline"]);
    assert_eq!(
        (rolled.code, rolled.json["generation"].as_u64()),
        (0, Some(1))
    );
    assert_eq!(host.weights(), Some(gguf("one")));
    assert_eq!(
        host.model("status", &[]).code,
        1,
        "the manifest wants the other one"
    );
    let history = host.model("history", &[]);
    assert_eq!(history.code, 0);
    let events: Vec<&str> = history.json["reigns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["committed", "committed", "rollback"]);
    let past = host.model("history", &["--at", "2001-01-01"]);
    assert_eq!(past.json["reigns"].as_array().unwrap().len(), 0);
    assert_eq!(host.model("history", &["--at", "noon"]).code, 3);
    assert_eq!(
        host.model("rollback", &["--mark-bad", "2"]).json["changed"],
        false
    );
    let refused = host.model("install", &["--smoke", "none"]);
    assert_eq!((refused.code, host.current()), (11, Some(1)));
    assert_eq!(host.model("gc", &["--keep", "0", "--grace", "0"]).code, 0);
    assert_eq!(host.model("doctor", &[]).code, 0);
    host.is_tidy();
}

#[test]
fn p09_rollbacks_that_cannot_be_have_codes_of_their_own() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let ran = host.model("rollback", &[]);
    assert_eq!(
        (ran.code, ran.json["error"]["name"].as_str()),
        (61, Some("nothing_to_roll_back_to"))
    );
    assert_eq!(host.model("rollback", &["--to", "9"]).code, 3);
    host.installed("1.1.0", "two");
    fs::remove_dir_all(host.path("models/.vv/generations/000001/bitnet")).unwrap();
    assert_eq!(host.model("rollback", &[]).code, 51);
    assert_eq!(
        host.model("status", &[]).code,
        0,
        "the current one is whole"
    );
}

#[test]
fn a_dry_run_writes_nothing_anywhere() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    let planned = host.model("install", &["--dry-run", "--smoke", "none"]);
    assert_eq!(
        (planned.code, planned.json["generation"].as_u64()),
        (0, Some(1))
    );
    for command in ["status", "history", "gc", "doctor"] {
        host.model(command, &["--dry-run"]);
    }
    assert!(!host.path("models").exists());
}

#[test]
fn a_dry_run_of_every_command_writes_nothing() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.installed("1.1.0", "two");
    host.set_manifest(host.release("1.2.0", "three"));
    // What any run that is not dry would put right, or remove.
    fs::remove_file(host.path("models/.model_updated_flag")).unwrap();
    fs::create_dir(host.path("models/.vv/staging/left")).unwrap();
    fs::write(host.path("models/.vv/partial/left.part"), "half").unwrap();
    let new = host.path("repo/new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("model.gguf"), gguf("packed")).unwrap();
    let out = host.path("models/out.tar.gz");
    let pack = [new.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let events = host.path("events.jsonl");
    let failed =
        r#"{"ts":"2999-01-01T00:00:00Z","event":"load","generation":2,"error_type":"oom"}"#;
    fs::write(&events, format!("{failed}\n")).unwrap();
    let health = ["--health", events.to_str().unwrap(), "--auto-rollback"];

    let models = host.path("models");
    let before = tree(&models);
    // The member tells that the run came as far as to say what it would do.
    let check = |command: &str, flags: &[&str], code: i32, member: &str, expected: Value| {
        let mut all = flags.to_vec();
        all.push("--dry-run");
        let ran = host.model(command, &all);
        let said = format!("{command} {flags:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, code, "{said}");
        assert_eq!(ran.json[member], expected, "{said}");
        let changed = changes(&before, &tree(&models));
        assert!(changed.is_empty(), "{changed:?} by {said}");
    };
    check("install", &["--smoke", "none"], 0, "generation", json!(3));
    check("rollback", &[], 0, "generation", json!(1));
    check("rollback", &["--mark-bad", "1"], 0, "changed", json!(false));
    check("rollback", &["--mark-bad", "2"], 0, "changed", json!(true));
    let gc = ["--keep", "0", "--grace", "0"];
    check("gc", &gc, 0, "downloads_size_bytes", json!(4));
    check("fetch", &["--fresh"], 0, "version", json!("1.2.0"));
    let mark = ["--mark", "good"];
    check("verify", &mark, 0, "marked_good", json!(false));
    check("verify", &health, 1, "health", json!("bad"));
    check("doctor", &["--repair"], 1, "current_generation", json!(2));
    check("pack", &pack, 0, "dry_run", json!(true));
    check("status", &[], 1, "current", json!("generation"));
    check("history", &[], 0, "n_broken_lines", json!(0));

    assert_eq!(host.model("doctor", &["--repair"]).code, 0);
    let repaired = changes(&before, &tree(&models));
    let expected = [".model_updated_flag", ".vv/staging/left"].map(PathBuf::from);
    assert_eq!(repaired, BTreeSet::from(expected));
}

#[test]
fn defaults_come_from_the_environment_where_no_flag_says_otherwise() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    let ran = assert_cmd::Command::new(common::PROGRAM)
        .args(["model", "install", "--smoke", "none"])
        .env("VV_MODELS_DIR", host.path("elsewhere"))
        .env("VV_MODEL_MANIFEST", host.manifest())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(host.path("elsewhere/bitnet/model.gguf").is_file());
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(
        text.starts_with("version 1.0.0, generation 1: installed\nrelease sha256:"),
        "{text}"
    );
    let ran = assert_cmd::Command::new(common::PROGRAM)
        .args(["model", "status"])
        .env_remove("VV_MODELS_DIR")
        .env_remove("VV_MODEL_MANIFEST")
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stderr).unwrap();
    assert!(
        text.contains("/opt/vv-video-ai-system/model_manifest.json"),
        "{text}"
    );
}

#[test]
fn the_notification_runs_after_a_change_and_only_then() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    let seen = host.path("models/seen");
    fs::create_dir(host.path("models")).unwrap();
    let script = "echo \"$VV_GENERATION $VV_VERSION\" >> \"$0\"; echo talk";
    let flags = [
        "--smoke",
        "none",
        "--notify-cmd",
        "sh",
        "-c",
        script,
        seen.to_str().unwrap(),
    ];
    assert_eq!(host.model("install", &flags).code, 0);
    assert_eq!(host.model("install", &flags).code, 0);
    assert_eq!(fs::read_to_string(&seen).unwrap(), "1 1.0.0\n");
    // As after a run that was killed before its commit reached the journal.
    let journal = host.path("models/.vv/journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("\"committed\""), "{last}");
    fs::write(&journal, format!("{before}\n")).unwrap();
    assert_eq!(host.model("install", &flags).code, 0);
    assert_eq!(
        fs::read_to_string(&seen).unwrap(),
        "1 1.0.0\n".repeat(2),
        "the run that completes it tells the system"
    );
    host.set_manifest(host.release("1.1.0", "two"));
    let ran = host.model("install", &["--smoke", "none", "--notify-cmd", "false"]);
    assert_eq!(
        (ran.code, host.current()),
        (0, Some(2)),
        "the release is installed all the same"
    );
    assert!(
        ran.stderr.contains("the notification command"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_policy_beside_the_manifest_counts() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    fs::write(
        host.path("repo/gate.toml"),
        "[store]\nimmutable_versions = true\n",
    )
    .unwrap();
    host.set_manifest(host.release("1.0.0", "two"));
    assert_eq!(host.model("install", &["--smoke", "none"]).code, 11);
    fs::write(host.path("repo/gate.toml"), "[store]\nimmutable = true\n").unwrap();
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!(
        (ran.code, ran.json["error"]["name"].as_str()),
        (3, Some("invalid"))
    );
    assert_eq!(host.current(), Some(1));
}

#[test]
fn a_trial_is_judged_by_the_events_log() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.installed("1.1.0", "two");
    let now = "2999-01-01T00:00:00Z";
    fs::write(
        host.path("events.jsonl"),
        format!(
            "{{\"ts\":\"{now}\",\"event\":\"load\",\"generation\":2,\"error_type\":\"oom\"}}\n"
        ),
    )
    .unwrap();
    let events = host.path("events.jsonl");
    let events = events.to_str().unwrap();
    let ran = host.model("verify", &["--health", events]);
    assert_eq!((ran.code, host.current()), (1, Some(2)));
    let ran = host.model("verify", &["--health", events, "--auto-rollback"]);
    assert_eq!(
        (ran.code, ran.json["rolled_back"].as_bool(), host.current()),
        (1, Some(true), Some(1))
    );
    let status = host.model("status", &["--expect-loaded", events]);
    assert_eq!(
        (status.code, status.json["loaded_is_current"].as_bool()),
        (1, Some(false))
    );
}

#[test]
fn places_that_cannot_hold_a_store_are_refused() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    fs::create_dir(host.path("models")).unwrap();
    fs::create_dir(host.path("models/.vv")).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.path("models/.vv/lock")).unwrap();
    assert_eq!(host.model("install", &["--smoke", "none"]).code, 41);
    fs::remove_file(host.path("models/.vv/lock")).unwrap();
    fs::write(host.path("models/.vv/FORMAT"), "vv-model-store 2\n").unwrap();
    assert_eq!(host.model("install", &["--smoke", "none"]).code, 51);
    assert_eq!(host.model("doctor", &["--repair"]).code, 51);
}

#[test]
fn arguments_that_are_not_understood_are_told_as_json_too() {
    let host = Host::new();
    for (command, further) in [("install", "--bogus"), ("gc", "--wait=abc")] {
        let ran = host.model(command, &[further]);
        assert_eq!(ran.code, 3, "{}", ran.stdout);
        assert_eq!(ran.json["command"], command);
        let message = ran.json["error"]["message"].as_str().unwrap();
        let word = further.split('=').next().unwrap();
        assert!(message.contains(word), "{message}");
    }
    // What is missing stands in the lines after the first.
    let ran = host.model("pack", &["--out", "x.tar.gz"]);
    let message = ran.json["error"]["message"].as_str().unwrap();
    assert!(ran.code == 3 && message.contains("<DIR>"), "{message}");
}
