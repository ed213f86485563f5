//! The vector operations that a micro-kernel needs, and their implementation in plain Rust.

/// Element type that products are accumulated in: `f32` or `f64`.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
    + super::kernel::Select
    + super::pack::Convert
    + 'static
{
    /// Columns in a slab of packed B: one cache line.
    const SLAB: usize = 64 / size_of::<Self>();
    /// The element type's tag.
    const ELEM: super::Elem;

    /// The nearest number of the type.
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    const ELEM: super::Elem = super::Elem::F32;

    fn from_f64(x: f64) -> f32 {
        x as f32
    }
}

impl Real for f64 {
    const ELEM: super::Elem = super::Elem::F64;

    fn from_f64(x: f64) -> f64 {
        x
    }
}

/// Vectors of one instruction set and element type. Implementations are `inline(always)`, so that they compile to
/// single instructions inside a function that enables the instruction set.
///
/// # Safety
/// Every method needs the instruction set; the pointers must be valid for the elements that the method names. None
/// needs more than the element's alignment.
pub(super) trait Simd: Copy + 'static {
    /// Element.
    type E: Real;
    /// Vector of [`Simd::LANES`] elements.
    type V: Copy;
    /// Elements in a vector; divides the slab.
    const LANES: usize;

    /// All lanes `*p`.
    unsafe fn splat(p: *const Self::E) -> Self::V;
    /// Asks for the cache line of an address, which need not be valid.
    unsafe fn prefetch(p: *const Self::E);
    /// The same, but no nearer than the second-level cache.
    unsafe fn prefetch_l2(p: *const Self::E);
    /// All lanes zero.
    unsafe fn zero() -> Self::V;
    /// `LANES` elements.
    unsafe fn load(p: *const Self::E) -> Self::V;
    /// The first `n < LANES` elements, then zeros; reads nothing else.
    unsafe fn load_first(p: *const Self::E, n: usize) -> Self::V;
    /// Writes `LANES` elements.
    unsafe fn store(p: *mut Self::E, v: Self::V);
    /// Writes the first `n < LANES` elements and nothing else.
    unsafe fn store_first(p: *mut Self::E, v: Self::V, n: usize);
    /// `a * b + c`, fused where the instruction set has it.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `max(a, 0)`, NaN where `a` is NaN.
    unsafe fn relu(a: Self::V) -> Self::V;
    /// Sum of the lanes, by halves: lane i with lane i + LANES/2, and so on.
    unsafe fn sum(a: Self::V) -> Self::E;
}

/// Plain Rust over vectors of 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Portable<E, const N: usize>(std::marker::PhantomData<E>);

macro_rules! portable {
    ($elem:ty, $lanes:literal) => {
        impl Simd for Portable<$elem, $lanes> {
            type E = $elem;
            type V = [$elem; $lanes];
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(p: *const $elem) -> Self::V {
                // SAFETY: the caller's contract.
                [unsafe { *p }; $lanes]
            }

            #[inline(always)]
            unsafe fn prefetch(_p: *const $elem) {}

            #[inline(always)]
            unsafe fn prefetch_l2(_p: *const $elem) {}

            #[inline(always)]
            unsafe fn zero() -> Self::V {
                [0.0; $lanes]
            }

            #[inline(always)]
            unsafe fn load(p: *const $elem) -> Self::V {
                // SAFETY: the caller's contract.
                unsafe { p.cast::<Self::V>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn load_first(p: *const $elem, n: usize) -> Self::V {
                let mut v = [0.0; $lanes];
                for i in 0..n {
                    // SAFETY: the caller's contract, i < n.
                    v[i] = unsafe { *p.add(i) };
                }
                v
            }

            #[inline(always)]
            unsafe fn store(p: *mut $elem, v: Self::V) {
                // SAFETY: the caller's contract.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }

            #[inline(always)]
            unsafe fn store_first(p: *mut $elem, v: Self::V, n: usize) {
                for i in 0..n {
                    // SAFETY: the caller's contract, i < n.
                    unsafe { *p.add(i) = v[i] };
                }
            }

            #[inline(always)]
            unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // A fused multiply-add without the instruction is a slow library call.
                const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
                std::array::from_fn(|i| if FUSED { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
            }

            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i])
            }

            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] + b[i])
            }

            #[inline(always)]
            unsafe fn relu(a: Self::V) -> Self::V {
                a.map(|x| if 0.0 > x { 0.0 } else { x })
            }

            #[inline(always)]
            unsafe fn sum(mut a: Self::V) -> $elem {
                let mut half = $lanes / 2;
                while half > 0 {
                    for i in 0..half {
                        a[i] += a[i + half];
                    }
                    half /= 2;
                }
                a[0]
            }
        }
    };
}

portable!(f32, 4);
portable!(f64, 2);
