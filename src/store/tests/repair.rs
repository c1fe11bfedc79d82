//! What the doctor finds, and what it puts right.

use super::super::doctor::{Finding, Request, examine};
use super::*;

fn look(host: &Host, repairs: bool) -> Vec<Finding> {
    let request = Request {
        repairs,
        // Programs that other tests start hold the lock until they are executed.
        wait: Duration::from_secs(10),
        ..Request::default()
    };
    examine(&host.layout(), &request).unwrap()
}

/// A host with two releases, spoilt; what is found, and whether repairing leaves nothing.
#[track_caller]
fn check(spoil: impl FnOnce(&Host), words: &str, is_repaired: bool) -> Host {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.release("1.1.0", "two");
    spoil(&host);
    let found = look(&host, false);
    assert!(
        found.iter().any(|it| it.problem.contains(words)),
        "{found:#?}"
    );
    assert!(found.iter().all(|it| !it.is_repaired));
    look(&host, true);
    let left = look(&host, false);
    assert_eq!(left.is_empty(), is_repaired, "{left:#?}");
    host
}

#[test]
fn a_sound_store_has_nothing_to_find() {
    let host = Host::new();
    assert!(look(&host, false).is_empty());
    host.release("1.0.0", "one");
    assert!(look(&host, false).is_empty());
    assert!(look(&host, true).is_empty());
    host.is_tidy();
}

#[test]
fn s17_a_broken_current_returns_to_what_the_journal_remembers() {
    for text in ["generations/000009", "/tmp"] {
        let host = check(
            |host| {
                fs::remove_file(host.layout().current()).unwrap();
                std::os::unix::fs::symlink(text, host.layout().current()).unwrap();
            },
            "a link to",
            true,
        );
        assert_eq!(host.current(), Some(2));
        host.holds();
    }
    let host = check(
        |host| fs::remove_file(host.layout().current()).unwrap(),
        "it is missing",
        true,
    );
    assert_eq!(host.current(), Some(2));
    host.holds();
    // The generation it named is gone for good: the one before it is the last good one.
    let host = check(
        |host| remove(&host.layout().generation(2)),
        "which is missing",
        true,
    );
    assert_eq!(host.current(), Some(1));
    host.holds();
    host.is_tidy();
}

#[test]
fn s15_only_a_link_that_leads_nowhere_is_replaced() {
    let replace = |host: &Host, leads_to: Option<&str>| {
        let path = host.path("models/bitnet");
        fs::remove_file(&path).unwrap();
        match leads_to {
            Some(text) => std::os::unix::fs::symlink(text, path).unwrap(),
            None => fs::write(path, "x").unwrap(),
        }
    };
    check(|host| replace(host, Some("gone")), "a link to gone", true).holds();
    let host = check(|host| replace(host, Some("/tmp")), "a link to /tmp", false);
    assert_eq!(
        fs::read_link(host.path("models/bitnet")).unwrap(),
        Path::new("/tmp")
    );
    let host = check(|host| replace(host, None), "a regular file", false);
    assert_eq!(host.read("bitnet"), b"x");
}

#[test]
fn permissions_are_repaired_where_the_bytes_are_right() {
    let host = check(
        |host| {
            let path = host.path("models/bitnet/config.json");
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        },
        "its mode is 666",
        true,
    );
    host.holds();
    check(
        |host| {
            host.spoil("bitnet/config.json", b"{}");
            let path = host.path("models/bitnet/config.json");
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        },
        "bytes instead of",
        false,
    );
}

#[test]
fn leftovers_and_a_late_flag_are_tidied_up() {
    let host = check(
        |host| {
            fs::create_dir_all(host.path("models/.vv/staging/x/new")).unwrap();
            fs::write(host.path("models/.model_updated_flag"), "").unwrap();
        },
        "leftovers",
        true,
    );
    host.is_tidy();
}

#[test]
fn an_edited_journal_and_a_current_changed_by_hand_are_told() {
    check(
        |host| {
            let text = fs::read_to_string(host.layout().journal()).unwrap();
            fs::write(host.layout().journal(), text.replacen("1.0.0", "9.9.9", 1)).unwrap();
        },
        "do not follow",
        false,
    );
    check(
        |host| {
            fs::remove_file(host.layout().current()).unwrap();
            std::os::unix::fs::symlink("generations/000001", host.layout().current()).unwrap();
        },
        "it names generation 1, the journal 2",
        false,
    );
}

#[test]
fn s20_mounts_that_never_see_another_generation_are_named() {
    let host = Host::new();
    let compose = host.path("docker-compose.yml");
    fs::write(
        &compose,
        "services:\n  s:\n    volumes:\n      - ./models/bitnet:/app/models/bitnet:ro\n",
    )
    .unwrap();
    let request = Request {
        compose: Some(compose.clone()),
        ..Request::default()
    };
    let found = examine(&host.layout(), &request).unwrap();
    assert!(
        found[0].problem.contains("line 4: /app/models/bitnet"),
        "{found:?}"
    );
    fs::write(&compose, "volumes:\n  - ./models:/app/models:ro\n").unwrap();
    assert!(examine(&host.layout(), &request).unwrap().is_empty());
}
