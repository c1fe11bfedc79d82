//! Thin wrapper over the `tokenizers` library.

use std::path::Path;

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
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|reason| Error::Tokenizer {
                path: path.to_owned(),
                reason: reason.to_string(),
            })?;
        // A prompt is never cut or filled up in silence, whatever the file asks for.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|reason| Error::Tokenizer {
                path: path.to_owned(),
                reason: reason.to_string(),
            })?;
        Ok(Self { inner })
    }

    /// A tokenizer built from its parts.
    pub(super) fn built(inner: tokenizers::Tokenizer) -> Self {
        Self { inner }
    }

    /// Token ids of a text.
    ///
    /// * `add_special`: whether the tokenizer's own beginning and end tokens are added
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, add_special).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of token ids, special tokens left out.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, true).map_err(failed)
    }

    /// One more than the highest token id, added tokens included; 0 for an empty vocabulary.
    pub fn id_limit(&self) -> u32 {
        self.inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id + 1)
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
