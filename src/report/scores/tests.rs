use std::collections::BTreeMap;

use super::*;
use crate::metric::corpus::Counts;
use crate::metric::{SceneScores, Score};

fn scored(scene: &str, fact_ok: f64, chrf_pp: Option<f64>, notes: &[&str]) -> Scored {
    let chrf_pp = chrf_pp.map_or(Score::Absent("the scene has no reference"), Score::Value);
    Scored {
        scores: SceneScores {
            scene: scene.to_owned(),
            scores: BTreeMap::from([
                ("fact_ok", Score::Value(fact_ok)),
                ("slot_error_rate", Score::Value(1.25)),
                ("chrf_pp", chrf_pp),
            ]),
            notes: notes.iter().map(|&note| note.to_owned()).collect(),
            reasons: Vec::new(),
        },
        counts: Counts::default(),
        slips: Vec::new(),
    }
}

fn sheet(scored: Vec<Scored>) -> Sheet {
    Sheet {
        set: SetView {
            name: Some("cenas-pt".into()),
            version: Some("1.0.0".into()),
            scenes_sha256: Sha256::of(b"scenes"),
            lexicon_version: "pt-BR/0.2".into(),
            lexicon_sha256: Sha256::of(b"lexicon"),
        },
        scored,
        explained: None,
    }
}

#[test]
fn the_terminal_shows_means_and_what_is_wrong() {
    let sheet = sheet(vec![
        scored("patio-01", 1.0, Some(0.5), &[]),
        scored(
            "patio-02",
            0.0,
            None,
            &["form: loop", "form: \u{1b}[2J\u{202e}"],
        ),
    ]);
    insta::assert_snapshot!(terminal::render(&sheet), @r"
    2 outputs of cenas-pt@1.0.0 sha256:6dd792f8896c… · lexicon pt-BR/0.2 sha256:239aec50c94b…

    metric                    mean    corpus       n  absent
    fact_ok                 50.0 %                 2       0
    chrf_pp                 50.0 %                 1       1
    slot_error_rate           1.25                 2       0

    something is wrong in 1 of 2 outputs
      patio-02
        form: loop
        form: \u{1b}[2J\u{202e}

    note: fact checker not yet validated on this model's language
    ");
}

#[test]
fn nothing_wrong_is_said_in_one_line() {
    let text = terminal::render(&sheet(vec![scored("patio-01", 1.0, None, &[])]));
    assert!(
        text.contains("nothing was found wrong in any output"),
        "{text}"
    );
    assert!(text.contains("chrf_pp                    n/a"), "{text}");
}

#[test]
fn csv_and_json_hold_the_same_values() {
    let sheet = sheet(vec![scored(
        "=patio",
        0.0,
        None,
        &["form: loop", "form: a,\"b\""],
    )]);
    assert_eq!(
        csv::render(&sheet),
        "scene,metric,version,unit,value,absent,detail\n\
         '=patio,fact_ok,1,fraction,0,,\n\
         '=patio,chrf_pp,1,fraction,,the scene has no reference,\n\
         '=patio,slot_error_rate,1,ratio,1.25,,\n"
    );
    let json: serde_json::Value = serde_json::from_slice(&json::render(&sheet)).unwrap();
    let scene = &json["scenes"][0];
    assert_eq!(
        scene["metrics"],
        serde_json::json!({"fact_ok": 0, "chrf_pp": null, "slot_error_rate": 1.25})
    );
    assert_eq!(
        scene["absent"],
        serde_json::json!({"chrf_pp": "the scene has no reference"})
    );
    assert_eq!(
        json["aggregate"]["chrf_pp"],
        serde_json::json!({"n": 0, "mean": null, "absent": 1})
    );
    assert_eq!(json["metric_versions"]["fact_ok"], 1);
}
