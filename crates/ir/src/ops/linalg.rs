//! Factorisation and solution of small dense systems, batched over leading axes.
//!
//! ```text
//! %1 = cholesky %0 : f64[8, 3, 3]
//! %2 = triangular_solve[lower=true, transpose=false, unit_diagonal=false] %1, %b : f64[8, 3, 2]
//! ```

mod eval;
mod rules;
mod samples;
#[cfg(test)]
mod tests;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::{AttrError, Attrs, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;

/// Ops on matrices, which are the last two axes of an operand; the axes before them are a batch. f32 or f64.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Linalg {
    /// a `[.., n, n]` → the lower triangular L `[.., n, n]` with positive diagonal and L·Lᵀ = a. Only the lower triangle of a is
    /// read: a stands for the symmetric matrix that has it. The upper triangle of L is zero. If a is not positive definite (a pivot is not
    /// positive, or is NaN), every element of its L is NaN; other matrices of the batch are not affected.
    Cholesky,
    /// (a `[.., n, n]`, b `[.., n, k]`) → x `[.., n, k]` with op(a)·x = b, where op is chosen by [`TriangularSolve`].
    TriangularSolve(TriangularSolve),
}

/// Which triangular system is solved. By default the lower triangle of a as it stands. A zero on the diagonal divides by zero as
/// IEEE says: there is no error.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct TriangularSolve {
    /// True if a's lower triangle is read, false for its upper one. The other triangle is taken to be zero.
    pub lower: bool,
    /// True to solve aᵀ·x = b.
    pub transpose: bool,
    /// True if the diagonal of a is taken to be 1 and not read.
    pub unit_diagonal: bool,
}

impl Default for TriangularSolve {
    fn default() -> Self {
        TriangularSolve { lower: true, transpose: false, unit_diagonal: false }
    }
}

impl TriangularSolve {
    /// The system with aᵀ in place of a.
    #[must_use]
    pub fn transposed(self) -> TriangularSolve {
        TriangularSolve { transpose: !self.transpose, ..self }
    }

    /// True if the first unknown is found first: op(a) is lower triangular.
    pub fn is_forward(self) -> bool {
        self.lower != self.transpose
    }
}

impl Family for Linalg {
    fn name(&self) -> &'static str {
        match self {
            Linalg::Cholesky => "cholesky",
            Linalg::TriangularSolve(_) => "triangular_solve",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Linalg::Cholesky => Attrs::none(),
            Linalg::TriangularSolve(t) => Attrs::none()
                .with("lower", t.lower)
                .with("transpose", t.transpose)
                .with("unit_diagonal", t.unit_diagonal),
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let mut solve = || {
            Ok(Linalg::TriangularSolve(TriangularSolve {
                lower: attrs.bool("lower")?,
                transpose: attrs.bool("transpose")?,
                unit_diagonal: attrs.bool("unit_diagonal")?,
            }))
        };
        match name {
            "cholesky" => Some(Ok(Linalg::Cholesky)),
            "triangular_solve" => Some(solve()),
            _ => None,
        }
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(match self {
            Linalg::Cholesky => 1,
            Linalg::TriangularSolve(_) => 2,
        })?;
        let a = cx.ty(0);
        cx.dtype(0, |d| matches!(d, DType::F32 | DType::F64), "f32 or f64 (cast explicitly)")?;
        let Some(rows) = a.rank().checked_sub(2) else {
            return Err(cx.attribute("a matrix needs two axes".into()));
        };
        cx.same("the matrix must be square", &a.shape[rows], &a.shape[rows + 1])?;
        let Linalg::TriangularSolve(_) = self else { return Ok(smallvec![a.clone()]) };
        cx.same_dtype(0, 1)?;
        let b = cx.ty(1);
        if b.rank() != a.rank() {
            return Err(cx.attribute("the right-hand sides must have as many axes as the matrix".into()));
        }
        for axis in 0..rows {
            cx.same("batch sizes must agree", &a.shape[axis], &b.shape[axis])?;
        }
        cx.same("the right-hand sides must have the matrix's rows", &a.shape[rows], &b.shape[rows])?;
        Ok(smallvec![b.clone()])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        Ok(vec![match self {
            Linalg::Cholesky => eval::cholesky(cx)?,
            Linalg::TriangularSolve(t) => eval::triangular_solve(*t, cx)?,
        }])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        match self {
            Linalg::Cholesky => rules::cholesky_vjp(cx),
            Linalg::TriangularSolve(t) => rules::triangular_solve_vjp(*t, cx),
        }
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        match self {
            Linalg::Cholesky => rules::cholesky_jvp(cx),
            Linalg::TriangularSolve(t) => rules::triangular_solve_jvp(*t, cx),
        }
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        match self {
            Linalg::Cholesky => Ok(vec![(cx.b.push(*self, cx.inputs)?, true)]),
            Linalg::TriangularSolve(t) => rules::triangular_solve_batch(*t, cx),
        }
    }

    fn samples() -> Vec<Sample> {
        samples::samples()
    }
}
