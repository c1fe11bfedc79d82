//! S13, S15 to S19, S22: a store that somebody or something damaged, through the program.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{Host, gguf};

const INSTALL: &[&str] = &["--smoke", "none"];

/// Exit code of a command.
#[track_caller]
fn code(host: &Host, command: &str, further: &[&str]) -> i32 {
    host.model(command, further).code
}

fn set_mode(host: &Host, name: &str, mode: u32) {
    fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Two generations, the second current.
fn host() -> Host {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.installed("1.1.0", "two");
    host
}

#[test]
fn s16_a_damaged_generation_is_named_and_replaced() {
    let weights = "models/bitnet/model.gguf";
    let check = |spoil: &dyn Fn(&Host)| {
        let host = host();
        set_mode(&host, "models/bitnet", 0o755);
        spoil(&host);
        if host
            .path("models/bitnet")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
            == 0o755
        {
            set_mode(&host, "models/bitnet", 0o555);
        }
        assert_eq!(code(&host, "verify", &[]), 51);
        let ran = host.model("install", INSTALL);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(
            (host.current(), host.weights()),
            (Some(3), Some(gguf("two")))
        );
        assert_eq!(code(&host, "verify", &[]), 0);
        host.is_tidy();
    };
    check(&|host| {
        let mut bytes = gguf("two");
        *bytes.last_mut().unwrap() ^= 1;
        set_mode(host, weights, 0o644);
        fs::write(host.path(weights), bytes).unwrap();
        set_mode(host, weights, 0o444);
    });
    check(&|host| fs::write(host.path("models/bitnet/extra.txt"), "x").unwrap());
    check(&|host| fs::remove_file(host.path(weights)).unwrap());
    check(&|host| set_mode(host, weights, 0o666));
}

#[test]
fn s13_a_record_that_says_nothing_is_never_trusted() {
    for bytes in [&b""[..], &[0; 19], b"[]", br#"{"version":1}"#] {
        // As the plain file of the first installer.
        let host = Host::new();
        fs::create_dir_all(host.path("models/bitnet")).unwrap();
        fs::write(host.path("models/bitnet/model.gguf"), gguf("old")).unwrap();
        fs::write(host.path("models/.current_model_info.json"), bytes).unwrap();
        host.set_manifest(host.release("1.0.0", "one"));
        assert_eq!(code(&host, "install", INSTALL), 0);
        assert_eq!(host.weights(), Some(gguf("one")));
        // Inside a generation of ours.
        let record = "models/.current_model_info.json";
        set_mode(&host, record, 0o644);
        fs::write(host.path(record), bytes).unwrap();
        set_mode(&host, record, 0o444);
        assert_eq!(code(&host, "install", INSTALL), 0);
        let text = fs::read_to_string(host.path(record)).unwrap();
        assert!(text.contains("\"version\": \"1.0.0\""), "{text}");
        assert_eq!(code(&host, "verify", &[]), 0);
    }
}

#[test]
fn s15_what_nobody_may_replace_is_explained_and_left_alone() {
    let check = |put: &dyn Fn(&Host), is_mended: bool| {
        let host = host();
        let place = host.path("models/bitnet");
        fs::remove_file(&place).unwrap();
        put(&host);
        let before = fs::symlink_metadata(&place).unwrap().file_type();
        host.set_manifest(host.release("1.2.0", "three"));
        let ran = host.model("install", INSTALL);
        assert_eq!(ran.code, 51, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(host.current(), Some(2));
        assert_eq!(fs::symlink_metadata(&place).unwrap().file_type(), before);
        let ran = host.model("doctor", &["--repair"]);
        assert!(ran.stdout.contains("bitnet"), "{}", ran.stdout);
        assert_eq!(host.weights() == Some(gguf("two")), is_mended);
        assert_eq!(code(&host, "install", INSTALL) == 0, is_mended);
    };
    check(
        &|host| fs::write(host.path("models/bitnet"), "x").unwrap(),
        false,
    );
    check(
        &|host| symlink("gone", host.path("models/bitnet")).unwrap(),
        true,
    );
    check(
        &|host| symlink("/tmp", host.path("models/bitnet")).unwrap(),
        false,
    );
}

#[test]
fn s17_a_current_that_leads_nowhere_is_repaired_on_demand_alone() {
    for text in ["generations/000009", "../../elsewhere"] {
        let host = host();
        let current = host.path("models/.vv/current");
        fs::remove_file(&current).unwrap();
        symlink(text, &current).unwrap();
        for command in ["verify", "install"] {
            assert_eq!(code(&host, command, &[]), 51, "{text}: {command}");
        }
        assert_eq!(fs::read_link(&current).unwrap().to_str(), Some(text));
        host.model("doctor", &["--repair"]);
        assert_eq!(
            (host.current(), host.weights()),
            (Some(2), Some(gguf("two")))
        );
        assert_eq!(code(&host, "doctor", &[]), 0);
    }
}

#[test]
fn s18_a_store_of_a_later_format_is_not_touched() {
    let host = host();
    fs::write(host.path("models/.vv/FORMAT"), "vv-model-store 2\n").unwrap();
    host.set_manifest(host.release("1.2.0", "three"));
    for (command, further) in [
        ("install", INSTALL),
        ("rollback", &[]),
        ("gc", &["--keep", "1", "--grace", "0"]),
        ("verify", &[]),
        ("doctor", &["--repair"]),
    ] {
        let ran = host.model(command, further);
        assert_eq!(ran.code, 51, "{command}: {}{}", ran.stdout, ran.stderr);
    }
    assert_eq!(
        (host.current(), host.weights()),
        (Some(2), Some(gguf("two")))
    );
}

#[test]
fn s19_a_torn_or_edited_journal_stops_no_installation() {
    let journal = "models/.vv/journal.jsonl";
    let host = host();
    let whole = fs::read_to_string(host.path(journal)).unwrap();
    fs::write(host.path(journal), format!("{whole}{{\"seq\":9,\"at")).unwrap();
    host.set_manifest(host.release("1.2.0", "three"));
    assert_eq!(code(&host, "install", INSTALL), 0);
    assert_eq!(code(&host, "history", &[]), 0);

    let host = self::host();
    let edited = whole.replacen("\"generation\":1", "\"generation\":7", 1);
    fs::write(host.path(journal), edited).unwrap();
    assert_eq!(code(&host, "history", &[]), 51);
    host.set_manifest(host.release("1.2.0", "three"));
    assert_eq!(code(&host, "install", INSTALL), 0);
    assert_eq!(host.weights(), Some(gguf("three")));
    assert_eq!(code(&host, "history", &[]), 51);
}

#[test]
fn s22_a_collection_keeps_a_trial_and_what_it_would_return_to() {
    let host = host();
    assert_eq!(code(&host, "verify", &["--mark", "good"]), 0);
    host.installed("1.2.0", "three");
    host.installed("1.3.0", "four");
    // The trial is current, generation 2 is good, 1 and 3 are nobody's.
    let ran = host.model("gc", &["--keep", "0", "--grace", "0"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let generations = fs::read_dir(host.path("models/.vv/generations")).unwrap();
    let mut left: Vec<_> = generations.map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["000002", "000004"]);
    assert_eq!(code(&host, "rollback", &[]), 0);
    assert_eq!(host.weights(), Some(gguf("two")));
}
