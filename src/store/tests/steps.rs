//! What each command does on a healthy host, and what it refuses.

use super::super::rollback::{self, Named, rollback};
use super::super::status::{history, status, verify};
use super::super::{Refusal, gc};
use super::*;
use crate::hint::Hint as _;

#[test]
fn a_release_is_installed_and_found_through_every_name() {
    let host = Host::new();
    host.publish("1.0.0", "one");
    let outcome = host.install();
    assert_eq!(
        (outcome.generation, outcome.previous, outcome.change),
        (1, None, Change::Installed)
    );
    host.is_tidy();
    let link = fs::read_link(host.path("models/bitnet")).unwrap();
    assert_eq!(link, Path::new(".vv/current/bitnet"));
    let info = host.info();
    assert_eq!(info["model_name"], "bitnet");
    assert_eq!(info["artifact_file"], "config.json");
    assert_eq!(info["manifest_model_name"], "BitNet-4bit-Summarizer");
    let mode = |name: &str| {
        let found = fs::metadata(host.path("models").join(name)).unwrap();
        found.permissions().mode() & 0o7777
    };
    assert_eq!(mode("bitnet/config.json"), 0o444);
    assert_eq!(mode("bitnet"), 0o555);
    assert_eq!(mode(".vv/generations/000001"), 0o755);
    assert_eq!(mode(".current_model_info.json"), 0o444);
}

#[test]
fn the_three_first_keys_of_the_info_file_come_first() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let text = String::from_utf8(host.read(".current_model_info.json")).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .skip(1)
        .take(3)
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    assert_eq!(keys, ["version", "model_name", "artifact_file"]);
}

#[test]
fn what_is_installed_is_not_installed_again() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let before = snapshot(&host.path("models"));
    let outcome = host.install();
    assert_eq!((outcome.change, outcome.generation), (Change::Unchanged, 1));
    assert_eq!(snapshot(&host.path("models")), before);
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let host = Host::new();
    host.publish("1.0.0", "one");
    let outcome = host.try_with(|it| it.is_dry_run = true).unwrap();
    assert_eq!((outcome.change, outcome.generation), (Change::Installed, 1));
    assert!(!host.path("models").exists());
    host.install();
    host.publish("1.1.0", "two");
    let before = snapshot(&host.path("models"));
    let outcome = host.try_with(|it| it.is_dry_run = true).unwrap();
    assert_eq!(
        (outcome.change, outcome.generation, outcome.previous),
        (Change::Installed, 2, Some(1))
    );
    assert_eq!(snapshot(&host.path("models")), before);
}

#[test]
fn other_labels_for_the_same_bytes_make_a_generation_of_links() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::new();
    host.release("1.0.0", "one");
    let inode = |host: &Host| {
        fs::metadata(host.path("models/bitnet/model.safetensors"))
            .unwrap()
            .ino()
    };
    let before = inode(&host);
    host.publish("1.0.1", "one");
    fs::remove_file(host.path("repo").join(blob("one"))).unwrap();
    let outcome = host.install();
    assert_eq!(
        (outcome.change, outcome.generation),
        (Change::Relabelled, 2)
    );
    assert_eq!(
        (inode(&host), host.info()["version"].as_str()),
        (before, Some("1.0.1"))
    );
}

/// Name of the published weights of a release.
fn blob(weights: &str) -> String {
    let (_, bytes) = &release_files(weights)[1];
    format!("blob-{}", Sha256::of(bytes))
}

#[test]
fn options_are_part_of_the_release() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.publish_files(
        "1.0.0",
        &release_files("one"),
        r#""model_options":{"stop_token_ids":[2]},"#,
    );
    let outcome = host.install();
    assert_eq!(
        (outcome.change, outcome.generation),
        (Change::Relabelled, 2)
    );
}

#[test]
fn an_earlier_release_still_on_disk_comes_back_without_its_artifacts() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let first = fs::read(host.manifest()).unwrap();
    host.release("1.1.0", "two");
    fs::write(host.manifest(), first).unwrap();
    fs::remove_file(host.path("repo").join(blob("one"))).unwrap();
    let outcome = host.install();
    assert_eq!((outcome.change, outcome.generation), (Change::Restored, 1));
    assert_eq!(host.events().last(), Some(&(Event::Rollback, Some(1))));
    host.is_tidy();
}

