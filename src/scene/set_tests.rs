use super::*;

/// A loadable set of three scenes in a temporary directory.
fn sample() -> (tempfile::TempDir, Draft) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let scene = |index: u64| Scene {
        analytic: super::super::generate::analytic(1, "set-test", index),
        id: format!("s-{index}"),
        references: vec!["Nada.".into(), "O local ficou vazio.".into()],
        slices: vec!["mixed".into()],
        ..Scene::default()
    };
    let generator = Generator {
        name: "test".into(),
        version: "1".into(),
        seed: 1,
        families: vec!["E".into()],
    };
    let info = DraftInfo {
        name: "t",
        version: "0.0.1",
        created: "2026-11-24",
        prompt: ("p.prompt", "{{cena}}"),
        min_scenes: 60,
        generator: Some(generator),
    };
    let made = draft((0..3).map(scene).collect(), info);
    std::fs::write(dir.path().join("p.prompt"), "{{cena}}").expect("written");
    std::fs::write(dir.path().join("set.toml"), &made.set_toml).expect("written");
    std::fs::write(dir.path().join("scenes.jsonl"), &made.scenes_jsonl).expect("written");
    (dir, made)
}

#[test]
fn a_drafted_set_loads() {
    let (dir, _) = sample();
    let set = SceneSet::load(dir.path()).expect("loads");
    assert_eq!((set.scenes.len(), set.name.as_str()), (3, "t"));
}

/// Replaces `from` by `to` in the scenes, with or without a matching digest.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    let (dir, made) = sample();
    let scenes = made.scenes_jsonl.replacen(from, to, 1);
    assert_ne!(scenes, made.scenes_jsonl, "nothing was broken");
    std::fs::write(dir.path().join("scenes.jsonl"), scenes).expect("written");
    let error = SceneSet::load(dir.path())
        .expect_err("is refused")
        .to_string();
    assert!(error.contains(expected), "{error}\nlacks {expected}");
}

#[test]
fn broken_lines_are_named() {
    check("{\"analytic\"", "{\"analytic\"x", "scenes.jsonl:1: ");
    check(
        "\"id\":\"s-1\"",
        "\"id\":\"s-0\"",
        "scenes.jsonl:2: duplicate scene id `s-0`",
    );
    check(
        "\"id\":\"s-1\"",
        "\"id\":\"S 1\"",
        "scenes.jsonl:2: scene id \"S 1\"",
    );
    check("\"id\":\"s-1\",", "", "scenes.jsonl:2: missing field `id`");
    check(
        "\"confidence\":0",
        "\"confidence\":7",
        "events[0].confidence",
    );
    check(
        "\"references\"",
        "\"refrences\"",
        "did you mean `references`?",
    );
    check(
        "\"slices\":[\"mixed\"]",
        "\"slices\":3",
        "`slices`: invalid type",
    );
    check("}\n{", "}\n\n{", "scenes.jsonl:2: blank line");
}

#[test]
fn an_edited_set_is_refused_with_both_values() {
    check("Nada.", "Nada!", "sha256 differs");
    let (dir, _) = sample();
    std::fs::write(dir.path().join("p.prompt"), "Resuma {{cena}}").expect("written");
    let error = SceneSet::load(dir.path())
        .expect_err("is refused")
        .to_string();
    assert!(error.contains("p.prompt: sha256 differs"), "{error}");
}

#[test]
fn an_empty_or_missing_set_is_refused() {
    let (dir, _) = sample();
    std::fs::write(dir.path().join("scenes.jsonl"), "").expect("written");
    assert!(matches!(
        SceneSet::load(dir.path()),
        Err(Error::Empty { .. })
    ));
    std::fs::remove_file(dir.path().join("set.toml")).expect("removed");
    let error = SceneSet::load(dir.path()).expect_err("is refused");
    assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("set.toml")));
    assert!(error.hint().is_some_and(|hint| hint.contains("set.toml")));
}

#[test]
fn a_misspelt_key_of_set_toml_is_suggested() {
    let (dir, made) = sample();
    let broken = made.set_toml.replace("min_scenes", "min_scense");
    std::fs::write(dir.path().join("set.toml"), broken).expect("written");
    let error = SceneSet::load(dir.path())
        .expect_err("is refused")
        .to_string();
    assert!(error.contains("did you mean `min_scenes`?"), "{error}");
}

#[test]
fn the_released_set_loads_and_every_reference_names_its_objects() {
    use super::super::lexicon::BUILT_IN;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval-sets/cenas-pt/0.1.0");
    let set = SceneSet::load(&dir).expect("the released set loads");
    assert!(set.scenes.len() >= 70);
    let with_objects = set.scenes.iter().filter(|scene| {
        let facts = super::super::Facts::of(&scene.analytic, &BUILT_IN);
        !facts.salient.is_empty()
    });
    assert!(with_objects.count() >= 60);
    assert!(set.scenes.iter().all(|scene| scene.references.len() >= 2));
}
