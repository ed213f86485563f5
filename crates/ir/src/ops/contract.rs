//! Batched contraction.
//!
//! ```text
//! %2 = dot[lhs_batch=[0], rhs_batch=[0], lhs_contract=[2], rhs_contract=[1]] %0, %1 : f32[8, 32, 64]
//! ```

mod rules;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::{AttrError, Attrs, Axes, DType, HostTensor, Shape, TypeError, Value};
use smallvec::smallvec;

/// Σ over the contracted axes of lhs · rhs, for every index of the batch axes.
///
/// The result's axes are: the batch axes (in the order given), the other axes of lhs, the other axes of rhs. 16-bit
/// floats accumulate in f32 and round once; integers wrap. (The semantics of StableHLO's `dot_general`.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Dot {
    /// Batch axes of the left operand.
    pub lhs_batch: Axes,
    /// Batch axes of the right operand, pairwise with `lhs_batch`.
    pub rhs_batch: Axes,
    /// Contracted axes of the left operand.
    pub lhs_contract: Axes,
    /// Contracted axes of the right operand, pairwise with `lhs_contract`.
    pub rhs_contract: Axes,
}

impl Dot {
    /// The matrix product of `[.., m, k]` and `[.., k, n]`, `batch` leading axes shared.
    pub fn matmul(batch: usize) -> Dot {
        let leading: Axes = (0..batch).collect();
        Dot {
            lhs_batch: leading.clone(),
            rhs_batch: leading,
            lhs_contract: smallvec![batch + 1],
            rhs_contract: smallvec![batch],
        }
    }

    /// The axes of the left operand (of this rank) that are neither batch nor contracted.
    pub fn lhs_free(&self, rank: usize) -> Axes {
        (0..rank).filter(|i| !self.lhs_batch.contains(i) && !self.lhs_contract.contains(i)).collect()
    }

    /// The axes of the right operand (of this rank) that are neither batch nor contracted.
    pub fn rhs_free(&self, rank: usize) -> Axes {
        (0..rank).filter(|i| !self.rhs_batch.contains(i) && !self.rhs_contract.contains(i)).collect()
    }
}

impl Family for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("lhs_batch", &self.lhs_batch)
            .with("rhs_batch", &self.rhs_batch)
            .with("lhs_contract", &self.lhs_contract)
            .with("rhs_contract", &self.rhs_contract)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        (name == "dot").then(|| {
            Ok(Dot {
                lhs_batch: attrs.ints("lhs_batch")?,
                rhs_batch: attrs.ints("rhs_batch")?,
                lhs_contract: attrs.ints("lhs_contract")?,
                rhs_contract: attrs.ints("rhs_contract")?,
            })
        })
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(2)?;
        let (lhs, rhs) = (cx.ty(0), cx.ty(1));
        cx.dtype(0, |d| d != DType::Bool, "a number")?;
        cx.same_dtype(0, 1)?;
        cx.axes(&[&self.lhs_batch[..], &self.lhs_contract].concat(), lhs.rank())?;
        cx.axes(&[&self.rhs_batch[..], &self.rhs_contract].concat(), rhs.rank())?;
        if self.lhs_batch.len() != self.rhs_batch.len() || self.lhs_contract.len() != self.rhs_contract.len()
        {
            return Err(cx.attribute("batch and contracted axes must come in pairs".into()));
        }
        for (l, r) in self.lhs_batch.iter().zip(&self.rhs_batch) {
            cx.same("batch sizes must agree", &lhs.shape[*l], &rhs.shape[*r])?;
        }
        for (l, r) in self.lhs_contract.iter().zip(&self.rhs_contract) {
            cx.same("contracted sizes must agree", &lhs.shape[*l], &rhs.shape[*r])?;
        }
        let batch = self.lhs_batch.iter().map(|i| &lhs.shape[*i]);
        let free = self.lhs_free(lhs.rank()).into_iter().map(|i| &lhs.shape[i]);
        let shape: Shape =
            batch.chain(free).chain(self.rhs_free(rhs.rank()).into_iter().map(|i| &rhs.shape[i])).collect();
        Ok(smallvec![lhs.with_shape(shape)])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        rules::eval(self, cx)
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        rules::samples()
    }
}
