//! Reads and writes at computed positions, and segment reductions.
//!
//! With `batch` = b and `indexed` = k, the operand's axes are b batch axes, then k indexed axes, then the axes of a slice; the
//! indices' axes are the same b batch axes, any number of free axes, and last an axis of size k whose entries index the
//! k axes. (ONNX's `GatherND`/`ScatterND` with `batch_dims`.)
//!
//! ```text
//! %2 = gather[batch=0, indexed=1] %table, %ids : f32[B, 512]          // %table f32[V, 512], %ids i64[B, 1]
//! %3 = scatter_add[batch=0, indexed=1] %table, %ids, %g : f32[V, 512]
//! %4 = segment_sum[segments=10] %x, %seg : f32[10, 4]                 // %x f32[N, 4], %seg i64[N], ascending
//! ```

mod eval;
pub(in crate::ops) mod rules;
mod samples;
#[cfg(test)]
mod tests;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::{AttrError, Attrs, DType, Dim, HostTensor, Shape, TypeError, Value};
use smallvec::smallvec;

/// (operand, indices) → batch axes, free axes of the indices, slice axes. An index out of bounds reads the nearest element
/// in bounds (each coordinate is clamped).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// Leading axes shared by operand and indices.
    pub batch: usize,
    /// Operand axes after those that the index vectors address.
    pub indexed: usize,
}

/// What a scatter does with an update.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScatterKind {
    /// Replaces the element; of several updates to one place the last in row-major order of the indices wins.
    Set,
    /// Adds to the element, updates in row-major order of the indices.
    Add,
}

/// (operand, indices, updates) → the operand with slices replaced or added to. An update whose index vector is out of
/// bounds is dropped. `updates` has the shape of the matching [`Gather`]'s result.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// Set or add.
    pub kind: ScatterKind,
    /// Leading axes shared by operand, indices and updates.
    pub batch: usize,
    /// Operand axes after those that the index vectors address.
    pub indexed: usize,
}

/// How the rows of a segment are combined; see [`super::ReduceKind`] for the value of an empty segment.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // as in `ReduceKind`
pub enum SegmentKind {
    Sum,
    Prod,
    Max,
    Min,
}

/// (data `[batch.., n, ..]`, ids `[batch.., n]`) → `[batch.., segments, ..]`: combines the rows whose id is s into row s. Ids
/// ascend along their last axis; rows whose id is outside `[0, segments)` are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// How rows are combined.
    pub kind: SegmentKind,
    /// Leading axes shared by data and ids.
    pub batch: usize,
    /// The number of segments.
    pub segments: Dim,
}

fn is_index(d: DType) -> bool {
    matches!(d, DType::I32 | DType::I64 | DType::U32)
}

/// The shape of a gather's result (a scatter's updates).
fn slices(cx: &mut InferCx<'_>, batch: usize, indexed: usize) -> Result<Shape, TypeError> {
    let (operand, indices) = (cx.ty(0), cx.ty(1));
    cx.dtype(1, is_index, "i64, i32 or u32 (indices)")?;
    if operand.rank() < batch + indexed || indices.rank() < batch + 1 {
        return Err(
            cx.attribute(format!("{batch} batch and {indexed} indexed axes do not fit these operands"))
        );
    }
    for i in 0..batch {
        cx.same("batch sizes must agree", &operand.shape[i], &indices.shape[i])?;
    }
    let last = indices.rank() - 1;
    cx.same(
        "the indices' last axis holds one entry an indexed axis",
        &indices.shape[last],
        &Dim::from(indexed),
    )?;
    Ok(indices.shape[..last].iter().chain(&operand.shape[batch + indexed..]).collect())
}

impl Family for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("batch", self.batch).with("indexed", self.indexed)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        (name == "gather").then(|| Ok(Gather { batch: attrs.int("batch")?, indexed: attrs.int("indexed")? }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(2)?;
        let shape = slices(cx, self.batch, self.indexed)?;
        let operand = cx.ty(0);
        let indexed = &operand.shape[self.batch..self.batch + self.indexed];
        if indexed.iter().any(|d| d.is(0)) && !shape.iter().any(|d| d.is(0)) {
            return Err(cx.attribute("an indexed axis is empty: there is no element to read".into()));
        }
        Ok(smallvec![operand.with_shape(shape)])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        Ok(vec![eval::gather(self, cx)?])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::gather_vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::gather_jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::gather_batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::gathers()
    }
}

impl Family for Scatter {
    fn name(&self) -> &'static str {
        match self.kind {
            ScatterKind::Set => "scatter_set",
            ScatterKind::Add => "scatter_add",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("batch", self.batch).with("indexed", self.indexed)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let kind = match name {
            "scatter_set" => ScatterKind::Set,
            "scatter_add" => ScatterKind::Add,
            _ => return None,
        };
        Some((|| Ok(Scatter { kind, batch: attrs.int("batch")?, indexed: attrs.int("indexed")? }))())
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(3)?;
        let shape = slices(cx, self.batch, self.indexed)?;
        let updates = cx.ty(2);
        cx.same_dtype(0, 2)?;
        if self.kind == ScatterKind::Add {
            cx.dtype(0, |d| d != DType::Bool, "a number")?;
        }
        if updates.rank() != shape.rank() {
            return Err(cx.attribute(format!("the updates must have shape {shape}")));
        }
        for (a, b) in updates.shape.iter().zip(shape.iter()) {
            cx.same("the updates have the shape of the matching gather's result", a, b)?;
        }
        Ok(smallvec![cx.ty(0).clone()])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        Ok(vec![eval::scatter(self, cx)?])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::scatter_vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::scatter_jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::scatter_batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::scatters()
    }
}

impl SegmentKind {
    /// Every kind.
    pub const ALL: [SegmentKind; 4] =
        [SegmentKind::Sum, SegmentKind::Prod, SegmentKind::Max, SegmentKind::Min];

    /// The op's name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            SegmentKind::Sum => "segment_sum",
            SegmentKind::Prod => "segment_prod",
            SegmentKind::Max => "segment_max",
            SegmentKind::Min => "segment_min",
        }
    }
}

impl Family for Segment {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("batch", self.batch).with("segments", &self.segments)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let kind = SegmentKind::ALL.into_iter().find(|k| k.name() == name)?;
        Some((|| Ok(Segment { kind, batch: attrs.int("batch")?, segments: attrs.dim("segments")? }))())
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(2)?;
        let (data, ids) = (cx.ty(0), cx.ty(1));
        cx.dtype(0, |d| d != DType::Bool, "a number")?;
        cx.dtype(1, is_index, "i64, i32 or u32 (segment ids)")?;
        if ids.rank() != self.batch + 1 || data.rank() < ids.rank() {
            return Err(
                cx.attribute(format!("the ids must have {} axes, the data at least as many", self.batch + 1))
            );
        }
        for (a, b) in ids.shape.iter().zip(data.shape.iter()) {
            cx.same("the ids have the data's leading axes", a, b)?;
        }
        if matches!(self.segments, Dim::Const(n) if n < 0) {
            return Err(cx.attribute(format!("{} is not a number of segments", self.segments)));
        }
        let shape: Shape = data
            .shape
            .iter()
            .enumerate()
            .map(|(i, d)| if i == self.batch { self.segments.clone() } else { d.clone() })
            .collect();
        Ok(smallvec![data.with_shape(shape)])
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        Segment { segments: f(&self.segments), ..self.clone() }
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        Ok(vec![eval::segment(self, cx)?])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::segment_vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::segment_jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::segment_batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::segments()
    }
}
