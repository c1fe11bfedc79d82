//! The BitNet b1.58 network as a training graph over float masters.

use std::collections::HashMap;

use candle_core::{D, DType, Device, Result, Tensor, Var, bail};
use candle_nn::{Init, VarMap};

use super::ops;

/// Sizes of a reference model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) vocab: usize,
    pub(crate) hidden: usize,
    pub(crate) inter: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) context: usize,
    pub(crate) theta: f32,
    pub(crate) eps: f32,
}

/// The seven ternary projections of a layer: name, output and input size.
pub(crate) fn projections(shape: &Shape) -> [(&'static str, usize, usize); 7] {
    let attention = shape.heads * shape.head_dim;
    [
        ("self_attn.q_proj", attention, shape.hidden),
        ("self_attn.k_proj", attention, shape.hidden),
        ("self_attn.v_proj", attention, shape.hidden),
        ("self_attn.o_proj", shape.hidden, attention),
        ("mlp.gate_proj", shape.inter, shape.hidden),
        ("mlp.up_proj", shape.inter, shape.hidden),
        ("mlp.down_proj", shape.hidden, shape.inter),
    ]
}

/// The four norms of a layer: name and size.
pub(crate) fn norms(shape: &Shape) -> [(&'static str, usize); 4] {
    [
        ("input_layernorm", shape.hidden),
        ("self_attn.attn_sub_norm", shape.heads * shape.head_dim),
        ("post_attention_layernorm", shape.hidden),
        ("mlp.ffn_sub_norm", shape.inter),
    ]
}

struct Layer {
    /// In the order of [`projections`].
    weights: Vec<Tensor>,
    /// In the order of [`norms`].
    gains: Vec<Tensor>,
}

/// A trainable network; its variables carry the names of the Hugging Face checkpoint.
pub(crate) struct Network {
    pub(crate) shape: Shape,
    pub(crate) vars: VarMap,
    embedding: Tensor,
    layers: Vec<Layer>,
    final_gain: Tensor,
}

impl Network {
    /// A network with seeded random masters.
    pub(crate) fn new(shape: Shape, dice: &mut vv_eval::scene::dice::Dice) -> Result<Self> {
        let vars = VarMap::new();
        let device = Device::Cpu;
        let mut normal = |name: String, out: usize, inp: usize, sd: f64| -> Result<Tensor> {
            let values: Vec<f32> = (0..out * inp).map(|_| gaussian(dice) * sd as f32).collect();
            let tensor = Tensor::from_vec(values, (out, inp), &device)?;
            let var = Var::from_tensor(&tensor)?;
            vars.data()
                .lock()
                .expect("no holder panicked")
                .insert(name, var.clone());
            Ok(var.as_tensor().clone())
        };
        let embedding = normal(
            "model.embed_tokens.weight".into(),
            shape.vocab,
            shape.hidden,
            0.05,
        )?;
        let mut layers = Vec::new();
        for layer in 0..shape.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let mut weights = Vec::new();
            for (part, out, inp) in projections(&shape) {
                weights.push(normal(name(part), out, inp, 1.0 / (inp as f64).sqrt())?);
            }
            let gains = norms(&shape)
                .iter()
                .map(|(part, n)| vars.get(*n, &name(part), Init::Const(1.0), DType::F32, &device))
                .collect::<Result<_>>()?;
            layers.push(Layer { weights, gains });
        }
        let one = Init::Const(1.0);
        let final_gain = vars.get(shape.hidden, "model.norm.weight", one, DType::F32, &device)?;
        Ok(Self {
            shape,
            vars,
            embedding,
            layers,
            final_gain,
        })
    }

    /// Replaces the masters by those of a checkpoint.
    pub(crate) fn restore(&self, masters: &HashMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.vars.data().lock().expect("no holder panicked").iter() {
            let Some(master) = masters.get(name) else {
                bail!("the checkpoint has no tensor {name}");
            };
            var.set(master)?;
        }
        Ok(())
    }

    #[expect(clippy::many_single_char_names, reason = "the names of the formulas")]
    /// Hidden states after the final norm at some positions, `[places, hidden]`.
    ///
    /// * `ids`: `[batch, positions]` u32
    /// * `places`: `[places]` u32, flat positions; the last layer computes no others behind its attention
    pub(crate) fn hidden_at(&self, ids: &Tensor, places: &Tensor) -> Result<Tensor> {
        let (batch, positions) = ids.dims2()?;
        let shape = &self.shape;
        let mut x = self.embedding.index_select(&ids.flatten_all()?, 0)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let w = |i: usize| ops::ternary_weights(&layer.weights[i]);
            let linear = |x: &Tensor, i: usize| x.matmul(&w(i)?.t()?);
            let norm = |x: &Tensor, i: usize| ops::rms_norm(x, &layer.gains[i], shape.eps);

            let h = ops::int8_rows(&norm(&x, 0)?)?;
            let heads = |x: Tensor| -> Result<Tensor> {
                x.reshape((batch, positions, shape.heads, shape.head_dim))?
                    .transpose(1, 2)
            };
            let q = ops::rope(&heads(linear(&h, 0)?)?, shape.theta)?;
            let k = ops::rope(&heads(linear(&h, 1)?)?, shape.theta)?;
            let v = heads(linear(&h, 2)?)?.contiguous()?;
            let scores = q.matmul(&k.transpose(D::Minus1, D::Minus2)?)?;
            let scale = 1.0 / (shape.head_dim as f32).sqrt();
            let mixed = ops::causal_softmax(&scores, scale)?.matmul(&v)?;
            let mut mixed = mixed
                .transpose(1, 2)?
                .reshape((batch * positions, shape.heads * shape.head_dim))?;
            if i + 1 == self.layers.len() {
                mixed = mixed.index_select(places, 0)?;
                x = x.index_select(places, 0)?;
            }
            x = (x + linear(&ops::int8_rows(&norm(&mixed, 1)?)?, 3)?)?;

            let h = ops::int8_rows(&norm(&x, 2)?)?;
            let u = ops::relu2_gate(&linear(&h, 4)?, &linear(&h, 5)?)?;
            x = (x + linear(&ops::int8_rows(&norm(&u, 3)?)?, 6)?)?;
        }
        ops::rms_norm(&x, &self.final_gain, shape.eps)
    }

    /// Logits `[rows, vocab]` of hidden states `[rows, hidden]`; the head is the embedding.
    pub(crate) fn head(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul(&self.embedding.t()?)
    }
}

