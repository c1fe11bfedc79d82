//! A worker over in-memory pipes, with a canned model.

use super::*;
use crate::engine;
use crate::record::StopReason;
use crate::run::protocol::{GenerateAnswer, to_line};

/// Counts upwards modulo its vocabulary; id 7 ends an output.
#[derive(Debug, Clone)]
struct Counter {
    /// Logits of this position are NaN.
    nan_at: Option<usize>,
    /// Panics when this many tokens are in the context.
    panics_at: Option<usize>,
    n: usize,
    reserved: usize,
    logits: Vec<f32>,
}

const VOCAB: usize = 10;
const CONTEXT: usize = 16;
const STOP: [u32; 1] = [7];

fn counter() -> Counter {
    Counter {
        nan_at: None,
        panics_at: None,
        n: 0,
        reserved: 0,
        logits: vec![0.0; VOCAB],
    }
}

impl Engine for Counter {
    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context_limit(&self) -> usize {
        CONTEXT
    }

    fn position(&self) -> usize {
        self.n
    }

    fn reset(&mut self) {
        self.n = 0;
    }

    fn reserve(&mut self, tokens: usize) -> Result<(), engine::Error> {
        self.reserved = tokens;
        if tokens > CONTEXT {
            return Err(engine::Error::ContextFull {
                limit: CONTEXT,
                wanted: tokens,
            });
        }
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], engine::Error> {
        let wanted = self.n + ids.len();
        assert!(
            wanted <= self.reserved || self.reserved == 0,
            "fed beyond the reserved room"
        );
        assert!(
            self.panics_at.is_none_or(|limit| wanted < limit),
            "planted panic"
        );
        if wanted > CONTEXT {
            return Err(engine::Error::ContextFull {
                limit: CONTEXT,
                wanted,
            });
        }
        self.n = wanted;
        self.logits.fill(0.0);
        let last = *ids.last().expect("at least one id");
        self.logits[(last as usize + 1) % VOCAB] = 1.0;
        if self.nan_at.is_some_and(|position| self.n > position) {
            self.logits[3] = f32::NAN;
        }
        Ok(&self.logits)
    }

    fn feed_all(&mut self, _: &[u32], _: &mut Vec<f32>) -> Result<(), engine::Error> {
        unreachable!("a worker does not ask for all logits")
    }
}

/// Digits are tokens.
struct Digits(Counter);

fn digits(text: &str) -> Result<Vec<u32>, String> {
    text.chars()
        .map(|c| c.to_digit(10).ok_or(format!("`{c}` is no digit")))
        .collect()
}

impl Subject for Digits {
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, String> {
        digits(text)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, String> {
        digits(text)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        Ok(ids.iter().map(u32::to_string).collect())
    }

    fn stop_ids(&self) -> &[u32] {
        &STOP
    }

    fn card(&self) -> String {
        "counter".to_owned()
    }

    fn tokenizer_sha256(&self) -> Sha256 {
        Sha256::of(b"digits")
    }

    fn layers_sha256(&self) -> Option<Sha256> {
        None
    }

    fn threads(&self) -> usize {
        1
    }

    fn engine(&mut self) -> &mut dyn Engine {
        &mut self.0
    }
}

fn hello() -> Op {
    Op::Hello {
        protocol: protocol::VERSION,
        label: "x".to_owned(),
    }
}

fn load_op() -> Op {
    Op::Load(LoadRequest {
        files: vec![],
        is_pinned: false,
        release_digest: Sha256::of(b""),
        origin: "model".into(),
        settings: crate::record::LoadSettings::default(),
        threads: 1,
        planted: None,
    })
}

fn open(prompt: &str, lane: Lane) -> Op {
    Op::Open(OpenRequest {
        scene: "s".to_owned(),
        prompt: prompt.to_owned(),
        lane,
    })
}

fn natural(max_new_tokens: usize, ignore_stop: bool) -> Lane {
    Lane::Natural {
        max_new_tokens,
        ignore_stop,
    }
}

fn forced(text: &str, prompt_tokens: usize, context_tokens: usize) -> Lane {
    Lane::Forced {
        text: text.to_owned(),
        prompt_tokens,
        context_tokens,
    }
}

/// Sends raw input to a worker; gives its replies and how it ended.
fn talk(input: &[u8], model: &Counter) -> (Vec<Reply>, Result<(), Error>) {
    let mut output = Vec::new();
    let end = serve(input, &mut output, "scalar", |_| {
        Ok(Loaded {
            subject: Box::new(Digits(model.clone())),
            verify_ns: 0,
            verify_cpu_ns: 0,
        })
    });
    let replies = output
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| protocol::from_line(line).unwrap())
        .collect();
    (replies, end)
}

