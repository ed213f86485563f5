//! Matrix times vector where the matrix is contiguous along K: every result is a dot product of contiguous memory.

use super::Block;
use super::drive::Run;
use super::plan::{Dot, part};
use super::simd::{Portable, Real, Simd};
use super::spec::{BLayout, CLayout};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::isa::Isa;

/// Chains of multiply-adds a row: enough to hide their latency with two rows.
const CHAINS: usize = 4;

impl<E: Real> Run<'_, E> {
    /// The vector of a matrix-vector product, where it lies.
    fn vector(&self, dot: &Dot, batch: usize) -> *const u8 {
        if dot.matrix_is_a { self.b_of(batch) } else { self.a_of(batch) }
    }

    /// Packs a strided vector into the shared memory.
    pub(super) unsafe fn pack_vector(&self, dot: &Dot, batch: usize) {
        if dot.vector_stride == 1 {
            return;
        }
        let k = self.plan.spec.k;
        // SAFETY: the plan counted the vectors of the whole batch in the shared memory.
        unsafe {
            let out = std::slice::from_raw_parts_mut(self.scratch.cast::<E>().add(batch * k), k);
            E::read(E::ELEM, self.vector(dot, batch), dot.vector_stride, out);
        }
    }

    /// Computes some of a matrix-vector product's results.
    pub(super) unsafe fn dot_tile(&self, dot: &Dot, index: usize, worker: usize) {
        let spec = &self.plan.spec;
        let batch = index / dot.tiles;
        let outs = part(if dot.matrix_is_a { spec.m } else { spec.n }, dot.tiles, index % dot.tiles);
        let (matrix, row_stride) = match (&spec.b, dot.matrix_is_a) {
            (BLayout::Strided(b), false) => (self.b_of(batch), b.col_stride),
            _ => (self.a_of(batch), spec.a.row_stride),
        };
        let (c, stride) = match spec.c {
            CLayout::Tile => (self.own_scratch(worker).cast::<E>(), 1),
            _ => (self.c_of(batch).wrapping_offset(outs.start as isize * dot.out_stride), dot.out_stride),
        };
        // SAFETY: `outs` are rows of the matrix and elements of C.
        unsafe {
            let vector = if dot.vector_stride == 1 {
                self.vector(dot, batch).cast::<E>()
            } else {
                self.scratch.cast::<E>().add(batch * spec.k).cast_const()
            };
            let first = matrix.cast::<E>().offset(outs.start as isize * row_stride);
            let mut put = |i: usize, sum: E| {
                let to = c.offset(i as isize * stride);
                *to = self.scalar_epilogue(sum, to, if dot.matrix_is_a { 0 } else { outs.start + i });
            };
            dots(self.plan.isa, spec.k, outs.len(), first, row_stride, vector, &mut put);
        }
        let (row, col, rows, cols) = match dot.matrix_is_a {
            true => (outs.start, 0, outs.len(), 1),
            false => (0, outs.start, 1, outs.len()),
        };
        let row_stride = if dot.matrix_is_a { stride } else { 0 };
        self.hook(&Block { batch, row, col, rows, cols, c: c.cast(), row_stride, worker });
    }
}

/// Computes `outs` dot products: of `k` elements from `matrix + i * row_stride` with `vector`, each written by `put(i, sum)`.
///
/// Every sum has the same tree, however many rows are computed at a time.
///
/// # Safety
/// The instruction set must be available and the elements readable.
pub(super) unsafe fn dots<E: Real>(
    isa: Isa,
    k: usize,
    outs: usize,
    matrix: *const E,
    row_stride: isize,
    vector: *const E,
    put: &mut dyn FnMut(usize, E),
) {
    // SAFETY: the caller's contract; `E` is `f32` or `f64`, told apart by its tag.
    unsafe {
        match E::ELEM {
            super::Elem::F64 => {
                let put = &mut |i: usize, sum: f64| put(i, std::mem::transmute_copy::<f64, E>(&sum));
                dots_f64(isa, k, outs, matrix.cast(), row_stride, vector.cast(), put);
            }
            _ => {
                let put = &mut |i: usize, sum: f32| put(i, std::mem::transmute_copy::<f32, E>(&sum));
                dots_f32(isa, k, outs, matrix.cast(), row_stride, vector.cast(), put);
            }
        }
    }
}

