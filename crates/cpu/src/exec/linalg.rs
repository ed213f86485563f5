//! Cholesky factors and triangular systems.
//!
//! Every element is computed in an order that depends on the sizes and the instruction set alone.

use crate::isa::Isa;
use std::ops::Range;
use wootz_ir::DType;
use wootz_ir::ops::{Linalg, TriangularSolve};
use wootz_plan::LinalgStep;

/// Partial sums of a dot product, added up in pairs at its end.
const LANES: usize = 8;
/// Rows that share the loads of a row they are multiplied with.
const ROWS: usize = 4;

/// Estimated nanoseconds of a step.
pub(super) fn cost(step: &LinalgStep) -> f64 {
    let [batch, n, columns] = [step.batch, step.n, step.columns].map(|x| x as f64);
    let products = match step.op {
        Linalg::Cholesky => n * n * n / 6.0,
        Linalg::TriangularSolve(_) => n * n * columns / 2.0,
    };
    batch * (products / 3.0 + 10.0 * n)
}

/// What a step works on.
pub(super) struct Systems<'a> {
    step: &'a LinalgStep,
    isa: Isa,
    inputs: [*const u8; 2],
    out: *mut u8,
}

// SAFETY: the threads run disjoint parts of the batch.
unsafe impl Sync for Systems<'_> {}

impl<'a> Systems<'a> {
    /// # Safety
    /// The pointers are those of the step's buffers; `out` overlaps neither input. The processor has `isa`.
    pub(super) unsafe fn new(
        step: &'a LinalgStep,
        isa: Isa,
        inputs: [Option<*const u8>; 2],
        out: *mut u8,
    ) -> Systems<'a> {
        Systems { step, isa, inputs: inputs.map(|p| p.unwrap_or(std::ptr::null())), out }
    }

    /// Solves part of the batch.
    ///
    /// # Safety
    /// The buffers are still there, and nobody else runs this part.
    pub(super) unsafe fn run(&self, batch: Range<usize>) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.step.dtype {
                DType::F32 => self.run_as::<f32>(batch),
                _ => self.run_as::<f64>(batch),
            }
        }
    }

    /// # Safety
    /// As [`Systems::run`]; elements are `T`.
    unsafe fn run_as<T: Real>(&self, batch: Range<usize>) {
        let (n, columns) = (self.step.n, self.step.columns);
        for at in batch {
            // SAFETY: the caller's contract.
            unsafe {
                let a = std::slice::from_raw_parts(self.inputs[0].cast::<T>().add(at * n * n), n * n);
                let size = n * columns;
                let out = std::slice::from_raw_parts_mut(self.out.cast::<T>().add(at * size), size);
                match self.step.op {
                    Linalg::Cholesky => T::cholesky(self.isa, n, a, out),
                    Linalg::TriangularSolve(op) => {
                        let b = self.inputs[1].cast::<T>().add(at * size);
                        out.copy_from_slice(std::slice::from_raw_parts(b, size));
                        T::solve(self.isa, op, n, columns, a, out);
                    }
                }
            }
        }
    }
}

/// An element type.
trait Real: Copy + PartialOrd + 'static {
    const ZERO: Self;
    const NAN: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn root(self) -> Self;
    /// x·y + z, rounded once if `FUSED`.
    fn product<const FUSED: bool>(x: Self, y: Self, z: Self) -> Self;
    /// # Safety
    /// The processor has `isa`.
    unsafe fn cholesky(isa: Isa, n: usize, a: &[Self], l: &mut [Self]);
    /// # Safety
    /// The processor has `isa`.
    unsafe fn solve(isa: Isa, op: TriangularSolve, n: usize, k: usize, a: &[Self], x: &mut [Self]);
}

macro_rules! real {
    ($t:ident) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            const NAN: $t = $t::NAN;
            #[inline(always)]
            fn plus(self, other: $t) -> $t {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: $t) -> $t {
                self - other
            }
            #[inline(always)]
            fn over(self, other: $t) -> $t {
                self / other
            }
            #[inline(always)]
            fn root(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn product<const FUSED: bool>(x: $t, y: $t, z: $t) -> $t {
                if FUSED { x.mul_add(y, z) } else { x * y + z }
            }
            unsafe fn cholesky(isa: Isa, n: usize, a: &[$t], l: &mut [$t]) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2(n: usize, a: &[$t], l: &mut [$t]) {
                    cholesky::<$t, true>(n, a, l)
                }
                match isa {
                    // SAFETY: the caller's contract.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 | Isa::Avx512 => unsafe { avx2(n, a, l) },
                    _ => cholesky::<$t, false>(n, a, l),
                }
            }
            unsafe fn solve(isa: Isa, op: TriangularSolve, n: usize, k: usize, a: &[$t], x: &mut [$t]) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2(op: TriangularSolve, n: usize, k: usize, a: &[$t], x: &mut [$t]) {
                    solve::<$t, true>(op, n, k, a, x)
                }
                match isa {
                    // SAFETY: the caller's contract.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 | Isa::Avx512 => unsafe { avx2(op, n, k, a, x) },
                    _ => solve::<$t, false>(op, n, k, a, x),
                }
            }
        }
    };
}
real!(f32);
real!(f64);

