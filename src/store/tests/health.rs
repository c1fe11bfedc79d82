//! Trials, judged by what the service's events log says.

use super::super::events::last_load;
use super::super::health::{Consequence, Health, Report, judge};
use super::super::ledger::State;
use super::super::lock::Lock;
use super::super::status::verify;
use super::super::{HealthRules, clock};
use super::*;

/// A host with a confirmed release and one on trial.
fn on_trial() -> Host {
    let host = Host::new();
    host.release("1.0.0", "one");
    verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
    host.release("1.1.0", "two");
    host
}

/// Lines of an events log about generation 2; `{ts}` stands for now.
fn log(host: &Host, lines: &[&str]) -> PathBuf {
    let release = host.info()["release_digest"].as_str().unwrap().to_owned();
    let mut text = String::new();
    for line in lines {
        text += &line
            .replace("{ts}", &clock::text(clock::now()))
            .replace("{digest}", &release);
        text.push('\n');
    }
    let path = host.path("events.jsonl");
    fs::write(&path, text).unwrap();
    path
}

const LOAD: &str = r#"{"schema_version":1,"ts":"{ts}","event":"load","boot_id":"a","generation":2,"release_digest":"{digest}"}"#;
const LOAD_ERROR: &str =
    r#"{"ts":"{ts}","event":"load","generation":2,"release_digest":"{digest}","error_type":"oom"}"#;

fn summary(scene: usize) -> String {
    format!(
        r#"{{"ts":"{{ts}}","event":"summary","scene":"s{scene}","generation":2,"release_digest":"{{digest}}","duration_s":1.5,"error_type":null}}"#
    )
}

fn run(host: &Host, events: &Path, rolls_back: bool) -> Result<Report, Error> {
    let consequence = if rolls_back {
        Consequence::RollBack
    } else {
        Consequence::Note
    };
    judge(
        &host.layout(),
        events,
        &HealthRules::default(),
        consequence,
        Duration::from_secs(10),
    )
}

#[track_caller]
fn check(lines: &[&str], expected: Health, words: &str) {
    let host = on_trial();
    let events = log(&host, lines);
    let report = run(&host, &events, true).unwrap();
    assert_eq!(report.health, expected, "{}", report.reason);
    assert!(report.reason.contains(words), "{}", report.reason);
    let is_bad = expected == Health::Bad;
    assert_eq!(
        (report.is_rolled_back, host.current()),
        (is_bad, Some(if is_bad { 1 } else { 2 }))
    );
    let state = match expected {
        Health::Good => State::Good,
        Health::Pending => State::Trial,
        Health::Bad => State::Bad,
    };
    assert_eq!(host.ledger().state(2), state);
    host.holds();
    host.is_tidy();
}

#[test]
fn enough_summaries_confirm_a_trial() {
    let summaries: Vec<String> = (0..20).map(summary).collect();
    let mut lines = vec![LOAD];
    lines.extend(summaries.iter().map(String::as_str));
    check(&lines, Health::Good, "20 summaries");
    check(&lines[..20], Health::Pending, "19 of 20");
}

#[test]
fn a_scene_seen_twice_counts_once_and_what_cannot_be_read_is_skipped() {
    let one = summary(1);
    let mut lines = vec![LOAD];
    lines.extend(std::iter::repeat_n(one.as_str(), 30));
    lines.extend([
        "{\"event\":\"summary\"",
        "[]",
        "",
        "{\"event\":\"restart\",\"generation\":2}",
    ]);
    let host = on_trial();
    let events = log(&host, &lines);
    let report = run(&host, &events, true).unwrap();
    assert_eq!(
        (report.health, report.tally.n_good, report.tally.n_skipped),
        (Health::Pending, 1, 2)
    );
}

#[test]
fn events_of_other_releases_and_other_times_do_not_count() {
    let old = summary(1).replace("{ts}", "2001-01-01T00:00:00Z");
    let other = summary(2).replace("{digest}", &format!("sha256:{}", Sha256::of(b"other")));
    let first = summary(3).replace("\"generation\":2", "\"generation\":1");
    let host = on_trial();
    let events = log(&host, &[LOAD, &old, &other, &first]);
    let report = run(&host, &events, true).unwrap();
    assert_eq!((report.tally.n_good, report.tally.n_foreign), (0, 3));
}

#[test]
fn a_failed_load_or_failing_summaries_return_to_the_last_good_release() {
    check(&[LOAD_ERROR], Health::Bad, "1 loads failed");
    let failed = summary(1).replace("null", "\"empty\"");
    check(
        &[LOAD, &failed, &failed],
        Health::Bad,
        "2 of 2 summaries failed",
    );
}

#[test]
fn starts_without_a_summary_use_the_tries_up_even_when_the_log_is_rotated() {
    let loads: Vec<String> = (0..5)
        .map(|i| LOAD.replace("\"a\"", &format!("\"boot {i}\"")))
        .collect();
    let lines: Vec<&str> = loads.iter().map(String::as_str).collect();
    check(&lines[..3], Health::Pending, "0 of 20");
    check(&lines[..4], Health::Bad, "3 starts");

    let host = on_trial();
    let first = log(&host, &lines[..3]);
    assert_eq!(run(&host, &first, true).unwrap().n_tries, 2);
    assert_eq!(
        run(&host, &first, true).unwrap().n_tries,
        2,
        "each start counts once"
    );
    let rotated = log(&host, &lines[3..]);
    let report = run(&host, &rotated, true).unwrap();
    assert_eq!(
        (report.health, report.n_tries, host.current()),
        (Health::Bad, 3, Some(1))
    );
}

