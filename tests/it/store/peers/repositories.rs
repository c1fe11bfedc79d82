//! git-lfs and DVC: files whose place a repository only points to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vv_eval::units::Sha256;

use super::{Missing, arrives, ends, model, program, run, wants};
use crate::store::Host;
use crate::test_server::{Server, Step, good, whole};

fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory);
    // Nothing of the person who runs the tests counts.
    for name in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{name}_NAME"), "t");
        command.env(format!("GIT_{name}_EMAIL"), "t@acme.dev");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

pub(super) fn check_lfs() -> Result<(), Missing> {
    program("git-lfs", "version")?;
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin.git");
    run(git(dir.path()).args(["init", "-q", "--bare", "-b", "main", "origin.git"]));
    let work = dir.path().join("work");
    run(git(dir.path()).args(["init", "-q", "-b", "main", "work"]));
    run(git(&work).args(["lfs", "install", "--local"]));
    run(git(&work).args(["lfs", "track", "*.gguf"]));
    fs::write(work.join("model.gguf"), model(1)).unwrap();
    run(git(&work).args(["add", "."]));
    run(git(&work).args(["commit", "-q", "-m", "m"]));
    let url = format!("file://{}", origin.display());
    run(git(&work).args(["remote", "add", "origin", &url]));
    run(git(&work).args(["push", "-q", "origin", "main"]));

    // A clone without the files, as a host has it.
    let clone = |host: &Host| {
        fs::remove_dir_all(host.path("repo")).unwrap();
        run(git(dir.path())
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .args(["clone", "-q", &url])
            .arg(host.path("repo")));
        run(git(&host.path("repo")).args(["lfs", "install", "--local", "--skip-smudge"]));
        let start = fs::read(host.path("repo/model.gguf")).unwrap();
        assert!(start.starts_with(b"version https://git-lfs"), "no pointer");
    };
    for scheme in ["lfs", "repo"] {
        let host = Host::lending(&["repo/.git"]);
        clone(&host);
        let url = format!("{scheme}:model.gguf");
        wants(&host, "1.0.0", &url, &model(1));
        // Nobody is asked where nothing may be asked, and where only listed hosts may be.
        let ran = super::install(&host, &["--offline"], &[]);
        assert_eq!(ran.code, 30, "{}", ran.stdout);
        fs::write(
            host.path("repo/gate.toml"),
            "[sources]\nallow_hosts = [\"models.acme.dev\"]\n",
        )
        .unwrap();
        ends(&host, &[], 30, "git lfs pull");
        fs::remove_file(host.path("repo/gate.toml")).unwrap();
        let ran = arrives(&host, &[], &model(1));
        assert!(ran.stderr.contains("git-lfs is asked"), "{}", ran.stderr);
        // The pointer of other bytes is not even followed.
        wants(&host, "1.1.0", &url, &model(2));
        let code = if scheme == "lfs" { 23 } else { 30 };
        ends(&host, &[], code, "");
    }
    // The object is gone at the remote.
    let host = Host::lending(&["repo/.git"]);
    clone(&host);
    fs::remove_dir_all(origin.join("lfs")).unwrap();
    wants(&host, "1.0.0", "lfs:model.gguf", &model(1));
    ends(&host, &[], 21, "git-lfs failed");

    // N25: what a server says of an object counts, and an address that expired is asked for anew.
    for status in [404, 410, 422] {
        let server = Server::start(move |_| {
            batch(&format!(
                "\"error\":{{\"code\":{status},\"message\":\"no such object\"}}"
            ))
        });
        clone(&host);
        wants(&host, "1.0.0", "lfs:model.gguf", &model(1));
        let url = server.url("/lfs");
        run(git(&host.path("repo")).args(["config", "lfs.url", &url]));
        ends(&host, &[], 21, "git-lfs failed");
        assert!(!server.requests().is_empty());
    }
    let server = Server::start(|request| match request.target.as_str() {
        "/lfs/objects/batch" => {
            let expires = if request.n_before == 0 { 2000 } else { 2999 };
            let href = format!("http://{}/object", request.header("host").unwrap());
            batch(&format!(
                "\"actions\":{{\"download\":{{\"href\":\"{href}\",\"expires_at\":\"{expires}-01-01T00:00:00Z\"}}}}"
            ))
        }
        "/object" => good(request, &model(1)),
        _ => whole("404 Not Found", &[], b""),
    });
    clone(&host);
    wants(&host, "1.0.0", "lfs:model.gguf", &model(1));
    let url = server.url("/lfs");
    run(git(&host.path("repo")).args(["config", "lfs.url", &url]));
    arrives(&host, &[], &model(1));
    let n_batches = server
        .requests()
        .iter()
        .filter(|it| it.target.ends_with("batch"))
        .count();
    assert_eq!(n_batches, 2, "the first address had expired");
    Ok(())
}

