//! Packing: operands copied into the order in which the micro-kernels read them.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::Elem;
use super::simd::Real;
use crate::isa::Isa;

/// Element types that operands can be converted to while they are packed.
pub trait Convert: Sized {
    /// Reads `out.len()` elements of type `elem`, `stride` elements apart.
    ///
    /// # Safety
    /// The elements must be readable and `elem` one that converts to `Self`: the same type, or for `f32` also `F16` and
    /// `Bf16`.
    unsafe fn read(elem: Elem, src: *const u8, stride: isize, out: &mut [Self]);

    /// Packs the first steps of a whole slab that is contiguous along K (`src[lane * lane_stride + p]` to
    /// `out[p * SLAB + lane]`) with an instruction set's vectors, where it has a way; how many steps it packed.
    ///
    /// # Safety
    /// `k` steps must be readable and writable. The processor has `isa`.
    unsafe fn transpose_slab(
        isa: Isa,
        src: *const Self,
        lane_stride: isize,
        k: usize,
        out: *mut Self,
    ) -> usize;
}

/// Implements [`Convert::transpose_slab`] for an element type.
macro_rules! transpose_slab {
    ($elem:ty, $avx2:ident) => {
        unsafe fn transpose_slab(
            isa: Isa,
            src: *const $elem,
            lane_stride: isize,
            k: usize,
            out: *mut $elem,
        ) -> usize {
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the caller's contract.
                Isa::Avx2 | Isa::Avx512 => unsafe { super::x86::$avx2(src, lane_stride, k, out) },
                _ => {
                    let _ = (src, lane_stride, k, out);
                    0
                }
            }
        }
    };
}

impl Convert for f32 {
    #[inline]
    unsafe fn read(elem: Elem, src: *const u8, stride: isize, out: &mut [f32]) {
        // SAFETY: the caller's contract.
        unsafe {
            match elem {
                Elem::F16 if stride == 1 => {
                    std::slice::from_raw_parts(src.cast::<f16>(), out.len()).convert_to_f32_slice(out);
                }
                Elem::Bf16 if stride == 1 => {
                    std::slice::from_raw_parts(src.cast::<bf16>(), out.len()).convert_to_f32_slice(out);
                }
                Elem::F16 => read_strided(src.cast::<f16>(), stride, out, f16::to_f32),
                Elem::Bf16 => read_strided(src.cast::<bf16>(), stride, out, bf16::to_f32),
                _ => read_strided(src.cast::<f32>(), stride, out, |x| x),
            }
        }
    }

    transpose_slab!(f32, transpose_slab_f32);
}

impl Convert for f64 {
    #[inline]
    unsafe fn read(_elem: Elem, src: *const u8, stride: isize, out: &mut [f64]) {
        // SAFETY: the caller's contract; only F64 converts to f64.
        unsafe { read_strided(src.cast::<f64>(), stride, out, |x| x) }
    }

    transpose_slab!(f64, transpose_slab_f64);
}

/// Reads strided elements through a conversion.
#[inline]
unsafe fn read_strided<T: Copy, E: Copy>(
    src: *const T,
    stride: isize,
    out: &mut [E],
    convert: impl Fn(T) -> E,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if stride == 1 {
            for (i, to) in out.iter_mut().enumerate() {
                *to = convert(*src.add(i));
            }
        } else {
            for (i, to) in out.iter_mut().enumerate() {
                *to = convert(*src.offset(i as isize * stride));
            }
        }
    }
}

/// What [`pack`] reads: element `(p, lane)` lies `p * k_stride + lane * lane_stride` elements after `ptr`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// What the copying may use.
    pub(super) isa: Isa,
    pub(super) elem: Elem,
    pub(super) ptr: *const u8,
    pub(super) k_stride: isize,
    pub(super) lane_stride: isize,
}

impl Source {
    /// The same matrix from element `(p, lane)` on.
    pub(super) fn at(self, p: usize, lane: usize) -> Source {
        let elements = p as isize * self.k_stride + lane as isize * self.lane_stride;
        Source { ptr: self.ptr.wrapping_offset(elements * self.elem.size() as isize), ..self }
    }
}

/// Steps of K transposed at a time: one cache line of `f32`.
const BLOCK: usize = 16;

