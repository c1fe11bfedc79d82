//! What `compare` says of likelihoods, held against each model fed by itself, token by token.

use std::collections::HashMap;

use vv_eval::artifact::resolve;
use vv_eval::engine::{BitNet, Engine as _};
use vv_eval::gate::file::ReportFile;
use vv_eval::model::{Codec, LoadOptions, ModelBundle};
use vv_eval::record::{RunRecord, TextSource};
use vv_eval::scene::{Scene, SceneSet};

use super::common::{Lab, model, scene_set};

/// Scenes read; enough for more than a hundred tokens.
const N_READ: usize = 2;

/// What rounding to single precision explains.
const TOLERANCE: f64 = 1e-6;

struct Model {
    codec: Codec,
    engine: BitNet,
}

impl Model {
    fn load(version: &str) -> Self {
        let files = resolve(&model(version)).unwrap().files;
        let bundle = ModelBundle::load(&files, &LoadOptions::default()).unwrap();
        let (config, weights) = bundle.network.into_bitnet();
        Self {
            codec: bundle.codec,
            engine: BitNet::new(&config, weights),
        }
    }

    /// For each token of a text its id and the probabilities of all tokens in its place, by the
    /// plain definition.
    fn read(&mut self, prompt: &str, text: &str) -> Vec<(usize, Vec<f64>)> {
        let prompt = self.codec.encode_prompt(prompt).unwrap();
        let tokenizer = self.codec.tokenizer.as_ref().unwrap();
        let text = tokenizer.encode(text, false).unwrap();
        self.engine.reset();
        let mut logits = Vec::new();
        for id in prompt {
            logits = self.engine.feed(&[id]).unwrap().to_vec();
        }
        let mut places = Vec::new();
        for id in text {
            let weights: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let probabilities = weights.iter().map(|weight| weight / sum).collect();
            places.push((id as usize, probabilities));
            logits = self.engine.feed(&[id]).unwrap().to_vec();
        }
        places
    }
}

#[track_caller]
fn close(found: f64, expected: f64) {
    let error = (found - expected).abs();
    assert!(
        error < TOLERANCE * expected.abs().max(1.0),
        "{found} against {expected}"
    );
}

fn most_probable(probabilities: &[f64]) -> Option<usize> {
    let largest = probabilities.iter().copied().fold(0.0, f64::max);
    probabilities
        .iter()
        .position(|p| p.to_bits() == largest.to_bits())
}

fn text_of<'a>(records: [&'a RunRecord; 2], scene: &'a Scene, source: TextSource) -> &'a str {
    let output = |record: &'a RunRecord| {
        let mut outputs = record.outputs.iter();
        outputs
            .find(|output| output.scene == scene.id)
            .unwrap()
            .text
            .as_str()
    };
    match source {
        TextSource::Reference(i) => &scene.references[i],
        TextSource::BaselineOutput => output(records[0]),
        TextSource::CandidateOutput => output(records[1]),
    }
}