/// What an LFS server says of the one object it is asked for.
///
/// Source: git-lfs, `docs/api/batch.md`.
fn batch(object: &str) -> Vec<Step> {
    let (oid, size) = (Sha256::of(&model(1)), model(1).len());
    let text = format!(
        "{{\"transfer\":\"basic\",\"objects\":[{{\"oid\":\"{oid}\",\"size\":{size},{object}}}]}}"
    );
    let kind = ("Content-Type", "application/vnd.git-lfs+json");
    whole("200 OK", &[kind], text.as_bytes())
}

pub(super) fn check_dvc() -> Result<(), Missing> {
    let dvc = program("dvc", "--version")?;
    let host = Host::new();
    host.installed("1.0.0", "one");
    let repo = host.path("repo");
    let remote = host.path("remote");
    let ask = |arguments: &[&str]| {
        run(Command::new(&dvc)
            .current_dir(&repo)
            .env("DVC_NO_ANALYTICS", "1")
            .args(arguments));
    };
    ask(&["init", "-q", "--no-scm"]);
    ask(&[
        "remote",
        "add",
        "-q",
        "--default",
        "models",
        remote.to_str().unwrap(),
    ]);
    fs::write(repo.join("model.gguf"), model(1)).unwrap();
    ask(&["add", "-q", "model.gguf"]);
    ask(&["push", "-q"]);
    // As in a clone on another host: neither the file nor DVC's cache.
    fs::remove_file(repo.join("model.gguf")).unwrap();
    let cache = host.path("cache");
    fs::rename(repo.join(".dvc/cache"), &cache).unwrap();
    let url = "dvc:model.gguf.dvc";
    wants(&host, "1.1.0", url, &model(1));
    // A directory outside the repository is any file of this host.
    ends(&host, &[], 11, "--allow-file");
    let ran = super::install(&host, &["--allow-file"], &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(model(1)));

    // The same remote behind HTTP.
    let files = files_below(&remote);
    let server = Server::start(move |request| {
        let found = files.iter().find(|(path, _)| request.target == *path);
        match found {
            Some((_, bytes)) => good(request, bytes),
            None => whole("404 Not Found", &[], b""),
        }
    });
    ask(&["remote", "modify", "-q", "models", "url", &server.url("")]);
    // N27: what DVC's MD5 names is not what the manifest pins.
    wants(&host, "1.2.0", url, &model(2));
    ends(&host, &[], 23, "expected");
    // And out of DVC's own cache.
    fs::write(repo.join("model.gguf"), model(2)).unwrap();
    fs::rename(&cache, repo.join(".dvc/cache")).unwrap();
    ask(&["add", "-q", "model.gguf"]);
    arrives(&host, &[], &model(2));
    Ok(())
}

/// Files below a directory, by their paths as URLs have them.
fn files_below(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let inside = path.strip_prefix(root).unwrap();
                found.push((format!("/{}", inside.display()), fs::read(&path).unwrap()));
            }
        }
    }
    found
}
