use super::super::set::{DraftInfo, draft};
use super::super::synthetic::{Order, make};
use super::*;

/// Accepts every text but those that say "falso".
fn rejects(_: &Scene, text: &str, _: &Lexicon) -> Vec<String> {
    if text.contains("falso") {
        vec!["it says so".to_owned()]
    } else {
        Vec::new()
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    f64::from(u8::from(a.len() == b.len()))
}

const CHECKS: Checks<'static> = Checks {
    rejects: &rejects,
    similarity: &similarity,
};

fn scenes() -> Vec<Scene> {
    let order = Order {
        seed: 3,
        purpose: "lint",
        families: &Family::RELEASED,
    };
    make(6, &order, &|_, _| true).scenes
}

/// A set directory of the scenes, called `name`.
fn written(scenes: Vec<Scene>, name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let info = DraftInfo {
        name,
        version: "0.0.1",
        created: "2026-11-25",
        prompt: ("p.prompt", "{{cena}}"),
        min_scenes: 1,
        generator: None,
    };
    let made = draft(scenes, info);
    std::fs::write(dir.path().join("p.prompt"), "{{cena}}").expect("written");
    std::fs::write(dir.path().join("set.toml"), made.set_toml).expect("written");
    std::fs::write(dir.path().join("scenes.jsonl"), made.scenes_jsonl).expect("written");
    dir
}

fn rules(path: &Path) -> Vec<Rule> {
    let findings = lint(path, &CHECKS).expect("the scenes can be read");
    let mut rules: Vec<Rule> = findings.into_iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules.retain(|rule| *rule != Rule::UnknownLabel);
    rules
}

#[test]
fn a_sound_set_has_no_findings() {
    assert_eq!(rules(written(scenes(), "t").path()), []);
}

/// Breaks one thing in the scenes and expects one kind of finding.
#[track_caller]
fn check(break_it: impl FnOnce(&mut Vec<Scene>), expected: &[Rule]) {
    let mut broken = scenes();
    break_it(&mut broken);
    assert_eq!(rules(written(broken, "t").path()), expected);
}

#[test]
fn references_are_held_to_their_rules() {
    check(|s| s[1].references.truncate(1), &[Rule::FewReferences]);
    check(
        |s| s[1].references[0] = "Um carro passa de lado.falso".into(),
        &[Rule::ReferenceRejected],
    );
    check(|s| s[1].references[0] = "Um cão.".into(), &[Rule::Length]);
    check(
        |s| s[1].references[1] = s[1].references[0].to_uppercase(),
        &[Rule::SimilarReferences],
    );
    check(
        |s| s[1].references[0].push('\u{7}'),
        &[Rule::ControlCharacter],
    );
}

#[test]
fn a_text_that_models_are_trained_on_is_a_leak() {
    check(
        |scenes| {
            let scene = &mut scenes[1];
            let facts = Facts::of_scene(scene, &BUILT_IN);
            let texts = trained_texts(scene, &facts, &BUILT_IN);
            assert!(texts.len() > 4);
            scene.references[0] = texts.into_keys().next().expect("not empty");
        },
        &[Rule::Leak],
    );
}

#[test]
fn data_are_held_against_slices_and_facts() {
    check(|s| s[1].slices = vec!["empty".into()], &[Rule::SliceRule]);
    check(|s| s[1].slices.push("blue".into()), &[Rule::UnknownSlice]);
    check(
        |s| {
            let known = s
                .iter_mut()
                .flat_map(|scene| scene.facts.labels.values_mut());
            known.for_each(|label| label.tracks = Some(0));
        },
        &[Rule::TracksTooFew],
    );
    check(
        |s| s[1].analytic.duration_seconds = 1.0,
        &[Rule::PastTheEnd],
    );
    check(
        |s| s[1].analytic.frames_analyzed = None,
        &[Rule::MissingField],
    );
    check(|s| s[1].source.clear(), &[Rule::NoSource]);
    check(
        |s| s[2].analytic = s[1].analytic.clone(),
        &[Rule::SliceRule, Rule::EqualAnalytic],
    );
}

#[test]
fn sentinels_need_texts_that_fail() {
    let sentinels = |must_fail: &[&str]| {
        let mut scenes = scenes();
        for scene in &mut scenes {
            scene.must_fail = must_fail.iter().map(|&text| text.to_owned()).collect();
        }
        rules(written(scenes, "sentinelas-t").path())
    };
    assert_eq!(sentinels(&["falso um", "falso dois"]), []);
    assert_eq!(sentinels(&["falso um"]), [Rule::NoMustFail]);
    assert_eq!(
        sentinels(&["falso um", "verdade"]),
        [Rule::MustFailAccepted]
    );
}

/// Replaces text in the lines of a bare file.
#[track_caller]
fn edited(from: &str, to: &str, expected: &[Rule]) {
    let dir = written(scenes(), "t");
    let path = dir.path().join("scenes.jsonl");
    let text = std::fs::read_to_string(&path).expect("read");
    let broken = text.replacen(from, to, 1);
    assert!(broken != text, "{from} is nowhere in the set");
    std::fs::write(&path, broken).expect("written");
    assert_eq!(rules(&path), expected, "{from} -> {to}");
    // The set around it notices by its digest, unless the line alone stops it.
    let stops = matches!(expected, [Rule::Unreadable | Rule::DuplicateId]);
    assert!(stops || rules(dir.path()).contains(&Rule::Mismatch));
}

#[test]
fn other_forms_of_the_same_json_are_not_canonical() {
    let sloppy = [Rule::NotCanonical];
    edited("{\"analytic\":", "{ \"analytic\":", &sloppy);
    edited(
        "\"frame_timestamp_seconds\":13,",
        "\"frame_timestamp_seconds\":13.0,",
        &sloppy,
    );
    edited("ã", "\\u00e3", &sloppy);
    edited("}\n", "}\r\n", &sloppy);
    edited("\"id\":\"gen-0000\"", "\"id\":\"gen-9999\"", &sloppy);
    edited(
        "{\"analytic\":",
        "\u{feff}{\"analytic\":",
        &[Rule::Unreadable],
    );
    edited("\"references\":[", "\"refrences\":[", &[Rule::Unreadable]);
    edited(
        "\"id\":\"gen-0001\"",
        "\"id\":\"gen-0000\"",
        &[Rule::DuplicateId],
    );
}

#[test]
fn a_missing_file_is_an_error_and_no_finding() {
    assert!(matches!(
        lint(Path::new("no/such.jsonl"), &CHECKS),
        Err(Error::Read { .. })
    ));
}