/// Packs `k` steps of `lanes` lanes: `out[p * width + lane]`, zero for the lanes from `lanes` to `width`.
///
/// # Safety
/// The source's elements must be readable and convert to `E`, the processor must have its instruction set; `out` must hold `k * width` elements, `lanes <= width`.
pub(super) unsafe fn pack<E: Real>(source: Source, k: usize, lanes: usize, width: usize, out: *mut E) {
    debug_assert!(lanes <= width);
    // SAFETY: the caller's contract: p < k, lane < lanes.
    unsafe {
        if source.lane_stride == 1 || source.k_stride != 1 {
            for p in 0..k {
                let row = std::slice::from_raw_parts_mut(out.add(p * width), width);
                let (full, padding) = row.split_at_mut(lanes);
                E::read(source.elem, source.at(p, 0).ptr, source.lane_stride, full);
                padding.fill(E::default());
            }
            return;
        }
        if lanes < width {
            std::slice::from_raw_parts_mut(out, k * width).fill(E::default());
        }
        let done = if source.elem == E::ELEM && lanes == E::SLAB && width == E::SLAB {
            E::transpose_slab(source.isa, source.ptr.cast(), source.lane_stride, k, out)
        } else {
            0
        };
        let (source, k, out) = (source.at(done, 0), k - done, out.add(done * width));
        let mut block = [E::default(); BLOCK];
        for p in (0..k).step_by(BLOCK) {
            let steps = BLOCK.min(k - p);
            for lane in 0..lanes {
                E::read(source.elem, source.at(p, lane).ptr, 1, &mut block[..steps]);
                let to = out.add(p * width + lane);
                for (step, &x) in block[..steps].iter().enumerate() {
                    *to.add(step * width) = x;
                }
            }
        }
    }
}

/// Packs `k` steps of `lanes` lanes into panels of `width` lanes, each `stride` elements after the one before; the last is
/// padded with zeros.
///
/// # Safety
/// As [`pack`] for every panel; `out` is the first panel.
pub(super) unsafe fn pack_panels<E: Real>(
    source: Source,
    k: usize,
    lanes: usize,
    width: usize,
    stride: usize,
    out: *mut E,
) {
    let full = lanes / width;
    let copied = source.elem == E::ELEM && source.lane_stride == 1;
    let bytes = if copied { width * size_of::<E>() } else { 0 };
    let row_bytes = source.k_stride * size_of::<E>() as isize;
    // SAFETY: the caller's contract: full panels are in bounds; the rest has fewer lanes than a panel.
    unsafe {
        let (src, to, stride_bytes) = (source.ptr, out.cast::<u8>(), stride * size_of::<E>());
        let first = match bytes {
            16 => copy_panels::<16>(src, row_bytes, k, full, to, stride_bytes),
            24 => copy_panels::<24>(src, row_bytes, k, full, to, stride_bytes),
            32 => copy_panels::<32>(src, row_bytes, k, full, to, stride_bytes),
            48 => copy_panels::<48>(src, row_bytes, k, full, to, stride_bytes),
            64 => copy_panels::<64>(src, row_bytes, k, full, to, stride_bytes),
            _ => 0,
        };
        for i in first..lanes.div_ceil(width) {
            let lane = i * width;
            pack(source.at(0, lane), k, width.min(lanes - lane), width, out.add(i * stride));
        }
    }
}

/// Steps of K copied at a time: their rows may all fall into one set of the first-level cache, which has at least this
/// many ways.
const ROWS: usize = 8;

/// Copies whole panels of `N` bytes a step from memory that is contiguous along the lanes; how many it copied. All
/// strides count bytes.
///
/// # Safety
/// As [`pack_panels`].
unsafe fn copy_panels<const N: usize>(
    src: *const u8,
    row_stride: isize,
    k: usize,
    panels: usize,
    out: *mut u8,
    stride: usize,
) -> usize {
    for p in (0..k).step_by(ROWS) {
        for i in 0..panels {
            for p in p..(p + ROWS).min(k) {
                // SAFETY: step p < k of a whole panel; the caller's contract.
                unsafe {
                    let from = src.offset(p as isize * row_stride).add(i * N);
                    std::ptr::copy_nonoverlapping(from, out.add(i * stride + p * N), N);
                }
            }
        }
    }
    panels
}

/// Packs the slabs `slabs` (and their steps of K `steps`) of a matrix B of `n` columns, each slab `slab_stride` elements
/// after the one before.
///
/// # Safety
/// As [`pack`], for `out` and every slab.
pub(super) unsafe fn pack_slabs<E: Real>(
    b: Source,
    n: usize,
    slabs: Range<usize>,
    steps: Range<usize>,
    out: *mut E,
    slab_stride: usize,
) {
    let first = slabs.start * E::SLAB;
    let lanes = n.min(slabs.end * E::SLAB) - first;
    // SAFETY: the caller's contract.
    unsafe { pack_panels(b.at(steps.start, first), steps.len(), lanes, E::SLAB, slab_stride, out) }
}
