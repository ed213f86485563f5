//! Functions of elements as functions of lanes.
//!
//! The loops are functions of their own, over slices: only as parameters of a function that is not inlined do slices tell the
//! code generator that they do not overlap, which makes vector code of the loops without any checks.

use super::maps::{Map1, Map2, Map3};
use super::{BLOCK, LaneFn, Splats};
use crate::isa::Isa;

/// An operand's lanes: a slice of `n`, or of the one lane of a splat.
///
/// # Safety
/// As [`LaneFn`].
#[inline(always)]
unsafe fn lanes<'a, T, const SPLAT: bool>(x: *const u8, n: usize) -> &'a [T] {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(x.cast(), if SPLAT { 1 } else { n }) }
}

/// The lane of an operand that belongs to lane `i` of the result.
#[inline(always)]
fn lane<T: Copy, const SPLAT: bool>(x: &[T], i: usize) -> T {
    x[if SPLAT { 0 } else { i }]
}

/// Limits an operand to `n` lanes, so that the loop needs no checks of its own.
#[inline(always)]
fn limit<T, const SPLAT: bool>(x: &[T], n: usize) -> &[T] {
    &x[..if SPLAT { 1 } else { n }]
}

/// The number of lanes: whole blocks.
///
/// # Safety
/// As [`LaneFn`], for more than one lane.
#[inline(always)]
unsafe fn blocks<T>(out: &[T]) -> usize {
    let n = out.len();
    // SAFETY: the caller's contract.
    unsafe { std::hint::assert_unchecked(n > 0 && n.is_multiple_of(BLOCK)) };
    n
}

/// # Safety
/// As [`LaneFn`], for more than one lane.
#[inline(always)]
unsafe fn loop1<F: Map1>(out: &mut [F::R], x: &[F::X]) {
    // SAFETY: the caller's contract.
    let n = unsafe { blocks(out) };
    let x = limit::<_, false>(x, n);
    for i in 0..n {
        out[i] = F::call(x[i]);
    }
}

/// # Safety
/// As [`LaneFn`], for more than one lane.
#[inline(always)]
unsafe fn loop2<F: Map2, const XS: bool, const YS: bool>(out: &mut [F::R], x: &[F::X], y: &[F::X]) {
    // SAFETY: the caller's contract.
    let n = unsafe { blocks(out) };
    let (x, y) = (limit::<_, XS>(x, n), limit::<_, YS>(y, n));
    for i in 0..n {
        out[i] = F::call(lane::<_, XS>(x, i), lane::<_, YS>(y, i));
    }
}

/// # Safety
/// As [`LaneFn`], for more than one lane.
#[inline(always)]
unsafe fn loop3<F: Map3, const CS: bool, const XS: bool, const YS: bool>(
    out: &mut [F::R],
    c: &[F::C],
    x: &[F::X],
    y: &[F::X],
) {
    // SAFETY: the caller's contract.
    let n = unsafe { blocks(out) };
    let (c, x, y) = (limit::<_, CS>(c, n), limit::<_, XS>(x, n), limit::<_, YS>(y, n));
    for i in 0..n {
        out[i] = F::call(lane::<_, CS>(c, i), lane::<_, XS>(x, i), lane::<_, YS>(y, i));
    }
}

