//! Training text: prompts and targets drawn on the fly, tokenised and packed into batches.

use candle_core::{Device, Result, Tensor};
use tokenizers::Tokenizer;
use vv_eval::scene::generate::{self, Dice};
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::phrasing::{self, Family};
use vv_eval::scene::prompt::Template;
use vv_eval::scene::{Analytic, Facts};

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
    pub(crate) analytic: Analytic,
    pub(crate) prompt: String,
    pub(crate) target: String,
}

/// Lesson `index` of the stream `purpose`.
pub(crate) fn lesson(seed: u64, purpose: &str, index: u64, template: &Template) -> Lesson {
    let analytic = generate::analytic(seed, purpose, index);
    let facts = Facts::of(&analytic, &BUILT_IN);
    let mut dice = Dice::new(seed, &format!("{purpose}-text"), index);
    let family = *dice.pick(&Family::TRAINING);
    let target = phrasing::tell(&facts, &BUILT_IN, family, &mut dice);
    Lesson {
        prompt: template.render(&analytic),
        target,
        analytic,
    }
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
    seed: u64,
    first: u64,
    size: (usize, usize),
    template: &Template,
    tokenizer: &Tokenizer,
) -> Result<Vec<Batch>> {
    let (n_batches, n_rows) = size;
    let total = (n_batches * n_rows) as u64;
    let mut rows: Vec<Row> = (first * total..(first + 1) * total)
        .map(|index| row(&lesson(seed, "train", index, template), tokenizer))
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
    let mut dice = Dice::new(seed, "block", first);
    for i in (1..batches.len()).rev() {
        let j = dice.below(u32::try_from(i + 1).expect("blocks are small")) as usize;
        batches.swap(i, j);
    }
    Ok(batches)
}
