//! Vectors of f32 under one set of names for both instruction sets, so that a loop is written once.

/// The names for AVX2 and FMA.
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    pub(in super::super) const LANES: usize = 8;
    pub(in super::super) type V = __m256;

    macro_rules! same {
        ($($name:ident($($x:ident),*) $intrinsic:ident;)*) => { $(
            #[target_feature(enable = "avx2,fma")]
            #[inline]
            pub(in super::super) fn $name($($x: V),*) -> V {
                $intrinsic($($x),*)
            }
        )* };
    }
    same! {
        add(x, y) _mm256_add_ps; sub(x, y) _mm256_sub_ps; mul(x, y) _mm256_mul_ps; div(x, y) _mm256_div_ps;
        min(x, y) _mm256_min_ps; max(x, y) _mm256_max_ps; fma(x, y, z) _mm256_fmadd_ps;
        fnma(x, y, z) _mm256_fnmadd_ps; sqrt(x) _mm256_sqrt_ps; or(x, y) _mm256_or_ps;
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) fn splat(x: f32) -> V {
        _mm256_set1_ps(x)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) fn abs(x: V) -> V {
        _mm256_andnot_ps(_mm256_set1_ps(-0.0), x)
    }

    /// 2ⁿ for the integers n that x + 1.5 · 2²³ holds in its low bits.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) fn exp2_shifted(x: V) -> V {
        let bits = _mm256_slli_epi32::<23>(_mm256_castps_si256(x));
        _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f80_0000)))
    }

    /// # Safety
    /// The elements are readable.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) unsafe fn load(from: *const f32) -> V {
        // SAFETY: the caller's contract.
        unsafe { _mm256_loadu_ps(from) }
    }

    /// # Safety
    /// The elements are writable.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) unsafe fn store(to: *mut f32, x: V) {
        // SAFETY: the caller's contract.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    /// Writes past the caches.
    ///
    /// # Safety
    /// The elements are writable and aligned to the vector.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in super::super) unsafe fn stream(to: *mut f32, x: V) {
        // SAFETY: the caller's contract.
        unsafe { _mm256_stream_ps(to, x) }
    }
}

/// The names for AVX-512.
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    pub(in super::super) const LANES: usize = 16;
    pub(in super::super) type V = __m512;

    macro_rules! same {
        ($($name:ident($($x:ident),*) $intrinsic:ident;)*) => { $(
            #[target_feature(enable = "avx512f,avx512dq")]
            #[inline]
            pub(in super::super) fn $name($($x: V),*) -> V {
                $intrinsic($($x),*)
            }
        )* };
    }
    same! {
        add(x, y) _mm512_add_ps; sub(x, y) _mm512_sub_ps; mul(x, y) _mm512_mul_ps; div(x, y) _mm512_div_ps;
        min(x, y) _mm512_min_ps; max(x, y) _mm512_max_ps; fma(x, y, z) _mm512_fmadd_ps;
        fnma(x, y, z) _mm512_fnmadd_ps; sqrt(x) _mm512_sqrt_ps; or(x, y) _mm512_or_ps;
        abs(x) _mm512_abs_ps;
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(in super::super) fn splat(x: f32) -> V {
        _mm512_set1_ps(x)
    }

    /// 2ⁿ for the integers n that x + 1.5 · 2²³ holds in its low bits.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(in super::super) fn exp2_shifted(x: V) -> V {
        let bits = _mm512_slli_epi32::<23>(_mm512_castps_si512(x));
        _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f80_0000)))
    }

    /// # Safety
    /// The elements are readable.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(in super::super) unsafe fn load(from: *const f32) -> V {
        // SAFETY: the caller's contract.
        unsafe { _mm512_loadu_ps(from) }
    }

    /// # Safety
    /// The elements are writable.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(in super::super) unsafe fn store(to: *mut f32, x: V) {
        // SAFETY: the caller's contract.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    /// Writes past the caches.
    ///
    /// # Safety
    /// The elements are writable and aligned to the vector.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    pub(in super::super) unsafe fn stream(to: *mut f32, x: V) {
        // SAFETY: the caller's contract.
        unsafe { _mm512_stream_ps(to, x) }
    }
}