/// A standard normal number (Box–Muller), the same on every machine to float rounding.
fn gaussian(dice: &mut vv_eval::scene::dice::Dice) -> f32 {
    let uniform = |dice: &mut vv_eval::scene::dice::Dice| {
        (f64::from(dice.below(1 << 24)) + 0.5) / f64::from(1u32 << 24)
    };
    let (a, b) = (uniform(dice), uniform(dice));
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation without a gradient cuts the graph silently: every variable must be reached.
    #[test]
    fn every_variable_receives_a_finite_gradient() {
        let shape = Shape {
            vocab: 11,
            hidden: 8,
            inter: 12,
            layers: 2,
            heads: 2,
            head_dim: 4,
            context: 16,
            theta: 10_000.0,
            eps: 1e-5,
        };
        let mut dice = vv_eval::scene::dice::Dice::new(1, "gradient test", 0);
        let network = Network::new(shape, &mut dice).unwrap();
        let ids = Tensor::new(&[[1u32, 5, 9, 3], [2, 4, 6, 8]], &Device::Cpu).unwrap();
        let wanted = Tensor::new(&[5u32, 9, 3, 0, 4, 6, 8, 0], &Device::Cpu).unwrap();
        let places = Tensor::new(&[0u32, 1, 2, 3, 4, 5, 6, 7], &Device::Cpu).unwrap();
        let hidden = network.hidden_at(&ids, &places).unwrap();
        let logits = network.head(&hidden).unwrap();
        let loss = candle_nn::loss::cross_entropy(&logits, &wanted).unwrap();
        let grads = loss.backward().unwrap();
        let vars = network.vars.data().lock().unwrap();
        assert_eq!(vars.len(), 2 * (7 + 4) + 2);
        for (name, var) in vars.iter() {
            let grad = grads
                .get(var)
                .unwrap_or_else(|| panic!("{name} has no gradient"));
            let values: Vec<f32> = grad.flatten_all().unwrap().to_vec1().unwrap();
            assert!(values.iter().all(|g| g.is_finite()), "{name}");
            assert!(
                values.iter().any(|g| *g != 0.0),
                "the gradient of {name} is zero"
            );
        }
    }
}
