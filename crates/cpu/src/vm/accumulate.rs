//! Reductions of lanes, in the order that [`Kernel`](wootz_plan::Kernel) documents.

use super::lanes::{Add, And, BLOCK, Map2, Max, Min, Mul, Number, Or, with_number};
use crate::isa::Isa;
use wootz_ir::DType;
use wootz_plan::kernel::{AccKind, LANES};

/// The functions of one reduction. State is as many partial results as there are lanes: for arg-reductions their values
/// with their positions (i64, −1 for none) after them.
#[derive(Clone, Copy)]
pub(super) struct Reducer {
    /// Sets `n` partial results to the neutral element.
    pub(super) reset: unsafe fn(state: State, n: usize),
    /// Partial result i takes in lane i, for `n` lanes; the positions of lanes are all `position`.
    pub(super) point: unsafe fn(state: State, value: *const u8, splat: bool, n: usize, position: i64),
    /// Partial result i mod [`LANES`] takes in lane i, for `n` lanes; the position of lane i is `position + i`.
    pub(super) fold: unsafe fn(state: State, value: *const u8, splat: bool, n: usize, position: i64),
    /// Combines [`LANES`] partial results pairwise into the first.
    pub(super) join: unsafe fn(state: State),
}

/// Partial results.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The values.
    pub(super) values: *mut u8,
    /// Their positions, for arg-reductions.
    pub(super) positions: *mut i64,
}

/// How two partial results are combined.
trait Combine {
    type T: Copy + 'static;
    const NEUTRAL: Self::T;
    fn combine(x: Self::T, y: Self::T) -> Self::T;
}

macro_rules! combine {
    ($($name:ident<$t:ident: $bound:ident> = $map:ident, $neutral:expr;)*) => {$(
        struct $name<T>(std::marker::PhantomData<T>);
        impl<$t: $bound> Combine for $name<$t> {
            type T = $t;
            const NEUTRAL: $t = $neutral;
            #[inline(always)]
            fn combine(x: $t, y: $t) -> $t {
                <$map<$t> as Map2>::call(x, y)
            }
        }
    )*};
}

/// Numbers that have a zero.
trait Zero: Number {
    const ZERO: Self;
}
macro_rules! zero {
    ($($t:ident $zero:literal;)*) => {$(
        impl Zero for $t {
            const ZERO: Self = $zero;
        }
    )*};
}
zero! { u8 0; u32 0; i32 0; i64 0; f32 0.0; f64 0.0; }

combine! {
    Sum<T: Zero> = Add, T::ZERO;
    Prod<T: Zero> = Mul, T::ONE;
    Largest<T: Zero> = Max, T::LOWEST;
    Smallest<T: Zero> = Min, T::HIGHEST;
}

struct Any;
impl Combine for Any {
    type T = u8;
    const NEUTRAL: u8 = 0;
    #[inline(always)]
    fn combine(x: u8, y: u8) -> u8 {
        <Or<u8> as Map2>::call(x, y)
    }
}

struct All;
impl Combine for All {
    type T = u8;
    const NEUTRAL: u8 = 1;
    #[inline(always)]
    fn combine(x: u8, y: u8) -> u8 {
        <And<u8> as Map2>::call(x, y)
    }
}

/// # Safety
/// `state` holds `n` partial results.
unsafe fn reset<C: Combine>(state: State, n: usize) {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts_mut(state.values.cast::<C::T>(), n) }.fill(C::NEUTRAL);
}

/// # Safety
/// The length is a multiple of [`BLOCK`], and not 0.
#[inline(always)]
unsafe fn point_loop<C: Combine>(partial: &mut [C::T], value: &[C::T]) {
    let n = partial.len();
    let value = &value[..n];
    // SAFETY: the caller's contract.
    unsafe { std::hint::assert_unchecked(n > 0 && n.is_multiple_of(BLOCK)) };
    for i in 0..n {
        partial[i] = C::combine(partial[i], value[i]);
    }
}

#[inline(always)]
fn fold_slices<C: Combine>(partial: &mut [C::T; LANES], value: &[C::T]) {
    let mut sums = *partial;
    let rows = value.chunks_exact(LANES);
    let rest = rows.remainder();
    for row in rows {
        for i in 0..LANES {
            sums[i] = C::combine(sums[i], row[i]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = C::combine(*sum, *value);
    }
    *partial = sums;
}

/// # Safety
/// `state` holds [`LANES`] partial results and `value` `n` lanes.
#[inline(always)]
unsafe fn fold_lanes<C: Combine>(state: State, value: *const u8, splat: bool, n: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let partial = &mut *state.values.cast::<[C::T; LANES]>();
        if splat {
            let value = value.cast::<C::T>().read();
            (0..n).for_each(|i| partial[i % LANES] = C::combine(partial[i % LANES], value));
        } else {
            fold_slices::<C>(partial, std::slice::from_raw_parts(value.cast(), n));
        }
    }
}

/// # Safety
/// `state` holds [`LANES`] partial results.
unsafe fn join<C: Combine>(state: State) {
    // SAFETY: the caller's contract.
    let partial = unsafe { &mut *state.values.cast::<[C::T; LANES]>() };
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            partial[i] = C::combine(partial[i], partial[i + half]);
        }
        half /= 2;
    }
}

/// Whether `new` beats `best` in an arg-reduction: NaN beats every number and loses to no NaN.
#[inline(always)]
fn beats<T: Number, const MAX: bool>(best: T, new: T) -> bool {
    !best.nan() && (new.nan() || if MAX { new > best } else { new < best })
}

/// # Safety
/// `state` holds `n` partial results.
unsafe fn arg_reset(state: State, n: usize) {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts_mut(state.positions, n) }.fill(-1);
}

