//! Scatters and segment reductions.

use crate::gemm::WrappingInt;
use half::{bf16, f16};
use wootz_ir::DType;
use wootz_ir::ops::{ScatterKind, SegmentKind};
use wootz_plan::{ScatterStep, SegmentStep};

/// An index of dtype `dtype`.
///
/// # Safety
/// Element `at` is readable.
unsafe fn index(from: *const u8, dtype: DType, at: usize) -> i64 {
    // SAFETY: the caller's contract.
    unsafe {
        match dtype {
            DType::I64 => from.cast::<i64>().add(at).read(),
            DType::I32 => from.cast::<i32>().add(at).read().into(),
            DType::U8 => from.add(at).read().into(),
            _ => from.cast::<u32>().add(at).read().into(),
        }
    }
}

/// An element and what it is combined in.
trait Element: Copy {
    type Wide: Copy;
    const ONE: Self::Wide;
    const ZERO: Self::Wide;
    const LOWEST: Self::Wide;
    const HIGHEST: Self::Wide;
    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn sum(x: Self::Wide, y: Self::Wide) -> Self::Wide;
    fn product(x: Self::Wide, y: Self::Wide) -> Self::Wide;
    /// `y` if it is larger or NaN.
    fn larger(x: Self::Wide, y: Self::Wide) -> Self::Wide;
    /// `y` if it is smaller or NaN.
    fn smaller(x: Self::Wide, y: Self::Wide) -> Self::Wide;
}

macro_rules! float_element {
    ($($t:ty, $wide:ident, $to:expr, $from:expr;)*) => {$(
        impl Element for $t {
            type Wide = $wide;
            const ONE: $wide = 1.0;
            const ZERO: $wide = 0.0;
            const LOWEST: $wide = $wide::NEG_INFINITY;
            const HIGHEST: $wide = $wide::INFINITY;
            #[inline(always)]
            fn widen(self) -> $wide {
                $to(self)
            }
            #[inline(always)]
            fn narrow(wide: $wide) -> $t {
                $from(wide)
            }
            #[inline(always)]
            fn sum(x: $wide, y: $wide) -> $wide {
                x + y
            }
            #[inline(always)]
            fn product(x: $wide, y: $wide) -> $wide {
                x * y
            }
            #[inline(always)]
            fn larger(x: $wide, y: $wide) -> $wide {
                if y > x || y.is_nan() { y } else { x }
            }
            #[inline(always)]
            fn smaller(x: $wide, y: $wide) -> $wide {
                if y < x || y.is_nan() { y } else { x }
            }
        }
    )*};
}

float_element! {
    f16, f32, f16::to_f32, f16::from_f32;
    bf16, f32, bf16::to_f32, bf16::from_f32;
    f32, f32, f32::from, f32::from;
    f64, f64, f64::from, f64::from;
}

macro_rules! int_element {
    ($($t:ident)*) => {$(
        impl Element for $t {
            type Wide = $t;
            const ONE: $t = 1;
            const ZERO: $t = 0;
            const LOWEST: $t = $t::MIN;
            const HIGHEST: $t = $t::MAX;
            #[inline(always)]
            fn widen(self) -> $t {
                self
            }
            #[inline(always)]
            fn narrow(wide: $t) -> $t {
                wide
            }
            #[inline(always)]
            fn sum(x: $t, y: $t) -> $t {
                x.wrapping_add(y)
            }
            #[inline(always)]
            fn product(x: $t, y: $t) -> $t {
                <$t as WrappingInt>::wrapping_mul_add(0, x, y)
            }
            #[inline(always)]
            fn larger(x: $t, y: $t) -> $t {
                x.max(y)
            }
            #[inline(always)]
            fn smaller(x: $t, y: $t) -> $t {
                x.min(y)
            }
        }
    )*};
}

int_element! { u8 u32 i32 i64 }

