//! Operations of the training graph with gradients of their own.
//!
//! candle's fused norms, softmax and rotary embeddings carry no gradient and cut the graph
//! silently; composing them from elementary operations is several times slower on a CPU. Each
//! operation here is one pass forward and one backward, and a test holds its gradient against
//! the elementary composition. Rows never mix between threads, so results do not depend on them.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Rows handed to one task; a fixed number, so that the split does not depend on the machine.
const ROWS_PER_TASK: usize = 64;

/// The contiguous `f32` values of a storage.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("the operation needs a contiguous tensor");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.contiguous()?.flatten_all()?.to_vec1()
}

fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

/// Applies `row(input, output)` to every row of `width` values.
fn map_rows(input: &[f32], width: usize, row: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut output = vec![0f32; input.len()];
    let task = width * ROWS_PER_TASK;
    output
        .par_chunks_mut(task)
        .zip(input.par_chunks(task))
        .for_each(|(out, inp)| {
            out.chunks_mut(width)
                .zip(inp.chunks(width))
                .for_each(|(out, inp)| row(inp, out));
        });
    output
}

/// As [`map_rows`] with two inputs of the same shape.
fn zip_rows(
    a: &[f32],
    b: &[f32],
    width: usize,
    row: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut output = vec![0f32; a.len()];
    let task = width * ROWS_PER_TASK;
    let tasks = output
        .par_chunks_mut(task)
        .zip(a.par_chunks(task).zip(b.par_chunks(task)));
    tasks.for_each(|(out, (a, b))| {
        let rows = out
            .chunks_mut(width)
            .zip(a.chunks(width).zip(b.chunks(width)));
        rows.for_each(|(out, (a, b))| row(a, b, out));
    });
    output
}

/// `value(a, b)` of every pair.
fn zip_each(a: &[f32], b: &[f32], value: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    zip_rows(a, b, ROWS_PER_TASK, |a, b, y| {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = value(*a, *b);
        }
    })
}

/// Ternary weights by the absmean rule, straight-through.
///
/// `s = max(mean |W|, 1e-5)`, `clip(round(W / s), -1, 1) · s`; the gradient passes unchanged.
struct Ternary;

impl CustomOp1 for Ternary {
    fn name(&self) -> &'static str {
        "ternary-weights"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let w = values(storage, layout)?;
        let (codes, scale) = ternary(w);
        let output = codes
            .into_iter()
            .map(|code| f32::from(code) * scale)
            .collect();
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

/// Codes −1, 0, 1 and the scale of a master weight (absmean rule).
pub(crate) fn ternary(w: &[f32]) -> (Vec<i8>, f32) {
    let sum: f64 = w.iter().map(|&x| f64::from(x.abs())).sum();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rule rounds the mean to f32 once"
    )]
    let scale = ((sum / w.len() as f64) as f32).max(1e-5);
    let inverse = 1.0 / scale;
    #[expect(clippy::cast_possible_truncation, reason = "clamped to -1..=1")]
    let code = |&x: &f32| nearest((x * inverse).clamp(-2.0, 2.0)).clamp(-1.0, 1.0) as i8;
    (w.iter().map(code).collect(), scale)
}

/// 8-bit activations per row, straight-through.
struct Int8Rows;