/// # Safety
/// `state` holds `partial + 1` partial results.
#[inline(always)]
unsafe fn arg_take<T: Number, const MAX: bool>(state: State, partial: usize, value: T, position: i64) {
    // SAFETY: the caller's contract.
    unsafe {
        let (best, at) = (state.values.cast::<T>().add(partial), state.positions.add(partial));
        if *at < 0 || beats::<T, MAX>(*best, value) {
            *best = value;
            *at = position;
        }
    }
}

/// # Safety
/// `state` holds `n` partial results and `value` `n` lanes, or one if it is a splat.
unsafe fn arg_point<T: Number, const MAX: bool>(
    state: State,
    value: *const u8,
    splat: bool,
    n: usize,
    position: i64,
) {
    for i in 0..n {
        // SAFETY: the caller's contract.
        unsafe {
            let lane = value.cast::<T>().add(if splat { 0 } else { i }).read();
            arg_take::<T, MAX>(state, i, lane, position);
        }
    }
}

/// # Safety
/// `state` holds [`LANES`] partial results and `value` `n` lanes, or one if it is a splat.
unsafe fn arg_fold<T: Number, const MAX: bool>(
    state: State,
    value: *const u8,
    splat: bool,
    n: usize,
    position: i64,
) {
    for i in 0..n {
        // SAFETY: the caller's contract.
        unsafe {
            let lane = value.cast::<T>().add(if splat { 0 } else { i }).read();
            arg_take::<T, MAX>(state, i % LANES, lane, position + i as i64);
        }
    }
}

/// # Safety
/// As [`join`].
unsafe fn arg_join<T: Number, const MAX: bool>(state: State) {
    for i in 1..LANES {
        // SAFETY: the caller's contract.
        unsafe {
            let (value, at) = (state.values.cast::<T>().add(i).read(), state.positions.add(i).read());
            let (best, first) = (state.values.cast::<T>(), state.positions);
            let tie = !beats::<T, MAX>(value, *best) && at < *first;
            if at >= 0 && (*first < 0 || beats::<T, MAX>(*best, value) || tie) {
                *best = value;
                *first = at;
            }
        }
    }
}

/// The functions of an instruction set. The loop over two slices is a function of its own, so that the code generator knows
/// that they do not overlap.
macro_rules! functions {
    ($isa:ident, $(#[$features:meta])*) => {
        mod $isa {
            use super::*;

            /// # Safety
            /// As [`point_loop`].
            #[inline(never)]
            $(#[$features])*
            unsafe fn point_all<C: Combine>(partial: &mut [C::T], value: &[C::T]) {
                // SAFETY: the caller's contract.
                unsafe { point_loop::<C>(partial, value) }
            }

            /// # Safety
            /// `state` holds `n` partial results and `value` `n` lanes, or one if it is a splat; `n` is 1 or a multiple of
            /// [`BLOCK`].
            $(#[$features])*
            pub(super) unsafe fn point<C: Combine>(
                state: State,
                value: *const u8,
                splat: bool,
                n: usize,
                _position: i64,
            ) {
                // SAFETY: the caller's contract.
                unsafe {
                    let partial = std::slice::from_raw_parts_mut(state.values.cast::<C::T>(), n);
                    if splat || n == 1 {
                        let value = value.cast::<C::T>().read();
                        partial.iter_mut().for_each(|p| *p = C::combine(*p, value));
                    } else {
                        point_all::<C>(partial, std::slice::from_raw_parts(value.cast(), n));
                    }
                }
            }

            /// # Safety
            /// As [`fold_lanes`].
            $(#[$features])*
            pub(super) unsafe fn fold<C: Combine>(
                state: State,
                value: *const u8,
                splat: bool,
                n: usize,
                _position: i64,
            ) {
                // SAFETY: the caller's contract.
                unsafe { fold_lanes::<C>(state, value, splat, n) }
            }
        }
    };
}

functions!(portable,);
#[cfg(target_arch = "x86_64")]
functions!(avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
functions!(avx512, #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]);

fn reducer<C: Combine>(isa: Isa) -> Reducer {
    let (reset, join) = (reset::<C>, join::<C>);
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Reducer { reset, point: avx2::point::<C>, fold: avx2::fold::<C>, join },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Reducer { reset, point: avx512::point::<C>, fold: avx512::fold::<C>, join },
        _ => Reducer { reset, point: portable::point::<C>, fold: portable::fold::<C>, join },
    }
}

fn arg<T: Number, const MAX: bool>() -> Reducer {
    Reducer {
        reset: arg_reset,
        point: arg_point::<T, MAX>,
        fold: arg_fold::<T, MAX>,
        join: arg_join::<T, MAX>,
    }
}

/// The functions that reduce registers of `dtype`.
pub(super) fn pick(kind: AccKind, dtype: DType, isa: Isa) -> Reducer {
    match kind {
        AccKind::Any => reducer::<Any>(isa),
        AccKind::All => reducer::<All>(isa),
        AccKind::Max if dtype == DType::Bool => reducer::<Any>(isa),
        AccKind::Min if dtype == DType::Bool => reducer::<All>(isa),
        AccKind::Sum => with_number!(dtype, T => reducer::<Sum<T>>(isa)),
        AccKind::Prod => with_number!(dtype, T => reducer::<Prod<T>>(isa)),
        AccKind::Max => with_number!(dtype, T => reducer::<Largest<T>>(isa)),
        AccKind::Min => with_number!(dtype, T => reducer::<Smallest<T>>(isa)),
        AccKind::ArgMax => with_number!(dtype, T => arg::<T, true>()),
        AccKind::ArgMin => with_number!(dtype, T => arg::<T, false>()),
    }
}