#[test]
fn a_lower_version_needs_a_reason() {
    let host = Host::new();
    host.release("1.1.0", "two");
    host.publish("1.0.0", "one");
    let error = host.try_install().unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Downgrade { .. })),
        "{error}"
    );
    let advice = error.hint().unwrap();
    for way in ["was current on this host", "--allow-downgrade"] {
        assert!(advice.contains(way), "{advice}");
    }
    assert_eq!(host.current(), Some(1));
    assert_eq!(
        host.try_with(|it| it.allows_downgrade = true)
            .unwrap()
            .generation,
        2
    );
}

#[test]
fn a_version_that_names_other_bytes_is_installed_with_a_warning_unless_policy_forbids() {
    let mut host = Host::new();
    host.release("1.0.0", "one");
    host.publish("1.0.0", "two");
    host.policy.immutable_versions = true;
    let error = host.try_install().unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::VersionReused { .. })),
        "{error}"
    );
    host.policy.immutable_versions = false;
    let outcome = host.install();
    assert!(
        outcome
            .warnings
            .iter()
            .any(|it| it.starts_with("version: 1.0.0")),
        "{:?}",
        outcome.warnings
    );
    assert_eq!(host.current(), Some(2));
}

#[test]
fn the_summarizer_must_be_one_the_release_works_with() {
    let host = Host::new();
    host.publish_files(
        "1.0.0",
        &release_files("one"),
        r#""requires":{"summarize_scene":">=2.1"},"#,
    );
    let error = host.try_with(|it| it.consumer = Some("2.0")).unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Consumer { .. })),
        "{error}"
    );
    assert_eq!(host.current(), None);
    let outcome = host.install();
    assert!(
        outcome
            .warnings
            .iter()
            .any(|it| it.contains("was not checked")),
        "{:?}",
        outcome.warnings
    );
    assert!(host.try_with(|it| it.consumer = Some("2.1")).is_ok());
}

#[test]
fn several_targets_flip_together_and_vanish_together() {
    let host = Host::new();
    let mut files = release_files("one");
    files.push(("lexicon/words.txt".into(), b"pessoa\n".to_vec()));
    host.publish_files("1.0.0", &files, "");
    host.install();
    assert_eq!(host.read("lexicon/words.txt"), b"pessoa\n");
    host.release("1.1.0", "two");
    assert!(fs::symlink_metadata(host.path("models/lexicon")).is_err());
    host.is_tidy();
}

#[test]
fn a_smoke_test_that_fails_keeps_the_current_release() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.publish("1.1.0", "two");
    let manifest = host.manifest();
    let mut seen = None;
    let mut smoke = |candidate: Candidate<'_>| {
        seen = Some((
            candidate.version.to_owned(),
            candidate.directory.join("bitnet/config.json").is_file(),
        ));
        Err(SmokeFailure {
            problem: "nonsense".into(),
            hint: None,
        })
    };
    let error = install(
        &host.layout(),
        &host.request(&manifest),
        &mut smoke,
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(error, Error::Smoke { .. }), "{error}");
    assert_eq!(seen, Some(("1.1.0".to_owned(), true)));
    assert_eq!(host.current(), Some(1));
    host.holds();
    host.install();
    host.is_tidy();
}

/// What a damaged generation is called and how it heals: a new generation, never a repair in place.
#[track_caller]
fn check_heals(spoil: impl FnOnce(&Host), word: &str) {
    let host = Host::new();
    host.release("1.0.0", "one");
    spoil(&host);
    let error = verify(&host.layout(), None, false, Duration::from_secs(10)).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains(word), "{error}");
    let outcome = host.install();
    assert_eq!((outcome.generation, host.current()), (2, Some(2)));
    assert!(
        outcome.warnings.iter().any(|it| it.contains("is damaged")),
        "{:?}",
        outcome.warnings
    );
    assert!(verify(&host.layout(), None, false, Duration::from_secs(10)).is_ok());
}

