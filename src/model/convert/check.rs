//! What is written is what was read: the values that pass by, digested, and everything around
//! them.

use std::collections::BTreeMap;

use super::Error;
use super::sink::Sink;
use crate::model::source::{Place, Source};
use crate::model::{Error as ReadError, Identity, ModelConfig, Tokenizer};
use crate::units::{Hasher, Sha256};

/// Texts that meet digits, accents, spaces and signs outside every vocabulary.
const SAMPLES: [&str; 4] = [
    "O portão principal ficou aberto das 06:41 às 23h; 3 pessoas, 1.250 kg.",
    "  Não há movimento.\n\n\tCâmera nº 12 — área «B»  ",
    "caminhão+moto=2 🚚🏍️ ÀÉÎÕÜ ﬁm",
    "<|eot_id|> [PAD3] </s>",
];

/// Digests of every value of a model.
#[derive(Debug)]
pub(super) struct Fingerprint {
    matrices: Vec<(String, Sha256, f32)>,
    floats: BTreeMap<Place, Sha256>,
}

/// Why a walk over a model ended early.
pub(super) enum Failed {
    Read(ReadError),
    Write(Error),
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Failed> for Error {
    /// As it is while the source is read.
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Read(error) => Self::Source(error),
            Failed::Write(error) => error,
        }
    }
}

impl Fingerprint {
    /// Reads every tensor once, digests it, and writes it where a sink is given.
    ///
    /// # Errors
    /// [`Failed`], by what failed.
    pub(super) fn of(source: &mut Source, sink: Option<&Sink>) -> Result<Self, Failed> {
        let mut found = Self {
            matrices: Vec::new(),
            floats: BTreeMap::new(),
        };
        for place in Place::all(&source.config) {
            match place {
                Place::Projection(..) => {
                    let matrix = source.projection(place)?;
                    if let Some(sink) = sink {
                        sink.put_matrix(place, &matrix, &source.config)
                            .map_err(Failed::Write)?;
                    }
                    let name = format!("{}.weight", place.in_checkpoint());
                    found
                        .matrices
                        .push((name, matrix.codes_digest(), matrix.scale()));
                }
                Place::FinalNorm | Place::Norm(..) => {
                    let gains = source.gains(place)?;
                    let bytes = little_endian(&gains);
                    if let Some(sink) = sink {
                        sink.put_rows(place, 0, &bytes).map_err(Failed::Write)?;
                    }
                    found.floats.insert(place, Sha256::of(&bytes));
                }
                Place::Embedding | Place::Head => {
                    let digest = table(source, place, sink)?;
                    found.floats.insert(place, digest);
                }
            }
        }
        Ok(found)
    }

    /// Identity of the ternary layers.
    pub(super) fn identity(&self) -> Identity {
        Identity::of(self.matrices.clone())
    }

    /// The same codes, scale bits and floats everywhere.
    ///
    /// # Errors
    /// [`Error::Differs`] with the first difference.
    pub(super) fn check_equal(&self, other: &Self) -> Result<(), Error> {
        for ((name, codes, scale), (_, other_codes, other_scale)) in
            self.matrices.iter().zip(&other.matrices)
        {
            if codes != other_codes {
                return Err(differs(format!("the codes of `{name}`")));
            }
            if scale.to_bits() != other_scale.to_bits() {
                return Err(differs(format!(
                    "the scale of `{name}`, {scale} and {other_scale}"
                )));
            }
        }
        let odd = self
            .floats
            .iter()
            .find(|(place, digest)| other.floats.get(place) != Some(digest));
        if let Some((place, _)) = odd {
            let name = place.in_checkpoint();
            return Err(differs(format!("the values of `{name}.weight`")));
        }
        if self.identity() == other.identity() && self.floats.len() == other.floats.len() {
            return Ok(());
        }
        Err(differs("the number of tensors".to_owned()))
    }
}

/// Digests a table row by row, and writes it in pieces where a sink is given.
fn table(source: &mut Source, place: Place, sink: Option<&Sink>) -> Result<Sha256, Failed> {
    /// Bytes written at a time.
    const PIECE_BYTES: usize = 1 << 20;
    let kind = source.table_kind(place)?;
    let mut hasher = Hasher::default();
    let mut piece = Vec::new();
    let mut done = 0;
    let mut flush = |piece: &mut Vec<u8>| {
        if let Some(sink) = sink {
            sink.put_rows(place, done, piece).map_err(Failed::Write)?;
        }
        done += piece.len() as u64;
        piece.clear();
        Ok::<(), Failed>(())
    };
    source.rows(place, kind, |stored, values| {
        let floats = little_endian(values);
        hasher.update(&floats);
        if let Some(sink) = sink {
            piece.extend_from_slice(if sink.keeps(kind) { stored } else { &floats });
        }
        if piece.len() >= PIECE_BYTES {
            flush(&mut piece)?;
        }
        Ok::<(), Failed>(())
    })?;
    flush(&mut piece)?;
    Ok(hasher.finish())
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn differs(what: String) -> Error {
    Error::Differs { what }
}

/// Configuration, tokenizer, template and ends are the same.
///
/// # Errors
/// [`Error::Differs`].
pub(super) fn same(source: &Source, again: &Source) -> Result<(), Error> {
    let mut expected = source.config.clone();
    // How scales are stored is the container's business.
    expected.quantization = again.config.quantization;
    let check = |is_same: bool, what: &str| {
        if is_same {
            Ok(())
        } else {
            Err(differs(what.to_owned()))
        }
    };
    // Ends for which a container has no key stand in another file; together they are the same.
    let without_ends = |config: &ModelConfig| ModelConfig {
        eos_ids: Vec::new(),
        ..config.clone()
    };
    check(
        without_ends(&expected) == without_ends(&again.config),
        "its configuration",
    )?;
    let first_end = |source: &Source| source.config.eos_ids.first().copied();
    let is_same_end = first_end(source) == first_end(again);
    check(
        is_same_end && source.stop_ids == again.stop_ids,
        "its end tokens",
    )?;
    check(source.padding_id == again.padding_id, "its padding token")?;
    check(source.codec.bos == again.codec.bos, "its first token")?;
    let text = |source: &Source| source.codec.template.clone().map(|t| t.source().to_owned());
    check(text(source) == text(again), "its chat template")?;
    match (&source.codec.tokenizer, &again.codec.tokenizer) {
        (None, None) => Ok(()),
        (Some(a), Some(b)) => same_tokenizer(a, b),
        _ => check(false, "its tokenizer"),
    }?;
    for sample in SAMPLES {
        let prompt = |source: &Source| source.codec.encode_prompt(sample).ok();
        check(prompt(source) == prompt(again), "the ids of a prompt")?;
    }
    Ok(())
}

/// The same spelling of every id, and the same ids of the sample texts.
fn same_tokenizer(a: &Tokenizer, b: &Tokenizer) -> Result<(), Error> {
    let limit = a.id_limit().min(b.id_limit());
    let odd = (0..limit).find(|id| a.token(*id) != b.token(*id));
    if let Some(id) = odd {
        return Err(differs(format!("token {id}")));
    }
    for sample in SAMPLES {
        let ids = |tokenizer: &Tokenizer| tokenizer.encode(sample, true).ok();
        if ids(a) != ids(b) {
            return Err(differs("the ids of a text".to_owned()));
        }
    }
    Ok(())
}
