//! The frameworks that source is written for.

use std::fmt;
use std::str::FromStr;
use wootz_ir::ops::{Composite, CompositeKind};
use wootz_ir::{DType, Target, TensorType};

/// A Python framework.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Framework {
    /// NumPy 2.
    Numpy,
    /// JAX.
    Jax,
    /// PyTorch.
    Torch,
    /// MLX.
    Mlx,
}

impl Framework {
    /// Every framework.
    pub const ALL: [Framework; 4] = [Framework::Numpy, Framework::Jax, Framework::Torch, Framework::Mlx];

    /// The name of the backend: `numpy`, `jax`, `torch`, `mlx`.
    pub const fn name(self) -> &'static str {
        match self {
            Framework::Numpy => "numpy",
            Framework::Jax => "jax",
            Framework::Torch => "torch",
            Framework::Mlx => "mlx",
        }
    }

    /// What the framework can do; `differentiable`: it may be asked for derivatives of the program.
    pub fn target(self, differentiable: bool) -> Target {
        Target {
            backend: self.name(),
            isa: "",
            dtypes: DType::ALL.into_iter().filter(|dtype| self.has(*dtype)).collect(),
            claims: CompositeKind::ALL.into_iter().filter(|kind| self.claims(*kind)).collect(),
            panel: 0,
            caches: [0; 3],
            differentiable: differentiable && self.differentiates(),
        }
    }

    /// Whether the framework has derivatives of its own.
    pub const fn differentiates(self) -> bool {
        match self {
            Framework::Numpy => false,
            Framework::Jax | Framework::Torch | Framework::Mlx => true,
        }
    }

    /// Whether adding at indices is better than sums of padded reads: XLA fuses such sums into one another and computes them again
    /// for every read.
    pub(crate) const fn scatters(self) -> bool {
        match self {
            Framework::Jax => true,
            Framework::Numpy | Framework::Torch | Framework::Mlx => false,
        }
    }

    /// Whether the framework has a dtype.
    pub const fn has(self, dtype: DType) -> bool {
        match (self, dtype) {
            (Framework::Numpy, DType::BF16) | (Framework::Mlx, DType::F64) => false,
            (Framework::Numpy | Framework::Jax | Framework::Torch | Framework::Mlx, _) => true,
        }
    }

    /// Whether a composite is written as one call (of the framework's own function, or of a helper in the module) and not
    /// as its body.
    const fn claims(self, kind: CompositeKind) -> bool {
        use CompositeKind::*;
        match kind {
            Relu | ReluGrad | LeakyRelu | Gelu | GeluTanh | Silu | Sigmoid | Softplus | Softmax
            | LogSoftmax | LogSumExp | Mean | Linear => true,
            // `var` divides by what `correction` leaves, which may be nothing.
            Variance => true,
            LayerNorm | RmsNorm => true,
            Attention => !matches!(self, Framework::Numpy),
            CrossEntropy | Mse => matches!(self, Framework::Torch | Framework::Mlx),
            NegativeLogLikelihood | Embedding => matches!(self, Framework::Torch),
            LayerNormGrad | AttentionGrad => false,
            // Their bits are Threefry's on every backend.
            Uniform | Normal | Dropout => false,
        }
    }

    /// Whether the framework's function takes a claimed composite with operands of these types.
    pub(crate) fn writes(self, op: &Composite, operands: &[TensorType]) -> bool {
        match (self, op) {
            // It computes the weights in f32. With a mask, a query that sees no key would see all.
            (Framework::Jax, Composite::Attention { mask, .. }) => {
                !mask && operands[0].dtype == DType::F32 && is_plain_attention(operands)
            }
            // Its causal mask ends in the lower right corner.
            (Framework::Mlx, Composite::Attention { causal, mask, .. }) => {
                let length = |ty: &TensorType| ty.shape[ty.rank() - 2].as_const();
                let square = length(&operands[0]) == length(&operands[1]);
                !mask && (!causal || square) && operands[0].rank() == 4 && is_plain_attention(operands)
            }
            // Its weights are the examples'.
            (Framework::Mlx, Composite::CrossEntropy { weighted, .. }) => !weighted,
            (Framework::Numpy | Framework::Jax | Framework::Torch | Framework::Mlx, _) => true,
        }
    }
}

/// Batches of heads, or heads alone, that see at least one key and whose values have as many features as the keys.
fn is_plain_attention(operands: &[TensorType]) -> bool {
    let size = |operand: usize, from_last: usize| {
        let ty = &operands[operand];
        ty.shape[ty.rank() - from_last].as_const()
    };
    matches!(operands[0].rank(), 3 | 4) && size(1, 1) == size(2, 1) && size(1, 2).is_some_and(|keys| keys > 0)
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a framework.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a framework that source is written for (there are numpy, jax, torch, mlx)")]
pub struct UnknownFramework(pub String);

impl FromStr for Framework {
    type Err = UnknownFramework;
    fn from_str(name: &str) -> Result<Framework, UnknownFramework> {
        let found = Framework::ALL.into_iter().find(|f| f.name() == name);
        found.ok_or_else(|| UnknownFramework(name.to_owned()))
    }
}
