//! Holding stacks to an instruction set, so that a machine with a wider one stands for those without.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::runner::{WOOTZ, WOOTZ_AVX2};

/// An instruction set that stacks are held to.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Isa {
    /// x86-64 with AVX2 and FMA.
    Avx2,
}

/// XLA's flags come in one variable, which others may want to add to.
pub(crate) const XLA_FLAGS: &str = "XLA_FLAGS";

/// How oneDNN, MKL and OpenBLAS are held to AVX2, which several stacks link.
const LIBRARIES: [(&str, &str); 3] =
    [("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2"), ("OPENBLAS_CORETYPE", "Haswell")];

impl Isa {
    /// Name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx2 => "AVX2",
        }
    }

    /// Whether there is a way to hold `runner` to this instruction set.
    pub fn holds(self, runner: &str) -> bool {
        self.environment(runner).is_some()
    }

    /// Environment that holds `runner` to this instruction set; `None` if there is no way to.
    pub(crate) fn environment(self, runner: &str) -> Option<Vec<(OsString, OsString)>> {
        let Isa::Avx2 = self;
        let own: &[(&str, &str)] = match runner {
            WOOTZ | WOOTZ_AVX2 | "wootz-python" => &[("WOOTZ_CPU", "avx2")],
            "pytorch" | "torch-compile" => &[("ATEN_CPU_CAPABILITY", "avx2")],
            "jax" => &[(XLA_FLAGS, "--xla_cpu_max_isa=AVX2")],
            "numpy" => &[("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")],
            // ONNX Runtime's kernels ask the processor and nothing else; what other runners do is not known.
            _ => return None,
        };
        Some(own.iter().chain(&LIBRARIES).map(|(name, value)| (name.into(), value.into())).collect())
    }
}