/// `R` dot products at a time while there are that many left, then one at a time.
#[inline(always)]
unsafe fn all_rows<S: Simd, const R: usize>(
    k: usize,
    outs: usize,
    matrix: *const S::E,
    row_stride: isize,
    vector: *const S::E,
    put: &mut dyn FnMut(usize, S::E),
) {
    // SAFETY: rows below `outs` only; the rest is the caller's contract.
    unsafe {
        let mut row = 0;
        while row + R <= outs {
            let sums = some_rows::<S, R>(k, matrix.offset(row as isize * row_stride), row_stride, vector);
            for (i, sum) in sums.into_iter().enumerate() {
                put(row + i, sum);
            }
            row += R;
        }
        for row in row..outs {
            let [sum] = some_rows::<S, 1>(k, matrix.offset(row as isize * row_stride), row_stride, vector);
            put(row, sum);
        }
    }
}

/// `R` dot products.
#[inline(always)]
unsafe fn some_rows<S: Simd, const R: usize>(
    k: usize,
    matrix: *const S::E,
    row_stride: isize,
    vector: *const S::E,
) -> [S::E; R] {
    // SAFETY: elements below `k` of `R` rows only; the rest is the caller's contract.
    unsafe {
        let mut acc = [[S::zero(); CHAINS]; R];
        let mut p = 0;
        while p + CHAINS * S::LANES <= k {
            for c in 0..CHAINS {
                let at = p + c * S::LANES;
                let x = S::load(vector.add(at));
                for r in 0..R {
                    let row = matrix.offset(r as isize * row_stride);
                    acc[r][c] = S::mul_add(S::load(row.add(at)), x, acc[r][c]);
                }
            }
            p += CHAINS * S::LANES;
        }
        while p < k {
            let left = k - p;
            let load =
                |from: *const S::E| if left >= S::LANES { S::load(from) } else { S::load_first(from, left) };
            let x = load(vector.add(p));
            for r in 0..R {
                let row = matrix.offset(r as isize * row_stride);
                acc[r][0] = S::mul_add(load(row.add(p)), x, acc[r][0]);
            }
            p += S::LANES;
        }
        std::array::from_fn(|r| {
            let [a, b, c, d] = acc[r];
            S::sum(S::add(S::add(a, b), S::add(c, d)))
        })
    }
}

/// Defines `$name` for one element type.
macro_rules! dots {
    ($name:ident, $elem:ty, $lanes:literal) => {
        unsafe fn $name(
            isa: Isa,
            k: usize,
            outs: usize,
            matrix: *const $elem,
            row_stride: isize,
            vector: *const $elem,
            put: &mut dyn FnMut(usize, $elem),
        ) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2(
                k: usize,
                n: usize,
                a: *const $elem,
                stride: isize,
                x: *const $elem,
                put: &mut dyn FnMut(usize, $elem),
            ) {
                // SAFETY: the caller's contract; the instruction set is enabled here.
                unsafe { all_rows::<Avx2<$elem>, 2>(k, n, a, stride, x, put) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512(
                k: usize,
                n: usize,
                a: *const $elem,
                stride: isize,
                x: *const $elem,
                put: &mut dyn FnMut(usize, $elem),
            ) {
                // SAFETY: the caller's contract; the instruction set is enabled here.
                unsafe { all_rows::<Avx512<$elem>, 4>(k, n, a, stride, x, put) }
            }

            // SAFETY: the caller's contract.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2(k, outs, matrix, row_stride, vector, put),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => avx512(k, outs, matrix, row_stride, vector, put),
                    _ => all_rows::<Portable<$elem, $lanes>, 1>(k, outs, matrix, row_stride, vector, put),
                }
            }
        }
    };
}

dots!(dots_f32, f32, 4);
dots!(dots_f64, f64, 2);
