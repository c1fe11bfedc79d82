//! Batches of a worker whose engine has one context.

use super::*;
use crate::run::protocol::BatchScene;

fn batch(prompts: &[&str], max_new_tokens: usize) -> Op {
    let scene = |prompt: &&str| BatchScene {
        scene: "s".to_owned(),
        prompt: (*prompt).to_owned(),
    };
    Op::GenerateBatch(BatchRequest {
        scenes: prompts.iter().map(scene).collect(),
        max_new_tokens,
        max_batch: 2,
    })
}

#[test]
fn a_batch_is_written_scene_by_scene_where_the_engine_has_one_context() {
    let long = "1".repeat(CONTEXT);
    let answers = ask(
        &counter(),
        [
            batch(&["12", "1a", "6", &long, "34"], 9),
            open("12", natural(9, false)),
            Op::Generate { handle: 1 },
        ],
    );
    let Ok(Answer::GenerateBatch(BatchAnswer { outputs })) = &answers[0] else {
        panic!("{answers:?}")
    };
    let text = |i: usize| outputs[i].ok.as_ref().unwrap().text.as_str();
    assert_eq!((text(0), text(2), text(4)), ("3456", "", "56"));
    let message = |i: usize| outputs[i].err.as_ref().unwrap().message.as_str();
    assert_eq!(message(1), "`a` is no digit");
    assert_eq!(message(3), "prompt has 16 tokens, the context holds 16");
    let Ok(Answer::Generate(alone)) = &answers[2] else {
        panic!("{answers:?}")
    };
    let together = outputs[0].ok.as_ref().unwrap();
    assert_eq!(alone.token_ids, together.token_ids);
    assert_eq!(
        (alone.stop, alone.n_prompt),
        (together.stop, together.n_prompt)
    );
}

#[test]
fn a_batch_of_nothing_or_beside_an_open_generation_is_refused() {
    let answers = ask(
        &counter(),
        [
            batch(&[], 9),
            batch(&["1"], 0),
            open("1", natural(9, false)),
            batch(&["1"], 9),
        ],
    );
    for i in [0, 1, 3] {
        assert_eq!(answers[i].as_ref().unwrap_err().kind, RefusalKind::Protocol);
    }
}
