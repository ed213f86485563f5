//! The vector operations on x86-64: AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;

use super::simd::Simd;

/// 256-bit vectors of `E`.
#[derive(Clone, Copy)]
pub(super) struct Avx2<E>(std::marker::PhantomData<E>);

/// 512-bit vectors of `E`.
#[derive(Clone, Copy)]
pub(super) struct Avx512<E>(std::marker::PhantomData<E>);

/// Eight set words, then eight clear ones: a mask of the first `n` of 8 starts at `8 - n`.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same for 64-bit lanes.
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask32(n: usize) -> __m256i {
    // SAFETY: n < 8, so 8 words from 8 - n are in bounds; AVX is the caller's to ensure.
    unsafe { _mm256_loadu_si256(MASK32.as_ptr().add(8 - n).cast()) }
}

#[inline(always)]
unsafe fn mask64(n: usize) -> __m256i {
    // SAFETY: n < 4, so 4 words from 4 - n are in bounds; AVX is the caller's to ensure.
    unsafe { _mm256_loadu_si256(MASK64.as_ptr().add(4 - n).cast()) }
}

/// Implements [`Simd`] from the intrinsics' names. In every method the instruction set and the pointers are the caller's
/// to ensure, as the trait says.
macro_rules! simd {
    ($name:ident, $elem:ty, $vec:ty, $lanes:literal, $splat:expr, $zero:ident, $load:ident, $store:ident, $fma:ident,
     $mul:ident, $add:ident, $max:ident, load_first: $load_first:expr, store_first: $store_first:expr, sum: $sum:expr) => {
        impl Simd for $name<$elem> {
            type E = $elem;
            type V = $vec;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(p: *const $elem) -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $splat(*p) }
            }

            #[inline(always)]
            unsafe fn prefetch(p: *const $elem) {
                // SAFETY: a prefetch accesses nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }

            #[inline(always)]
            unsafe fn prefetch_l2(p: *const $elem) {
                // SAFETY: a prefetch accesses nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
            }

            #[inline(always)]
            unsafe fn zero() -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn load(p: *const $elem) -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $load(p) }
            }

            #[inline(always)]
            unsafe fn load_first(p: *const $elem, n: usize) -> $vec {
                // SAFETY: the trait's contract; masked lanes are not accessed.
                unsafe { $load_first(p, n) }
            }

            #[inline(always)]
            unsafe fn store(p: *mut $elem, v: $vec) {
                // SAFETY: the trait's contract.
                unsafe { $store(p, v) }
            }

            #[inline(always)]
            unsafe fn store_first(p: *mut $elem, v: $vec, n: usize) {
                // SAFETY: the trait's contract; masked lanes are not accessed.
                unsafe { $store_first(p, n, v) }
            }

            #[inline(always)]
            unsafe fn mul_add(a: $vec, b: $vec, c: $vec) -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $fma(a, b, c) }
            }

            #[inline(always)]
            unsafe fn mul(a: $vec, b: $vec) -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $mul(a, b) }
            }

            #[inline(always)]
            unsafe fn add(a: $vec, b: $vec) -> $vec {
                // SAFETY: the trait's contract.
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            unsafe fn relu(a: $vec) -> $vec {
                // The maximum instructions return their second operand if either is NaN.
                // SAFETY: the trait's contract.
                unsafe { $max($zero(), a) }
            }

            #[inline(always)]
            unsafe fn sum(a: $vec) -> $elem {
                // SAFETY: the trait's contract.
                unsafe { $sum(a) }
            }
        }
    };
}

#[inline(always)]
unsafe fn sum8(a: __m256) -> f32 {
    // SAFETY: AVX is the caller's to ensure.
    unsafe {
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
    }
}

#[inline(always)]
unsafe fn sum4(a: __m256d) -> f64 {
    // SAFETY: AVX is the caller's to ensure.
    unsafe {
        let a = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd::<1>(a));
        _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a)))
    }
}

