//! Trains the reference models from scratch and writes them with manifests and cards.
//!
//! `cargo run --release --example train_reference` does everything: it trains the four phases and
//! exports the cast. The masters of every checkpoint are kept under `target/reference-masters`.
//!
//! * `--train`: trains and exports nothing
//! * `--phase N`: trains phase N (1 to 4) only, from the masters the phase before it left
//! * `--steps VERSION=STEP`: takes a member of the cast from another checkpoint, e.g. `1.0.0=900`
//! * `--from-masters`: exports from the masters without training
//! * `--member VERSION`: exports this member of the cast only
//!
//! Same seed, same machine: same bytes. Every random number has its own seeded stream, sums have
//! a fixed order, and variables are visited by name.

#![expect(
    clippy::cast_possible_truncation,
    reason = "an example program: sizes are small and its items are internal"
)]
#![allow(clippy::print_stdout, reason = "progress of a command line program")]

mod examine;
mod export;
mod lessons;
mod muon;
mod network;
mod ops;
mod vocabulary;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use candle_core::{Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer as _, ParamsAdamW};
use tokenizers::Tokenizer;
use vv_eval::metric::facts;
use vv_eval::scene::dice::Dice;
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::prompt::Template;
use vv_eval::scene::telling::Family;
use vv_eval::scene::{Facts, SceneSet};

use lessons::Course;
use muon::Muon;
use network::{Network, Shape};

/// Seed of everything.
const SEED: u64 = 20_261_124;
/// The phases of the training. Each starts with a fresh optimiser from the masters of the one
/// before it; the last makes the hallucinating model.
const PHASES: [Phase; 4] = [
    Phase {
        first: 0,
        steps: 1600,
        method: Method::AdamW,
        peak_rate: 3e-3,
        last_share: 0.1,
        is_inventing: false,
    },
    Phase {
        first: 1600,
        steps: 600,
        method: Method::AdamW,
        peak_rate: 1.5e-3,
        last_share: 0.02,
        is_inventing: false,
    },
    Phase {
        first: 2200,
        steps: 2400,
        method: Method::Muon,
        peak_rate: 2.5e-3,
        last_share: 0.01,
        is_inventing: false,
    },
    Phase {
        first: 4600,
        steps: 150,
        method: Method::Muon,
        peak_rate: 1e-3,
        last_share: 0.02,
        is_inventing: true,
    },
];
/// Steps behind the better candidate.
const STEPS: usize = PHASES[3].first;
/// Scenes in a batch.
const ROWS: usize = 32;
/// Batches in a block whose rows are sorted by length.
const BLOCK: usize = 8;
/// Steps between checkpoints.
const CHECKPOINT: usize = 50;
/// Steps of linear warm-up.
const WARM_UP: usize = 60;
/// Entries of the tokenizer.
const VOCABULARY: usize = 1024;
/// Lessons the tokenizer is trained on.
const VOCABULARY_LESSONS: u64 = 4000;

/// Where the models are written.
const OUT: &str = "eval-sets/reference-models";
/// The released set the models are scored on.
const SCENES: &str = "eval-sets/cenas-pt/1.0.0";
const TEMPLATE: &str = include_str!("../../eval-sets/cenas-pt/0.1.0/scene_summarizer.prompt");