#[test]
fn s16_damage_is_found_and_replaced() {
    check_heals(
        |host| {
            let mut bytes = host.read("bitnet/config.json");
            bytes[3] ^= 1;
            host.spoil("bitnet/config.json", &bytes);
        },
        "bitnet/config.json: sha256",
    );
    check_heals(
        |host| {
            let directory = host.path("models/bitnet");
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(directory.join("extra.txt"), "x").unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
        },
        "bitnet/extra.txt: a regular file nobody recorded",
    );
    check_heals(
        |host| {
            let directory = host.path("models/bitnet");
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
            fs::remove_file(directory.join("config.json")).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
        },
        "bitnet/config.json: it is missing",
    );
    check_heals(
        |host| {
            let path = host.path("models/bitnet/config.json");
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        },
        "its mode is 666 instead of 444",
    );
}

#[test]
fn s13_a_damaged_record_is_never_trusted() {
    for bytes in [&b""[..], &[0; 19], b"[]", br#"{"version":1}"#] {
        check_heals(
            |host| host.spoil(".current_model_info.json", bytes),
            ".current_model_info.json",
        );
    }
    check_heals(
        |host| host.spoil(".vv/current/generation.json", b"{}"),
        "generation.json",
    );
}

#[test]
fn s17_a_broken_current_is_not_guessed_at() {
    for text in ["generations/000009", "../../elsewhere", "/tmp"] {
        let host = Host::new();
        host.release("1.0.0", "one");
        fs::remove_file(host.layout().current()).unwrap();
        std::os::unix::fs::symlink(text, host.layout().current()).unwrap();
        for error in [
            host.try_install().unwrap_err(),
            verify(&host.layout(), None, false, Duration::from_secs(10)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(error.hint().unwrap().contains("doctor --repair"));
        }
    }
}

#[test]
fn s18_a_store_of_another_format_is_not_touched() {
    let host = Host::new();
    host.release("1.0.0", "one");
    fs::write(host.path("models/.vv/FORMAT"), "vv-model-store 2\n").unwrap();
    let before = snapshot(&host.path("models"));
    host.publish("1.1.0", "two");
    let error = host.try_install().unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    assert_eq!(snapshot(&host.path("models")), before);
}

#[test]
fn s15_what_stands_in_the_way_is_not_replaced() {
    let check = |make: &dyn Fn(&Path)| {
        let host = Host::new();
        host.publish("1.0.0", "one");
        fs::create_dir(host.path("models")).unwrap();
        let place = host.path("models/bitnet");
        make(&place);
        let error = host.try_install().unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(fs::symlink_metadata(place).is_ok());
        assert_eq!(host.current(), None);
    };
    check(&|place| fs::write(place, "x").unwrap());
    check(&|place| std::os::unix::fs::symlink("gone", place).unwrap());
    check(&|place| std::os::unix::fs::symlink("/tmp", place).unwrap());
}

/// A directory and an info file as the first installer leaves them.
fn plain(host: &Host, info: &[u8]) {
    let directory = host.path("models/bitnet");
    fs::create_dir_all(directory.join("sub")).unwrap();
    fs::write(directory.join("weights.bin"), "old weights").unwrap();
    fs::write(directory.join("sub/vocab.txt"), "old words").unwrap();
    fs::write(host.path("models/.current_model_info.json"), info).unwrap();
    fs::write(host.path("models/.model_updated_flag"), "").unwrap();
}

#[test]
fn s14_a_plain_directory_becomes_generation_0() {
    let host = Host::new();
    plain(
        &host,
        br#"{"version":"0.9.0","model_name":"bitnet","artifact_file":"old.tar.gz"}"#,
    );
    host.publish("1.0.0", "one");
    let outcome = host.install();
    assert_eq!((outcome.generation, host.current()), (1, Some(1)));
    host.is_tidy();
    let (number, record) = verify(&host.layout(), Some(0), false, Duration::from_secs(10)).unwrap();
    assert_eq!((number, record.version.as_str()), (0, "0.9.0"));
    let back = rollback(&host.layout(), &back(None)).unwrap();
    assert_eq!(back.generation, Some(0));
    assert_eq!(host.read("bitnet/weights.bin"), b"old weights");
    assert_eq!(host.read("bitnet/sub/vocab.txt"), b"old words");
    host.holds();
}

#[test]
fn s13_the_record_of_an_earlier_installer_is_never_trusted() {
    for info in [&b""[..], &[0; 19], b"[1]", br#"{"version":[]}"#] {
        let host = Host::new();
        plain(&host, info);
        host.publish("1.0.0", "one");
        host.install();
        let (_, record) = verify(&host.layout(), Some(0), false, Duration::from_secs(10)).unwrap();
        assert_eq!(record.version, "unknown");
    }
}

#[test]
fn a_failed_installation_leaves_a_plain_directory_as_it_was() {
    let host = Host::new();
    plain(&host, b"{}");
    host.publish("1.0.0", "one");
    fs::remove_file(host.path("repo").join(blob("one"))).unwrap();
    let before = snapshot(&host.path("models/bitnet"));
    assert!(host.try_install().is_err());
    assert_eq!(snapshot(&host.path("models/bitnet")), before);
    assert_eq!(host.current(), None);
}

#[test]
fn an_empty_plain_directory_is_nothing_to_keep() {
    let host = Host::new();
    fs::create_dir_all(host.path("models/bitnet")).unwrap();
    assert_eq!(host.release("1.0.0", "one"), 1);
    host.is_tidy();
}

#[test]
fn a_plain_directory_put_there_later_is_not_taken_over() {
    let host = Host::new();
    host.release("1.0.0", "one");
    fs::remove_file(host.path("models/bitnet")).unwrap();
    fs::create_dir(host.path("models/bitnet")).unwrap();
    fs::write(host.path("models/bitnet/x"), "x").unwrap();
    let error = host.try_install().unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn a_link_someone_removed_is_put_back() {
    let host = Host::new();
    host.release("1.0.0", "one");
    fs::remove_file(host.path("models/bitnet")).unwrap();
    fs::remove_file(host.path("models/.current_model_version")).unwrap();
    fs::remove_file(host.path("models/.model_updated_flag")).unwrap();
    assert_eq!(host.install().change, Change::Unchanged);
    host.is_tidy();
}

fn back(to: Option<&str>) -> rollback::Request {
    rollback::Request {
        to: to.map(Named::parse),
        mark_bad: None,
        reason: Some("test".into()),
        wait: Duration::from_secs(10),
        is_dry_run: false,
    }
}

fn condemn(what: &str) -> rollback::Request {
    rollback::Request {
        mark_bad: Some(Named::parse(what)),
        ..back(None)
    }
}

#[test]
fn p09_a_rollback_needs_a_target_that_is_there_and_whole_and_not_condemned() {
    let host = Host::new();
    assert!(matches!(
        rollback(&host.layout(), &back(None)),
        Err(Error::NothingToRollBackTo { .. })
    ));
    host.release("1.0.0", "one");
    assert!(matches!(
        rollback(&host.layout(), &back(None)),
        Err(Error::NothingToRollBackTo { .. })
    ));
    host.release("1.1.0", "two");
    assert!(matches!(
        rollback(&host.layout(), &back(Some("9"))),
        Err(Error::NoSuchGeneration { .. })
    ));
    let spoilt = host.read(".vv/generations/000001/bitnet/config.json");
    host.spoil(".vv/generations/000001/bitnet/config.json", b"{}");
    assert!(matches!(
        rollback(&host.layout(), &back(None)),
        Err(Error::Corrupt { .. })
    ));
    host.spoil(".vv/generations/000001/bitnet/config.json", &spoilt);
    let outcome = rollback(&host.layout(), &condemn("1")).unwrap();
    assert_eq!(
        outcome.generation,
        Some(2),
        "only a current generation is left"
    );
    assert!(matches!(
        rollback(&host.layout(), &back(Some("1"))),
        Err(Error::Refused(_))
    ));
    assert!(matches!(
        rollback(&host.layout(), &back(None)),
        Err(Error::NothingToRollBackTo { .. })
    ));
    assert_eq!(host.current(), Some(2));
}

#[test]
fn a_rollback_flips_weights_records_and_flag_together() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.release("1.1.0", "two");
    let planned = rollback(
        &host.layout(),
        &rollback::Request {
            is_dry_run: true,
            ..back(None)
        },
    )
    .unwrap();
    assert_eq!((planned.generation, host.current()), (Some(1), Some(2)));
    let outcome = rollback(&host.layout(), &back(Some("1.0.0"))).unwrap();
    assert_eq!((outcome.previous, outcome.generation), (Some(2), Some(1)));
    host.holds();
    host.is_tidy();
    assert_eq!(host.events().last(), Some(&(Event::Rollback, Some(1))));
    // Naming what is current changes nothing.
    let n = host.events().len();
    rollback(&host.layout(), &back(Some("1"))).unwrap();
    assert_eq!(host.events().len(), n);
}

#[test]
fn a_condemned_release_goes_and_stays_away() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.release("1.1.0", "two");
    let outcome = rollback(&host.layout(), &condemn("2")).unwrap();
    assert_eq!((outcome.generation, host.current()), (Some(1), Some(1)));
    let n = host.events().len();
    rollback(&host.layout(), &condemn("2")).unwrap();
    assert_eq!(host.events().len(), n, "condemning twice changes nothing");
    let error = host.try_install().unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::KnownBad { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("(test)"), "{error}");
    assert_eq!(host.current(), Some(1));
    // Also when its generation is gone, and under another version.
    remove(&host.layout().generation(2));
    host.publish("1.2.0", "two");
    assert!(host.try_install().is_err());
    let outcome = host.try_with(|it| it.allows_known_bad = true).unwrap();
    assert_eq!(outcome.generation, 3);
}

