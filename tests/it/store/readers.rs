//! S09 to S12, S14: several programs at one store, and readers that know nothing of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::server::{Answer, Server};
use super::{Host, artifact, gguf, manifest, tell};
use crate::common::PROGRAM;

/// Starts a command and does not wait for it.
fn start(host: &Host, command: &str, further: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(host.arguments(command, further))
        .current_dir(host.root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit codes of programs that run at the same time.
fn codes(children: Vec<Child>) -> Vec<i32> {
    let outputs = children
        .into_iter()
        .map(|it| it.wait_with_output().unwrap());
    outputs
        .map(|output| output.status.code().unwrap_or_else(|| panic!("{output:?}")))
        .collect()
}

#[test]
fn s09_eight_installers_download_once_and_end_in_one_generation() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let bytes = gguf("two");
    let server = Server::new([("/model.gguf", Answer::ok(&bytes))]);
    let url = server.url("/model.gguf");
    host.set_manifest(manifest("1.1.0", &[artifact("model.gguf", &url, &bytes)]));
    let flags = ["--smoke", "none", "--wait", "60"];
    let installers = (0..8).map(|_| start(&host, "install", &flags)).collect();
    assert_eq!(codes(installers), [0; 8]);
    assert_eq!(server.asked(), ["/model.gguf"]);
    assert_eq!((host.current(), host.weights()), (Some(2), Some(bytes)));
    let generations = fs::read_dir(host.path("models/.vv/generations")).unwrap();
    assert_eq!(generations.count(), 2);
    let history = host.model("history", &[]);
    assert_eq!(history.json["reigns"].as_array().unwrap().len(), 2);
    host.is_tidy();
}

/// A container's view: the models are mounted read-only, and a flip outside is seen inside.
#[test]
fn readers_of_a_read_only_mount_see_every_flip() {
    const INSIDE: &str = "\
        mount --make-rprivate / && mount --bind models inside && mount -o remount,ro,bind inside
        [ $? = 0 ] || { echo skipped >seen/skipped; exec \"$@\"; }
        touch inside/x 2>/dev/null && echo writable >seen/skipped
        look() { cat inside/.current_model_version inside/.model_updated_flag >seen/$1
            cat inside/.current_model_info.json inside/bitnet/model.gguf >>seen/$1; }
        look before; \"$@\"; code=$?; look after; exit $code";
    let host = Host::lending(&["inside", "seen"]);
    for name in ["inside", "seen"] {
        fs::create_dir(host.path(name)).unwrap();
    }
    host.installed("1.0.0", "one");
    host.set_manifest(host.release("1.1.0", "two"));
    let under = ["unshare", "-m", "sh", "-c", INSIDE, "sh"];
    if Command::new("unshare")
        .args(["-m", "true"])
        .status()
        .is_ok_and(|it| it.success())
    {
        let ran = host.model_under(&under, "install", &["--smoke", "none"], &[]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    } else {
        fs::write(host.path("seen/skipped"), "no mounts of its own").unwrap();
    }
    if let Ok(why) = fs::read_to_string(host.path("seen/skipped")) {
        assert_ne!(why, "writable\n");
        return tell("skipped: no read-only mount can be made here");
    }
    for (when, version, weights, number) in
        [("before", "1.0.0", "one", 1), ("after", "1.1.0", "two", 2)]
    {
        let seen = fs::read(host.path("seen").join(when)).unwrap();
        let text = String::from_utf8_lossy(&seen);
        assert!(text.starts_with(&format!("{version}\n")), "{when}: {text}");
        assert!(
            text.contains(&format!("\"generation\":{number},")),
            "{when}: {text}"
        );
        assert!(
            text.contains(&format!("\"version\": \"{version}\"")),
            "{when}: {text}"
        );
        assert!(seen.ends_with(&gguf(weights)), "{when}");
    }
}

#[test]
fn s10_installers_rollbacks_and_collections_take_turns() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.installed("1.1.0", "two");
    for _ in 0..5 {
        let install = ["--smoke", "none", "--wait", "60"];
        let children = vec![
            start(&host, "install", &install),
            start(&host, "rollback", &["--to", "1", "--wait", "60"]),
            start(
                &host,
                "gc",
                &["--keep", "1", "--grace", "0", "--wait", "60"],
            ),
            // This one may come too early.
            start(&host, "rollback", &["--to", "2"]),
        ];
        let codes = codes(children);
        assert_eq!(codes[..3], [0; 3]);
        assert!([0, 50].contains(&codes[3]), "{codes:?}");
        assert_eq!(host.model("verify", &[]).code, 0);
        let weights = host.weights().unwrap();
        let expected = if host.current() == Some(1) {
            "one"
        } else {
            "two"
        };
        assert_eq!(weights, gguf(expected));
    }
    // The journal tells the order in which it happened.
    let history = host.model("history", &[]);
    assert_eq!(history.code, 0);
    let last = history.json["reigns"].as_array().unwrap().last().unwrap();
    assert_eq!(last["generation"].as_u64(), host.current());
    host.is_tidy();
}

/// A reader in Python, by the protocol of docs/store.md, until it is told to end: reads the record,
/// the version and the weights, and prints how often it found each release.
const READER: &str = r#"
import collections, json, os, sys
models = sys.argv[1]
seen = collections.Counter()
print("ready", flush=True)
while not os.path.exists(models + ".over"):
    base = os.path.realpath(models + "/bitnet")
    beside = os.path.dirname(base)
    info = json.load(open(beside + "/.current_model_info.json"))
    version = open(beside + "/.current_model_version").read().strip()
    weights = open(base + "/model.gguf", "rb").read()
    assert info["version"] == version, (info, version)
    assert weights.endswith(version.encode()), (version, weights)
    seen[version] += 1
print(json.dumps(seen))
"#;

/// A store with two releases whose weights end with their version; gives both manifests.
fn two_releases() -> (Host, [Vec<u8>; 2]) {
    let host = Host::new();
    let manifests = ["1.0.0", "1.1.0"].map(|version| {
        host.installed(version, version);
        fs::read(host.manifest()).unwrap()
    });
    (host, manifests)
}

/// Starts Python and waits for its first line; `None` where there is none, and says so.
fn python(
    script: &str,
    argument: &Path,
) -> Option<(Child, std::io::BufReader<std::process::ChildStdout>)> {
    use std::io::BufRead as _;
    let started = Command::new("python3")
        .args(["-c", script])
        .arg(argument)
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        tell("skipped: no python3");
        return None;
    };
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Some((child, out))
}

#[test]
fn s11_a_reader_over_200_flips_finds_record_and_weights_of_one_release() {
    use std::io::Read as _;
    const N_FLIPS: usize = 200;
    let (host, manifests) = two_releases();
    let Some((mut reader, mut out)) = python(READER, &host.path("models")) else {
        return;
    };
    for flip in 0..N_FLIPS {
        host.set_manifest(&manifests[flip % 2]);
        let child = start(&host, "install", &["--smoke", "none"]);
        assert_eq!(codes(vec![child]), [0], "flip {flip}");
    }
    fs::write(host.path("models.over"), "").unwrap();
    let mut seen = String::new();
    out.read_to_string(&mut seen).unwrap();
    assert!(reader.wait().unwrap().success(), "{seen}");
    tell(&format!(
        "over {N_FLIPS} flips a reader found {}",
        seen.trim()
    ));
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    for version in ["1.0.0", "1.1.0"] {
        assert!(seen[version].as_u64().is_some_and(|n| n > 0), "{seen}");
    }
}

/// Maps the weights, waits for a line, and says whether they are still what they were.
const MAPPED: &str = r#"
import mmap, sys, time, os
models = sys.argv[1]
file = open(models + "/bitnet/model.gguf", "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print("ready", flush=True)
while os.path.exists(models) and not os.path.exists(models + ".over"):
    time.sleep(0.01)
print(mapped[:].endswith(b"1.0.0"))
"#;

#[test]
fn s12_mapped_weights_stay_readable_through_flip_and_collection() {
    use std::io::Read as _;
    let host = Host::new();
    host.installed("1.0.0", "1.0.0");
    let Some((mut reader, mut out)) = python(MAPPED, &host.path("models")) else {
        return;
    };
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        host.installed(version, version);
    }
    let ran = host.model("gc", &["--keep", "1", "--grace", "0"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!host.path("models/.vv/generations/000001").exists());
    fs::write(host.path("models.over"), "").unwrap();
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert!(reader.wait().unwrap().success());
    assert_eq!(said, "True\n");
}

#[test]
fn s14_a_plain_directory_is_taken_over_without_a_moment_without_a_model() {
    for _ in 0..10 {
        let host = Host::new();
        fs::create_dir_all(host.path("models/bitnet")).unwrap();
        fs::write(host.path("models/bitnet/model.gguf"), gguf("old")).unwrap();
        host.set_manifest(host.release("1.0.0", "one"));
        let is_over = AtomicBool::new(false);
        let weights = host.path("models/bitnet/model.gguf");
        let n_seen = thread::scope(|scope| {
            let poll = scope.spawn(|| {
                let mut n_seen = [0usize; 2];
                while !is_over.load(Ordering::Relaxed) {
                    let found = fs::read(&weights).expect("a model at every instant");
                    let which = [gguf("old"), gguf("one")];
                    let which = which.iter().position(|it| *it == found);
                    n_seen[which.expect("a whole model")] += 1;
                }
                n_seen
            });
            let ran = host.model("install", &["--smoke", "none"]);
            assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
            is_over.store(true, Ordering::Relaxed);
            poll.join().unwrap()
        });
        assert!(n_seen[0] > 0, "{n_seen:?}");
    }
}
