//! Thin wrapper over the `tokenizers` library.
//!
//! The library panics on some malformed files and on some sound ones once they meet a text
//! (`docs/fuzzing.md`). A panic would end the process as a bug of this program, so the boundary
//! turns it into an error about the file.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::de::IgnoredAny;

use super::Error;

/// Text to token ids and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// * `path`: for messages only
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let inner = contained(|| {
            // The library panics where the JSON is broken inside some of its parts.
            serde_json::from_slice::<IgnoredAny>(bytes)?;
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
            // A prompt is never cut or filled up in silence, whatever the file asks for.
            inner.with_padding(None);
            inner.with_truncation(None)?;
            Ok(inner)
        });
        inner
            .map(|inner| Self { inner })
            .map_err(|reason| Error::Tokenizer {
                path: path.to_owned(),
                reason: reason.to_string(),
            })
    }

    /// A tokenizer built from its parts.
    ///
    /// # Errors
    /// The library's, its panics among them.
    pub(super) fn built(
        build: impl FnOnce() -> tokenizers::Result<tokenizers::Tokenizer>,
    ) -> tokenizers::Result<Self> {
        contained(build).map(|inner| Self { inner })
    }

    /// Token ids of a text.
    ///
    /// * `add_special`: whether the tokenizer's own beginning and end tokens are added
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, Error> {
        let encoding = contained(|| self.inner.encode_fast(text, add_special));
        Ok(encoding.map_err(failed)?.get_ids().to_vec())
    }

    /// Text of token ids, special tokens left out.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        contained(|| self.inner.decode(ids, true)).map_err(failed)
    }

    /// One more than the highest token id, added tokens included; 0 for an empty vocabulary.
    ///
    /// The highest number itself stays as it is: no table has so many rows.
    pub fn id_limit(&self) -> u32 {
        self.inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id.saturating_add(1))
    }

    /// The tokenizer as a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Encode`] with the library's words.
    pub(super) fn to_json(&self) -> Result<String, Error> {
        contained(|| self.inner.to_string(true)).map_err(failed)
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Id of a token in its exact spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Spelling of a token.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` calls")]
fn failed(reason: tokenizers::Error) -> Error {
    Error::Encode {
        reason: reason.to_string(),
    }
}

/// Runs code of the library; a panic in it becomes an error.
fn contained<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let words = words(payload.as_ref());
        Err(format!("the tokenizer library panicked: {words}").into())
    })
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Tokenizer, Error> {
        Tokenizer::parse(Path::new("tokenizer.json"), json.as_bytes())
    }

    #[track_caller]
    fn check_refused(json: &str, words: &str) {
        let error = parse(json).err().expect("the file is refused");
        let text = error.to_string();
        assert!(text.contains(words), "`{text}` lacks `{words}`");
    }

    #[test]
    fn json_broken_inside_a_decoder_is_an_error() {
        check_refused(
            r#"{"version":"1.0","decoder":{"type":"Fuse"]}"#,
            "expected `,` or `}`",
        );
    }

    /// A vocabulary of one word with a part of the file besides.
    fn with(part: &str) -> String {
        format!(
            r#"{{"version":"1.0",{part},"model":{{"type":"WordLevel","vocab":{{"a":0}},"unk_token":"a"}}}}"#
        )
    }

    #[test]
    fn half_a_surrogate_in_a_decoder_is_an_error() {
        check_refused(
            &with(r#""decoder":{"type":"Strip","content":"\ud800","start":0,"stop":0}"#),
            "the tokenizer library panicked",
        );
    }

    #[test]
    fn a_template_with_a_token_it_does_not_define_is_an_error() {
        let a = r#"{"Sequence":{"id":"A","type_id":0}}"#;
        let json = with(&format!(
            r#""post_processor":{{"type":"TemplateProcessing","single":[{{"SpecialToken":{{"id":"<s>","type_id":0}}}},{a}],"pair":[{a}],"special_tokens":{{}}}}"#
        ));
        let tokenizer = parse(&json).expect("a tokenizer");
        assert_eq!(tokenizer.encode("a", false).expect("ids"), [0]);
        let error = tokenizer.encode("a", true).expect_err("no such token");
        assert!(matches!(error, Error::Encode { .. }), "{error}");
    }

    #[test]
    fn stripping_more_than_a_token_has_is_an_error() {
        let json = with(r#""decoder":{"type":"Strip","content":"a","start":0,"stop":2}"#);
        let error = parse(&json).expect("a tokenizer").decode(&[0]);
        assert!(matches!(error, Err(Error::Encode { .. })), "{error:?}");
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let ended = contained::<()>(|| panic!("planted"));
        let text = ended.expect_err("a panic is no success").to_string();
        assert_eq!(text, "the tokenizer library panicked: planted");
    }

    #[test]
    fn the_highest_id_there_is_exceeds_every_table() {
        let json = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"a":4294967295},"unk_token":"a"}}"#;
        assert_eq!(parse(json).expect("a tokenizer").id_limit(), u32::MAX);
    }
}
