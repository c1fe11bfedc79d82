//! Puts an exported model through vv-eval's own engine: scores, and parity with the trainer.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use candle_core::{Device, Tensor};
use tokenizers::Tokenizer;
use vv_eval::artifact;
use vv_eval::engine::{BitNet, DecodeLimits, StopReason, generate_greedy};
use vv_eval::metric::{SceneScores, outputs};
use vv_eval::model::{Codec, LoadOptions, ModelBundle};
use vv_eval::record::{self, OutputObservation};
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::prompt::Template;
use vv_eval::scene::telling::Family;
use vv_eval::scene::{Scene, SceneSet};

use super::lessons::{self, Course};
use super::network::Network;

/// Tokens an output may have.
const LIMIT: usize = 160;

/// An exported model, loaded as a user would load it.
pub(crate) struct Subject {
    engine: BitNet,
    codec: Codec,
    limits: DecodeLimits,
}

impl Subject {
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let files = artifact::resolve(dir)?.files;
        let ModelBundle {
            network,
            codec,
            stop_ids,
            ..
        } = ModelBundle::load(&files, &LoadOptions::default())?;
        let (config, weights) = network.into_bitnet();
        let limits = DecodeLimits {
            max_new_tokens: LIMIT,
            stop_ids,
        };
        Ok(Self {
            engine: BitNet::new(&config, weights),
            codec,
            limits,
        })
    }

    /// Token ids of the model's answer, and whether it stopped by itself.
    pub(crate) fn answer(&mut self, prompt: &str) -> Result<(Vec<u32>, StopReason)> {
        let ids = self.codec.encode_prompt(prompt)?;
        Ok(generate_greedy(
            &mut self.engine,
            &ids,
            &self.limits,
            &mut |_, _| {},
        )?)
    }

    fn scores(&mut self, scene: &Scene, template: &Template) -> Result<SceneScores> {
        let (token_ids, stop) = self.answer(&template.render(&scene.analytic, &scene.time_base))?;
        let text = self.codec.decode(&token_ids)?;
        let stop = match stop {
            StopReason::Eos => record::StopReason::Eos,
            StopReason::MaxTokens => record::StopReason::MaxTokens,
            StopReason::ContextFull => record::StopReason::ContextFull,
        };
        let output = OutputObservation {
            scene: scene.id.clone(),
            n_prompt: 0,
            token_ids,
            text,
            stop,
            times: None,
        };
        Ok(outputs::score(scene, &output, &BUILT_IN))
    }

    /// Mean of each metric over the scenes that have it.
    pub(crate) fn examine(&mut self, set: &SceneSet) -> Result<Vec<(&'static str, f64)>> {
        let mut all = Vec::new();
        for scene in &set.scenes {
            all.push(self.scores(scene, &set.template)?);
        }
        let ids = [
            "fact_ok",
            "hallucination_rate",
            "object_recall",
            "valid",
            "chrf_pp",
        ];
        let mean = |id: &'static str| {
            let values: Vec<f64> = all.iter().filter_map(|s| s.scores[id].value()).collect();
            (id, values.iter().sum::<f64>() / values.len() as f64)
        };
        Ok(ids.map(mean).to_vec())
    }
}

/// Unseen scenes of the training world, told in the development family: streams of their own.
pub(crate) fn unseen(course: &Course<'_>, n: u64) -> SceneSet {
    let scene = |index: u64| {
        let lesson = course.lesson("examination", index, &[Family::DEVELOPMENT]);
        Scene {
            id: format!("unseen-{index:03}"),
            references: vec![lesson.target],
            ..lesson.scene
        }
    };
    SceneSet {
        name: "unseen".into(),
        version: "0".into(),
        scenes_sha256: vv_eval::units::Sha256::of(b"unseen"),
        template: course.template.clone(),
        lexicon: &BUILT_IN,
        scenes: (0..n).map(scene).collect(),
    }
}

/// Largest lead, in logits, of the trainer's token over the engine's where the two part ways.
///
/// The trainer multiplies rounded floats where the engine adds integers, so an activation on a
/// rounding tie may fall to the other side; a token decided by more than this is a fault.
const TIE: f32 = 0.05;

/// The trainer's own greedy outputs and the engine's must agree token for token, up to ties.
///
/// * `n`: scenes of the set that are compared
pub(crate) fn agrees(
    network: &Network,
    tokenizer: &Tokenizer,
    subject: &mut Subject,
    set: &SceneSet,
    n: usize,
) -> Result<()> {
    let end = tokenizer
        .token_to_id(lessons::EOS)
        .context("the end token is known")?;
    let scenes = set.scenes.iter().take(n);
    let prompts: Vec<String> = scenes
        .map(|scene| set.template.render(&scene.analytic, &scene.time_base))
        .collect();
    let ids: Vec<Vec<u32>> = prompts
        .iter()
        .map(|prompt| {
            let encoding = tokenizer.encode_fast(lessons::chat(prompt), false);
            Ok(encoding
                .map_err(anyhow::Error::from_boxed)?
                .get_ids()
                .to_vec())
        })
        .collect::<Result<_>>()?;
    let trained = super::continue_greedily(network, tokenizer, &ids, LIMIT)?;
    for ((prompt, ids), trained) in prompts.iter().zip(&ids).zip(&trained) {
        let (engine, _) = subject.answer(prompt)?;
        let trained: Vec<u32> = trained
            .iter()
            .copied()
            .take_while(|id| *id != end)
            .collect();
        let n_longest = trained.len().max(engine.len());
        let Some(at) = (0..n_longest).find(|&at| trained.get(at) != engine.get(at)) else {
            continue;
        };
        let mut prefix = ids.clone();
        prefix.extend(&trained[..at]);
        let n = prefix.len();
        let prefix = Tensor::from_vec(prefix, (1, n), &Device::Cpu)?;
        let last = Tensor::new(&[n as u32 - 1], &Device::Cpu)?;
        let hidden = network.hidden_at(&prefix, &last)?;
        let logits: Vec<f32> = network.head(&hidden)?.flatten_all()?.to_vec1()?;
        let of = |ids: &[u32]| logits[*ids.get(at).unwrap_or(&end) as usize];
        let lead = of(&trained) - of(&engine);
        ensure!(
            lead < TIE,
            "trainer and engine part ways by {lead} at token {at} of\n{prompt}"
        );
    }
    Ok(())
}