/// Writes or adds updates at computed positions.
///
/// # Safety
/// The pointers are those of the step's buffers; `out` overlaps neither of the others.
pub(super) unsafe fn scatter(step: &ScatterStep, indices: *const u8, updates: *const u8, out: *mut u8) {
    let size = step.dtype.size();
    let per_batch: usize = step.indexed.iter().product::<usize>() * step.slice;
    for n in 0..step.batch * step.count {
        let mut place = 0usize;
        let mut inside = true;
        for (j, dim) in step.indexed.iter().enumerate() {
            // SAFETY: the caller's contract.
            let at = unsafe { index(indices, step.index_dtype, n * step.indexed.len() + j) };
            inside &= (0..*dim as i64).contains(&at);
            place = place.wrapping_mul(*dim).wrapping_add(at as usize);
        }
        if !inside {
            continue;
        }
        let to = (n / step.count) * per_batch + place * step.slice;
        // SAFETY: the position was just found to be inside; the caller's contract.
        unsafe {
            let (from, to) = (updates.add(n * step.slice * size), out.add(to * size));
            match step.kind {
                ScatterKind::Set => std::ptr::copy_nonoverlapping(from, to, step.slice * size),
                ScatterKind::Add => match step.dtype {
                    DType::F16 => add::<f16>(to, from, step.slice),
                    DType::BF16 => add::<bf16>(to, from, step.slice),
                    DType::F32 => add::<f32>(to, from, step.slice),
                    DType::F64 => add::<f64>(to, from, step.slice),
                    DType::I32 => add::<i32>(to, from, step.slice),
                    DType::I64 => add::<i64>(to, from, step.slice),
                    DType::U32 => add::<u32>(to, from, step.slice),
                    DType::Bool | DType::U8 => add::<u8>(to, from, step.slice),
                },
            }
        }
    }
}

/// # Safety
/// Both hold `n` elements and do not overlap.
unsafe fn add<T: Element>(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller's contract.
    let (to, from) = unsafe {
        (std::slice::from_raw_parts_mut(to.cast::<T>(), n), std::slice::from_raw_parts(from.cast::<T>(), n))
    };
    for (to, from) in to.iter_mut().zip(from) {
        *to = T::narrow(T::sum(to.widen(), from.widen()));
    }
}

/// Combines two values.
type Combine<T> = fn(<T as Element>::Wide, <T as Element>::Wide) -> <T as Element>::Wide;

/// Combines runs of rows with equal ids.
///
/// # Safety
/// The pointers are those of the step's buffers; `out` overlaps neither of the others.
pub(super) unsafe fn segment(step: &SegmentStep, data: *const u8, ids: *const u8, out: *mut u8) {
    // SAFETY: the caller's contract.
    unsafe {
        match step.dtype {
            DType::F16 => segment_as::<f16>(step, data, ids, out),
            DType::BF16 => segment_as::<bf16>(step, data, ids, out),
            DType::F32 => segment_as::<f32>(step, data, ids, out),
            DType::F64 => segment_as::<f64>(step, data, ids, out),
            DType::I32 => segment_as::<i32>(step, data, ids, out),
            DType::I64 => segment_as::<i64>(step, data, ids, out),
            DType::U32 => segment_as::<u32>(step, data, ids, out),
            DType::Bool | DType::U8 => segment_as::<u8>(step, data, ids, out),
        }
    }
}

/// # Safety
/// As [`segment`]; elements are `T`.
unsafe fn segment_as<T: Element>(step: &SegmentStep, data: *const u8, ids: *const u8, out: *mut u8) {
    let (neutral, combine): (T::Wide, Combine<T>) = match step.kind {
        SegmentKind::Sum => (T::ZERO, T::sum),
        SegmentKind::Prod => (T::ONE, T::product),
        SegmentKind::Max => (T::LOWEST, T::larger),
        SegmentKind::Min => (T::HIGHEST, T::smaller),
    };
    let (rows, inner) = (step.rows, step.inner);
    // SAFETY: the caller's contract.
    let (data, out) = unsafe {
        let data = std::slice::from_raw_parts(data.cast::<T>(), step.batch * rows * inner);
        (data, std::slice::from_raw_parts_mut(out.cast::<T>(), step.batch * step.segments * inner))
    };
    out.fill(T::narrow(neutral));
    for batch in 0..step.batch {
        let mut row = 0;
        while row < rows {
            // SAFETY: the caller's contract.
            let id = |row: usize| unsafe { index(ids, step.index_dtype, batch * rows + row) };
            let (start, segment) = (row, id(row));
            while row < rows && id(row) == segment {
                row += 1;
            }
            let Some(segment) = usize::try_from(segment).ok().filter(|s| *s < step.segments) else {
                continue;
            };
            for i in 0..inner {
                let to = &mut out[(batch * step.segments + segment) * inner + i];
                let all = (start..row).map(|r| data[(batch * rows + r) * inner + i].widen());
                *to = T::narrow(all.fold(to.widen(), combine));
            }
        }
    }
}
