//! What a product is: its operands' layouts and sizes.

use super::Elem;
use super::pack::Source;
use crate::isa::Isa;

/// A strided matrix (a batch of them). Strides count elements and may be zero or negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Element type.
    pub elem: Elem,
    /// Distance between rows.
    pub row_stride: isize,
    /// Distance between columns.
    pub col_stride: isize,
    /// Distance between the matrices of a group.
    pub batch_stride: isize,
    /// Matrices in a group; 0 if the whole batch is one.
    pub group: usize,
    /// Distance between the first matrices of groups.
    pub group_stride: isize,
}

impl Matrix {
    /// Elements from the first matrix of the batch to another.
    pub(super) fn batch_offset(&self, batch: usize) -> isize {
        let (group, within) = match self.group {
            0 => (0, batch),
            group => (batch / group, batch % group),
        };
        group as isize * self.group_stride + within as isize * self.batch_stride
    }

    /// A single row-major matrix with contiguous rows of `cols` elements.
    #[must_use]
    pub fn row_major(elem: Elem, cols: usize) -> Matrix {
        Matrix { elem, row_stride: cols as isize, col_stride: 1, batch_stride: 0, group: 0, group_stride: 0 }
    }

    /// The transpose: the same memory with the strides exchanged.
    #[must_use]
    pub fn transposed(self) -> Matrix {
        Matrix { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// As B: K runs along rows, lanes are columns.
    pub(super) fn source_of_b(&self, isa: Isa, ptr: *const u8) -> Source {
        Source { isa, elem: self.elem, ptr, k_stride: self.row_stride, lane_stride: self.col_stride }
    }

    /// As A: K runs along columns, lanes are rows.
    pub(super) fn source_of_a(&self, isa: Isa, ptr: *const u8) -> Source {
        self.transposed().source_of_b(isa, ptr)
    }
}

/// How B is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BLayout {
    /// As a strided matrix.
    Strided(Matrix),
    /// Packed by [`pack_b`](super::pack_b), as the accumulator's type.
    Packed {
        /// Elements between the packed matrices of a batch.
        batch_stride: isize,
    },
}

/// Where C goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CLayout {
    /// Rows with contiguous columns.
    Rows {
        /// Elements between rows.
        row_stride: isize,
        /// Elements between the matrices of a batch.
        batch_stride: isize,
    },
    /// The layout of packed B, as if C were packed: what was in the padding columns stays.
    Packed {
        /// Elements between the matrices of a batch.
        batch_stride: isize,
    },
    /// Nowhere: each tile is computed in scratch memory and the epilogue's hook takes it from there.
    Tile,
}

/// Shape and layout of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GemmSpec {
    /// Number of products.
    pub batch: usize,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// A, `m × k`.
    pub a: Matrix,
    /// B, `k × n`.
    pub b: BLayout,
    /// C, `m × n`, of the accumulator's type.
    pub c: CLayout,
    /// Whether the product is added to what C holds, or to another matrix
    /// ([`Epilogue::addend`](super::Epilogue::addend)), once it is summed.
    pub accumulate: bool,
}
