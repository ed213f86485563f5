//! The kernel language: typed single-assignment code over a loop nest, executed tile by tile.
//!
//! A [`Kernel`] is a grid of independent points and, for every point, a sequence of [`Stage`]s. A stage is a loop nest whose
//! body loads, computes and stores, and may reduce values over its loops into accumulators that later stages read. One stage
//! without loops of its own is an elementwise kernel; a maximum, a sum and a store one after another are a softmax:
//!
//! ```text
//! kernel(a0: f32 read, a1: f32 write) grid [32] lanes inner {
//!   stage [10] {
//!     %0 = load a0[10*g0 + i0] : f32
//!     reduce max %0 -> %1 : f32
//!   }
//!   stage [10] {
//!     %2 = load a0[10*g0 + i0] : f32
//!     %3 = sub %2, %1 : f32
//!     %4 = exp %3 : f32
//!     reduce sum %4 -> %5 : f32
//!   }
//!   stage [10] {
//!     …
//!     store a1[10*g0 + i0] = %9
//!   }
//! }
//! ```
//!
//! Registers hold compute dtypes: 16-bit floats are `f32` in registers, converted by `load` and rounded by `store`. Addresses
//! are affine in the loop indices, plus an optional computed index; they count elements, not bytes. The language says what is
//! computed, in which order elements are reduced ([`Kernel`]: "order"), and nothing about how lanes are executed: the tile
//! VM, a JIT and a source emitter are tables over it.

use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare, Unary};
use wootz_ir::{Dims, F64};

/// A register: the result of an instruction or of a reduction: a position in [`Kernel::regs`], defined once in the
/// whole kernel.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u32);

/// An argument: a position in [`Kernel::args`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArgId(pub u32);

/// A fused loop nest.
///
/// **Order.** Sums and products are reduced in this order, whatever runs the kernel: the stage's loops are traversed row-major;
/// with [`Lanes::Inner`] the innermost loop is cut into [`LANES`] interleaved partial results (element i goes to partial
/// i mod `LANES`), which are combined pairwise (j with j + LANES/2, then LANES/4, …) after the loops; with [`Lanes::Grid`] every
/// point has one partial result. A partial result begins with the neutral element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Sizes of the independent loops, outermost first.
    pub grid: Dims,
    /// Which loop the lanes of a tile run along.
    pub lanes: Lanes,
    /// The buffers read and written.
    pub args: Vec<Arg>,
    /// What is done for every point of the grid, in order.
    pub stages: Vec<Stage>,
    /// The dtype of every register.
    pub regs: Vec<DType>,
}

/// Partial results a reduction along the lanes keeps. Part of the definition of a reduction's value.
pub const LANES: usize = 32;

/// Which loop the lanes of a tile run along.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lanes {
    /// The last grid loop: every stage is executed for a tile of grid points at once.
    Grid,
    /// The last loop of each stage (stages without loops are executed for one point).
    Inner,
}

/// A buffer as a kernel sees it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arg {
    /// The dtype in memory.
    pub dtype: DType,
    /// Whether the kernel writes it. Then every element is accessed by one grid point only, and within a stage by one
    /// iteration only, where loads and stores are carried out in the order of the body.
    pub write: bool,
}

/// A loop nest inside every point of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Stage {
    /// Sizes of the stage's loops, outermost first; empty for code executed once a point.
    pub loops: Dims,
    /// The code, executed for every index of the loops.
    pub body: Vec<Inst>,
    /// Values reduced over the stage's loops, available to later stages.
    pub reduce: Vec<Accumulate>,
}

/// A reduction of a register over the loops of its stage.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accumulate {
    /// How values are combined.
    pub kind: AccKind,
    /// What is combined.
    pub value: Reg,
    /// The result.
    pub out: Reg,
}

/// How values are combined; the neutral elements and NaN rules are those of `reduce_*` and `argmax`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // as in `wootz_ir::ops::ReduceKind`
pub enum AccKind {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
    /// The row-major position (i64) in the stage's loops of the first largest value.
    ArgMax,
    /// The same of the first smallest value.
    ArgMin,
}

