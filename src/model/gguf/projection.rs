//! One ternary projection of a GGUF, from whichever type holds it.

use super::codes::{self, Codes, NotTernary};
use super::definition;
use super::keys;
use super::load::{Loader, PROJECTIONS, bytes_of, shape_of};
use super::reader::TensorInfo;
use crate::model::checks;
use crate::model::config::Quantization;
use crate::model::ternary::absmean_reciprocal;
use crate::model::witness::{self, Witness};
use crate::model::{Error, TernaryMatrix};

/// A projection to read.
struct Place {
    /// Name of its weights.
    tensor: String,
    /// Rows and columns, as in other formats.
    shape: [usize; 2],
    is_permuted: bool,
    is_witnessed: bool,
}

impl Loader<'_> {
    /// The projection of a number, counted through all layers, with what is odd about it.
    ///
    /// # Errors
    /// Every variant of [`Error`] about tensors.
    pub(super) fn projection(&self, number: usize) -> Result<(TernaryMatrix, Vec<String>), Error> {
        let (n, index) = (number / PROJECTIONS.len(), number % PROJECTIONS.len());
        let part = PROJECTIONS[index];
        let place = Place {
            tensor: format!("blk.{n}.{part}.weight"),
            shape: shape_of(self.config, part),
            is_permuted: self.is_permuted && matches!(part, "attn_q" | "attn_k"),
            is_witnessed: self.witnessed.contains(&number),
        };
        let tensor = place.tensor.as_str();
        let info = self.info(tensor, &place.shape)?;
        let scale_name = format!("blk.{n}.{part}.scale");
        let factor = self.factor(&scale_name)?;
        let mut warnings = Vec::new();
        let is_float = keys::is_float(info.kind);
        let matrix = if self.config.quantization == Quantization::Online {
            if !is_float {
                return Err(Error::Dtype {
                    tensor: place.tensor,
                    expected: "F32, F16 or BF16: quantization_mode `online` announces masters"
                        .to_owned(),
                    found: info.kind.to_string(),
                });
            }
            if self.gguf.tensors.contains_key(&scale_name) {
                return Err(Error::Unsupported {
                    path: self.gguf.path().to_owned(),
                    what: format!(
                        "tensor `{scale_name}` beside masters (quantization_mode `online`)"
                    ),
                });
            }
            self.float_matrix(&place)?
        } else if is_float {
            let matrix = self.float_matrix(&place)?;
            let scale = matrix.scale() * factor;
            matrix.with_scale(tensor, scale)?
        } else if codes::may_be_ternary(info.kind) {
            let (codes, witness) = self.codes(&place, info)?;
            if codes.is_rounded {
                warnings.push(format!(
                    "{tensor}: 4-bit blocks hold -7/8 of a weight where its opposite is 1; read as ternary"
                ));
            }
            let scale = codes.scale * factor;
            let mut rows = codes::padded_rows(codes.bytes, place.shape);
            if place.is_permuted {
                rows = codes::unpermuted(&rows, place.shape[0], self.config.head_dim);
            }
            TernaryMatrix::new(tensor, place.shape, rows, scale)?.with_witness(witness)
        } else {
            return Err(Error::Dtype {
                tensor: place.tensor,
                expected: "a ternary type, or ternary weights in Q4_0 or a float type: the architecture is BitNet".to_owned(),
                found: info.kind.to_string(),
            });
        };
        warnings.extend(checks::oddities(tensor, &matrix));
        Ok((matrix, warnings))
    }

    /// Weights that are stored as floats: masters, or ternary already.
    fn float_matrix(&self, place: &Place) -> Result<TernaryMatrix, Error> {
        let (tensor, shape) = (place.tensor.as_str(), place.shape);
        let stored = self.values(tensor, &shape)?;
        let unpermuted = place
            .is_permuted
            .then(|| codes::unpermuted(&stored, shape[0], self.config.head_dim));
        let values = unpermuted.as_deref().unwrap_or(&stored);
        if self.config.quantization == Quantization::Online {
            let matrix = TernaryMatrix::from_masters(tensor, shape, values)?;
            let reciprocal = place.is_witnessed.then(|| absmean_reciprocal(values));
            let rounded = |w: f32| (w * reciprocal.unwrap_or(1.0)).round_ties_even();
            let signs = |row, out: &mut [i8]| witness::float_row(&stored, rounded, row, out);
            return Ok(matrix.with_witness(self.witness(place, signs)));
        }
        let matrix = TernaryMatrix::from_ternary_floats(tensor, shape, values, None)?;
        let signs = |row, out: &mut [i8]| witness::float_row(&stored, |w| w, row, out);
        Ok(matrix.with_witness(self.witness(place, signs)))
    }

    /// Codes of a whole tensor, in the order of the file.
    fn codes(&self, place: &Place, info: &TensorInfo) -> Result<(Codes, Option<Witness>), Error> {
        let tensor = place.tensor.as_str();
        let block = codes::block_values(info.kind, self.layout);
        if !info.n_values().is_multiple_of(block) {
            return Err(Error::Unsupported {
                path: self.gguf.path().to_owned(),
                what: format!(
                    "tensor `{tensor}` of {} values in blocks of {block}",
                    info.n_values()
                ),
            });
        }
        let mut bytes = vec![0; bytes_of(info)];
        self.gguf.read(tensor, 0, &mut bytes)?;
        let witness = self.witness(place, |row, out| {
            definition::signs(info.kind, self.layout, &bytes, row, out);
        });
        let codes =
            codes::extract(info.kind, self.layout, &bytes).map_err(|error| match error {
                NotTernary::Values { block, value } => Error::NotTernary {
                    tensor: tensor.to_owned(),
                    expected: "0 and one magnitude".to_owned(),
                    value,
                    block: Some(block),
                },
                NotTernary::Scales {
                    block,
                    first,
                    other,
                } => Error::GroupScales {
                    tensor: tensor.to_owned(),
                    first,
                    other,
                    block,
                },
                NotTernary::Scale(value) => Error::Scale {
                    tensor: tensor.to_owned(),
                    value,
                },
            })?;
        Ok((codes, witness))
    }

    /// Sums of the rows of a projection, where it is one that is read a second time.
    ///
    /// * `signs`: writes the signs of a row in the order of the file
    fn witness(&self, place: &Place, signs: impl Fn(usize, &mut [i8])) -> Option<Witness> {
        place.is_witnessed.then(|| {
            Witness::new(place.shape, |row, out| {
                let row = if place.is_permuted {
                    definition::file_row(row, self.config.head_dim)
                } else {
                    row
                };
                signs(row, out);
            })
        })
    }

    /// What the weights of a projection are multiplied with besides; 1 where nothing is stored.
    fn factor(&self, tensor: &str) -> Result<f32, Error> {
        if !self.gguf.tensors.contains_key(tensor) {
            return Ok(1.0);
        }
        let value = self.values(tensor, &[1])?[0];
        if value > 0.0 {
            return Ok(value);
        }
        Err(Error::Scale {
            tensor: tensor.to_owned(),
            value,
        })
    }
}
