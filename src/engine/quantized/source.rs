//! The weights of a plain model as candle wants to be given them.
//!
//! candle's own reader of containers is not used: ours has checked the files, knows the parts of
//! split ones, and refuses types by name. What candle gets is a table of contents built from that
//! check, and a stream in which the tensors stand one after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Seek, SeekFrom};

use candle_core::Shape;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value, VersionedMagic};

use crate::model::gguf::{GgmlType, Gguf};
use crate::model::{Error, ModelConfig};

/// One tensor after the other, read from the files on demand.
pub(super) struct Source<'a> {
    gguf: &'a Gguf,
    /// Name by first byte.
    places: BTreeMap<u64, &'a str>,
    at: u64,
    end: u64,
    /// Tensors read to their end.
    used: BTreeSet<&'a str>,
    /// The first trouble with the files, which candle may have swallowed.
    trouble: Option<Error>,
}

impl<'a> Source<'a> {
    pub(super) fn new(gguf: &'a Gguf) -> Self {
        let (mut places, mut end) = (BTreeMap::new(), 0);
        for (name, info) in &gguf.tensors {
            places.insert(end, name.as_str());
            end += info.bytes;
        }
        Self {
            gguf,
            places,
            at: 0,
            end,
            used: BTreeSet::new(),
            trouble: None,
        }
    }

    /// What candle is told of a model: the keys it looks up, and where the tensors stand here.
    pub(super) fn content(&self, config: &ModelConfig) -> Content {
        let tensors = self.places.iter().map(|(place, name)| {
            let info = &self.gguf.tensors[*name];
            let info = TensorInfo {
                ggml_dtype: dtype(info.kind),
                shape: Shape::from(info.shape()),
                offset: *place,
            };
            ((*name).to_owned(), info)
        });
        Content {
            magic: VersionedMagic::GgufV3,
            metadata: metadata(config),
            tensor_infos: tensors.collect(),
            tensor_data_offset: 0,
        }
    }

    /// How reading went.
    ///
    /// # Errors
    /// The first trouble with the files.
    pub(super) fn into_unused(self) -> Result<Option<&'a str>, Error> {
        if let Some(error) = self.trouble {
            return Err(error);
        }
        let mut names = self.places.into_values();
        Ok(names.find(|name| !self.used.contains(name)))
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end {
            return Ok(0);
        }
        let before = self.places.range(..=self.at).next_back();
        let (&start, &name) = before.expect("the first tensor begins at 0");
        let within = self.at - start;
        let left = self.gguf.tensors[name].bytes - within;
        let n = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Err(error) = self.gguf.read(name, within, &mut out[..n]) {
            let told = io::Error::other(error.to_string());
            self.trouble.get_or_insert(error);
            return Err(told);
        }
        if n as u64 == left {
            self.used.insert(name);
        }
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The keys candle looks up, all of them from the checked configuration.
fn metadata(config: &ModelConfig) -> HashMap<String, Value> {
    let count = |n: usize| Value::U32(u32::try_from(n).expect("sizes are below 2^31"));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "files hold it in f32, and candle reads no other type"
    )]
    let theta = Value::F32(config.rope_theta as f32);
    let arch = config.family.to_string();
    let own = [
        ("attention.head_count", count(config.n_heads)),
        ("attention.head_count_kv", count(config.n_kv_heads)),
        ("attention.key_length", count(config.head_dim)),
        ("block_count", count(config.n_layers)),
        ("embedding_length", count(config.hidden_size)),
        ("context_length", count(config.max_positions)),
        ("rope.dimension_count", count(config.head_dim)),
        ("rope.freq_base", theta),
        (
            "attention.layer_norm_rms_epsilon",
            Value::F32(config.rms_norm_eps),
        ),
    ];
    let own = own
        .into_iter()
        .map(|(key, value)| (format!("{arch}.{key}"), value));
    let general = [
        (
            "general.architecture".to_owned(),
            Value::String(arch.clone()),
        ),
        // F32: candle's rotary table of qwen3 is in half precision otherwise.
        ("general.dtype".to_owned(), Value::U32(0)),
    ];
    own.chain(general).collect()
}

/// candle's name of a type.
///
/// # Panics
/// For types that the checks at load refuse.
fn dtype(kind: GgmlType) -> GgmlDType {
    match kind {
        GgmlType::F32 => GgmlDType::F32,
        GgmlType::F16 => GgmlDType::F16,
        GgmlType::BF16 => GgmlDType::BF16,
        GgmlType::Q4_0 => GgmlDType::Q4_0,
        GgmlType::Q4_1 => GgmlDType::Q4_1,
        GgmlType::Q5_0 => GgmlDType::Q5_0,
        GgmlType::Q5_1 => GgmlDType::Q5_1,
        GgmlType::Q8_0 => GgmlDType::Q8_0,
        GgmlType::Q2K => GgmlDType::Q2K,
        GgmlType::Q3K => GgmlDType::Q3K,
        GgmlType::Q4K => GgmlDType::Q4K,
        GgmlType::Q5K => GgmlDType::Q5K,
        GgmlType::Q6K => GgmlDType::Q6K,
        other => panic!("{other} is refused at load"),
    }
}
