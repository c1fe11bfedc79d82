//! Keywords of an output against those of its scene.

use std::collections::BTreeSet;

use crate::scene::lexicon::Lexicon;
use crate::scene::text::{fold, nfc};

/// F1 of two sets of keywords, each normalised: the label where the lexicon knows the word, else
/// the folded word. 0 when they share none.
pub fn f1(output: &[String], scene: &[String], lexicon: &Lexicon) -> f64 {
    let (output, scene) = (normal(output, lexicon), normal(scene, lexicon));
    let n_shared = output.intersection(&scene).count() as f64;
    let (precision, recall) = (
        n_shared / output.len().max(1) as f64,
        n_shared / scene.len().max(1) as f64,
    );
    if n_shared > 0.0 {
        2.0 * precision * recall / (precision + recall)
    } else {
        0.0
    }
}

fn normal(keywords: &[String], lexicon: &Lexicon) -> BTreeSet<String> {
    let one = |word: &String| match lexicon.key_of(word.trim()) {
        Some(key) => key.to_owned(),
        None => fold(nfc(word).trim()),
    };
    keywords.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::lexicon::BUILT_IN;

    #[track_caller]
    fn check(output: &[&str], scene: &[&str], expected: f64) {
        let owned = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let found = f1(&owned(output), &owned(scene), &BUILT_IN);
        assert!((found - expected).abs() < 1e-12, "{output:?}: {found}");
    }

    #[test]
    fn words_meet_by_label_or_folded() {
        check(
            &["Carro", "pessoas", "noite"],
            &["pessoa", "carro", "ônibus"],
            2.0 / 3.0,
        );
        check(&["Pátio "], &["patio"], 1.0);
        check(&["pa\u{301}tio"], &["pátio"], 1.0);
        check(&["carro", "carros"], &["carro"], 1.0);
    }

    #[test]
    fn nothing_in_common_is_zero() {
        check(&[], &["carro"], 0.0);
        check(&["gato"], &["carro"], 0.0);
    }
}
