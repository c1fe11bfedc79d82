//! A ternary GGUF read tensor by tensor, for whoever never needs all of it at once.

use super::keys;
use super::kind::GgmlType;
use super::load::{self, Loader, PROJECTIONS, Ternary};
use super::reader::Gguf;
use crate::model::config::ModelConfig;
use crate::model::gguf::keys::Architecture;
use crate::model::{Error, I2sLayout, LoadOptions, TernaryMatrix};

/// An opened ternary model; keys and names checked, no tensor read yet.
pub(in crate::model) struct Streamed {
    pub(in crate::model) gguf: Gguf,
    layout: I2sLayout,
    is_permuted: bool,
}

impl Streamed {
    /// Checks keys and names, and gives the configuration with what is odd about it.
    ///
    /// # Errors
    /// As [`load`](super::load), those about values of tensors apart.
    pub(in crate::model) fn open(
        gguf: Gguf,
        Ternary(architecture): Ternary,
        options: &LoadOptions,
    ) -> Result<(Self, ModelConfig, Vec<String>), Error> {
        let keys::Read {
            config, warnings, ..
        } = keys::config(&gguf, architecture)?;
        let streamed = Self {
            gguf,
            layout: options.i2s_layout,
            is_permuted: architecture == Architecture::Llama,
        };
        streamed.loader(&config).check_names()?;
        Ok((streamed, config, warnings))
    }

    fn loader<'a>(&'a self, config: &'a ModelConfig) -> Loader<'a> {
        Loader {
            gguf: &self.gguf,
            config,
            layout: self.layout,
            is_permuted: self.is_permuted,
            witnessed: Vec::new(),
        }
    }

    /// Name of the container, as on the card.
    pub(in crate::model) fn container(&self, config: &ModelConfig) -> &'static str {
        load::container(&self.loader(config).projection_kinds(), self.layout)
    }

    /// One projection of a layer, with what is odd about it.
    ///
    /// # Errors
    /// Every variant of [`Error`] about tensors.
    pub(in crate::model) fn projection(
        &self,
        config: &ModelConfig,
        layer: usize,
        index: usize,
    ) -> Result<(TernaryMatrix, Vec<String>), Error> {
        self.loader(config)
            .projection(layer * PROJECTIONS.len() + index)
    }

    /// Gains of a norm; its name is that of the tensor without `.weight`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Dtype`], [`Error::NotFinite`], [`Error::AllZero`],
    /// [`Error::Io`].
    pub(in crate::model) fn gains(
        &self,
        config: &ModelConfig,
        name: &str,
        width: usize,
    ) -> Result<Vec<f32>, Error> {
        self.loader(config).gains(name, width)
    }

    /// Type of a table that can be decoded.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Dtype`].
    pub(in crate::model) fn table(
        &self,
        config: &ModelConfig,
        tensor: &str,
    ) -> Result<GgmlType, Error> {
        let loader = self.loader(config);
        loader.table_info(tensor).map(|info| info.kind)
    }
}