/// The functions of an instruction set: loops, and the entry points that make slices of pointers.
macro_rules! functions {
    ($isa:ident $(, #[$features:meta])*) => {
        mod $isa {
            use super::*;

            /// # Safety
            /// As [`LaneFn`], for more than one lane.
            #[inline(never)]
            $(#[$features])*
            unsafe fn all1<F: Map1>(out: &mut [F::R], x: &[F::X]) {
                // SAFETY: the caller's contract.
                unsafe { loop1::<F>(out, x) }
            }

            /// # Safety
            /// As [`LaneFn`], for more than one lane.
            #[inline(never)]
            $(#[$features])*
            unsafe fn all2<F: Map2, const XS: bool, const YS: bool>(
                out: &mut [F::R],
                x: &[F::X],
                y: &[F::X],
            ) {
                // SAFETY: the caller's contract.
                unsafe { loop2::<F, XS, YS>(out, x, y) }
            }

            /// # Safety
            /// As [`LaneFn`], for more than one lane.
            #[inline(never)]
            $(#[$features])*
            unsafe fn all3<F: Map3, const CS: bool, const XS: bool, const YS: bool>(
                out: &mut [F::R],
                c: &[F::C],
                x: &[F::X],
                y: &[F::X],
            ) {
                // SAFETY: the caller's contract.
                unsafe { loop3::<F, CS, XS, YS>(out, c, x, y) }
            }

            /// # Safety
            /// As [`LaneFn`].
            $(#[$features])*
            pub(super) unsafe fn one<F: Map1>(
                out: *mut u8,
                x: *const u8,
                _y: *const u8,
                _z: *const u8,
                n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe {
                    if n == 1 {
                        return out.cast::<F::R>().write(F::call(x.cast::<F::X>().read()));
                    }
                    all1::<F>(std::slice::from_raw_parts_mut(out.cast(), n), lanes::<_, false>(x, n));
                }
            }

            /// # Safety
            /// As [`LaneFn`].
            $(#[$features])*
            pub(super) unsafe fn two<F: Map2, const XS: bool, const YS: bool>(
                out: *mut u8,
                x: *const u8,
                y: *const u8,
                _z: *const u8,
                n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe {
                    if n == 1 {
                        let (x, y) = (x.cast::<F::X>().read(), y.cast::<F::X>().read());
                        return out.cast::<F::R>().write(F::call(x, y));
                    }
                    let out = std::slice::from_raw_parts_mut(out.cast(), n);
                    all2::<F, XS, YS>(out, lanes::<_, XS>(x, n), lanes::<_, YS>(y, n));
                }
            }

            /// # Safety
            /// As [`LaneFn`].
            $(#[$features])*
            pub(super) unsafe fn three<F: Map3, const CS: bool, const XS: bool, const YS: bool>(
                out: *mut u8,
                c: *const u8,
                x: *const u8,
                y: *const u8,
                n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe {
                    if n == 1 {
                        let c = c.cast::<F::C>().read();
                        let (x, y) = (x.cast::<F::X>().read(), y.cast::<F::X>().read());
                        return out.cast::<F::R>().write(F::call(c, x, y));
                    }
                    let out = std::slice::from_raw_parts_mut(out.cast(), n);
                    let (c, x, y) = (lanes::<_, CS>(c, n), lanes::<_, XS>(x, n), lanes::<_, YS>(y, n));
                    all3::<F, CS, XS, YS>(out, c, x, y);
                }
            }
        }
    };
}

functions!(portable);
#[cfg(target_arch = "x86_64")]
functions!(avx2, #[target_feature(enable = "avx2,fma,f16c")]);
#[cfg(target_arch = "x86_64")]
functions!(
    avx512,
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
);

/// The function for an instruction set.
macro_rules! pick {
    ($isa:expr, $function:ident<$($generic:tt),*>) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::$function::<$($generic),*>,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::$function::<$($generic),*>,
            _ => portable::$function::<$($generic),*>,
        }
    };
}

pub(super) fn one<F: Map1>(isa: Isa) -> LaneFn {
    pick!(isa, one<F>)
}

pub(super) fn two<F: Map2>(isa: Isa, splats: Splats) -> LaneFn {
    match splats.0 {
        [true, false, _] => pick!(isa, two<F, true, false>),
        [false, true, _] => pick!(isa, two<F, false, true>),
        // Two splats are computed once, as one lane.
        _ => pick!(isa, two<F, false, false>),
    }
}

pub(super) fn three<F: Map3>(isa: Isa, splats: Splats) -> LaneFn {
    match splats.0 {
        [false, false, true] => pick!(isa, three<F, false, false, true>),
        [false, true, false] => pick!(isa, three<F, false, true, false>),
        [false, true, true] => pick!(isa, three<F, false, true, true>),
        [true, false, false] => pick!(isa, three<F, true, false, false>),
        [true, false, true] => pick!(isa, three<F, true, false, true>),
        [true, true, false] => pick!(isa, three<F, true, true, false>),
        _ => pick!(isa, three<F, false, false, false>),
    }
}
