//! MLflow: an alias of its registry is pinned by `manifest bump`, and its file installed.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{Missing, Peer, arrives, free_port, model, program, sha256, wants};
use crate::common::PROGRAM;
use crate::store::Host;

pub(super) fn check() -> Result<(), Missing> {
    let mlflow = program("mlflow", "--version")?;
    let host = Host::new();
    host.installed("1.0.0", "one");
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(mlflow);
    command
        .current_dir(dir.path())
        .args(["server", "--host", "127.0.0.1"]);
    command.args(["--port", &port.to_string(), "--workers", "1"]);
    command.args([
        "--backend-store-uri",
        "sqlite:///m.db",
        "--artifacts-destination",
        "./artifacts",
    ]);
    let peer = Peer::start(&mut command, port, &dir.path().join("log"));

    let ask = |path: &str, body: Value| -> Value {
        let answer = ureq::post(peer.url(&format!("/api/2.0/mlflow/{path}")))
            .header("content-type", "application/json")
            .send(body.to_string());
        let mut answer = answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", peer.said()));
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    };
    ask("registered-models/create", json!({ "name": "bitnet" }));
    for n in [1, 2] {
        // The file is stored in a run, as training scripts do.
        let run = ask(
            "runs/create",
            json!({ "experiment_id": "0", "start_time": 0 }),
        );
        let info = &run["run"]["info"];
        let id = info["run_id"].as_str().unwrap();
        let place = info["artifact_uri"].as_str().unwrap();
        let path = place.strip_prefix("mlflow-artifacts:/").unwrap();
        let file = format!("/api/2.0/mlflow-artifacts/artifacts/{path}/model/model.gguf");
        ureq::put(peer.url(&file)).send(model(n)).unwrap();
        let version = json!({ "name": "bitnet", "source": format!("{place}/model"), "run_id": id });
        ask("model-versions/create", version);
    }
    let point = |version: &str| {
        let alias = json!({ "name": "bitnet", "alias": "champion", "version": version });
        ask("registered-models/alias", alias);
    };
    point("2");

    wants(&host, "1.0.0", "repo:one.gguf", &super::gguf("one"));
    let bump = |from: &str, version: &str| {
        assert_cmd::Command::new(PROGRAM)
            .args([
                "manifest",
                "bump",
                "--from",
                from,
                "--version",
                version,
                "--manifest",
            ])
            .arg(host.manifest())
            .env("MLFLOW_TRACKING_URI", peer.url(""))
            .output()
            .unwrap()
    };
    let done = bump("mlflow:/bitnet@champion", "1.1.0");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let text = fs::read_to_string(host.manifest()).unwrap();
    assert!(text.contains(&sha256(&model(2))), "{text}");
    assert!(text.contains("/mlflow-artifacts/artifacts/"), "{text}");
    assert!(
        !text.contains("champion"),
        "the alias is not pinned: {text}"
    );
    // An alias that moves later moves nothing here.
    point("1");
    arrives(&host, &[], &model(2));

    let gone = bump("mlflow:/bitnet@gone", "1.2.0");
    let said = String::from_utf8(gone.stderr).unwrap();
    assert_eq!(gone.status.code(), Some(3), "{said}");
    assert!(said.contains("status 4"), "{said}");
    assert_eq!(
        fs::read_to_string(host.manifest()).unwrap(),
        text,
        "it was not written"
    );
    Ok(())
}