/// A confirmed release, and another one, confirmed too, that is current under other labels.
fn relabelled() -> Host {
    let host = Host::new();
    for (version, weights) in [("1.0.0", "one"), ("1.1.0", "two")] {
        host.release(version, weights);
        verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
    }
    host.publish("1.1.1", "two");
    assert_eq!(host.install().change, Change::Relabelled);
    assert_eq!(host.layout().generation_numbers().unwrap(), [1, 2, 3]);
    host
}

#[test]
fn a_condemned_release_goes_under_all_its_labels() {
    let release = relabelled().info()["release_digest"]
        .as_str()
        .unwrap()
        .to_owned();
    for what in ["3", "2", &release] {
        let host = relabelled();
        let planned = rollback::Request {
            is_dry_run: true,
            ..condemn(what)
        };
        let planned = rollback(&host.layout(), &planned).unwrap();
        assert_eq!(planned.generation, Some(1), "{what}");
        let outcome = rollback(&host.layout(), &condemn(what)).unwrap();
        assert_eq!(outcome.generation, Some(1), "{what}");
        assert_eq!(host.current(), Some(1), "{what}");
        host.holds();
    }
}

#[test]
fn a_rollback_never_goes_to_a_condemned_release() {
    let host = relabelled();
    rollback(&host.layout(), &condemn("3")).unwrap();
    host.publish("1.2.0", "three");
    host.install();
    let outcome = rollback(&host.layout(), &back(None)).unwrap();
    assert_eq!(outcome.generation, Some(1));
}