#[test]
fn the_same_release_under_other_labels_is_nowhere_to_go() {
    let load_error = |host: &Host, generation: u64| {
        let named = format!("\"generation\":{generation}");
        log(host, &[&LOAD_ERROR.replace("\"generation\":2", &named)])
    };
    let host = on_trial();
    verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
    host.release("1.1.1", "two");
    let events = load_error(&host, 3);
    let report = run(&host, &events, true).unwrap();
    assert_eq!((report.current, host.current()), (1, Some(1)));

    let host = Host::new();
    host.release("1.0.0", "one");
    host.release("1.0.1", "one");
    let events = load_error(&host, 2);
    assert!(matches!(
        run(&host, &events, true),
        Err(Error::NothingToRollBackTo { .. })
    ));
    assert_eq!(
        (host.current(), host.ledger().state(2)),
        (Some(2), State::Trial)
    );
}

#[test]
fn without_a_last_good_release_the_model_stays() {
    let host = Host::new();
    host.release("1.0.0", "one");
    let events = log(
        &host,
        &[&LOAD_ERROR.replace("\"generation\":2", "\"generation\":1")],
    );
    assert!(matches!(
        run(&host, &events, true),
        Err(Error::NothingToRollBackTo { .. })
    ));
    assert_eq!(
        (host.current(), host.ledger().state(1)),
        (Some(1), State::Trial)
    );
    host.holds();
}

#[test]
fn judging_alone_changes_nothing() {
    let host = on_trial();
    let events = log(&host, &[LOAD_ERROR]);
    let report = run(&host, &events, false).unwrap();
    assert_eq!(
        (report.health, report.is_rolled_back, host.current()),
        (Health::Bad, false, Some(2))
    );
    assert_eq!(host.ledger().state(2), State::Trial);
}

#[test]
fn only_saying_it_writes_nothing() {
    let host = on_trial();
    // What a run under way, or one that was cut short, has put there.
    fs::create_dir_all(host.path("models/.vv/staging/x")).unwrap();
    fs::write(host.path("models/.model_updated_flag"), "").unwrap();
    let _busy = Lock::take(&host.layout(), Duration::from_secs(10)).unwrap();
    let summaries: Vec<String> = (0..20).map(summary).collect();
    let mut lines = vec![LOAD, LOAD];
    lines.extend(summaries.iter().map(String::as_str));
    let events = log(&host, &lines);
    let rules = HealthRules::default();
    let before = snapshot(&host.path("models"));
    let report = judge(
        &host.layout(),
        &events,
        &rules,
        Consequence::Say,
        Duration::ZERO,
    )
    .unwrap();
    assert_eq!((report.health, report.n_tries), (Health::Good, 1));
    assert_eq!(snapshot(&host.path("models")), before);
}

#[test]
fn a_host_that_restarts_for_ever_does_not_fill_the_journal() {
    let host = on_trial();
    for night in 0..3 {
        let loads: Vec<String> = (0..10)
            .map(|i| LOAD.replace("\"a\"", &format!("\"boot {night} {i}\"")))
            .collect();
        let lines: Vec<&str> = loads.iter().map(String::as_str).collect();
        let events = log(&host, &lines);
        assert_eq!(run(&host, &events, false).unwrap().health, Health::Bad);
    }
    let tries = host.events().into_iter().filter(|it| it.0 == Event::Try);
    assert_eq!(tries.count(), HealthRules::default().tries);
}

#[test]
fn a_condemned_trial_does_not_come_back_by_itself() {
    let host = on_trial();
    let events = log(&host, &[LOAD_ERROR]);
    run(&host, &events, true).unwrap();
    assert!(matches!(host.try_install(), Err(Error::Refused(_))));
    let again = run(&host, &events, true).unwrap();
    assert_eq!((again.generation, again.health), (1, Health::Good));
    assert_eq!(host.current(), Some(1));
}

#[test]
fn confirming_a_release_pardons_it_under_all_its_labels() {
    let host = on_trial();
    let mark_good = |generation| {
        let wait = Duration::from_secs(10);
        verify(&host.layout(), Some(generation), true, wait).unwrap();
    };
    mark_good(2);
    host.release("1.1.1", "two");
    let load_error = LOAD_ERROR.replace("\"generation\":2", "\"generation\":3");
    let events = log(&host, &[&load_error]);
    run(&host, &events, true).unwrap();
    assert!(!host.ledger().known_bad.is_empty());
    mark_good(2);
    assert!(host.ledger().known_bad.is_empty());
}

#[test]
fn the_last_load_says_what_the_service_runs() {
    let host = on_trial();
    let events = log(&host, &[LOAD, LOAD_ERROR, &summary(1)]);
    let last = last_load(&events).unwrap().unwrap();
    assert_eq!(last.generation, Some(2));
    assert!(last_load(&host.path("nothing")).is_err());
    fs::write(&events, "").unwrap();
    assert_eq!(last_load(&events).unwrap(), None);
}

#[test]
fn a_long_log_is_read_as_a_stream() {
    let host = on_trial();
    let events = log(&host, &[LOAD]);
    let mut text = fs::read(&events).unwrap();
    text.extend(vec![b'x'; 1 << 20]);
    text.push(b'\n');
    text.extend(fs::read(log(&host, &[&summary(1)])).unwrap());
    fs::write(&events, text).unwrap();
    let report = run(&host, &events, true).unwrap();
    assert_eq!((report.tally.n_good, report.tally.n_skipped), (1, 1));
}