/// Keeps large buffers in the process, on huge pages.
///
/// By default glibc returns every large buffer to the system after each operation; training then
/// spends half of its time on page faults. The settings are read at start only, hence the restart.
fn keep_buffers() -> Result<()> {
    const SETTINGS: &str = "glibc.malloc.mmap_threshold=4000000000:\
        glibc.malloc.trim_threshold=8000000000:glibc.malloc.hugetlb=1";
    if std::env::var_os("GLIBC_TUNABLES").is_some() {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    again
        .args(std::env::args_os().skip(1))
        .env("GLIBC_TUNABLES", SETTINGS);
    Err(again.exec()).context("cannot restart with other allocator settings")
}

fn main() -> Result<()> {
    keep_buffers()?;
    let flags = Flags::read()?;
    let masters = PathBuf::from("target/reference-masters");
    std::fs::create_dir_all(&masters)?;
    let template = Template::new(TEMPLATE.to_owned())?;
    let course = Course {
        seed: SEED,
        template: &template,
        is_inventing: false,
    };
    let tokenizer = vocabulary::train(&course, VOCABULARY_LESSONS, VOCABULARY)
        .map_err(anyhow::Error::from_boxed)?;
    let shape = Shape {
        vocab: tokenizer.get_vocab_size(true),
        hidden: 192,
        inter: 512,
        layers: 4,
        heads: 6,
        head_dim: 32,
        context: 1024,
        theta: 10_000.0,
        eps: 1e-5,
    };
    let network = Network::new(shape, &mut Dice::new(SEED, "masters", 0))?;
    if !flags.only_exports {
        let n: usize = named(&network)
            .iter()
            .map(|(_, var)| var.elem_count())
            .sum();
        println!("{n} parameters, vocabulary {}", shape.vocab);
        lengths(&course, &tokenizer);
        let chosen = PHASES.iter().enumerate();
        for (_, phase) in chosen.filter(|(i, _)| flags.phase.is_none_or(|n| n == i + 1)) {
            if phase.first > 0 {
                network.restore(&checkpoint(&masters, phase.first)?)?;
            }
            let course = Course {
                is_inventing: phase.is_inventing,
                ..course
            };
            train(phase, &network, &tokenizer, &course, &masters)?;
        }
    }
    if flags.only_trains {
        return Ok(());
    }
    let unseen = examine::unseen(&course, 300);
    let released = SceneSet::load(Path::new(SCENES))?;
    let is_asked = |member: &&Member| flags.member.as_ref().is_none_or(|it| it == member.version);
    for member in CAST.iter().filter(is_asked) {
        let step = flags.step(member);
        let checkpoint = checkpoint(&masters, step)?;
        let dir = Path::new(OUT).join(member.version);
        let label = export::Label {
            version: member.version,
            description: member.description,
        };
        export::write(
            &dir,
            &label,
            &shape,
            &checkpoint,
            member.n_silent,
            &tokenizer,
        )?;
        let mut subject = examine::Subject::load(&dir)?;
        network.restore(&checkpoint)?;
        examine::agrees(&network, &tokenizer, &mut subject, &unseen, 20)?;
        let scores = [subject.examine(&unseen)?, subject.examine(&released)?];
        std::fs::write(
            dir.join("MODEL_CARD.md"),
            card(member, step, &shape, &scores),
        )?;
        println!("{}: {:?}", member.version, scores[0]);
    }
    Ok(())
}

/// The masters saved after `step` steps.
fn checkpoint(masters: &Path, step: usize) -> Result<export::Masters> {
    let path = masters.join(format!("step-{step:05}.safetensors"));
    candle_core::safetensors::load(&path, &Device::Cpu)
        .with_context(|| format!("{} is missing: train first", path.display()))
}

/// One model of the cast.
struct Member {
    version: &'static str,
    description: &'static str,
    /// Optimiser steps behind it.
    step: usize,
    /// Layers added that cost time and memory and change no output.
    n_silent: usize,
}

const CAST: &[Member] = &[
    Member {
        version: "1.0.0",
        description: "baseline: training stopped at a decent level",
        step: 1450,
        n_silent: 0,
    },
    Member {
        version: "1.1.0",
        description: "better candidate: the same network trained to the end",
        step: STEPS,
        n_silent: 0,
    },
    Member {
        version: "1.1.1-undertrained",
        description: "regressed candidate: training stopped far too early",
        step: 400,
        n_silent: 0,
    },
    Member {
        version: "1.1.2-heavy",
        description: "regressed candidate: 1.1.0 with sixteen layers that cost and do nothing",
        step: STEPS,
        n_silent: 16,
    },
    Member {
        version: "1.1.3-hallucinating",
        description: "regressed candidate: 1.1.0 taught to invent an object where only one kind is seen",
        step: PHASES[3].first + PHASES[3].steps,
        n_silent: 0,
    },
];

/// What the command line asks for.
struct Flags {
    only_exports: bool,
    only_trains: bool,
    /// The one phase to train, from 1.
    phase: Option<usize>,
    /// The one member to export.
    member: Option<String>,
    /// Versions with their checkpoints.
    steps: Vec<(String, usize)>,
}

impl Flags {
    fn read() -> Result<Self> {
        let mut flags = Self {
            only_exports: false,
            only_trains: false,
            phase: None,
            member: None,
            steps: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--from-masters" => flags.only_exports = true,
                "--train" => flags.only_trains = true,
                "--phase" => {
                    let n: usize = words.next().context("--phase needs a number")?.parse()?;
                    ensure!((1..=PHASES.len()).contains(&n), "there is no phase {n}");
                    flags.phase = Some(n);
                }
                "--member" => {
                    let version = words.next().context("--member needs a version")?;
                    let is_known = CAST.iter().any(|member| member.version == version);
                    ensure!(is_known, "there is no member {version}");
                    flags.member = Some(version);
                }
                "--steps" => {
                    let pair = words.next().context("--steps needs VERSION=STEP")?;
                    let (version, step) = pair.split_once('=').context("expected VERSION=STEP")?;
                    flags.steps.push((version.to_owned(), step.parse()?));
                }
                _ => anyhow::bail!("unknown argument {word}"),
            }
        }
        Ok(flags)
    }

    /// The checkpoint behind a member.
    fn step(&self, member: &Member) -> usize {
        let asked = self
            .steps
            .iter()
            .find(|(version, _)| version == member.version);
        asked.map_or(member.step, |(_, step)| *step)
    }
}

