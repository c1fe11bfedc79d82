//! Workers that read with small real models, whose tokens are bytes.

use std::path::Path;

use super::*;
use crate::engine::{BitNet, Engine, Planted};
use crate::model::synthetic::{Spec, synthetic};
use crate::units::Sha256;

const VOCAB: usize = 128;

struct Bytes(Box<dyn Engine>);

fn spec(vocab_size: usize, max_positions: usize) -> Spec {
    Spec {
        n_layers: 1,
        vocab_size,
        max_positions,
        ..Spec::SMALL
    }
}

fn subject_of(spec: Spec, seed: u64) -> Bytes {
    let (config, weights) = synthetic(spec, seed);
    Bytes(Box::new(BitNet::new(&config, weights)))
}

fn subject(seed: u64) -> Bytes {
    subject_of(spec(VOCAB, 64), seed)
}

impl Subject for Bytes {
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, String> {
        self.encode_text(text)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, String> {
        if !text.is_ascii() {
            return Err("not ASCII".to_owned());
        }
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, _: &[u32]) -> Result<String, String> {
        unreachable!("nothing is written")
    }

    fn stop_ids(&self) -> &[u32] {
        &[]
    }

    fn card(&self) -> String {
        String::new()
    }

    fn tokenizer_sha256(&self) -> Sha256 {
        Sha256::of(b"bytes")
    }

    fn layers_sha256(&self) -> Option<Sha256> {
        None
    }

    fn threads(&self) -> usize {
        1
    }

    fn engine(&mut self) -> &mut dyn Engine {
        self.0.as_mut()
    }
}

/// Scenes of a prompt and texts; those that begin with `=` are compared.
fn request(scenes: &[(&str, &[&str])], logits: Option<Logits>) -> ReadRequest {
    let scenes = scenes.iter().map(|(prompt, texts)| ReadScene {
        scene: format!("scene {prompt}"),
        prompt: (*prompt).to_owned(),
        texts: texts
            .iter()
            .map(|text| ReadText {
                text: text.trim_start_matches('=').to_owned(),
                is_compared: text.starts_with('='),
            })
            .collect(),
    });
    ReadRequest {
        scenes: scenes.collect(),
        logits,
    }
}

const SCENES: &[(&str, &[&str])] = &[
    ("a prompt", &["=um carro", "=", "duas", "ção"]),
    ("a prom", &["=uma moto", "=x"]),
];

/// Logits before each token of a text, each from a fresh context.
fn plainly(seed: u64, prompt: &str, text: &str) -> Vec<Vec<f32>> {
    let ids: Vec<u32> = format!("{prompt}{text}").bytes().map(u32::from).collect();
    let mut engine = subject(seed).0;
    (prompt.len()..ids.len())
        .map(|n| {
            engine.reset();
            engine.feed(&ids[..n]).unwrap().to_vec()
        })
        .collect()
}

/// Probabilities by the plain definition; logits of these models are small.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn exchange(folder: &Path, baseline: &mut Bytes, candidate: &mut Bytes) -> [ReadAnswer; 2] {
    let path = folder.join("logits");
    let written = read(
        baseline,
        &request(SCENES, Some(Logits::Write(path.clone()))),
    )
    .unwrap();
    let compared = read(candidate, &request(SCENES, Some(Logits::Compare(path)))).unwrap();
    [written, compared]
}

#[test]
fn what_two_workers_find_is_what_the_definitions_give() {
    let folder = tempfile::tempdir().unwrap();
    let [written, compared] = exchange(folder.path(), &mut subject(1), &mut subject(2));
    let (mut n_compared, mut largest) = (0, 0f64);
    for (i, (prompt, texts)) in SCENES.iter().enumerate() {
        for (j, text) in texts.iter().enumerate() {
            let is_compared = text.starts_with('=') && text.len() > 1;
            let text = text.trim_start_matches('=');
            let found = [&written, &compared].map(|answer| &answer.scenes[i].texts[j]);
            if text.is_empty() || !text.is_ascii() {
                let reason = if text.is_empty() {
                    "the text has no tokens"
                } else {
                    "not ASCII"
                };
                for found in found {
                    assert_eq!(found, &TextRead::nothing(Some(reason.to_owned())));
                }
                continue;
            }
            let rows = [1, 2].map(|seed| plainly(seed, prompt, text));
            assert_eq!(found[1].divergence.is_some(), is_compared);
            assert_eq!(found[0].divergence, None);
            for (at, byte) in text.bytes().enumerate() {
                let [base, cand] = [&rows[0][at], &rows[1][at]].map(|row| probabilities(row));
                for (found, row) in found.iter().zip([&base, &cand]) {
                    let expected = -row[usize::from(byte)].ln();
                    assert!((f64::from(found.nll[at]) - expected).abs() < 1e-6);
                }
                if !is_compared {
                    continue;
                }
                let terms = base.iter().zip(&cand).map(|(b, c)| b * (b / c).ln());
                let expected: f64 = terms.sum();
                let divergence = found[1].divergence.as_ref().unwrap();
                assert_eq!(divergence.len(), text.len());
                assert!((f64::from(divergence[at]) - expected).abs() < 1e-6);
                largest = largest.max(expected);
                let first = |row: &[f64]| {
                    let largest = row.iter().copied().fold(0.0, f64::max);
                    row.iter().position(|p| p.to_bits() == largest.to_bits())
                };
                let differs = first(&base) != first(&cand);
                assert_eq!(found[1].other_first.contains(&at), differs);
                n_compared += 1;
            }
        }
    }
    assert_eq!(n_compared, "um carro".len() + "uma moto".len() + "x".len());
    assert!(largest > 1e-4, "the models differ nowhere: {largest}");
}

