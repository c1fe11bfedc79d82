//! Products of ternary weights and quantized activations, and the float operations around them.
//!
//! Integer sums are exact; float reductions have one written order, and nothing uses a fused
//! multiply-add. Results therefore do not depend on the instruction set or the threads.

mod columns;
pub mod float;
pub mod head;
pub mod pack;
pub mod pool;
pub mod quantize;
mod scalar;
pub mod stream;
pub mod ternary;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use columns::{Columns, MAX_PARTS, Split};

use std::fmt;
use std::sync::OnceLock;

use crate::hint::Hint;

/// Environment variable that names the kernel to use, for tests and for comparing kernels.
pub const KERNEL_VARIABLE: &str = "VV_EVAL_KERNEL";

/// An instruction set this machine has; only detection makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Isa);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isa {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The definition every other kernel equals bit for bit.
    pub const SCALAR: Self = Self(Isa::Scalar);

    /// Every kernel this machine can run, slowest first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                all.push(Self(Isa::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self(Isa::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            all.push(Self(Isa::Neon));
        }
        all
    }

    /// The kernel of this process: the one [`KERNEL_VARIABLE`] names, else the fastest. Chosen
    /// once.
    ///
    /// # Panics
    /// When this machine cannot run the one that is named: [`named`](Self::named) says so before.
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<Kernel> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let named = Self::named().unwrap_or_else(|error| panic!("{error}"));
            let fastest = Self::all().last().copied();
            named
                .or(fastest)
                .expect("the scalar kernel runs everywhere")
        })
    }

    /// The kernel [`KERNEL_VARIABLE`] names; `None` when it is not set, or empty.
    ///
    /// # Errors
    /// [`UnknownKernel`] when this machine has no such kernel.
    pub fn named() -> Result<Option<Self>, UnknownKernel> {
        let Some(wanted) = std::env::var_os(KERNEL_VARIABLE).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let wanted = wanted.to_string_lossy();
        let all = Self::all();
        match all.iter().find(|kernel| kernel.name() == wanted) {
            Some(kernel) => Ok(Some(*kernel)),
            None => Err(UnknownKernel {
                found: wanted.into_owned(),
                known: all.iter().map(|kernel| kernel.name()).collect(),
            }),
        }
    }

    /// Its name in records and reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Isa::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon-dotprod",
        }
    }
}

/// [`KERNEL_VARIABLE`] names a kernel this machine cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{KERNEL_VARIABLE} is `{found}`, this machine has {}", known.join(", "))]
pub struct UnknownKernel {
    /// The name found.
    pub found: String,
    /// Names of the kernels this machine can run.
    pub known: Vec<&'static str>,
}

impl Hint for UnknownKernel {
    fn hint(&self) -> Option<String> {
        Some(format!(
            "unset {KERNEL_VARIABLE}: the fastest kernel is chosen"
        ))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Name of the kernel in use, for the run record.
pub fn chosen() -> &'static str {
    Kernel::chosen().name()
}

/// Defines a function whose one body is compiled for every instruction set.
///
/// The compiler may use wider registers but not reorder float operations, so all versions give
/// the same bits; the vectors come from loops over fixed lanes.
macro_rules! for_every_kernel {
    ($(
        $(#[$attribute:meta])*
        pub fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "calls of functions compiled for an instruction set")
        )]
        pub fn $name(kernel: $crate::engine::kernels::Kernel, $($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "compiled anew for every instruction set")]
            fn body($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match kernel.0 {
                // SAFETY: a kernel exists only where its features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::kernels::Isa::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::kernels::Isa::Avx2 => unsafe { avx2($($argument),*) },
                // Vectors of 128 bits are part of the base set.
                #[cfg(target_arch = "aarch64")]
                $crate::engine::kernels::Isa::Neon => body($($argument),*),
                $crate::engine::kernels::Isa::Scalar => body($($argument),*),
            }
        }
    )*};
}
use for_every_kernel;