/// An instruction and the register it defines, if any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inst {
    /// The result; `None` for stores.
    pub out: Option<Reg>,
    /// What is done.
    pub op: InstOp,
}

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstOp {
    /// A constant of a float register.
    Float(F64),
    /// A constant of an integer or bool register, wrapped to its width.
    Int(i64),
    /// The index along a loop (grid loops first, then the stage's), as i64.
    Index(u32),
    /// The element at an address; where `mask` is false nothing is read and the result is 0.
    Load {
        /// The buffer.
        arg: ArgId,
        /// Its element. Boxed: most instructions are of registers alone, and short.
        at: Box<Address>,
        /// A bool register.
        mask: Option<Reg>,
    },
    /// The element of the contraction this kernel is the epilogue of: see [`crate::GemmStep`].
    Tile,
    /// An elementwise op.
    Unary(Unary, Reg),
    /// An elementwise op.
    Binary(Binary, Reg, Reg),
    /// A comparison, giving bool.
    Compare(Compare, Reg, Reg),
    /// condition, then, else.
    Select(Reg, Reg, Reg),
    /// a · b + c with one rounding (floats only).
    Fma(Reg, Reg, Reg),
    /// 1 / (1 + e^−x) (floats only).
    Sigmoid(Reg),
    /// Conversion to the result's dtype by the rules of `cast`.
    Cast(Reg),
    /// The operand's bits as the result's dtype: f32 ↔ i32 and u32, f64 ↔ i64.
    Bitcast(Reg),
    /// An f32 register rounded to the nearest value of this 16-bit float dtype.
    Round(DType, Reg),
    /// Writes the element at an address.
    Store {
        /// The buffer.
        arg: ArgId,
        /// Its element.
        at: Box<Address>,
        /// What is written.
        value: Reg,
    },
}

/// offset + Σ stride · loop index (+ a computed index), in elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// The element at index 0 of every loop.
    pub offset: i64,
    /// One stride a loop: the grid's, then the stage's. Missing entries are 0.
    pub strides: SmallVec<[i64; 4]>,
    /// An i64 register added to the address. The plan guarantees that the sum is in bounds.
    pub index: Option<Reg>,
}

/// The registers that an instruction reads.
#[derive(Copy, Clone, Debug)]
pub struct Operands {
    regs: [Reg; 3],
    count: u8,
}

impl Default for Operands {
    /// None.
    fn default() -> Operands {
        Operands { regs: [Reg(0); 3], count: 0 }
    }
}

impl From<Reg> for Operands {
    /// One register.
    fn from(reg: Reg) -> Operands {
        Operands { regs: [reg; 3], count: 1 }
    }
}

impl std::ops::Deref for Operands {
    type Target = [Reg];

    #[inline]
    fn deref(&self) -> &[Reg] {
        &self.regs[..usize::from(self.count)]
    }
}

impl IntoIterator for Operands {
    type Item = Reg;
    type IntoIter = std::iter::Take<std::array::IntoIter<Reg, 3>>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.regs.into_iter().take(usize::from(self.count))
    }
}

impl Address {
    /// The stride along a loop.
    pub fn stride(&self, axis: usize) -> i64 {
        self.strides.get(axis).copied().unwrap_or(0)
    }

    /// Drops strides of 0 at the end: the form in which equal addresses are equal values.
    pub fn trim(&mut self) {
        while self.strides.last() == Some(&0) {
            self.strides.pop();
        }
    }
}

impl Hash for InstOp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            InstOp::Load { arg, at, mask } => (arg, at, mask).hash(state),
            InstOp::Store { arg, at, value } => (arg, at, value).hash(state),
            InstOp::Unary(op, _) => op.hash(state),
            InstOp::Round(dtype, _) => dtype.hash(state),
            _ => {}
        }
        state.write_u64(self.word().unwrap_or(0));
    }
}

