//! Writes the weights of a model in another container, nothing quantized again.
//!
//! In: the verified files of a model, and an empty directory. Out: files in that directory, read
//! back and found to hold the same codes, scale bits, floats, configuration and text. Tensors pass
//! through one at a time, so memory does not grow with the number of layers.

mod card;
mod check;
mod checkpoint;
mod error;
mod gguf_file;
mod sink;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

pub use card::{Label, model_card};
pub use error::Error;

use super::config::ModelConfig;
use super::gguf::{self, GgmlType};
use super::source::{Place, Source};
use super::{Family, Identity, LoadOptions};
use crate::artifact::{ModelFiles, digest_directory};
use crate::units::Bytes;
use check::Fingerprint;

/// A container that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A Hugging Face directory: four codes to a byte, direct scales.
    HfPacked,
    /// GGUF of bitnet.cpp: codes of the whole tensor, then its scale.
    GgufI2S,
    /// GGUF, five codes to a byte.
    GgufTq1_0,
    /// GGUF, four codes to a byte.
    GgufTq2_0,
    /// GGUF, two codes to a byte: what most programs read.
    GgufQ4_0,
}

impl Form {
    /// Every container that can be written.
    pub const ALL: [Self; 5] = [
        Self::HfPacked,
        Self::GgufI2S,
        Self::GgufTq1_0,
        Self::GgufTq2_0,
        Self::GgufQ4_0,
    ];

    /// Its name: that on the card of a model read from it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HfPacked => "hf-packed",
            Self::GgufI2S => "gguf-i2_s",
            Self::GgufTq1_0 => "gguf-tq1_0",
            Self::GgufTq2_0 => "gguf-tq2_0",
            Self::GgufQ4_0 => "gguf-q4_0",
        }
    }

    /// What a version label gains, without the underscores such labels cannot have: `q4-0`.
    pub fn version_suffix(self) -> String {
        let name = self.as_str();
        name.strip_prefix("gguf-").unwrap_or(name).replace('_', "-")
    }

    /// The type of its projections; `None` where they are no blocks.
    fn kind(self) -> Option<GgmlType> {
        match self {
            Self::HfPacked => None,
            Self::GgufI2S => Some(GgmlType::I2S),
            Self::GgufTq1_0 => Some(GgmlType::TQ1_0),
            Self::GgufTq2_0 => Some(GgmlType::TQ2_0),
            Self::GgufQ4_0 => Some(GgmlType::Q4_0),
        }
    }

    /// The first projection that cannot be stored so: its place, the values that should be whole
    /// blocks, and the values of a block.
    fn misfit(self, config: &ModelConfig) -> Option<(Place, usize, usize)> {
        let kind = self.kind()?;
        let block = gguf::block_values(kind).expect("the type is written");
        let values = |place: &Place| {
            let [n_out, n_in] = place.shape(config);
            // `I2_S` blocks run on from row to row.
            if kind == GgmlType::I2S {
                n_out * n_in
            } else {
                n_in
            }
        };
        let mut projections = Place::all(config)
            .into_iter()
            .filter(|place| matches!(place, Place::Projection(..)));
        let place = projections.find(|place| !values(place).is_multiple_of(block))?;
        Some((place, values(&place), block))
    }

    /// Every projection is whole blocks.
    fn check_fit(self, config: &ModelConfig) -> Result<(), Error> {
        let Some((place, values, block)) = self.misfit(config) else {
            return Ok(());
        };
        let fitting = Self::ALL
            .into_iter()
            .filter(|form| form.misfit(config).is_none());
        Err(Error::Fit {
            tensor: format!("{}.weight", place.in_gguf()),
            what: match self {
                Self::GgufI2S => "values in all",
                _ => "values in a row",
            },
            values,
            kind: self.kind().expect("packed codes fit any shape"),
            block,
            fitting: fitting.collect(),
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no container that is written")]
pub struct UnknownForm {
    /// The text given.
    pub found: String,
}

impl FromStr for Form {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Self, UnknownForm> {
        let mut all = Self::ALL.into_iter();
        all.find(|form| form.as_str() == text)
            .ok_or_else(|| UnknownForm {
                found: text.to_owned(),
            })
    }
}

/// What was written.
#[derive(Debug)]
pub struct Converted {
    /// The container read.
    pub from: &'static str,
    /// The container written.
    pub form: Form,
    /// Model family.
    pub family: Family,
    /// Hyper-parameters, as read back.
    pub config: ModelConfig,
    /// Identity of the ternary layers, equal in both containers.
    pub identity: Identity,
    /// Number of weights.
    pub n_parameters: usize,
    /// Number of tensors written, by type, scales included.
    pub tensors: BTreeMap<String, usize>,
    /// Bytes of the file of weights.
    pub weights_bytes: Bytes,
    /// The files written, digested.
    pub files: ModelFiles,
    /// What was odd about the source, and what other programs will not understand of the result.
    pub notes: Vec<String>,
}

/// Converts a model.
///
/// * `options`: how to read the source
/// * `directory`: empty; the files are written there
/// * `name`: label for the file, where the source has one
///
/// # Errors
/// [`Error::Source`] when the source cannot be read or is not ternary, [`Error::Fit`] before
/// anything is written, [`Error::Write`]; [`Error::Reread`] and [`Error::Differs`] when what was
/// written is not what was read, which is a bug.
pub fn convert(
    files: &ModelFiles,
    options: &LoadOptions,
    form: Form,
    directory: &Path,
    name: Option<&str>,
) -> Result<Converted, Error> {
    let mut source = Source::open(files, options).map_err(Error::Source)?;
    form.check_fit(&source.config)?;
    let mut notes = Vec::new();
    for (file, bytes) in text::files(&source, files, form)? {
        let path = directory.join(&file);
        std::fs::write(&path, bytes).map_err(|source| Error::Write { path, source })?;
    }
    let sink = if form.kind().is_some() {
        gguf_file::create(&mut source, files, form, directory, name, &mut notes)?
    } else {
        checkpoint::create(&mut source, directory)?
    };
    let fingerprint = Fingerprint::of(&mut source, Some(&sink)).map_err(Error::from)?;
    source.check_unread().map_err(Error::Source)?;
    let (tensors, weights_bytes) = (sink.types(), Bytes(sink.len()));
    drop(sink);

    let written = digest_directory(directory).map_err(Error::Digest)?;
    // The source's layout is not the result's, and masters are quantized by now.
    let reading = LoadOptions {
        stop_ids: options.stop_ids.clone(),
        ..LoadOptions::default()
    };
    let mut again = Source::open(&written, &reading).map_err(Error::Reread)?;
    check::same(&source, &again)?;
    let found = Fingerprint::of(&mut again, None).map_err(|error| match error {
        check::Failed::Read(error) => Error::Reread(error),
        check::Failed::Write(error) => error,
    })?;
    again.check_unread().map_err(Error::Reread)?;
    fingerprint.check_equal(&found)?;

    notes.splice(..0, source.warnings());
    let shapes = Place::all(&again.config)
        .into_iter()
        .map(|place| place.shape(&again.config));
    Ok(Converted {
        from: source.container(),
        form,
        family: again.config.family,
        identity: fingerprint.identity(),
        n_parameters: shapes.map(|[rows, width]| rows * width).sum(),
        tensors,
        weights_bytes,
        files: written,
        notes,
        config: again.config,
    })
}

#[cfg(test)]
mod tests;
