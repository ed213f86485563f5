//! Matrix multiplication: `C[m, n] = epilogue(A[m, k] · B[k, n])`, batched, for `f32` and `f64` (also from `f16` and
//! `bf16` operands, accumulated in `f32`), and wrapping integer products.
//!
//! A [`GemmPlan`] is made once for a [`GemmSpec`] and an [`Isa`]; it is plain data, says how
//! much scratch memory a run needs, and [`GemmPlan::run`] then allocates nothing. [`matmul`] is the checked form over
//! slices.
//!
//! ```
//! use wootz_cpu::gemm::{MatMut, MatRef, SliceB, matmul};
//! use wootz_cpu::{isa::Isa, pool::Team};
//!
//! let (a, b, mut c) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, -1.0], [0.0f32; 2]);
//! let b = SliceB::Strided(MatRef::new(&b, 2, 1));
//! let mut c_mat = MatMut::new(&mut c, 2, 1);
//! matmul(Isa::best(), &Team::serial(), &MatRef::new(&a, 2, 2), &b, &mut c_mat, false, Some(&[10.0]), true)?;
//! assert_eq!(c, [9.0, 9.0]);
//! # Ok::<(), wootz_cpu::gemm::GemmError>(())
//! ```
//!
//! # Layout of packed B
//! B's columns are cut into *slabs* of one cache line: 16 columns of `f32`, 8 of `f64` ([`slab_cols`]). Slab `s` holds,
//! for each `p` in `0..k`, the elements `B[p, s * 16 .. s * 16 + 16]`, zero beyond column `n`; slabs follow each other:
//! `packed[(s * k + p) * 16 + j] = B[p, s * 16 + j]`. The layout is the same for every instruction set.
//! [`packed_len`] is its length, [`pack_b`] fills it.
//!
//! # Determinism
//! Each sum is one chain of multiply-adds in the order of K, from zero (a fixed tree in the matrix-vector products that
//! are sums along contiguous memory), chosen by shape, strides and instruction set. Neither tiles nor threads change a bit.

// Reason: micro-kernels work on raw pointers and vector intrinsics.
#![allow(unsafe_code)]

mod dot;
mod drive;
mod int;
mod kernel;
mod pack;
mod plan;
mod simd;
mod slice;
mod spec;
mod stage;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use int::{WrappingInt, int_matmul};
pub use kernel::{Form, Kernel, Kernels, Select, TileArgs};
pub use pack::Convert;
pub use plan::GemmPlan;
pub use simd::Real;
pub use slice::{MatMut, MatRef, Operand, SliceB, matmul, pack_b_slice};
pub use spec::{BLayout, CLayout, GemmSpec, Matrix};

use crate::isa::Isa;

/// Element type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elem {
    /// IEEE half precision; products are accumulated in `f32`.
    F16,
    /// bfloat16; products are accumulated in `f32`.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Elem {
    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Elem::F16 | Elem::Bf16 => 2,
            Elem::F32 => 4,
            Elem::F64 => 8,
        }
    }

    /// The type that products of such elements are accumulated in: `F32` or `F64`.
    #[must_use]
    pub const fn accumulator(self) -> Elem {
        match self {
            Elem::F16 | Elem::Bf16 | Elem::F32 => Elem::F32,
            Elem::F64 => Elem::F64,
        }
    }
}