/// Loads `model`, sends `ops` and gives what they were answered.
fn ask(model: &Counter, ops: impl IntoIterator<Item = Op>) -> Vec<Result<Answer, Refusal>> {
    let all = [hello(), load_op()].into_iter().chain(ops);
    let input: Vec<u8> = (1..)
        .zip(all)
        .flat_map(|(id, op)| to_line(&Request { id, op }))
        .collect();
    let (replies, end) = talk(&input, model);
    end.unwrap();
    let outcomes = replies.into_iter().zip(1..).map(|(reply, id)| {
        assert_eq!(reply.id, id);
        reply.outcome().unwrap()
    });
    outcomes.skip(2).collect()
}

#[track_caller]
fn check_output(prompt: &str, lane: Lane, text: &str, stop: StopReason) {
    let answers = ask(&counter(), [open(prompt, lane), Op::Generate { handle: 1 }]);
    let Ok(Answer::Generate(output)) = &answers[1] else {
        panic!("{answers:?}")
    };
    let GenerateAnswer {
        n_prompt,
        token_ids,
        itl_ns,
        ttft_ns,
        e2e_ns,
        ..
    } = output;
    assert_eq!((output.text.as_str(), output.stop), (text, stop));
    assert_eq!(*n_prompt, prompt.len());
    assert_eq!(token_ids.len(), text.len());
    assert_eq!(itl_ns.len(), text.len().saturating_sub(1));
    // The first token never enters the inter-token times.
    assert!(ttft_ns + itl_ns.iter().sum::<u64>() <= *e2e_ns);
}

#[track_caller]
fn check_refusal(outcome: &Result<Answer, Refusal>, kind: RefusalKind, words: &str) {
    let refusal = outcome.as_ref().unwrap_err();
    assert_eq!(refusal.kind, kind);
    assert!(refusal.message.contains(words), "{refusal:?}");
}

#[test]
fn an_output_ends_at_a_stop_token() {
    check_output("12", natural(9, false), "3456", StopReason::Eos);
}

#[test]
fn an_output_ends_at_the_token_limit() {
    check_output("12", natural(2, false), "34", StopReason::MaxTokens);
}

#[test]
fn an_output_that_is_only_a_stop_token_is_empty() {
    check_output("6", natural(9, false), "", StopReason::Eos);
}

#[test]
fn stop_tokens_can_be_ignored_to_fill_the_context() {
    check_output("12", natural(5, true), "34567", StopReason::MaxTokens);
    check_output(
        "1212121212121",
        natural(9, true),
        "2345",
        StopReason::ContextFull,
    );
}

#[test]
fn a_generation_can_be_repeated_and_is_the_same() {
    let answers = ask(
        &counter(),
        [
            open("12", natural(9, false)),
            Op::Generate { handle: 1 },
            Op::Generate { handle: 1 },
        ],
    );
    let text = |answer: &Result<Answer, Refusal>| match answer {
        Ok(Answer::Generate(output)) => output.text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(&answers[1]), text(&answers[2]));
}

