//! Products of ternary weights and quantized activations, and the float operations around them.
//!
//! Ternary sums are exact integers; float reductions have one written order, and nothing uses a
//! fused multiply-add. Results therefore do not depend on the instruction set.

pub mod float;
pub mod pack;
pub mod scalar;

/// Name of the kernels in use, for the run record.
pub fn chosen() -> &'static str {
    "scalar"
}
