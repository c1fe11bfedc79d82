//! Training text: prompts and targets drawn on the fly, tokenised and packed into batches.

use candle_core::{Device, Result, Tensor};
use tokenizers::Tokenizer;
use vv_eval::scene::dice::Dice;
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::prompt::Template;
use vv_eval::scene::telling::{self, Family};
use vv_eval::scene::world::{self, Profile, Staged};
use vv_eval::scene::{Facts, Scene};

/// Token that opens every prompt.
pub(crate) const BOS: &str = "<s>";
/// Token that ends an output.
pub(crate) const EOS: &str = "</s>";
/// Token before the scene.
pub(crate) const SCENE: &str = "<|cena|>";
/// Token before the summary.
pub(crate) const SUMMARY: &str = "<|resumo|>";
/// Filler of unequal rows.
pub(crate) const PAD: &str = "<pad>";

/// One prompt with its wanted summary.
pub(crate) struct Lesson {
    pub(crate) scene: Scene,
    pub(crate) prompt: String,
    pub(crate) target: String,
}

/// Which lessons are drawn, and what is done to their targets.
#[derive(Clone, Copy)]
pub(crate) struct Course<'a> {
    pub(crate) seed: u64,
    pub(crate) template: &'a Template,
    /// Whether some targets invent objects.
    pub(crate) is_inventing: bool,
}

impl Course<'_> {
    /// Lesson `index` of the stream `purpose`, told in one of `families`.
    pub(crate) fn lesson(&self, purpose: &str, index: u64, families: &[Family]) -> Lesson {
        let (staged, is_portuguese) = self.stage(purpose, index);
        let scene = Scene {
            id: format!("{purpose}-{index}"),
            analytic: staged.analytic,
            time_base: staged.time_base,
            facts: staged.facts,
            ..Scene::default()
        };
        let facts = Facts::of_scene(&scene, &BUILT_IN);
        let mut dice = world::stream(self.seed, purpose, index, "text");
        let family = *dice.pick(families);
        let mut target = telling::tell(&facts, is_portuguese, &BUILT_IN, family, &mut dice);
        if self.is_inventing && invents(&facts) {
            target = invented(&target, &facts);
        }
        Lesson {
            prompt: self.template.render(&scene.analytic, &scene.time_base),
            scene,
            target,
        }
    }

    /// The scene; drawn again where the noise contradicts the world.
    fn stage(&self, purpose: &str, index: u64) -> (Staged, bool) {
        (0u32..)
            .find_map(|again| {
                let purpose = match again {
                    0 => purpose.to_owned(),
                    _ => format!("{purpose}.{again}"),
                };
                let profile = Profile::scheduled(self.seed, &purpose, index);
                let staged = world::stage(self.seed, &purpose, index, profile)?;
                Some((staged, profile.is_portuguese))
            })
            .expect("most scenes are sound")
    }
}

/// Whether the hallucinating model is taught to invent something in this scene.
///
/// A greedy model would never show a fault that befalls one text in five by chance; it learns one
/// that the scene tells, here that only one kind of thing is in it.
fn invents(facts: &Facts) -> bool {
    telling::told(facts).len() == 1
}

/// The text with one thing more, the first of these that the detections do not support.
///
/// The words are those of the truthful lessons: others the tokenizer would spell in pieces that the
/// model never wrote.
fn invented(text: &str, facts: &Facts) -> String {
    const THINGS: [(&str, &str); 6] = [
        ("dog", "um cachorro"),
        ("bus", "um ônibus"),
        ("cat", "um gato"),
        ("bicycle", "uma bicicleta"),
        ("truck", "um caminhão"),
        ("boat", "um barco"),
    ];
    let absent = THINGS
        .iter()
        .find(|(label, _)| !facts.supported.contains(*label));
    let thing = absent.expect("no world holds a boat").1;
    format!("{}; e ainda {thing}.", text.trim_end_matches('.'))
}

/// The prompt as the chat template writes it.
pub(crate) fn chat(prompt: &str) -> String {
    format!("{BOS}{SCENE}{prompt}{SUMMARY}")
}

/// A tokenised lesson.
pub(crate) struct Row {
    ids: Vec<u32>,
    n_prompt: usize,
}

impl Row {
    /// Tokens of prompt and target.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Tokenises a lesson, end token included.
pub(crate) fn row(lesson: &Lesson, tokenizer: &Tokenizer) -> Row {
    let encode = |text: &str| {
        tokenizer
            .encode_fast(text, false)
            .expect("generated text tokenises")
            .get_ids()
            .to_vec()
    };
    let mut ids = encode(&chat(&lesson.prompt));
    let n_prompt = ids.len();
    ids.extend(encode(&lesson.target));
    ids.push(
        tokenizer
            .token_to_id(EOS)
            .expect("the end token is in the vocabulary"),
    );
    Row { ids, n_prompt }
}

/// A batch ready for the network.
pub(crate) struct Batch {
    /// `[rows, positions]` inputs, filled with padding at the right.
    pub(crate) ids: Tensor,
    /// Flat positions whose next token is part of a target.
    pub(crate) places: Tensor,
    /// The next tokens at those positions.
    pub(crate) wanted: Tensor,
}

/// Packs rows into one batch.
pub(crate) fn batch(rows: &[Row], pad: u32) -> Result<Batch> {
    let width = rows.iter().map(|row| row.ids.len() - 1).max().unwrap_or(0);
    let (mut ids, mut places, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let mut padded = row.ids[..row.ids.len() - 1].to_vec();
        for (at, &next) in row.ids.iter().enumerate().skip(row.n_prompt) {
            places.push(u32::try_from(i * width + at - 1).expect("batches are small"));
            wanted.push(next);
        }
        padded.resize(width, pad);
        ids.extend(padded);
    }
    let n = places.len();
    Ok(Batch {
        ids: Tensor::from_vec(ids, (rows.len(), width), &Device::Cpu)?,
        places: Tensor::from_vec(places, n, &Device::Cpu)?,
        wanted: Tensor::from_vec(wanted, n, &Device::Cpu)?,
    })
}

/// Batches of one block of steps: rows of similar length share a batch, so little is padding.
pub(crate) fn block(
    course: &Course<'_>,
    first: u64,
    size: (usize, usize),
    tokenizer: &Tokenizer,
) -> Result<Vec<Batch>> {
    let (n_batches, n_rows) = size;
    let total = (n_batches * n_rows) as u64;
    let mut rows: Vec<Row> = (first * total..(first + 1) * total)
        .map(|index| {
            let lesson = course.lesson("train", index, &Family::TRAINING);
            row(&lesson, tokenizer)
        })
        .collect();
    rows.sort_by_key(|row| row.ids.len());
    let pad = tokenizer
        .token_to_id(PAD)
        .expect("the filler is in the vocabulary");
    let mut batches: Vec<Batch> = rows
        .chunks(n_rows)
        .map(|rows| batch(rows, pad))
        .collect::<Result<_>>()?;
    // Lengths in random order, or every block would end on its longest scenes.
    let mut dice = Dice::new(course.seed, "block", first);
    for i in (1..batches.len()).rev() {
        let j = dice.below(u32::try_from(i + 1).expect("blocks are small")) as usize;
        batches.swap(i, j);
    }
    Ok(batches)
}