/// The dot products of several rows with one: each in [`LANES`] partial sums, whatever the number of rows.
#[inline(always)]
fn dots<T: Real, const R: usize, const FUSED: bool>(rows: [&[T]; R], with: &[T]) -> [T; R] {
    let mut sums = [[T::ZERO; LANES]; R];
    let whole = with.len() - with.len() % LANES;
    for at in (0..whole).step_by(LANES) {
        let right = &with[at..at + LANES];
        for (sum, row) in sums.iter_mut().zip(&rows) {
            let left = &row[at..at + LANES];
            for lane in 0..LANES {
                sum[lane] = T::product::<FUSED>(left[lane], right[lane], sum[lane]);
            }
        }
    }
    for (sum, row) in sums.iter_mut().zip(&rows) {
        for (lane, right) in with[whole..].iter().enumerate() {
            sum[lane] = T::product::<FUSED>(row[whole + lane], *right, sum[lane]);
        }
    }
    sums.map(|s| {
        let half: [T; 4] = std::array::from_fn(|i| s[i].plus(s[i + 4]));
        half[0].plus(half[2]).plus(half[1].plus(half[3]))
    })
}

/// The factor of one matrix; NaN if it is not positive definite. Rows are found [`ROWS`] at a time.
#[inline(always)]
fn cholesky<T: Real, const FUSED: bool>(n: usize, a: &[T], l: &mut [T]) {
    for first in (0..n).step_by(ROWS) {
        let end = (first + ROWS).min(n);
        for i in first..end {
            l[i * n..i * n + i + 1].copy_from_slice(&a[i * n..i * n + i + 1]);
            l[i * n + i + 1..(i + 1) * n].fill(T::ZERO);
        }
        let (done, rows) = l.split_at_mut(first * n);
        for j in 0..first {
            let (row, pivot) = (&done[j * n..j * n + j], done[j * n + j]);
            if end - first == ROWS {
                let left = std::array::from_fn::<&[T], ROWS, _>(|r| &rows[r * n..r * n + j]);
                let sums = dots::<T, ROWS, FUSED>(left, row);
                for (r, sum) in sums.into_iter().enumerate() {
                    rows[r * n + j] = rows[r * n + j].minus(sum).over(pivot);
                }
            } else {
                for r in 0..end - first {
                    let [sum] = dots::<T, 1, FUSED>([&rows[r * n..r * n + j]], row);
                    rows[r * n + j] = rows[r * n + j].minus(sum).over(pivot);
                }
            }
        }
        for i in first..end {
            let (above, own) = l.split_at_mut(i * n);
            for j in first..i {
                let [sum] = dots::<T, 1, FUSED>([&own[..j]], &above[j * n..j * n + j]);
                own[j] = own[j].minus(sum).over(above[j * n + j]);
            }
            let [sum] = dots::<T, 1, FUSED>([&own[..i]], &own[..i]);
            let pivot = own[i].minus(sum);
            let is_positive = pivot > T::ZERO;
            if !is_positive {
                l.fill(T::NAN);
                return;
            }
            own[i] = pivot.root();
        }
    }
}

/// Replaces the right-hand sides by the solution.
#[inline(always)]
fn solve<T: Real, const FUSED: bool>(op: TriangularSolve, n: usize, k: usize, a: &[T], x: &mut [T]) {
    if k == 0 {
        return;
    }
    for step in 0..n {
        let i = if op.is_forward() { step } else { n - 1 - step };
        let (known, unknown) = if op.is_forward() { (0..i, i + 1..n) } else { (i + 1..n, 0..i) };
        // A single column follows the rows of the matrix, as they lie in memory.
        if k == 1 {
            if !op.transpose {
                let [sum] = dots::<T, 1, FUSED>([&a[i * n..][known.clone()]], &x[known]);
                x[i] = x[i].minus(sum);
            }
            if !op.unit_diagonal {
                x[i] = x[i].over(a[i * n + i]);
            }
            if op.transpose {
                let factor = T::ZERO.minus(x[i]);
                for (x, a) in x[unknown.clone()].iter_mut().zip(&a[i * n..][unknown]) {
                    *x = T::product::<FUSED>(*a, factor, *x);
                }
            }
            continue;
        }
        let (before, rest) = x.split_at_mut(i * k);
        let (own, after) = rest.split_at_mut(k);
        for j in known {
            let row = if j < i { &before[j * k..(j + 1) * k] } else { &after[(j - i - 1) * k..(j - i) * k] };
            let element = if op.transpose { a[j * n + i] } else { a[i * n + j] };
            let factor = T::ZERO.minus(element);
            for (own, other) in own.iter_mut().zip(row) {
                *own = T::product::<FUSED>(factor, *other, *own);
            }
        }
        if !op.unit_diagonal {
            let pivot = a[i * n + i];
            own.iter_mut().for_each(|x| *x = x.over(pivot));
        }
    }
}