impl CustomOp1 for Int8Rows {
    fn name(&self) -> &'static str {
        "int8-activations"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.dims()[layout.dims().len() - 1];
        let output = map_rows(values(storage, layout)?, width, |x, y| {
            let largest = x.iter().fold(1e-5f32, |m, v| m.max(v.abs()));
            let r = 127.0 / largest;
            for (y, x) in y.iter_mut().zip(x) {
                *y = nearest(x * r).clamp(-128.0, 127.0) / r;
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

/// `x` rounded to the nearest integer, ties to even, for `|x| < 2^22`.
///
/// Baseline x86-64 has no instruction for it and calls a function per value; the sum with 1.5 · 2^23
/// rounds at the unit's place.
fn nearest(x: f32) -> f32 {
    const UNITS: f32 = 12_582_912.0;
    (x + UNITS) - UNITS
}

/// `x / rms(x) · gain` over the last dimension.
struct RmsNorm {
    eps: f32,
}

fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gain = values(gain, gain_layout)?;
        let output = map_rows(values(x, x_layout)?, gain.len(), |x, y| {
            let r = inverse_rms(x, self.eps);
            for ((y, x), g) in y.iter_mut().zip(x).zip(gain) {
                *y = x * r * g;
            }
        });
        Ok((CpuStorage::F32(output), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        arg: &Tensor,
        gain: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, g, dy) = (to_vec(arg)?, to_vec(gain)?, to_vec(grad)?);
        let width = g.len();
        let dx = zip_rows(&x, &dy, width, |x, dy, dx| {
            let r = inverse_rms(x, self.eps);
            let dot: f32 = x
                .iter()
                .zip(dy)
                .zip(&g)
                .map(|((x, dy), g)| x * dy * g)
                .sum();
            let pull = r * r * r * dot / width as f32;
            for (((dx, x), dy), g) in dx.iter_mut().zip(x).zip(dy).zip(&g) {
                *dx = r * g * dy - x * pull;
            }
        });
        let mut dgain = vec![0f32; width];
        for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
            let r = inverse_rms(x, self.eps);
            for ((dg, x), dy) in dgain.iter_mut().zip(x).zip(dy) {
                *dg += dy * x * r;
            }
        }
        Ok((Some(like(dx, arg)?), Some(like(dgain, gain)?)))
    }
}

/// Softmax over the last dimension of `[batch, heads, query, key]`, keys up to the query only.
struct CausalSoftmax {
    scale: f32,
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = layout.dims()[layout.dims().len() - 1];
        let output = map_rows(values(storage, layout)?, n * n, |block, out| {
            for (t, (x, y)) in block.chunks(n).zip(out.chunks_mut(n)).enumerate() {
                let (x, y) = (&x[..=t], &mut y[..=t]);
                let top = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
                let mut sum = 0f32;
                for (y, x) in y.iter_mut().zip(x) {
                    *y = ((x - top) * self.scale).exp();
                    sum += *y;
                }
                for y in y.iter_mut() {
                    *y /= sum;
                }
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(&self, arg: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (p, dy) = (to_vec(res)?, to_vec(grad)?);
        let n = arg.dims()[arg.dims().len() - 1];
        let dx = zip_rows(&p, &dy, n, |p, dy, dx| {
            let dot: f32 = p.iter().zip(dy).map(|(p, dy)| p * dy).sum();
            for ((dx, p), dy) in dx.iter_mut().zip(p).zip(dy) {
                *dx = p * (dy - dot) * self.scale;
            }
        });
        Ok(Some(like(dx, arg)?))
    }
}

/// Rotation of `[batch, heads, position, dim]` by position, halves paired.
struct Rope {
    theta: f32,
    direction: f32,
}

impl Rope {
    fn rotate(&self, x: &[f32], positions: usize, dim: usize) -> Vec<f32> {
        let half = dim / 2;
        let mut table = Vec::with_capacity(positions * half);
        for p in 0..positions {
            for i in 0..half {
                let f = self.theta.powf(-2.0 * i as f32 / dim as f32);
                let (sin, cos) = (p as f32 * f).sin_cos();
                table.push((cos, sin * self.direction));
            }
        }
        map_rows(x, positions * dim, |x, y| {
            for (p, (x, y)) in x.chunks(dim).zip(y.chunks_mut(dim)).enumerate() {
                for i in 0..half {
                    let (cos, sin) = table[p * half + i];
                    y[i] = x[i] * cos - x[i + half] * sin;
                    y[i + half] = x[i + half] * cos + x[i] * sin;
                }
            }
        })
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, _, positions, dim) = layout.shape().dims4()?;
        let output = self.rotate(values(storage, layout)?, positions, dim);
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, positions, dim) = arg.dims4()?;
        let back = Self {
            theta: self.theta,
            direction: -self.direction,
        };
        Ok(Some(like(
            back.rotate(&to_vec(grad)?, positions, dim),
            arg,
        )?))
    }
}

/// `max(gate, 0)² · up`.
struct Relu2Gate;

impl CustomOp2 for Relu2Gate {
    fn name(&self) -> &'static str {
        "relu2-gate"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (values(gate, gate_layout)?, values(up, up_layout)?);
        let output = zip_each(gate, up, |g, u| g.max(0.0) * g.max(0.0) * u);
        Ok((CpuStorage::F32(output), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (g, u, dy) = (to_vec(gate)?, to_vec(up)?, to_vec(grad)?);
        let slope = zip_each(&g, &u, |g, u| 2.0 * g.max(0.0) * u);
        let dgate = zip_each(&slope, &dy, |s, dy| s * dy);
        let dup = zip_each(&g, &dy, |g, dy| g.max(0.0) * g.max(0.0) * dy);
        Ok((Some(like(dgate, gate)?), Some(like(dup, up)?)))
    }
}

/// Ternary form of master weights, straight-through.
pub(crate) fn ternary_weights(w: &Tensor) -> Result<Tensor> {
    w.apply_op1(Ternary)
}

/// 8-bit form of activations, straight-through.
pub(crate) fn int8_rows(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Int8Rows)
}

/// RMS norm over the last dimension.
pub(crate) fn rms_norm(x: &Tensor, gain: &Tensor, eps: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op2(gain, RmsNorm { eps })
}

/// Causal softmax of `scores · scale`.
pub(crate) fn causal_softmax(scores: &Tensor, scale: f32) -> Result<Tensor> {
    scores.contiguous()?.apply_op1(CausalSoftmax { scale })
}

/// Rotary position embedding from position 0.
pub(crate) fn rope(x: &Tensor, theta: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Rope {
        theta,
        direction: 1.0,
    })
}

/// Squared `ReLU` of the gate, times up.
pub(crate) fn relu2_gate(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.contiguous()?.apply_op2(&up.contiguous()?, Relu2Gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Var};
    use candle_nn::{ops, rotary_emb};

    /// A weighted sum makes every output count differently.
    fn loss(y: &Tensor) -> Result<Tensor> {
        let n = y.elem_count();
        let weights: Vec<f32> = (0..n).map(|i| ((i * 37 % 11) as f32 - 5.0) / 7.0).collect();
        (y.flatten_all()? * Tensor::from_vec(weights, n, y.device())?)?.sum_all()
    }

    #[track_caller]
    fn same(a: &Tensor, b: &Tensor, what: &str) {
        let [a, b] = [a, b].map(|t| to_vec(t).unwrap());
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!(
                (a - b).abs() <= 1e-4 * (1.0 + b.abs()),
                "{what}: {a} against {b}"
            );
        }
    }

    #[track_caller]
    fn check(
        shape: &[usize],
        fused: impl Fn(&Tensor) -> Result<Tensor>,
        plain: impl Fn(&Tensor) -> Result<Tensor>,
    ) {
        let x = Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let (a, b) = (fused(&x).unwrap(), plain(&x).unwrap());
        same(&a, &b, "value");
        let [da, db] = [a, b].map(|y| {
            loss(&y)
                .unwrap()
                .backward()
                .unwrap()
                .get(&x)
                .expect("x has a gradient")
                .clone()
        });
        same(&da, &db, "gradient");
    }

    #[test]
    fn rms_norm_matches_its_composition() {
        let gain = Tensor::new(&[0.5f32, 1.0, 1.5, -2.0, 0.1, 3.0], &Device::Cpu).unwrap();
        check(
            &[5, 6],
            |x| rms_norm(x, &gain, 1e-5),
            |x| ops::rms_norm_slow(x, &gain, 1e-5),
        );
        let rows = Tensor::randn(0f32, 1f32, (5, 6), &Device::Cpu).unwrap();
        check(
            &[6],
            |g| rms_norm(&rows, g, 1e-5),
            |g| ops::rms_norm_slow(&rows, g, 1e-5),
        );
    }

    #[test]
    fn causal_softmax_matches_its_composition() {
        let n = 4;
        let mask: Vec<f32> = (0..n * n)
            .map(|i| {
                if i % n > i / n {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let mask = Tensor::from_vec(mask, (n, n), &Device::Cpu).unwrap();
        let plain = |x: &Tensor| ops::softmax(&(x * 0.3)?.broadcast_add(&mask)?, D::Minus1);
        check(&[2, 3, n, n], |x| causal_softmax(x, 0.3), plain);
    }

    #[test]
    fn rope_matches_its_composition() {
        let (positions, half) = (5usize, 4usize);
        let angles: Vec<f32> = (0..positions * half)
            .map(|i| (i / half) as f32 * 10_000f32.powf(-((i % half) as f32) / half as f32))
            .collect();
        let angles = Tensor::from_vec(angles, (positions, half), &Device::Cpu).unwrap();
        let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
        let plain = |x: &Tensor| rotary_emb::rope_slow(x, &cos, &sin);
        check(&[2, 3, positions, 2 * half], |x| rope(x, 10_000.0), plain);
    }

    #[test]
    fn gate_matches_its_composition() {
        let other = Tensor::randn(0f32, 1f32, (3, 4), &Device::Cpu).unwrap();
        let plain = |g: &Tensor, u: &Tensor| g.relu()?.sqr()? * u;
        check(&[3, 4], |g| relu2_gate(g, &other), |g| plain(g, &other));
        check(&[3, 4], |u| relu2_gate(&other, u), |u| plain(&other, u));
    }

    #[test]
    fn quantisers_round_forward_and_pass_gradients_through() {
        let x = Tensor::new(&[[127f32, 0.5, 1.5, 2.5, -0.5, -1.5]], &Device::Cpu).unwrap();
        let rounded = to_vec(&int8_rows(&x).unwrap()).unwrap();
        assert_eq!(rounded, [127.0, 0.0, 2.0, 2.0, 0.0, -2.0]);
        let (codes, scale) = ternary(&[1.0, -1.0, 0.1, 0.3]);
        assert_eq!((codes, scale), (vec![1, -1, 0, 0], 0.6));
        let w = Var::from_tensor(&x).unwrap();
        for y in [int8_rows(&w).unwrap(), ternary_weights(&w).unwrap()] {
            let grads = loss(&y).unwrap().backward().unwrap();
            let direct = loss(&w).unwrap().backward().unwrap();
            same(grads.get(&w).unwrap(), direct.get(&w).unwrap(), "gradient");
        }
    }
}
