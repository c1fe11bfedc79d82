//! `vv-eval manifest lint | diff | schema` through the program; `bump` has tests of its own.

use std::fs;
use std::process::Command;

use super::common::{Lab, Ran, root};

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A manifest without a flaw.
fn sound() -> String {
    format!(
        r#"{{"model_name":"bitnet","version":"1.0.0","url":"repo:m.gguf","sha256":"{SHA256}","size_bytes":3}}"#
    )
}

fn lint(lab: &Lab, text: &str, further: &[&str]) -> Ran {
    lab.write("m.json", text);
    lab.run(&[&["manifest", "lint", "m.json"], further].concat())
}

#[test]
fn a_manifest_is_judged_by_its_flaws() {
    let lab = Lab::new();
    let renamed = sound().replace("\"sha256\"", "\"shasum\"");
    let moving = sound().replace("1.0.0", "latest");
    let upper = sound().replace(SHA256, &SHA256.to_uppercase());
    let unknown = sound().replace(
        "\"size_bytes\"",
        "\"target_path_in_container\":\"/x\",\"size_bytes\"",
    );
    for (text, strict, code, told) in [
        (&*sound(), true, 0, "version 1.0.0, release sha256 "),
        (&renamed, false, 1, "rename `shasum` to `sha256`"),
        (&moving, false, 1, "m.json:error: 1:34 version"),
        ("{\n", false, 1, "m.json:error: 2:1"),
        (&upper, false, 0, "warning"),
        (&upper, true, 1, "upper case"),
        (
            &unknown,
            false,
            0,
            "target_path_in_container: unknown key, ignored",
        ),
        (
            &unknown,
            true,
            1,
            "target_path_in_container: unknown key, ignored",
        ),
    ] {
        let further: &[&str] = if strict { &["--strict"] } else { &[] };
        let ran = lint(&lab, text, further);
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.all());
        assert!(ran.all().contains(told), "no {told} in {}", ran.all());
    }
    let ran = lab.run(&["manifest", "lint", "nowhere.json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(ran.stderr.contains("nowhere.json"), "{}", ran.stderr);
}

#[test]
fn a_repaired_manifest_is_the_same_release_without_a_flaw() {
    let lab = Lab::new();
    let upper = sound().replace(SHA256, &format!("sha256:{}", SHA256.to_uppercase()));
    let release = |ran: &Ran| {
        let at = ran.stdout.find("release sha256 ").unwrap();
        ran.stdout[at..].lines().next().unwrap().to_owned()
    };
    let before = lint(&lab, &upper, &[]);
    assert_eq!(before.code, Some(0), "{}", before.all());
    let ran = lab.run(&["manifest", "lint", "--fix", "m.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stderr.contains("fixed: "), "{}", ran.stderr);
    let text = fs::read_to_string(lab.path("m.json")).unwrap();
    assert!(text.contains(SHA256), "{text}");
    let after = lint(&lab, &text, &["--strict"]);
    assert_eq!(after.code, Some(0), "{}", after.all());
    assert_eq!(release(&before), release(&after));

    // What cannot be read is not written to.
    let broken = &sound()[..50];
    lab.write("m.json", broken);
    let ran = lab.run(&["manifest", "lint", "--fix", "m.json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert_eq!(fs::read_to_string(lab.path("m.json")).unwrap(), broken);
}

fn git(lab: &Lab, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(lab.path(""))
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn a_manifest_is_compared_with_one_of_a_revision() {
    let lab = Lab::new();
    lab.write("m.json", sound());
    git(&lab, &["init", "--quiet"]);
    git(&lab, &["add", "m.json"]);
    git(&lab, &["commit", "--quiet", "-m", "x"]);
    let diff = |from: &str| lab.run(&["manifest", "diff", from, "m.json"]);
    let ran = diff("HEAD:m.json");
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("nothing changed"), "{}", ran.all());
    let other = "0".repeat(63) + "1";
    lab.write(
        "m.json",
        sound().replace("1.0.0", "1.1.0").replace(SHA256, &other),
    );
    let ran = diff("HEAD:m.json");
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for words in ["1.0.0 → 1.1.0", &other[..12]] {
        assert!(ran.stdout.contains(words), "no {words}: {}", ran.all());
    }
    let ran = diff("nowhere:m.json");
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("there is no commit `nowhere`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_schema_printed_is_the_one_published() {
    let ran = Lab::new().run(&["manifest", "schema"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let published = fs::read_to_string(root().join("schema/manifest.v1.json")).unwrap();
    assert_eq!(ran.stdout.trim_end(), published.trim_end());
}