#[test]
fn a_model_is_no_distance_from_itself() {
    let folder = tempfile::tempdir().unwrap();
    let [written, compared] = exchange(folder.path(), &mut subject(1), &mut subject(1));
    for (a, b) in written.scenes.iter().zip(&compared.scenes) {
        for (a, b) in a.texts.iter().zip(&b.texts) {
            assert_eq!(a.nll, b.nll);
            assert!(b.divergence.iter().flatten().all(|x| x.to_bits() == 0));
            assert_eq!(b.other_first, [0; 0]);
        }
    }
    assert_eq!(compared.not_compared, None);
}

#[test]
fn a_text_that_only_one_context_holds_shifts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // "a prompt" and "um carro" need 15 positions, the others fewer.
    let mut short = subject_of(spec(VOCAB, 14), 1);
    let [_, small_last] = exchange(folder.path(), &mut subject(2), &mut short);
    let [small_first, compared] = exchange(folder.path(), &mut short, &mut subject(2));
    for small in [&small_last, &small_first] {
        let reason = small.scenes[0].texts[0].absent.as_deref();
        assert_eq!(
            reason,
            Some("context is full: 15 tokens wanted, 14 possible")
        );
    }
    assert_eq!(compared.scenes[0].texts[0].divergence, None);
    assert!(!compared.scenes[0].texts[0].nll.is_empty());
    // The next texts are compared with what belongs to them.
    let [_, whole] = exchange(folder.path(), &mut subject(1), &mut subject(2));
    assert_eq!(compared.scenes[1].texts[1], whole.scenes[1].texts[1]);
    let [_, whole] = exchange(folder.path(), &mut subject(2), &mut subject(1));
    assert_eq!(small_last.scenes[1].texts[1], whole.scenes[1].texts[1]);
}

#[test]
fn vocabularies_of_other_sizes_are_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = subject_of(spec(VOCAB + 32, 64), 1);
    let [_, compared] = exchange(folder.path(), &mut subject(1), &mut other);
    assert_eq!(
        compared.not_compared.as_deref(),
        Some("the vocabularies differ in size: 128 in the baseline and 160 in the candidate")
    );
    let texts = compared.scenes.iter().flat_map(|scene| &scene.texts);
    assert!(texts.clone().all(|text| text.divergence.is_none()));
    assert_eq!(texts.filter(|text| !text.nll.is_empty()).count(), 4);
}

#[test]
fn a_worker_stops_when_the_file_is_large_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logits");
    // Fifty tokens of 2^19 logits are 100 MiB.
    let text = format!("={}", "x".repeat(50));
    let scenes: &[(&str, &[&str])] = &[("a", &[&text]), ("b", &[&text])];
    let mut subject = Bytes(Box::new(Wide(vec![0.0; 1 << 19], 0)));
    let answer = read(
        &mut subject,
        &request(scenes, Some(Logits::Write(path.clone()))),
    )
    .unwrap();
    assert_eq!(answer.scenes.len(), 1);
    let written = std::fs::metadata(&path).unwrap().len();
    assert_eq!(written, 8 + 50 * 4 * (1 << 19));
    let answer = read(&mut subject, &request(scenes, None)).unwrap();
    assert_eq!(answer.scenes.len(), 2);
}

/// Finds every token equally likely.
struct Wide(Vec<f32>, usize);

impl Engine for Wide {
    fn vocab_size(&self) -> usize {
        self.0.len()
    }
    fn context_limit(&self) -> usize {
        100
    }
    fn position(&self) -> usize {
        self.1
    }
    fn reset(&mut self) {
        self.1 = 0;
    }
    fn reserve(&mut self, _: usize) -> Result<(), engine::Error> {
        Ok(())
    }
    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], engine::Error> {
        self.1 += ids.len();
        Ok(&self.0)
    }
    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), engine::Error> {
        self.1 += ids.len();
        *logits = self.0.repeat(ids.len());
        Ok(())
    }
}

#[test]
fn broken_files_and_logits_end_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logits");
    exchange(folder.path(), &mut subject(1), &mut subject(2));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let compare = || request(SCENES, Some(Logits::Compare(path.clone())));
    let refusal = read(&mut subject(2), &compare()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Internal);
    assert!(
        refusal.message.starts_with("the file of logits: "),
        "{refusal:?}"
    );
    std::fs::remove_file(&path).unwrap();
    let refusal = read(&mut subject(2), &compare()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Internal);

    let inner = subject(1).0;
    let spoilt = Planted::new(inner, "nan@3".parse().unwrap()).unwrap();
    let refusal = read(&mut Bytes(Box::new(spoilt)), &request(SCENES, None)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotFinite);
    assert!(
        refusal
            .message
            .ends_with("(a text of scene `scene a prompt`)"),
        "{refusal:?}"
    );
}
