//! A plan: the steps of a program over buffers whose places are decided. Pure data.

use crate::Kernel;
use std::sync::Arc;
use wootz_ir::ops::{Linalg, ScatterKind, SegmentKind};
use wootz_ir::{DType, HostTensor, Site};

/// A buffer: a position in [`Plan::buffers`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// Everything a native backend needs to run a graph.
///
/// A program runs `prepare` whenever the parameters have changed (results go to the prepared buffers) and `steps` at every run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Every buffer.
    pub buffers: Vec<Buffer>,
    /// What depends on parameters alone: packing of weights and arithmetic on them.
    pub prepare: Vec<Step>,
    /// What is done at every run.
    pub steps: Vec<Step>,
    /// The buffer of each input of the graph.
    pub inputs: Vec<BufferId>,
    /// The buffer of each output of the graph. An output may be an input's buffer (in-place update).
    pub outputs: Vec<BufferId>,
    /// Bytes of the arena, scratch included.
    pub arena: usize,
    /// Bytes of each prepared buffer.
    pub prepared: Vec<usize>,
    /// Contents of the constant buffers.
    pub constants: Vec<HostTensor>,
}

/// A contiguous piece of memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Element type.
    pub dtype: DType,
    /// Size in bytes.
    pub bytes: usize,
    /// Where it is.
    pub place: Place,
}

/// Where a buffer is. Arena offsets are multiples of [`ALIGN`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The memory bound to this input.
    Input(usize),
    /// The memory bound to this output.
    Output(usize),
    /// The session's arena, at this byte offset.
    Arena(usize),
    /// This constant.
    Constant(usize),
    /// This result of `prepare`.
    Prepared(usize),
}

/// Alignment of arena offsets, in bytes.
pub const ALIGN: usize = 64;

/// One step. Steps run one after another; each may use all threads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// Where in the model it came from (one of the places, if several were fused).
    pub site: SiteLabel,
}

/// A site that takes no part in equality or hashing.
#[derive(Clone, Debug, Default)]
pub struct SiteLabel(pub Site);

impl PartialEq for SiteLabel {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for SiteLabel {}
impl std::hash::Hash for SiteLabel {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// A fused loop nest on these buffers, one an argument.
    Kernel {
        /// The code; shared by steps with equal code.
        kernel: Arc<Kernel>,
        /// The buffers.
        args: Vec<BufferId>,
    },
    /// A batched matrix product.
    Gemm(Box<GemmStep>),
    /// Rearranges a right operand into the backend's packed layout.
    PackRhs {
        /// Rows (the contracted size).
        k: usize,
        /// Columns.
        n: usize,
        /// The operand.
        rhs: Matrix,
        /// The packed operand.
        out: BufferId,
    },
    /// A copy of `bytes` bytes.
    Copy {
        /// From.
        from: BufferId,
        /// To.
        to: BufferId,
        /// How much.
        bytes: usize,
    },
    /// Writes at computed positions, updates in row-major order. `out` already holds the operand.
    Scatter(Box<ScatterStep>),
    /// Combines runs of rows with equal ids.
    Segment(Box<SegmentStep>),
    /// Sums of all elements before each along an axis.
    Cumsum(Box<CumsumStep>),
    /// Factorises or solves dense systems.
    Linalg(Box<LinalgStep>),
    /// Ops that own regions.
    Control(Box<ControlStep>),
}

/// A matrix (or a batch of them) in a buffer: element (row, column) of matrix b is at offset + batch offset of b + row · `row` +
/// column · `col`, in elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// The buffer.
    pub buffer: BufferId,
    /// Of element (0, 0) of the first matrix.
    pub offset: usize,
    /// From one matrix of a group to the next.
    pub batch: usize,
    /// Matrices in a group; 0 if the whole batch is one.
    pub group: usize,
    /// From the first matrix of a group to that of the next.
    pub group_stride: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub col: usize,
}

impl Matrix {
    /// Elements from the first matrix of the batch to another.
    pub fn batch_offset(&self, batch: usize) -> usize {
        let (group, within) = match self.group {
            0 => (0, batch),
            group => (batch / group, batch % group),
        };
        group * self.group_stride + within * self.batch
    }
}

