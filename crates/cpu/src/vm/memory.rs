//! Loads and stores of lanes.

use super::lanes::to_bf16;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use wootz_ir::DType;

/// Where the lanes of a load or store lie: element `offset + stride * i (+ index[i])` from `base`, in elements.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Lane 0's element before the computed index is added.
    pub(super) base: *mut u8,
    /// From one lane to the next.
    pub(super) stride: i64,
    /// Computed indices: one a lane, or one for all, or null.
    pub(super) index: *const i64,
    /// 1, or 0 for an index that is the same for all lanes.
    pub(super) index_step: usize,
    /// Which lanes are loaded: bytes, one a lane, or one for all, or null.
    pub(super) mask: *const u8,
    /// 1, or 0 for a mask that is the same for all lanes.
    pub(super) mask_step: usize,
}

impl Place {
    /// Whether lanes follow each other in memory and all of them are meant.
    fn contiguous(&self) -> bool {
        self.stride == 1 && self.index.is_null() && self.mask.is_null()
    }

    /// # Safety
    /// The index, if any, is readable at lane `i`.
    #[inline(always)]
    unsafe fn element(&self, i: usize) -> isize {
        let computed = if self.index.is_null() {
            0
        } else {
            // SAFETY: the caller's contract.
            unsafe { *self.index.add(i * self.index_step) }
        };
        (self.stride * i as i64 + computed) as isize
    }

    /// # Safety
    /// The mask, if any, is readable at lane `i`.
    #[inline(always)]
    unsafe fn loaded(&self, i: usize) -> bool {
        // SAFETY: the caller's contract.
        self.mask.is_null() || unsafe { *self.mask.add(i * self.mask_step) } != 0
    }
}

/// Reads `n` lanes into `out`, widened to the compute dtype; lanes that are masked out become 0.
///
/// # Safety
/// `out` and every lane that is not masked out are valid and aligned for their dtypes, `out` overlaps nothing that is read.
pub(super) type LoadFn = unsafe fn(out: *mut u8, from: &Place, n: usize);

/// Writes `n` lanes of `value` (with `splat`, its one lane), rounded to the buffer's dtype.
///
/// # Safety
/// As [`LoadFn`], for writing.
pub(super) type StoreFn = unsafe fn(to: &Place, value: *const u8, splat: bool, n: usize);

/// An element in memory and in registers.
trait Stored: Copy + 'static {
    type Lane: Copy + Default;
    fn load(self) -> Self::Lane;
    fn store(lane: Self::Lane) -> Self;
    fn load_all(from: &[Self], to: &mut [Self::Lane]);
    fn store_all(from: &[Self::Lane], to: &mut [Self]);
}

macro_rules! stored_as_is {
    ($($t:ident)*) => {$(
        impl Stored for $t {
            type Lane = $t;
            #[inline(always)]
            fn load(self) -> $t {
                self
            }
            #[inline(always)]
            fn store(lane: $t) -> $t {
                lane
            }
            #[inline(always)]
            fn load_all(from: &[$t], to: &mut [$t]) {
                to.copy_from_slice(from);
            }
            #[inline(always)]
            fn store_all(from: &[$t], to: &mut [$t]) {
                to.copy_from_slice(from);
            }
        }
    )*};
}

stored_as_is! { u8 u32 u64 }

impl Stored for f16 {
    type Lane = f32;
    #[inline(always)]
    fn load(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn store(lane: f32) -> f16 {
        f16::from_f32(lane)
    }
    #[inline(always)]
    fn load_all(from: &[f16], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
    #[inline(always)]
    fn store_all(from: &[f32], to: &mut [f16]) {
        to.convert_from_f32_slice(from);
    }
}

impl Stored for bf16 {
    type Lane = f32;
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn store(lane: f32) -> bf16 {
        bf16::from_bits((to_bf16(lane).to_bits() >> 16) as u16)
    }
    // Not inlined: as parameters, the slices are known not to overlap, which makes vector code of the loops.
    #[inline(never)]
    fn load_all(from: &[bf16], to: &mut [f32]) {
        let from = &from[..to.len()];
        for i in 0..to.len() {
            to[i] = from[i].load();
        }
    }
    #[inline(never)]
    fn store_all(from: &[f32], to: &mut [bf16]) {
        let from = &from[..to.len()];
        for i in 0..to.len() {
            to[i] = bf16::store(from[i]);
        }
    }
}

/// # Safety
/// As [`LoadFn`].
unsafe fn load_as<T: Stored>(out: *mut u8, from: &Place, n: usize) {
    let base = from.base.cast_const().cast::<T>();
    // SAFETY: the caller's contract.
    unsafe {
        let out = std::slice::from_raw_parts_mut(out.cast::<T::Lane>(), n);
        if from.contiguous() {
            return T::load_all(std::slice::from_raw_parts(base, n), out);
        }
        for (i, out) in out.iter_mut().enumerate() {
            *out =
                if from.loaded(i) { base.offset(from.element(i)).read().load() } else { T::Lane::default() };
        }
    }
}

/// # Safety
/// As [`StoreFn`].
unsafe fn store_as<T: Stored>(to: &Place, value: *const u8, splat: bool, n: usize) {
    let (base, value) = (to.base.cast::<T>(), value.cast::<T::Lane>());
    // SAFETY: the caller's contract.
    unsafe {
        match (to.contiguous(), splat) {
            (true, false) => {
                let out = std::slice::from_raw_parts_mut(base, n);
                T::store_all(std::slice::from_raw_parts(value, n), out);
            }
            (true, true) => std::slice::from_raw_parts_mut(base, n).fill(T::store(value.read())),
            (false, _) => {
                for i in 0..n {
                    let lane = value.add(if splat { 0 } else { i }).read();
                    base.offset(to.element(i)).write(T::store(lane));
                }
            }
        }
    }
}

/// The function that loads from buffers of `dtype`.
pub(super) fn load(dtype: DType) -> LoadFn {
    match dtype {
        DType::F16 => load_as::<f16>,
        DType::BF16 => load_as::<bf16>,
        _ => match dtype.size() {
            1 => load_as::<u8>,
            8 => load_as::<u64>,
            _ => load_as::<u32>,
        },
    }
}

/// The function that stores to buffers of `dtype`.
pub(super) fn store(dtype: DType) -> StoreFn {
    match dtype {
        DType::F16 => store_as::<f16>,
        DType::BF16 => store_as::<bf16>,
        _ => match dtype.size() {
            1 => store_as::<u8>,
            8 => store_as::<u64>,
            _ => store_as::<u32>,
        },
    }
}
