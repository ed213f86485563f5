//! Wrapping integer products.

use super::GemmError;
use super::slice::{MatMut, MatRef};

/// Integers with wrapping arithmetic.
pub trait WrappingInt: Copy + Default {
    /// `self + a * b`, wrapping around.
    #[must_use]
    fn wrapping_mul_add(self, a: Self, b: Self) -> Self;
}

macro_rules! wrapping_int {
    ($($int:ty)+) => {$(
        impl WrappingInt for $int {
            #[inline]
            fn wrapping_mul_add(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }
        }
    )+};
}

wrapping_int!(u8 u32 i32 i64);

/// `C = A · B` (`C += A · B` if `accumulate`), each operation modulo the type's range.
///
/// # Errors
/// [`GemmError::Operand`] when the shapes do not fit together or a matrix reaches outside its slice.
pub fn int_matmul<T: WrappingInt>(
    a: &MatRef<'_, T>,
    b: &MatRef<'_, T>,
    c: &mut MatMut<'_, T>,
    accumulate: bool,
) -> Result<(), GemmError> {
    let (m, n, k) = super::slice::check_shapes(a, b, c)?;
    let (row_stride, col_stride) = (c.row_stride, c.col_stride);
    for i in 0..m {
        for j in 0..n {
            let to = &mut c.data[i * row_stride + j * col_stride];
            if !accumulate {
                *to = T::default();
            }
        }
        // Row by row of B, so that the inner loop runs along contiguous memory.
        for p in 0..k {
            let x = a.data[i * a.row_stride + p * a.col_stride];
            for j in 0..n {
                let to = &mut c.data[i * row_stride + j * col_stride];
                *to = to.wrapping_mul_add(x, b.data[p * b.row_stride + j * b.col_stride]);
            }
        }
    }
    Ok(())
}