#[test]
fn forced_segments_feed_what_they_are_told() {
    let answers = ask(
        &counter(),
        [
            open("1234", forced("9999", 99, 99)),
            Op::Prefill { handle: 1 },
            Op::Decode {
                handle: 1,
                tokens: 3,
            },
            // One token is left: the prompt is fed again, twice, and not counted.
            Op::Decode {
                handle: 1,
                tokens: 6,
            },
            Op::Close { handle: 1 },
            open("1234", forced("9999", 2, 5)),
        ],
    );
    let opened = OpenAnswer {
        handle: 1,
        n_prompt: 4,
        n_forced: 4,
    };
    assert_eq!(answers[0], Ok(Answer::Open(opened)));
    let tokens = |answer: &Result<Answer, Refusal>| match answer {
        Ok(Answer::Prefill(timing) | Answer::Decode(timing)) => timing.tokens,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        answers[1..4].iter().map(tokens).collect::<Vec<_>>(),
        [4, 3, 6]
    );
    assert_eq!(answers[4], Ok(Answer::Close));
    let reopened = OpenAnswer {
        handle: 2,
        n_prompt: 2,
        n_forced: 3,
    };
    assert_eq!(answers[5], Ok(Answer::Open(reopened)));
}

#[test]
fn forced_text_and_prompt_are_cut_to_the_context() {
    let long = "1".repeat(40);
    let answers = ask(&counter(), [open(&long, forced(&long, 99, 99))]);
    let opened = OpenAnswer {
        handle: 1,
        n_prompt: CONTEXT / 2,
        n_forced: CONTEXT / 2,
    };
    assert_eq!(answers, [Ok(Answer::Open(opened))]);
}

#[test]
fn warming_up_leaves_an_empty_context() {
    let answers = ask(
        &counter(),
        [
            Op::Warmup { tokens: 40 },
            open("12", natural(1, false)),
            Op::Generate { handle: 1 },
        ],
    );
    assert_eq!(answers[0], Ok(Answer::Warmup));
    assert!(matches!(&answers[2], Ok(Answer::Generate(output)) if output.text == "3"));
}

#[test]
fn a_logit_that_is_not_finite_is_named_in_both_lanes() {
    let broken = || Counter {
        nan_at: Some(3),
        ..counter()
    };
    let natural = ask(
        &broken(),
        [open("12", natural(9, false)), Op::Generate { handle: 1 }],
    );
    check_refusal(
        &natural[1],
        RefusalKind::NotFinite,
        "logit 3 at position 3 is NaN",
    );
    let forced = ask(
        &broken(),
        [
            open("12", forced("99", 99, 99)),
            Op::Prefill { handle: 1 },
            Op::Decode {
                handle: 1,
                tokens: 2,
            },
        ],
    );
    assert!(forced[1].is_ok());
    check_refusal(
        &forced[2],
        RefusalKind::NotFinite,
        "logit 3 at position 3 is NaN",
    );
}

#[test]
fn prompts_the_model_cannot_take_are_refused() {
    let long = "1".repeat(CONTEXT);
    let ops = [
        open("1a", natural(9, false)),
        open("", natural(9, false)),
        open(&long, natural(9, false)),
        open("1", natural(0, false)),
        open("1", forced("", 99, 99)),
    ];
    let words = [
        "`a` is no digit",
        "no tokens",
        "prompt has 16 tokens, the context holds 16",
        "may have no new token",
        "no tokens",
    ];
    for (answer, words) in ask(&counter(), ops).iter().zip(words) {
        check_refusal(answer, RefusalKind::PromptRefused, words);
    }
}

#[test]
fn requests_out_of_order_are_refused() {
    let ops = [
        load_op(),
        Op::Generate { handle: 1 },
        open("12", natural(9, false)),
        open("12", natural(9, false)),
        Op::Generate { handle: 2 },
        Op::Prefill { handle: 1 },
        Op::Warmup { tokens: 1 },
    ];
    let answers = ask(&counter(), ops);
    for i in [0, 1, 3, 4, 5, 6] {
        assert_eq!(
            answers[i].as_ref().unwrap_err().kind,
            RefusalKind::Protocol,
            "{i}"
        );
    }
}