impl InstOp {
    /// A number that equal instructions share, and few others do; of those that access memory, none.
    pub(crate) fn word(&self) -> Option<u64> {
        let regs = |tag: u64, x: Reg, y: Reg, z: Reg| {
            tag ^ u64::from(x.0) << 8 ^ u64::from(y.0) << 26 ^ u64::from(z.0) << 44
        };
        let none = Reg(0);
        Some(match self {
            InstOp::Float(x) => x.0.to_bits() ^ 1,
            InstOp::Int(x) => *x as u64 ^ 2 << 56,
            InstOp::Index(axis) => regs(3, Reg(*axis), none, none),
            InstOp::Unary(_, x) => regs(4, *x, none, none),
            InstOp::Binary(op, x, y) => regs(5 + *op as u64, *x, *y, none),
            InstOp::Compare(op, x, y) => regs(32 + *op as u64, *x, *y, none),
            InstOp::Select(c, x, y) => regs(64, *c, *x, *y),
            InstOp::Fma(x, y, z) => regs(65, *x, *y, *z),
            InstOp::Cast(x) => regs(66, *x, none, none),
            InstOp::Bitcast(x) => regs(67, *x, none, none),
            InstOp::Round(_, x) => regs(68, *x, none, none),
            InstOp::Sigmoid(x) => regs(69, *x, none, none),
            InstOp::Load { .. } | InstOp::Tile | InstOp::Store { .. } => return None,
        })
    }

    /// The registers read.
    #[inline]
    pub fn operands(&self) -> Operands {
        // What is not an operand is not looked at.
        let (regs, count) = match self {
            InstOp::Float(_) | InstOp::Int(_) | InstOp::Index(_) | InstOp::Tile => ([Reg(0); 3], 0),
            InstOp::Load { at, mask, .. } => match (at.index, *mask) {
                (Some(x), Some(y)) => ([x, y, y], 2),
                (Some(x), None) | (None, Some(x)) => ([x; 3], 1),
                (None, None) => ([Reg(0); 3], 0),
            },
            InstOp::Unary(_, x) | InstOp::Sigmoid(x) => ([*x; 3], 1),
            InstOp::Cast(x) | InstOp::Bitcast(x) | InstOp::Round(_, x) => ([*x; 3], 1),
            InstOp::Binary(_, x, y) | InstOp::Compare(_, x, y) => ([*x, *y, *y], 2),
            InstOp::Select(x, y, z) | InstOp::Fma(x, y, z) => ([*x, *y, *z], 3),
            InstOp::Store { at, value, .. } => match at.index {
                Some(x) => ([x, *value, *value], 2),
                None => ([*value; 3], 1),
            },
        };
        Operands { regs, count }
    }

    /// Replaces the registers read.
    pub fn map_operands(&mut self, f: impl Fn(Reg) -> Reg) {
        let go = |r: &mut Reg| *r = f(*r);
        match self {
            InstOp::Float(_) | InstOp::Int(_) | InstOp::Index(_) | InstOp::Tile => {}
            InstOp::Load { at, mask, .. } => at.index.iter_mut().chain(mask).for_each(go),
            InstOp::Unary(_, x) | InstOp::Sigmoid(x) => go(x),
            InstOp::Cast(x) | InstOp::Bitcast(x) | InstOp::Round(_, x) => go(x),
            InstOp::Binary(_, x, y) | InstOp::Compare(_, x, y) => [x, y].into_iter().for_each(go),
            InstOp::Select(x, y, z) | InstOp::Fma(x, y, z) => [x, y, z].into_iter().for_each(go),
            InstOp::Store { at, value, .. } => at.index.iter_mut().chain([value]).for_each(go),
        }
    }
}

impl Kernel {
    /// The number of grid points.
    pub fn points(&self) -> usize {
        self.grid.iter().product()
    }

    /// Executions of all stages' bodies: points × Σ loop sizes.
    pub fn iterations(&self) -> usize {
        self.points() * self.stages.iter().map(|s| s.loops.iter().product::<usize>()).sum::<usize>()
    }

    /// Arithmetic instructions executed in one run (loads, stores and constants not counted).
    pub fn flops(&self) -> u64 {
        let count = |s: &Stage| {
            let arithmetic = s.body.iter().filter(|i| {
                matches!(
                    i.op,
                    InstOp::Unary(..)
                        | InstOp::Binary(..)
                        | InstOp::Compare(..)
                        | InstOp::Select(..)
                        | InstOp::Fma(..)
                        | InstOp::Sigmoid(..)
                )
            });
            (arithmetic.count() + s.reduce.len()) as u64 * s.loops.iter().product::<usize>() as u64
        };
        self.points() as u64 * self.stages.iter().map(count).sum::<u64>()
    }
}