/// out\[b, i, j\] = epilogue(Σₚ lhs\[b, i, p\] · rhs\[b, p, j\]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GemmStep {
    /// Element type of the operands; 16-bit floats accumulate in f32.
    pub dtype: DType,
    /// Number of matrices.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// The contracted size.
    pub k: usize,
    /// The left operand, m × k.
    pub lhs: Matrix,
    /// The right operand, k × n.
    pub rhs: Rhs,
    /// Where the product goes if there is no epilogue: row-major `[batch, m, n]`, of `dtype`. With an epilogue this is
    /// `None`: the epilogue's stores are the only result.
    pub out: Option<BufferId>,
    /// Applied to every element of the product once it is complete: one stage without loops over the grid `[batch, m, n]`,
    /// in which `Tile` is the product (an f32 register for 16-bit floats).
    pub epilogue: Option<Epilogue>,
}

/// The right operand of a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rhs {
    /// As it lies; packed on the fly where that pays.
    Matrix(Matrix),
    /// Already in the backend's packed layout (batch is 1).
    Packed(BufferId),
}

/// Elementwise code applied to a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// The code: a kernel over the grid `[batch, m, n]`.
    pub kernel: Arc<Kernel>,
    /// Its buffers.
    pub args: Vec<BufferId>,
}

/// A scatter with every size resolved: operand `[batch, indexed.., slice]`, indices `[batch, count, indexed.len()]`, updates
/// `[batch, count, slice]`, all contiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // described above
pub struct ScatterStep {
    pub kind: ScatterKind,
    pub dtype: DType,
    pub index_dtype: DType,
    pub batch: usize,
    pub indexed: Vec<usize>,
    pub count: usize,
    pub slice: usize,
    pub indices: BufferId,
    pub updates: BufferId,
    pub out: BufferId,
}

/// A segment reduction with every size resolved: data `[batch, rows, inner]`, ids `[batch, rows]`, out `[batch, segments, inner]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // described above
pub struct SegmentStep {
    pub kind: SegmentKind,
    pub dtype: DType,
    pub index_dtype: DType,
    pub batch: usize,
    pub rows: usize,
    pub segments: usize,
    pub inner: usize,
    pub data: BufferId,
    pub ids: BufferId,
    pub out: BufferId,
}

/// A cumulative sum with every size resolved: data and out `[outer, count, inner]`, summed along `count`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // described above
pub struct CumsumStep {
    pub dtype: DType,
    pub outer: usize,
    pub count: usize,
    pub inner: usize,
    pub reverse: bool,
    pub exclusive: bool,
    pub data: BufferId,
    pub out: BufferId,
}

/// A dense factorisation or solution with every size resolved: matrices `[batch, n, n]`, right-hand sides and solutions
/// `[batch, n, columns]` (a factorisation: `columns` is n), all contiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // described above
pub struct LinalgStep {
    pub op: Linalg,
    pub dtype: DType,
    pub batch: usize,
    pub n: usize,
    pub columns: usize,
    pub inputs: Vec<BufferId>,
    pub out: BufferId,
}

/// A region as a plan of its own: its inputs and outputs are bound to the step's buffers, its arena is the scratch buffer.
/// Its `prepare` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubPlan {
    /// The region's plan; shared by calls to one region.
    pub plan: Arc<Plan>,
    /// Holds the region's arena while it runs.
    pub scratch: BufferId,
}

/// Ops that own regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // as in `wootz_ir::ops::Control`
pub enum ControlStep {
    Call {
        body: SubPlan,
        inputs: Vec<BufferId>,
        outputs: Vec<BufferId>,
    },
    Cond {
        predicate: BufferId,
        then: SubPlan,
        otherwise: SubPlan,
        inputs: Vec<BufferId>,
        outputs: Vec<BufferId>,
    },
    /// `outputs` hold the carry from the start (the initial values are copied there first); the body reads them and
    /// writes `next`, which is copied back after each step.
    While {
        cond: SubPlan,
        predicate: BufferId,
        body: SubPlan,
        captures: Vec<BufferId>,
        outputs: Vec<BufferId>,
        next: Vec<BufferId>,
    },
    /// `carry` holds the carry from the start and at the end; `next` as in `While`. Row t of xs and ys is bound for step t.
    Scan {
        body: SubPlan,
        length: usize,
        reverse: bool,
        carry: Vec<BufferId>,
        next: Vec<BufferId>,
        /// With the bytes of one row.
        xs: Vec<(BufferId, usize)>,
        captures: Vec<BufferId>,
        /// With the bytes of one row.
        ys: Vec<(BufferId, usize)>,
    },
}