#[test]
fn a_release_can_be_condemned_before_it_was_ever_here() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.publish("1.1.0", "two");
    let release = host.try_with(|it| it.is_dry_run = true).unwrap().release;
    rollback(&host.layout(), &condemn(&format!("sha256:{release}"))).unwrap();
    assert!(matches!(host.try_install(), Err(Error::Refused(_))));
}

#[test]
fn a_confirmed_generation_is_where_rollbacks_go() {
    let host = Host::new();
    host.release("1.0.0", "one");
    verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
    let n = host.events().len();
    verify(&host.layout(), Some(1), true, Duration::from_secs(10)).unwrap();
    assert_eq!(host.events().len(), n, "confirming twice changes nothing");
    host.release("1.1.0", "two");
    host.release("1.2.0", "three");
    assert_eq!(
        rollback(&host.layout(), &back(None)).unwrap().generation,
        Some(1)
    );
}

#[test]
fn old_generations_go_and_the_last_good_one_stays() {
    let host = Host::new();
    host.release("1.0.0", "one");
    verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
    for (i, version) in ["1.1.0", "1.2.0", "1.3.0", "1.4.0"].iter().enumerate() {
        host.release(version, &format!("w{i}"));
    }
    // Current, the newest two, and the confirmed one.
    assert_eq!(host.layout().generation_numbers().unwrap(), [1, 4, 5]);
    host.release("1.5.0", "w5");
    assert_eq!(host.release("1.6.0", "w6"), 7, "numbers are not used again");
}

