//! Products of matrices in slices, with every bound checked.

use half::{bf16, f16};

use super::plan::GemmPlan;
use super::simd::Real;
use super::spec::{BLayout, CLayout, GemmSpec, Matrix};
use super::{Elem, Epilogue, GemmError, pack_b, packed_len};
use crate::isa::Isa;
use crate::pool::Team;

/// A strided matrix in a slice, its first element first.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    /// The memory.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements between rows.
    pub row_stride: usize,
    /// Elements between columns.
    pub col_stride: usize,
}

impl<'a, T> MatRef<'a, T> {
    /// A row-major matrix without gaps.
    #[must_use]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        MatRef { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, of the same memory.
    #[must_use]
    pub fn t(self) -> Self {
        MatRef {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// A strided matrix in a slice that can be written, its first element first.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    /// The memory.
    pub data: &'a mut [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements between rows.
    pub row_stride: usize,
    /// Elements between columns.
    pub col_stride: usize,
}

impl<'a, T> MatMut<'a, T> {
    /// A row-major matrix without gaps.
    #[must_use]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        MatMut { data, rows, cols, row_stride: cols, col_stride: 1 }
    }
}

/// An error about one operand.
fn misfit(operand: &'static str, reason: String) -> GemmError {
    GemmError::Operand { operand, reason }
}

/// Checks that every element of a strided matrix lies in its slice.
fn check_bounds(
    operand: &'static str,
    len: usize,
    shape: (usize, usize),
    strides: (usize, usize),
) -> Result<(), GemmError> {
    let (rows, cols) = shape;
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let last = (rows - 1)
        .checked_mul(strides.0)
        .and_then(|last| last.checked_add((cols - 1).checked_mul(strides.1)?))
        .filter(|last| *last <= isize::MAX as usize);
    match last {
        Some(last) if last < len => Ok(()),
        _ => Err(misfit(
            operand,
            format!("{rows} x {cols} with strides {strides:?} leads outside of {len} elements"),
        )),
    }
}

/// Checks the operands of a product against each other and their slices; m, n and k.
pub(super) fn check_shapes<A, B, C>(
    a: &MatRef<'_, A>,
    b: &MatRef<'_, B>,
    c: &MatMut<'_, C>,
) -> Result<(usize, usize, usize), GemmError> {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if b.rows != k {
        return Err(misfit("B", format!("it has {} rows and A has {k} columns", b.rows)));
    }
    check_c(c, m, n)?;
    check_bounds("A", a.data.len(), (m, k), (a.row_stride, a.col_stride))?;
    check_bounds("B", b.data.len(), (k, n), (b.row_stride, b.col_stride))?;
    Ok((m, n, k))
}

/// Checks C's shape and bounds, and that none of its elements is two.
fn check_c<C>(c: &MatMut<'_, C>, m: usize, n: usize) -> Result<(), GemmError> {
    if (c.rows, c.cols) != (m, n) {
        return Err(misfit("C", format!("it is {} x {} and the product is {m} x {n}", c.rows, c.cols)));
    }
    let strides = (c.row_stride, c.col_stride);
    check_bounds("C", c.data.len(), (m, n), strides)?;
    let apart = |near: (usize, usize), far: (usize, usize)| {
        (near.0 <= 1 || near.1 > 0) && (far.0 <= 1 || far.1 > (near.0.max(1) - 1) * near.1)
    };
    if m > 0 && n > 0 && !apart((n, strides.1), (m, strides.0)) && !apart((m, strides.0), (n, strides.1)) {
        return Err(misfit("C", format!("elements overlap with strides {strides:?}")));
    }
    Ok(())
}

/// Element types that operands of products can have.
pub trait Operand: Copy + sealed::Sealed {
    /// The type's tag.
    const ELEM: Elem;
    /// The type that products are accumulated in.
    type Acc: Real;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

macro_rules! operand {
    ($($elem:ty: $tag:ident in $acc:ty;)+) => {$(
        impl Operand for $elem {
            const ELEM: Elem = Elem::$tag;
            type Acc = $acc;
        }
    )+};
}

operand!(f16: F16 in f32; bf16: Bf16 in f32; f32: F32 in f32; f64: F64 in f64;);

/// B of a checked product.
#[derive(Clone, Copy, Debug)]
pub enum SliceB<'a, T: Operand> {
    /// A strided matrix.
    Strided(MatRef<'a, T>),
    /// A packed one, from [`pack_b_slice`].
    Packed {
        /// The packed elements.
        data: &'a [T::Acc],
        /// Rows, as they were before packing.
        k: usize,
        /// Columns, as they were before packing.
        n: usize,
    },
}

/// Packs B; see the [module](super) for the layout.
///
/// # Errors
/// [`GemmError::Isa`] when this processor lacks the instruction set, [`GemmError::Operand`] when the matrix reaches outside
/// its slice, [`GemmError::TooLarge`] when its size overflows.
pub fn pack_b_slice<T: Operand>(isa: Isa, b: &MatRef<'_, T>) -> Result<Vec<T::Acc>, GemmError> {
    if !isa.is_available() {
        return Err(GemmError::Isa(isa));
    }
    check_bounds("B", b.data.len(), (b.rows, b.cols), (b.row_stride, b.col_stride))?;
    let too_large = GemmError::TooLarge { batch: 1, m: 0, n: b.cols, k: b.rows };
    let len = packed_len(b.rows, b.cols, T::ELEM).ok_or(too_large)?;
    let mut packed = vec![T::Acc::default(); len];
    // SAFETY: the elements are in bounds, the buffer has its length, the instruction set was checked.
    unsafe {
        pack_b(isa, &matrix(b), b.data.as_ptr().cast(), b.rows, b.cols, packed.as_mut_ptr().cast());
    }
    Ok(packed)
}

/// The layout of a matrix in a slice.
fn matrix<T: Operand>(m: &MatRef<'_, T>) -> Matrix {
    Matrix {
        elem: T::ELEM,
        row_stride: m.row_stride as isize,
        col_stride: m.col_stride as isize,
        batch_stride: 0,
        group: 0,
        group_stride: 0,
    }
}

/// `C = A · B` (`C += A · B` if `accumulate`), then `+ bias` (a row), then ReLU. Allocates its scratch memory.
///
/// # Errors
/// [`GemmError`] when the operands do not fit together or C's columns are not contiguous.
pub fn matmul<T: Operand>(
    isa: Isa,
    team: &Team<'_>,
    a: &MatRef<'_, T>,
    b: &SliceB<'_, T>,
    c: &mut MatMut<'_, T::Acc>,
    accumulate: bool,
    bias: Option<&[T::Acc]>,
    relu: bool,
) -> Result<(), GemmError> {
    let (m, k) = (a.rows, a.cols);
    check_bounds("A", a.data.len(), (m, k), (a.row_stride, a.col_stride))?;
    let (layout, ptr, n) = match b {
        SliceB::Strided(b) => {
            check_shapes(a, b, c)?;
            (BLayout::Strided(matrix(b)), b.data.as_ptr().cast::<u8>(), b.cols)
        }
        SliceB::Packed { data, k: rows, n } => {
            if *rows != k || Some(data.len()) != packed_len(k, *n, T::ELEM) {
                return Err(misfit("B", format!("{} packed elements are not {k} x {n}", data.len())));
            }
            (BLayout::Packed { batch_stride: 0 }, data.as_ptr().cast(), *n)
        }
    };
    check_c(c, m, n)?;
    if c.cols > 1 && c.col_stride != 1 {
        return Err(misfit("C", format!("its columns are {} elements apart", c.col_stride)));
    }
    if let Some(bias) = bias
        && bias.len() != n
    {
        return Err(misfit("bias", format!("it has {} elements and C has {n} columns", bias.len())));
    }
    let rows = CLayout::Rows { row_stride: c.row_stride as isize, batch_stride: 0 };
    let spec = GemmSpec { batch: 1, m, n, k, a: matrix(a), b: layout, c: rows, accumulate };
    let plan = GemmPlan::new(&spec, isa)?;
    let mut scratch = vec![T::Acc::default(); plan.scratch_bytes(team.threads()) / size_of::<T::Acc>()];
    let bias = bias.map_or(std::ptr::null(), |bias| bias.as_ptr().cast());
    let epilogue = Epilogue { bias, relu, ..Epilogue::NONE };
    // SAFETY: the operands were checked against their slices, and the scratch memory has the plan's size.
    unsafe {
        let (c, scratch) = (c.data.as_mut_ptr().cast(), scratch.as_mut_ptr().cast());
        plan.run(team, a.data.as_ptr().cast(), ptr, c, scratch, &epilogue);
    }
    Ok(())
}