simd!(
    Avx2, f32, __m256, 8, _mm256_set1_ps, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps,
    _mm256_mul_ps, _mm256_add_ps, _mm256_max_ps,
    load_first: |p, n| _mm256_maskload_ps(p, mask32(n)),
    store_first: |p, n, v| _mm256_maskstore_ps(p, mask32(n), v),
    sum: |a| sum8(a)
);
simd!(
    Avx2, f64, __m256d, 4, _mm256_set1_pd, _mm256_setzero_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd,
    _mm256_mul_pd, _mm256_add_pd, _mm256_max_pd,
    load_first: |p, n| _mm256_maskload_pd(p, mask64(n)),
    store_first: |p, n, v| _mm256_maskstore_pd(p, mask64(n), v),
    sum: |a| sum4(a)
);
simd!(
    Avx512, f32, __m512, 16, _mm512_set1_ps, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
    _mm512_mul_ps, _mm512_add_ps, _mm512_max_ps,
    load_first: |p, n| _mm512_maskz_loadu_ps((1u16 << n) - 1, p),
    store_first: |p, n, v| _mm512_mask_storeu_ps(p, (1u16 << n) - 1, v),
    sum: |a| sum8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
);
simd!(
    Avx512, f64, __m512d, 8, _mm512_set1_pd, _mm512_setzero_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd,
    _mm512_mul_pd, _mm512_add_pd, _mm512_max_pd,
    load_first: |p, n| _mm512_maskz_loadu_pd((1u8 << n) - 1, p),
    store_first: |p, n, v| _mm512_mask_storeu_pd(p, (1u8 << n) - 1, v),
    sum: |a| sum4(_mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd::<1>(a)))
);

/// See [`Convert::transpose_slab`](super::pack::Convert::transpose_slab): 16 lanes, 16 steps at a time.
///
/// # Safety
/// As there; AVX2 must be available.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose_slab_f32(
    src: *const f32,
    lane_stride: isize,
    k: usize,
    out: *mut f32,
) -> usize {
    let done = k / 16 * 16;
    for p in (0..done).step_by(16) {
        // Eight lanes for two blocks of eight steps, so that each cache line read is used up at once.
        for (lane, step) in [(0, p), (0, p + 8), (8, p), (8, p + 8)] {
            // SAFETY: 8 lanes below 16 and 8 steps below k.
            unsafe {
                let row = |i: usize| _mm256_loadu_ps(src.offset((lane + i) as isize * lane_stride).add(step));
                let columns = transpose8([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]);
                for (i, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_ps(out.add((step + i) * 16 + lane), column);
                }
            }
        }
    }
    done
}

/// Transposes 8 × 8 elements.
#[target_feature(enable = "avx2")]
fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    // Pairs of rows, interleaved: lo(0, 1), hi(0, 1), lo(2, 3), ...
    let lo = |i: usize| _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    let hi = |i: usize| _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    let pairs = [[lo(0), hi(0)], [lo(1), hi(1)], [lo(2), hi(2)], [lo(3), hi(3)]];
    // Columns c and c + 4 of rows 0 to 3 (half 0) and 4 to 7 (half 1).
    let quad = |half: usize, c: usize| {
        let (x, y) = (pairs[2 * half][c / 2], pairs[2 * half + 1][c / 2]);
        if c.is_multiple_of(2) { _mm256_shuffle_ps::<0x44>(x, y) } else { _mm256_shuffle_ps::<0xee>(x, y) }
    };
    let low = |c: usize| _mm256_permute2f128_ps::<0x20>(quad(0, c), quad(1, c));
    let high = |c: usize| _mm256_permute2f128_ps::<0x31>(quad(0, c), quad(1, c));
    [low(0), low(1), low(2), low(3), high(0), high(1), high(2), high(3)]
}

/// See [`Convert::transpose_slab`](super::pack::Convert::transpose_slab): 8 lanes, 8 steps at a time.
///
/// # Safety
/// As there; AVX2 must be available.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose_slab_f64(
    src: *const f64,
    lane_stride: isize,
    k: usize,
    out: *mut f64,
) -> usize {
    let done = k / 8 * 8;
    for p in (0..done).step_by(8) {
        for (lane, step) in [(0, p), (0, p + 4), (4, p), (4, p + 4)] {
            // SAFETY: 4 lanes below 8 and 4 steps below k.
            unsafe {
                let row = |i: usize| _mm256_loadu_pd(src.offset((lane + i) as isize * lane_stride).add(step));
                let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
                let (a, b) = (_mm256_unpacklo_pd(r0, r1), _mm256_unpackhi_pd(r0, r1));
                let (c, d) = (_mm256_unpacklo_pd(r2, r3), _mm256_unpackhi_pd(r2, r3));
                let columns = [
                    _mm256_permute2f128_pd::<0x20>(a, c),
                    _mm256_permute2f128_pd::<0x20>(b, d),
                    _mm256_permute2f128_pd::<0x31>(a, c),
                    _mm256_permute2f128_pd::<0x31>(b, d),
                ];
                for (i, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_pd(out.add((step + i) * 8 + lane), column);
                }
            }
        }
    }
    done
}