#[test]
fn s22_gc_keeps_what_is_needed_whatever_it_is_told() {
    let mut host = Host::new();
    host.policy.keep = 9;
    for (i, version) in ["1.0.0", "1.1.0", "1.2.0"].iter().enumerate() {
        host.release(version, &format!("w{i}"));
    }
    let keep = gc::Keep {
        newest: 0,
        grace: Duration::ZERO,
    };
    let experiment = host.path("models/.vv/experiment.json");
    fs::write(
        &experiment,
        r#"{"arms":[{"generation":1},{"generation":3}]}"#,
    )
    .unwrap();
    let go = |keep| gc::candidates(&host.layout(), &host.ledger(), keep).unwrap();
    assert!(go(keep).is_empty());
    fs::write(&experiment, "not JSON").unwrap();
    assert!(
        go(keep).is_empty(),
        "an experiment nobody understands keeps everything"
    );
    fs::remove_file(&experiment).unwrap();
    assert_eq!(go(keep), [1]);
    let grace = Duration::from_secs(3600);
    assert!(go(gc::Keep { newest: 0, grace }).is_empty());
}

#[test]
fn what_a_lost_or_damaged_journal_does_not_account_for_is_kept() {
    let check = |spoil: &dyn Fn(&str) -> Option<String>| {
        let mut host = Host::new();
        host.policy.keep = 3;
        for (version, weights) in [("1.0.0", "one"), ("1.1.0", "two"), ("1.2.0", "three")] {
            host.release(version, weights);
            verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
        }
        host.policy.keep = 0;
        let journal = host.layout().journal();
        match spoil(&fs::read_to_string(&journal).unwrap()) {
            Some(text) => fs::write(journal, text).unwrap(),
            None => fs::remove_file(journal).unwrap(),
        }
        host.release("1.3.0", "four");
        assert_eq!(host.layout().generation_numbers().unwrap(), [1, 2, 3, 4]);
        let outcome = rollback(&host.layout(), &back(Some("3"))).unwrap();
        assert_eq!((outcome.generation, host.current()), (Some(3), Some(3)));
        host.holds();
    };
    check(&|_| None);
    check(&|text| {
        let last = text.lines().next_back().unwrap();
        Some(format!("{}\n{last}\n", "x".repeat(20)))
    });
}

#[test]
fn a_generation_nobody_ever_named_is_garbage() {
    let host = Host::new();
    host.release("1.0.0", "one");
    fs::create_dir(host.layout().generation(7)).unwrap();
    host.release("1.1.0", "two");
    assert_eq!(host.layout().generation_numbers().unwrap(), [1, 8]);
}

#[test]
fn history_answers_what_was_in_production_when() {
    let host = Host::new();
    host.release("1.0.0", "one");
    host.release("1.1.0", "two");
    rollback(&host.layout(), &back(None)).unwrap();
    let all = history(&host.layout(), None).unwrap();
    let told: Vec<_> = all
        .reigns
        .iter()
        .map(|it| (it.generation, it.version.as_deref(), it.event))
        .collect();
    assert_eq!(
        told,
        [
            (1, Some("1.0.0"), Event::Committed),
            (2, Some("1.1.0"), Event::Committed),
            (1, Some("1.0.0"), Event::Rollback),
        ]
    );
    assert!(all.reigns[0].manifest_sha256.is_some());
    assert_eq!(all.reigns[2].until, None);
    assert_eq!(all.reigns[0].until.as_ref(), Some(&all.reigns[1].since));
    let at = |moment: &str| history(&host.layout(), Some(moment)).unwrap().reigns;
    assert!(at("2020-01-01").is_empty());
    assert_eq!(at("2999-01-01").len(), 1);
    assert_eq!(at("2999-01-01")[0].event, Event::Rollback);
    assert!(matches!(
        history(&host.layout(), Some("noon")),
        Err(Error::Usage { .. })
    ));
}

