//! Counter-based random bits: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). The same bits on every backend, at every thread count.
//!
//! ```text
//! %1 = fold_in %key, %step : u32[2]
//! %2 = random_bits[shape=[B, 4]] %1 : u32[B, 4]
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, DType, Dim, Shape, TensorType, TypeError};
use smallvec::smallvec;

/// An op on keys (`u32[.., 2]`). Keys may have leading batch axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Random {
    /// Key → u32[.., *shape*]. Element i (row-major within `shape`) is word i mod 2 of the block threefry(key, (hi, lo))
    /// whose 64-bit counter hi·2³² + lo is ⌊i/2⌋.
    Bits {
        /// Shape of the bits for one key.
        shape: Shape,
    },
    /// (key: u32[.., 2], data: u32[..]) → the key threefry(key, (data, 2³² − 1)): streams for different data are independent.
    FoldIn,
}

impl Family for Random {
    fn name(&self) -> &'static str {
        match self {
            Random::Bits { .. } => "random_bits",
            Random::FoldIn => "fold_in",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Random::Bits { shape } => Attrs::none().with("shape", shape),
            Random::FoldIn => Attrs::none(),
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        match name {
            "random_bits" => Some(attrs.shape("shape").map(|shape| Random::Bits { shape })),
            "fold_in" => Some(Ok(Random::FoldIn)),
            _ => None,
        }
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(if matches!(self, Random::FoldIn) { 2 } else { 1 })?;
        let key = cx.ty(0);
        cx.dtype(0, |d| d == DType::U32, "u32 (a key)")?;
        let Some((words, batch)) = key.shape.split_last() else {
            return Err(cx.attribute("a key has two words: its last axis has size 2".into()));
        };
        cx.same("a key has two words", words, &Dim::Const(2))?;
        match self {
            Random::Bits { shape } => Ok(smallvec![TensorType::new(
                DType::U32,
                batch.iter().chain(shape.iter()).collect::<Shape>()
            )]),
            Random::FoldIn => {
                let data = cx.ty(1);
                cx.dtype(1, |d| d == DType::U32, "u32")?;
                if data.rank() != batch.len() {
                    return Err(cx.attribute("the data must have the key's leading axes".into()));
                }
                for (a, b) in batch.iter().zip(data.shape.iter()) {
                    cx.same("leading axes must agree", a, b)?;
                }
                Ok(smallvec![key.clone()])
            }
        }
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        match self {
            Random::Bits { shape } => Random::Bits { shape: shape.map(f) },
            Random::FoldIn => Random::FoldIn,
        }
    }
}