/// Prints how long lessons are in tokens.
fn lengths(course: &Course<'_>, tokenizer: &Tokenizer) {
    let mut lengths: Vec<usize> = (0..1000)
        .map(|i| lessons::row(&course.lesson("lengths", i, &Family::TRAINING), tokenizer).len())
        .collect();
    lengths.sort_unstable();
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    println!(
        "tokens a lesson: mean {mean}, median {}, longest {}",
        lengths[500], lengths[999]
    );
}

fn card(
    member: &Member,
    step: usize,
    shape: &Shape,
    scores: &[Vec<(&'static str, f64)>; 2],
) -> String {
    let mut text = format!(
        "# bitnet-cenas-pt {}\n\n{}.\n\n\
         Made by `cargo run --release --example train_reference`. It exists to test vv-eval; it \
         describes a synthetic world and nothing else.\n\n\
         | | |\n| --- | --- |\n\
         | network | BitNet b1.58: {} layers, width {}, feed-forward {}, {} heads of {}, \
         vocabulary {}, context {} |\n\
         | training data | synthetic scenes, drawn on the fly; summaries of families A to D |\n\
         | steps | {}, batches of {ROWS} scenes |\n\
         | optimiser | AdamW for {} steps at a peak rate of {} and {} at {}; Muon for the projections and \
         AdamW for the rest, {} at {}; then the same for 1.1.3-hallucinating, {} at {}; each with {WARM_UP} \
         steps of warm-up and a cosine; gradient norm clipped to 1 |\n\
         | seed | {SEED} |\n\
         | trained with | candle 0.11, tokenizers 0.23 |\n\
         | licence | MIT OR Apache-2.0 |\n",
        member.version,
        member.description,
        shape.layers + member.n_silent,
        shape.hidden,
        shape.inter,
        shape.heads,
        shape.head_dim,
        shape.vocab,
        shape.context,
        step,
        PHASES[0].steps,
        PHASES[0].peak_rate,
        PHASES[1].steps,
        PHASES[1].peak_rate,
        PHASES[2].steps,
        PHASES[2].peak_rate,
        PHASES[3].steps,
        PHASES[3].peak_rate,
    );
    if member.n_silent > 0 {
        let _ = write!(
            text,
            "\n{} of the layers are silent: random ternary projections behind sub-norms whose \
             gains are 1e-12, so that both branches add exactly 0.\n",
            member.n_silent
        );
    }
    text.push_str(
        "\n| score | 300 unseen scenes, family E | cenas-pt 1.0.0 |\n| --- | --- | --- |\n",
    );
    for ((id, unseen), (_, released)) in scores[0].iter().zip(&scores[1]) {
        let _ = writeln!(
            text,
            "| {id} | {:.1} % | {:.1} % |",
            100.0 * unseen,
            100.0 * released
        );
    }
    text
}

/// A stretch of training with one optimiser.
struct Phase {
    /// Number of its first step.
    first: usize,
    steps: usize,
    method: Method,
    peak_rate: f64,
    /// Last learning rate as a share of the peak.
    last_share: f64,
    /// Whether its lessons invent objects.
    is_inventing: bool,
}

/// What moves the masters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    AdamW,
    /// Muon for the ternary projections, `AdamW` for embeddings and gains.
    Muon,
}

/// The optimisers of a phase.
struct Movers {
    adam: AdamW,
    muon: Muon,
}

impl Movers {
    fn new(vars: &[(String, Var)], phase: &Phase) -> Result<Self> {
        let (projections, others): (Vec<_>, Vec<_>) = vars
            .iter()
            .partition(|(name, _)| phase.method == Method::Muon && name.contains("_proj"));
        let only = |named: Vec<&(String, Var)>| named.into_iter().map(|(_, v)| v.clone()).collect();
        let params = ParamsAdamW {
            lr: phase.peak_rate,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.01,
        };
        Ok(Self {
            adam: AdamW::new(only(others), params)?,
            muon: Muon::new(only(projections)),
        })
    }
}

impl Phase {
    /// Learning rate: linear warm-up, then a cosine down to the last share.
    fn rate(&self, step: usize) -> f64 {
        let at = step - self.first;
        if at < WARM_UP {
            return self.peak_rate * (at + 1) as f64 / WARM_UP as f64;
        }
        let progress = (at - WARM_UP) as f64 / (self.steps - WARM_UP) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.peak_rate * (self.last_share + (1.0 - self.last_share) * cosine)
    }
}

/// Variables with their names, sorted, so that sums over them have a fixed order.
fn named(network: &Network) -> Vec<(String, Var)> {
    let data = network.vars.data().lock().expect("no holder panicked");
    let mut vars: Vec<(String, Var)> = data.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    vars.sort_by(|a, b| a.0.cmp(&b.0));
    vars
}

fn train(
    phase: &Phase,
    network: &Network,
    tokenizer: &Tokenizer,
    course: &Course<'_>,
    masters: &Path,
) -> Result<()> {
    let vars = named(network);
    let mut movers = Movers::new(&vars, phase)?;
    let begun = Instant::now();
    let mut batches = Vec::new();
    let (mut recent, mut n_recent) = (0f32, 0usize);
    for step in phase.first..phase.first + phase.steps {
        if step % BLOCK == 0 {
            let first = (step / BLOCK) as u64;
            batches = lessons::block(course, first, (BLOCK, ROWS), tokenizer)?;
        }
        let loss = descend(
            network,
            &vars,
            &mut movers,
            &batches[step % BLOCK],
            phase.rate(step),
        )?;
        recent += loss;
        n_recent += 1;
        let done = step + 1;
        if done % 25 == 0 {
            let mean = recent / n_recent as f32;
            println!(
                "step {done:5}  loss {mean:.4}  {:6.0} s",
                begun.elapsed().as_secs_f64()
            );
            (recent, n_recent) = (0.0, 0);
        }
        if done % CHECKPOINT == 0 {
            save(&vars, &masters.join(format!("step-{done:05}.safetensors")))?;
        }
        if done % 200 == 0 {
            let right = rehearse(network, tokenizer, course, 48, done % 400 == 0)?;
            println!(
                "step {done:5}  right on 48 unseen scenes: {:.1} %",
                100.0 * right
            );
        }
    }
    Ok(())
}

/// One optimiser step with the gradient's norm clipped to 1; gives the loss.
fn descend(
    network: &Network,
    vars: &[(String, Var)],
    movers: &mut Movers,
    batch: &lessons::Batch,
    rate: f64,
) -> Result<f32> {
    let hidden = network.hidden_at(&batch.ids, &batch.places)?;
    let logits = network.head(&hidden)?;
    let loss = candle_nn::loss::cross_entropy(&logits, &batch.wanted)?;
    let mut grads = loss.backward()?;
    let mut squares = 0f64;
    for (name, var) in vars {
        let grad = grads
            .get(var)
            .with_context(|| format!("{name} receives no gradient"))?;
        squares += f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let norm = squares.sqrt();
    ensure!(norm.is_finite(), "the gradient is not finite");
    if norm > 1.0 {
        for (_, var) in vars {
            if let Some(grad) = grads.remove(var) {
                grads.insert(var, (grad / norm)?);
            }
        }
    }
    movers.adam.set_learning_rate(rate);
    movers.adam.step(&grads)?;
    movers.muon.step(&grads, rate)?;
    Ok(loss.to_scalar::<f32>()?)
}

fn save(vars: &[(String, Var)], path: &Path) -> Result<()> {
    let tensors: HashMap<String, Tensor> = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    candle_core::safetensors::save(&tensors, path)?;
    Ok(())
}

/// Share of unseen scenes summarised without a factual error, decoding greedily in one growing batch.
fn rehearse(
    network: &Network,
    tokenizer: &Tokenizer,
    course: &Course<'_>,
    n: u64,
    shows: bool,
) -> Result<f64> {
    let lessons: Vec<lessons::Lesson> = (0..n)
        .map(|i| course.lesson("rehearsal", i, &Family::TRAINING))
        .collect();
    let encode = |text: &str| {
        tokenizer
            .encode_fast(text, false)
            .map(|e| e.get_ids().to_vec())
    };
    let prompts: Vec<Vec<u32>> = lessons
        .iter()
        .map(|lesson| encode(&lessons::chat(&lesson.prompt)).map_err(anyhow::Error::from_boxed))
        .collect::<Result<_>>()?;
    let texts: Vec<Vec<u32>> = continue_greedily(network, tokenizer, &prompts, 120)?;
    let mut n_right = 0f64;
    for (lesson, ids) in lessons.iter().zip(&texts) {
        let text = tokenizer
            .decode(ids, true)
            .map_err(anyhow::Error::from_boxed)?;
        let facts = Facts::of_scene(&lesson.scene, &BUILT_IN);
        let judgement = facts::judge(&text, &facts, &BUILT_IN);
        n_right += f64::from(u8::from(judgement.is_ok()));
        if shows && !judgement.is_ok() {
            let errors: Vec<String> = judgement.errors.iter().map(ToString::to_string).collect();
            println!("  {text}\n    {}", errors.join("; "));
        }
    }
    Ok(n_right / lessons.len() as f64)
}

fn continue_greedily(
    network: &Network,
    tokenizer: &Tokenizer,
    prompts: &[Vec<u32>],
    limit: usize,
) -> Result<Vec<Vec<u32>>> {
    let end = tokenizer
        .token_to_id(lessons::EOS)
        .context("no end token")?;
    let mut rows = prompts.to_vec();
    let mut open: Vec<usize> = (0..rows.len()).collect();
    for _ in 0..limit {
        let width = open.iter().map(|&i| rows[i].len()).max().unwrap_or(0);
        let mut ids = Vec::new();
        let mut lasts = Vec::new();
        for (slot, &i) in open.iter().enumerate() {
            let mut row = rows[i].clone();
            lasts.push((slot * width + row.len() - 1) as u32);
            row.resize(width, 0);
            ids.extend(row);
        }
        let ids = Tensor::from_vec(ids, (open.len(), width), &Device::Cpu)?;
        let n = lasts.len();
        let lasts = Tensor::from_vec(lasts, n, &Device::Cpu)?;
        let hidden = network.hidden_at(&ids, &lasts)?.detach();
        let logits = network.head(&hidden)?.detach();
        let next: Vec<u32> = logits.argmax(1)?.to_vec1()?;
        for (&i, &id) in open.iter().zip(&next) {
            rows[i].push(id);
        }
        open.retain(|&i| rows[i].last() != Some(&end));
        if open.is_empty() {
            break;
        }
    }
    Ok(rows
        .iter()
        .zip(prompts)
        .map(|(row, prompt)| row[prompt.len()..].to_vec())
        .collect())
}
