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
     $add:ident, $max:ident, load_first: $load_first:expr, store_first: $store_first:expr, sum: $sum:expr) => {
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
    _mm256_add_ps, _mm256_max_ps,
    load_first: |p, n| _mm256_maskload_ps(p, mask32(n)),
    store_first: |p, n, v| _mm256_maskstore_ps(p, mask32(n), v),
    sum: |a| sum8(a)
);
simd!(
    Avx2, f64, __m256d, 4, _mm256_set1_pd, _mm256_setzero_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd,
    _mm256_add_pd, _mm256_max_pd,
    load_first: |p, n| _mm256_maskload_pd(p, mask64(n)),
    store_first: |p, n, v| _mm256_maskstore_pd(p, mask64(n), v),
    sum: |a| sum4(a)
);
simd!(
    Avx512, f32, __m512, 16, _mm512_set1_ps, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
    _mm512_add_ps, _mm512_max_ps,
    load_first: |p, n| _mm512_maskz_loadu_ps((1u16 << n) - 1, p),
    store_first: |p, n, v| _mm512_mask_storeu_ps(p, (1u16 << n) - 1, v),
    sum: |a| sum8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
);
simd!(
    Avx512, f64, __m512d, 8, _mm512_set1_pd, _mm512_setzero_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd,
    _mm512_add_pd, _mm512_max_pd,
    load_first: |p, n| _mm512_maskz_loadu_pd((1u8 << n) - 1, p),
    store_first: |p, n, v| _mm512_mask_storeu_pd(p, (1u8 << n) - 1, v),
    sum: |a| sum4(_mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd::<1>(a)))
);