/// A product that cannot be planned or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GemmError {
    /// The operands accumulate in different types.
    #[error("operands of types {a:?} and {b:?} have no common accumulator")]
    MixedElements {
        /// A's element type.
        a: Elem,
        /// B's element type.
        b: Elem,
    },
    /// A size in bytes does not fit the address space.
    #[error("a product of batch {batch}, m {m}, n {n}, k {k} is too large for memory")]
    TooLarge {
        /// Number of products.
        batch: usize,
        /// Rows of C.
        m: usize,
        /// Columns of C.
        n: usize,
        /// Products summed for each element.
        k: usize,
    },
    /// Accumulation into per-thread tiles, which hold nothing to add to.
    #[error("a product into tiles cannot accumulate")]
    AccumulateIntoTile,
    /// The instruction set is not available on this processor.
    #[error("this processor does not have the instruction set {0}")]
    Isa(Isa),
    /// Slices whose shapes do not fit together or whose strides lead outside of them.
    #[error("{operand} does not fit: {reason}")]
    Operand {
        /// Which operand.
        operand: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread pool could not be set up.
    #[error(transparent)]
    Pool(#[from] crate::pool::PoolError),
}

/// Columns in a slab of packed B: 16 of `f32` (also for `f16` and `bf16`, which are packed as `f32`), 8 of `f64`.
#[must_use]
pub const fn slab_cols(elem: Elem) -> usize {
    64 / elem.accumulator().size()
}

/// Elements (of the accumulator's type) of a packed `k × n` matrix; `None` if that overflows.
#[must_use]
pub fn packed_len(k: usize, n: usize, elem: Elem) -> Option<usize> {
    let slab = slab_cols(elem);
    n.div_ceil(slab).checked_mul(slab)?.checked_mul(k)
}

/// Packs a `k × n` matrix B into `packed` (see the [module](self) for the layout), as `f32` or, from `F64`, as `f64`.
/// The matrix's `batch_stride` is not used.
///
/// # Safety
/// The matrix's elements must be readable, `packed` must be aligned for and hold [`packed_len`] elements of the
/// accumulator's type and must not overlap the matrix. The processor must have `isa`.
pub unsafe fn pack_b(isa: Isa, b: &Matrix, ptr: *const u8, k: usize, n: usize, packed: *mut u8) {
    let slabs = n.div_ceil(slab_cols(b.elem));
    // SAFETY: the caller's contract.
    unsafe { pack_b_slabs(isa, b, ptr, k, n, 0..slabs, packed) }
}

/// As [`pack_b`] for some of the slabs only, so that threads can share the work. `packed` is the whole buffer.
///
/// # Safety
/// As [`pack_b`]; calls that run at once must have disjoint slabs.
pub unsafe fn pack_b_slabs(
    isa: Isa,
    b: &Matrix,
    ptr: *const u8,
    k: usize,
    n: usize,
    slabs: std::ops::Range<usize>,
    packed: *mut u8,
) {
    let source = b.source_of_b(isa, ptr);
    // SAFETY: the caller's contract.
    unsafe {
        match b.elem.accumulator() {
            Elem::F64 => {
                let out = packed.cast::<f64>().add(slabs.start * k * f64::SLAB);
                pack::pack_slabs(source, n, slabs, 0..k, out, k * f64::SLAB);
            }
            _ => {
                let out = packed.cast::<f32>().add(slabs.start * k * f32::SLAB);
                pack::pack_slabs(source, n, slabs, 0..k, out, k * f32::SLAB);
            }
        }
    }
}

/// A finished part of C, given to an epilogue hook while it is in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Index of the product.
    pub batch: usize,
    /// First row of the part.
    pub row: usize,
    /// First column of the part.
    pub col: usize,
    /// Rows of the part.
    pub rows: usize,
    /// Columns of the part.
    pub cols: usize,
    /// The element at (`row`, `col`), of the accumulator's type. Columns are contiguous.
    pub c: *mut u8,
    /// Elements between rows of the part.
    pub row_stride: isize,
    /// The worker that made it: an index for per-thread scratch memory.
    pub worker: usize,
}

/// What is done to C after its products are summed: scale, addend (which an accumulating product has), bias and ReLU,
/// all while C is in registers, then the hook. Every operation is rounded for itself: none is contracted to a fused
/// multiply-add.
///
/// A step of gradient descent in place, `w - (rate * g)`, is an accumulating product with a scale of `-rate`: the same
/// bits, as negating is exact.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// What the sum is multiplied by, a number of the accumulator's type; `None` for nothing, as for 1.
    pub scale: Option<f64>,
    /// If [`GemmSpec::accumulate`]: the matrix that the (scaled) sum is added to, laid out as C; null for C itself, in
    /// place. It must not overlap C in any other way.
    pub addend: *const u8,
    /// Row of `n` elements (of the accumulator's type) that is added to each row of C; null for none.
    pub bias: *const u8,
    /// Whether `max(x, 0)` is taken (NaN stays NaN).
    pub relu: bool,
    /// Called once for each part of C; the parts are disjoint and cover C. A part is one tile of the plan
    /// ([`GemmPlan::block_rows`] by [`GemmPlan::block_cols`] at most), for [`CLayout::Packed`] one slab of a tile. Calls come
    /// from several threads at once.
    pub hook: Option<&'a (dyn Fn(&Block) + Sync)>,
}

impl Epilogue<'_> {
    /// Nothing.
    pub const NONE: Epilogue<'static> =
        Epilogue { scale: None, addend: std::ptr::null(), bias: std::ptr::null(), relu: false, hook: None };
}