#[test]
fn status_compares_with_the_manifest_and_names_damage() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let loaded = crate::manifest::read(&host.manifest()).unwrap();
    let told = status(&host.layout(), Some(&loaded), Some(Depth::Full)).unwrap();
    assert!(told.wanted.unwrap().is_current && told.damages.is_empty() && told.is_journal_sound);
    host.spoil("bitnet/config.json", b"{}");
    host.publish("1.1.0", "two");
    let loaded = crate::manifest::read(&host.manifest()).unwrap();
    let told = status(&host.layout(), Some(&loaded), Some(Depth::Quick)).unwrap();
    assert!(!told.wanted.unwrap().is_current);
    assert_eq!(told.damages.len(), 1);
    let empty = Host::new();
    let told = status(&empty.layout(), None, Some(Depth::Full)).unwrap();
    assert_eq!((told.current, told.generations.len()), (Current::Absent, 0));
    assert!(!empty.path("models").exists());
}

#[test]
fn s19_a_damaged_journal_does_not_stop_an_installation() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let text = fs::read_to_string(host.layout().journal()).unwrap();
    fs::write(
        host.layout().journal(),
        text.replacen("\"seq\":1", "\"seq\":7", 1) + "{\"seq\"",
    )
    .unwrap();
    assert_eq!(host.release("1.1.0", "two"), 2);
    let told = history(&host.layout(), None).unwrap();
    assert!(told.tail.n_broken > 0 && !told.tail.is_torn);
    assert_eq!(told.reigns.len(), 2);
}

#[test]
fn there_is_room_or_nothing_is_written() {
    let mut host = Host::new();
    host.policy.min_free = crate::units::Bytes(u64::MAX / 2);
    host.publish("1.0.0", "one");
    let error = host.try_install().unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    let left: Vec<_> = fs::read_dir(host.path("models/.vv"))
        .unwrap()
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_full_disk_does_not_stay_full_of_downloads() {
    let mut host = Host::new();
    let root = host.layout().root();
    let plant = |name: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "downloaded").unwrap();
        path
    };
    host.publish("1.0.0", "one");
    let wanted = Sha256::of(&release_files("one")[0].1);
    let wanted = plant(&format!("blobs/sha256/{wanted}"));
    let plant_others = || {
        let other = plant(&format!("blobs/sha256/{}", Sha256::of(b"other")));
        [other, plant("partial/x.part")]
    };
    let (others, min_free) = (plant_others(), host.policy.min_free);
    host.policy.min_free = crate::units::Bytes(u64::MAX / 2);
    let error = host.try_install().unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(others.iter().all(|path| !path.exists()), "{others:?}");
    assert!(wanted.exists());

    host.policy.min_free = min_free;
    host.install();
    let others = plant_others();
    let gc = |hours: u64, is_dry_run| {
        let keep = gc::Keep {
            newest: 2,
            grace: Duration::from_secs(hours * 3600),
        };
        let freed = gc::run(&host.layout(), keep, Duration::from_secs(10), is_dry_run).unwrap();
        freed.downloads.0
    };
    assert_eq!((gc(1, false), gc(0, true)), (0, 20));
    assert!(others.iter().all(|path| path.exists()), "{others:?}");
    assert_eq!(gc(0, false), 20);
    assert!(others.iter().all(|path| !path.exists()), "{others:?}");
}

#[test]
fn a_manifest_that_is_refused_writes_nothing_but_the_lock() {
    let host = Host::new();
    fs::write(host.manifest(), "{").unwrap();
    assert!(matches!(host.try_install(), Err(Error::Manifest(_))));
    let left: Vec<_> = fs::read_dir(host.path("models/.vv"))
        .unwrap()
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
    host.publish_files("1.0.0", &release_files("one"), r#""team":"x","#);
    assert!(matches!(
        host.try_with(|it| it.is_strict = true),
        Err(Error::Strict { .. })
    ));
    assert!(host.install().warnings.iter().any(|it| it.contains("team")));
}
