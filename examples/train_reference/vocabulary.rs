//! The byte-level BPE tokenizer of the reference models.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, Tokenizer,
    TokenizerBuilder,
};
use vv_eval::scene::telling::Family;

use super::lessons::{BOS, Course, EOS, PAD, SCENE, SUMMARY};

/// Trains the tokenizer on `n` lessons.
///
/// Digits are split singly, so that times and counts are spelled from ten tokens.
pub(crate) fn train(course: &Course<'_>, n: u64, size: usize) -> tokenizers::Result<Tokenizer> {
    let pre_tokenizer = Sequence::new(vec![
        PreTokenizerWrapper::Digits(Digits::new(true)),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ]);
    let mut tokenizer = TokenizerBuilder::<_, _, _, PostProcessorWrapper, _>::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NormalizerWrapper::from(NFC)))
        .with_pre_tokenizer(Some(PreTokenizerWrapper::from(pre_tokenizer)))
        .with_post_processor(None)
        .with_decoder(Some(DecoderWrapper::from(ByteLevel::new(
            false, true, true,
        ))))
        .build()?;
    let special = |text: &str| AddedToken::from(text, true);
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens([PAD, BOS, EOS, SCENE, SUMMARY].map(special).to_vec())
        .build();
    let texts = (0..n).flat_map(|index| {
        let lesson = course.lesson("vocabulary", index, &Family::TRAINING);
        [lesson.prompt, lesson.target]
    });
    tokenizer.train(&mut trainer, texts)?;
    let json = tokenizer.to_string(true)?;
    let mut tokenizer: Tokenizer = json.parse()?;
    let _: &ModelWrapper = tokenizer.get_model();
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