#[test]
fn nothing_is_answered_before_the_handshake() {
    let input = to_line(&Request {
        id: 4,
        op: load_op(),
    });
    let (replies, end) = talk(&input, &counter());
    end.unwrap();
    assert_eq!(replies[0].id, 4);
    assert_eq!(
        replies[0].err.as_ref().unwrap().message,
        "the handshake comes first"
    );
}

#[test]
fn another_version_is_refused_and_ends_the_worker() {
    let op = Op::Hello {
        protocol: 9,
        label: String::new(),
    };
    let mut input = to_line(&Request { id: 1, op });
    input.extend(to_line(&Request {
        id: 2,
        op: load_op(),
    }));
    let (replies, end) = talk(&input, &counter());
    assert!(matches!(end, Err(Error::Version { found: 9 })));
    assert_eq!(replies.len(), 1);
    let refusal = replies[0].err.as_ref().unwrap();
    assert_eq!(refusal.kind, RefusalKind::Protocol);
    assert_eq!(
        refusal.message,
        "supervisor speaks protocol 9, this worker 4"
    );
}

#[test]
fn lines_that_are_no_requests_end_the_worker() {
    for line in [
        "nonsense\n",
        "{\"id\":1,\"do\":\"bye\",\"x\":1}\n",
        "{\"id\":1}\n",
        "\n",
    ] {
        let (replies, end) = talk(line.as_bytes(), &counter());
        assert!(matches!(end, Err(Error::Malformed(_))), "{line}");
        assert!(replies.is_empty());
    }
}

#[test]
fn the_end_of_the_input_and_a_torn_line_end_the_worker_quietly() {
    for input in ["", "{\"id\":1,\"do"] {
        let (replies, end) = talk(input.as_bytes(), &counter());
        assert!(end.is_ok() && replies.is_empty());
    }
}

#[test]
fn nothing_is_read_after_bye() {
    let mut input = to_line(&Request { id: 1, op: hello() });
    input.extend(to_line(&Request { id: 2, op: Op::Bye }));
    input.extend(b"nonsense\n");
    let (replies, end) = talk(&input, &counter());
    assert!(end.is_ok());
    assert_eq!(replies[1].ok, Some(Answer::Bye));
}

#[track_caller]
fn check_load_refusal(is_evidence: bool, kind: RefusalKind) {
    let input: Vec<u8> = [hello(), load_op(), Op::Snapshot { reset: false }]
        .into_iter()
        .flat_map(|op| to_line(&Request { id: 1, op }))
        .collect();
    let mut output = Vec::new();
    let refused = LoadRefused {
        is_evidence,
        message: "config.json has no `hidden_size`".to_owned(),
        hint: Some("pack the model again".to_owned()),
    };
    serve(&input[..], &mut output, "scalar", |_| Err(refused.clone())).unwrap();
    let line = output.split(|&byte| byte == b'\n').nth(1).unwrap();
    let refusal = protocol::from_line::<Reply>(line).unwrap().err.unwrap();
    assert_eq!(refusal.kind, kind);
    assert_eq!(refusal.message, refused.message);
    assert_eq!(refusal.hint, refused.hint);
}

#[test]
fn a_refused_load_says_why_and_whose_loss_it_is() {
    check_load_refusal(true, RefusalKind::LoadRefused);
    check_load_refusal(false, RefusalKind::NotJudgeable);
}

#[test]
fn memory_is_read_by_the_worker_itself() {
    let answers = ask(&counter(), [Op::Snapshot { reset: false }]);
    let Ok(Answer::Snapshot(memory)) = &answers[0] else {
        panic!("{answers:?}")
    };
    assert!(memory.peak_bytes >= memory.anon_bytes);
    assert!(!memory.is_reset);
}

#[test]
fn a_panic_in_the_engine_is_not_swallowed() {
    let model = Counter {
        panics_at: Some(3),
        ..counter()
    };
    let ops = [open("12", natural(9, false)), Op::Generate { handle: 1 }];
    let ended = std::panic::catch_unwind(|| ask(&model, ops));
    assert!(ended.is_err());
}

#[path = "batch_tests.rs"]
mod batches;