#[test]
fn likelihoods_are_those_of_the_models_fed_token_by_token() {
    let lab = Lab::new();
    lab.edit(
        "gate.toml",
        "likelihood_scenes = 4",
        &format!("likelihood_scenes = {N_READ}"),
    );
    let ran = lab.compare("1.0.0", "1.1.0", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for words in [
        "bits per byte: ",
        "next tokens of the references: divergence ",
    ] {
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    let likelihoods = report.likelihoods.unwrap();
    let evidence = report.evidence.unwrap();
    let records = [&evidence.baseline_record, &evidence.candidate_record];

    let set = SceneSet::load(&scene_set()).unwrap();
    let scenes: HashMap<&str, &Scene> = set.scenes.iter().map(|it| (it.id.as_str(), it)).collect();
    let mut models = ["1.0.0", "1.1.0"].map(Model::load);
    let (mut divergences, mut n_same) = (Vec::new(), 0);
    let (mut reference_nats, mut reference_bytes) = ([0.0; 2], 0);
    let readings = records[0].readings.iter().zip(&records[1].readings);
    for (base, cand) in readings {
        assert_eq!((&base.scene, base.text), (&cand.scene, cand.text));
        let scene = scenes[base.scene.as_str()];
        let prompt = set.template.render(&scene.analytic, &scene.time_base);
        let text = text_of(records, scene, base.text);
        let places = models.each_mut().map(|model| model.read(&prompt, text));
        for (reading, places) in [base, cand].into_iter().zip(&places) {
            assert_eq!(
                (reading.nll.len(), reading.n_bytes),
                (places.len(), text.len())
            );
            for (nll, (id, probabilities)) in reading.nll.iter().zip(places) {
                close(f64::from(*nll), -probabilities[*id].ln());
            }
        }
        let is_reference = matches!(base.text, TextSource::Reference(_));
        assert_eq!(cand.distance.is_some(), is_reference);
        let Some(distance) = &cand.distance else {
            continue;
        };
        reference_bytes += text.len();
        for (at, ((id, base), (_, cand))) in places[0].iter().zip(&places[1]).enumerate() {
            let terms = base.iter().zip(cand).map(|(b, c)| b * (b / c).ln());
            let divergence: f64 = terms.sum();
            close(f64::from(distance.divergence[at]), divergence);
            let is_same = most_probable(base) == most_probable(cand);
            assert_eq!(distance.other_first.contains(&at), !is_same);
            divergences.push(divergence);
            n_same += usize::from(is_same);
            for (nats, probabilities) in reference_nats.iter_mut().zip([base, cand]) {
                *nats -= probabilities[*id].ln();
            }
        }
    }
    assert!(divergences.len() > 100, "{} tokens", divergences.len());
    let n = divergences.len() as f64;
    let fidelity = likelihoods.fidelity.unwrap();
    assert_eq!(fidelity.n_tokens, divergences.len());
    close(
        fidelity.divergence.mean,
        divergences.iter().sum::<f64>() / n,
    );
    close(
        fidelity.divergence_max,
        divergences.iter().copied().fold(0.0, f64::max),
    );
    close(
        fidelity.same_first.mean,
        f64::from(u32::try_from(n_same).unwrap()) / n,
    );
    let references = likelihoods.references.unwrap();
    let bits = reference_nats.map(|nats| nats / std::f64::consts::LN_2 / reference_bytes as f64);
    close(references.baseline_bits_per_byte, bits[0]);
    close(references.candidate_bits_per_byte, bits[1]);
    // The better model finds the references likelier.
    assert!(bits[1] < bits[0], "{bits:?}");
    let read: Vec<_> = evidence
        .baseline_scores
        .iter()
        .map(|it| it.metrics["ref_bits_per_byte"])
        .collect();
    assert_eq!(read.iter().flatten().count(), N_READ);
    let absent = &evidence.candidate_scores[N_READ].absent["cross_bits_per_byte"];
    assert_eq!(absent, "the scene was not read");
}

#[test]
fn the_same_model_is_no_distance_from_itself() {
    let lab = Lab::of_few_scenes();
    lab.edit(
        "gate.toml",
        "likelihood_scenes = 4",
        &format!("likelihood_scenes = {N_READ}"),
    );
    let ran = lab.compare("1.0.0", "1.0.0-q4_0", &[]);
    assert!(
        ran.stdout.contains("divergence 0 ± 0 nats"),
        "{}",
        ran.all()
    );
    assert!(
        ran.stdout.contains("same first choice on 100.0 %"),
        "{}",
        ran.all()
    );
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    let fidelity = report.likelihoods.unwrap().fidelity.unwrap();
    assert_eq!(fidelity.divergence_max.to_bits(), 0.0f64.to_bits());
    assert_eq!(fidelity.rms_probability_change.to_bits(), 0.0f64.to_bits());
}
