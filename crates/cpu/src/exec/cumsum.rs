//! Cumulative sums.

use half::{bf16, f16};
use std::ops::Range;
use wootz_ir::DType;
use wootz_plan::CumsumStep;

/// Lines next to each other in memory that are summed at once.
const GROUP: usize = 32;

/// Estimated nanoseconds of a step.
pub(super) fn cost(step: &CumsumStep) -> f64 {
    // A line by itself waits for every sum.
    let each = if step.inner < 4 { 1.2 } else { 0.4 };
    each * step.outer as f64 * step.count as f64 * step.inner as f64
}

/// The lines of a step, in groups that lie next to each other.
pub(super) struct Lines<'a> {
    step: &'a CumsumStep,
    data: *const u8,
    out: *mut u8,
}

// SAFETY: the threads run disjoint groups.
unsafe impl Sync for Lines<'_> {}

impl<'a> Lines<'a> {
    /// # Safety
    /// The pointers are those of the step's buffers, which do not overlap.
    pub(super) unsafe fn new(step: &'a CumsumStep, data: *const u8, out: *mut u8) -> Self {
        Lines { step, data, out }
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> usize {
        self.step.outer * self.step.inner.div_ceil(GROUP)
    }

    /// # Safety
    /// As [`Lines::new`]; no other thread runs any of these groups.
    pub(super) unsafe fn run(&self, groups: Range<usize>) {
        // SAFETY: the caller's contract; elements have the step's dtype.
        unsafe {
            match self.step.dtype {
                DType::Bool | DType::U8 => self.sums::<u8>(groups),
                DType::U32 => self.sums::<u32>(groups),
                DType::I32 => self.sums::<i32>(groups),
                DType::I64 => self.sums::<i64>(groups),
                DType::F16 => self.sums::<f16>(groups),
                DType::BF16 => self.sums::<bf16>(groups),
                DType::F32 => self.sums::<f32>(groups),
                DType::F64 => self.sums::<f64>(groups),
            }
        }
    }

    /// # Safety
    /// As [`Lines::run`]; elements are `T`.
    unsafe fn sums<T: Summed>(&self, groups: Range<usize>) {
        let CumsumStep { count, inner, reverse, exclusive, .. } = *self.step;
        let across = inner.div_ceil(GROUP);
        for group in groups {
            let (outer, first) = (group / across, group % across * GROUP);
            let width = GROUP.min(inner - first);
            let mut sums = [T::Sum::default(); GROUP];
            for i in 0..count {
                let row = if reverse { count - 1 - i } else { i };
                let at = (outer * count + row) * inner + first;
                // SAFETY: the row of a group lies within the buffers, which hold `outer · count · inner` elements each.
                let (x, y) = unsafe {
                    let x = std::slice::from_raw_parts(self.data.cast::<T>().add(at), width);
                    (x, std::slice::from_raw_parts_mut(self.out.cast::<T>().add(at), width))
                };
                for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                    let next = x.add_to(*sum);
                    *y = T::rounded(if exclusive { *sum } else { next });
                    *sum = next;
                }
            }
        }
    }
}

/// Elements and what they are summed in: f64 for floats, so that a sum of many terms is rounded once.
trait Summed: Copy {
    type Sum: Copy + Default;
    fn add_to(self, sum: Self::Sum) -> Self::Sum;
    fn rounded(sum: Self::Sum) -> Self;
}

macro_rules! summed {
    (integers $($t:ident)*) => {$(
        impl Summed for $t {
            type Sum = $t;
            fn add_to(self, sum: $t) -> $t {
                sum.wrapping_add(self)
            }
            fn rounded(sum: $t) -> $t {
                sum
            }
        }
    )*};
    (floats $($t:ident $round:expr;)*) => {$(
        impl Summed for $t {
            type Sum = f64;
            fn add_to(self, sum: f64) -> f64 {
                sum + f64::from(self)
            }
            fn rounded(sum: f64) -> $t {
                $round(sum)
            }
        }
    )*};
}

summed! { integers u8 u32 i32 i64 }
summed! { floats
    f16 f16::from_f64;
    bf16 bf16::from_f64;
    f32 (|sum| sum as f32);
    f64 (|sum| sum);
}
