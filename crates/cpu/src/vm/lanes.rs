//! Instructions as functions over lanes, one for every op, dtype, operand form and instruction set.

use crate::isa::Isa;
use crate::math::{Float, Fused, Mode, Plain};
use std::marker::PhantomData;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare, Unary};

/// Computes `n` lanes of `out` from operands. `n` is 1 or a multiple of [`BLOCK`]. An operand is `n` elements, or one element
/// where the function was chosen for a splat operand; operands the op does not have are ignored.
///
/// # Safety
/// The pointers are aligned and valid for that many elements of the types the function was chosen for; `out` overlaps no
/// operand; the processor has the instruction set.
pub(super) type LaneFn = unsafe fn(out: *mut u8, x: *const u8, y: *const u8, z: *const u8, n: usize);

/// Lanes are computed in whole blocks; those beyond a tile's end hold anything.
pub(super) const BLOCK: usize = 16;

/// Which operands of a function are splats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Splats(pub(super) [bool; 3]);

/// A function of one element.
trait Map1 {
    type X: Copy;
    type R: Copy;
    fn call<M: Mode>(x: Self::X) -> Self::R;
}

/// A function of two elements.
pub(super) trait Map2 {
    type X: Copy;
    type R: Copy;
    fn call<M: Mode>(x: Self::X, y: Self::X) -> Self::R;
}

/// A function of three elements.
trait Map3 {
    type C: Copy;
    type X: Copy;
    type R: Copy;
    fn call<M: Mode>(c: Self::C, x: Self::X, y: Self::X) -> Self::R;
}

/// The lanes of a block, copied: what is computed cannot overlap them then, so that the loop over lanes becomes vector code.
#[inline(always)]
fn block_of<T: Copy, const SPLAT: bool>(x: &[T], block: usize) -> [T; BLOCK] {
    if SPLAT {
        return [x[0]; BLOCK];
    }
    let mut lanes = [x[0]; BLOCK];
    lanes.copy_from_slice(&x[block * BLOCK..][..BLOCK]);
    lanes
}

/// `n` elements, or the one of a splat.
///
/// # Safety
/// As [`LaneFn`].
#[inline(always)]
unsafe fn operand<'a, T, const SPLAT: bool>(x: *const u8, n: usize) -> &'a [T] {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(x.cast(), if SPLAT { 1 } else { n }) }
}

#[inline(always)]
fn apply1<F: Map1, M: Mode>(out: &mut [F::R], x: &[F::X]) {
    for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        let x = block_of::<_, false>(x, block);
        let mut lanes = [out[0]; BLOCK];
        for i in 0..BLOCK {
            lanes[i] = F::call::<M>(x[i]);
        }
        out.copy_from_slice(&lanes);
    }
}

#[inline(always)]
fn apply2<F: Map2, M: Mode, const XS: bool, const YS: bool>(out: &mut [F::R], x: &[F::X], y: &[F::X]) {
    for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        let (x, y) = (block_of::<_, XS>(x, block), block_of::<_, YS>(y, block));
        let mut lanes = [out[0]; BLOCK];
        for i in 0..BLOCK {
            lanes[i] = F::call::<M>(x[i], y[i]);
        }
        out.copy_from_slice(&lanes);
    }
}

#[inline(always)]
fn apply3<F: Map3, M: Mode, const CS: bool, const XS: bool, const YS: bool>(
    out: &mut [F::R],
    c: &[F::C],
    x: &[F::X],
    y: &[F::X],
) {
    for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        let c = block_of::<_, CS>(c, block);
        let (x, y) = (block_of::<_, XS>(x, block), block_of::<_, YS>(y, block));
        let mut lanes = [out[0]; BLOCK];
        for i in 0..BLOCK {
            lanes[i] = F::call::<M>(c[i], x[i], y[i]);
        }
        out.copy_from_slice(&lanes);
    }
}

/// # Safety
/// As [`LaneFn`].
#[inline(always)]
unsafe fn run1<F: Map1, M: Mode>(out: *mut u8, [x, ..]: [*const u8; 3], n: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if n == 1 {
            return out.cast::<F::R>().write(F::call::<M>(x.cast::<F::X>().read()));
        }
        apply1::<F, M>(std::slice::from_raw_parts_mut(out.cast(), n), operand::<_, false>(x, n));
    }
}

/// # Safety
/// As [`LaneFn`].
#[inline(always)]
unsafe fn run2<F: Map2, M: Mode, const XS: bool, const YS: bool>(
    out: *mut u8,
    [x, y, _]: [*const u8; 3],
    n: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if n == 1 {
            let (x, y) = (x.cast::<F::X>().read(), y.cast::<F::X>().read());
            return out.cast::<F::R>().write(F::call::<M>(x, y));
        }
        let out = std::slice::from_raw_parts_mut(out.cast(), n);
        apply2::<F, M, XS, YS>(out, operand::<_, XS>(x, n), operand::<_, YS>(y, n));
    }
}

/// # Safety
/// As [`LaneFn`].
#[inline(always)]
unsafe fn run3<F: Map3, M: Mode, const CS: bool, const XS: bool, const YS: bool>(
    out: *mut u8,
    [c, x, y]: [*const u8; 3],
    n: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if n == 1 {
            let (c, x, y) = (c.cast::<F::C>().read(), x.cast::<F::X>().read(), y.cast::<F::X>().read());
            return out.cast::<F::R>().write(F::call::<M>(c, x, y));
        }
        let out = std::slice::from_raw_parts_mut(out.cast(), n);
        apply3::<F, M, CS, XS, YS>(
            out,
            operand::<_, CS>(c, n),
            operand::<_, XS>(x, n),
            operand::<_, YS>(y, n),
        );
    }
}

/// The three entry points of a family of functions, one an instruction set.
macro_rules! entries {
    ($family:ident, $run:ident, $trait:ident, [$($splat:ident)*]) => {
        mod $family {
            use super::*;

            /// # Safety
            /// As [`LaneFn`].
            unsafe fn portable<F: $trait, $(const $splat: bool),*>(
                out: *mut u8, x: *const u8, y: *const u8, z: *const u8, n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe { $run::<F, Plain, $($splat),*>(out, [x, y, z], n) }
            }

            /// # Safety
            /// As [`LaneFn`].
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2<F: $trait, $(const $splat: bool),*>(
                out: *mut u8, x: *const u8, y: *const u8, z: *const u8, n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe { $run::<F, Fused, $($splat),*>(out, [x, y, z], n) }
            }

            /// # Safety
            /// As [`LaneFn`].
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
            unsafe fn avx512<F: $trait, $(const $splat: bool),*>(
                out: *mut u8, x: *const u8, y: *const u8, z: *const u8, n: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe { $run::<F, Fused, $($splat),*>(out, [x, y, z], n) }
            }

            pub(super) fn pick<F: $trait, $(const $splat: bool),*>(isa: Isa) -> LaneFn {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2::<F, $($splat),*>,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => avx512::<F, $($splat),*>,
                    _ => portable::<F, $($splat),*>,
                }
            }
        }
    };
}

entries!(one, run1, Map1, []);
entries!(two, run2, Map2, [XS YS]);
entries!(three, run3, Map3, [CS XS YS]);

fn form2<F: Map2>(isa: Isa, splats: Splats) -> LaneFn {
    match splats.0 {
        [true, false, _] => two::pick::<F, true, false>(isa),
        [false, true, _] => two::pick::<F, false, true>(isa),
        // Two splats are computed once, as one lane.
        _ => two::pick::<F, false, false>(isa),
    }
}

fn form3<F: Map3>(isa: Isa, splats: Splats) -> LaneFn {
    match splats.0 {
        [false, false, true] => three::pick::<F, false, false, true>(isa),
        [false, true, false] => three::pick::<F, false, true, false>(isa),
        [false, true, true] => three::pick::<F, false, true, true>(isa),
        [true, false, false] => three::pick::<F, true, false, false>(isa),
        [true, false, true] => three::pick::<F, true, false, true>(isa),
        [true, true, false] => three::pick::<F, true, true, false>(isa),
        _ => three::pick::<F, false, false, false>(isa),
    }
}

/// Arithmetic of one number type, with the semantics of [`Unary`] and [`Binary`].
pub(super) trait Number: Copy + PartialOrd + Default + 'static {
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn negate(self) -> Self;
    fn magnitude(self) -> Self;
    fn signum_of(self) -> Self;
    fn plus(self, y: Self) -> Self;
    fn minus(self, y: Self) -> Self;
    fn times(self, y: Self) -> Self;
    fn over(self, y: Self) -> Self;
    fn remainder(self, y: Self) -> Self;
    fn floor_over(self, y: Self) -> Self;
    fn raised<M: Mode>(self, y: Self) -> Self;
    fn smaller(self, y: Self) -> Self;
    fn larger(self, y: Self) -> Self;
    fn nan(self) -> bool;
}

macro_rules! integer_number {
    ($($int:ident $signed:literal;)*) => {$(
        impl Number for $int {
            const ONE: Self = 1;
            const LOWEST: Self = $int::MIN;
            const HIGHEST: Self = $int::MAX;
            #[inline(always)]
            fn negate(self) -> Self {
                self.wrapping_neg()
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                if $signed && self < $int::default() { self.wrapping_neg() } else { self }
            }
            #[inline(always)]
            fn signum_of(self) -> Self {
                $int::from(self > 0).wrapping_sub($int::from(self < $int::default()))
            }
            #[inline(always)]
            fn plus(self, y: Self) -> Self {
                self.wrapping_add(y)
            }
            #[inline(always)]
            fn minus(self, y: Self) -> Self {
                self.wrapping_sub(y)
            }
            #[inline(always)]
            fn times(self, y: Self) -> Self {
                self.wrapping_mul(y)
            }
            #[inline(always)]
            fn over(self, y: Self) -> Self {
                if y == 0 { 0 } else { self.wrapping_div(y) }
            }
            #[inline(always)]
            fn remainder(self, y: Self) -> Self {
                if y == 0 { 0 } else { self.wrapping_rem(y) }
            }
            #[inline(always)]
            fn floor_over(self, y: Self) -> Self {
                let remainder = self.remainder(y);
                let below = remainder != 0 && (remainder < $int::default()) != (y < $int::default());
                self.over(y).wrapping_sub($int::from(below))
            }
            #[inline(always)]
            fn raised<M: Mode>(self, y: Self) -> Self {
                if $signed && y < $int::default() {
                    let odd = y & 1 == 1;
                    return match self {
                        1 => 1,
                        x if $signed && x == $int::default().wrapping_sub(1) => if odd { x } else { 1 },
                        _ => 0,
                    };
                }
                let (mut result, mut square, mut rest) = (1 as $int, self, y);
                while rest != 0 {
                    if rest & 1 == 1 {
                        result = result.wrapping_mul(square);
                    }
                    square = square.wrapping_mul(square);
                    rest >>= 1;
                }
                result
            }
            #[inline(always)]
            fn smaller(self, y: Self) -> Self {
                if y < self { y } else { self }
            }
            #[inline(always)]
            fn larger(self, y: Self) -> Self {
                if y > self { y } else { self }
            }
            #[inline(always)]
            fn nan(self) -> bool {
                false
            }
        }
    )*};
}

integer_number! { u8 false; u32 false; i32 true; i64 true; }

macro_rules! float_number {
    ($($float:ident)*) => {$(
        impl Number for $float {
            const ONE: Self = 1.0;
            const LOWEST: Self = $float::NEG_INFINITY;
            const HIGHEST: Self = $float::INFINITY;
            #[inline(always)]
            fn negate(self) -> Self {
                -self
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn signum_of(self) -> Self {
                let one = (1 as $float).copysign(self);
                if self == 0.0 || self != self { self } else { one }
            }
            #[inline(always)]
            fn plus(self, y: Self) -> Self {
                self + y
            }
            #[inline(always)]
            fn minus(self, y: Self) -> Self {
                self - y
            }
            #[inline(always)]
            fn times(self, y: Self) -> Self {
                self * y
            }
            #[inline(always)]
            fn over(self, y: Self) -> Self {
                self / y
            }
            #[inline(always)]
            fn remainder(self, y: Self) -> Self {
                self % y
            }
            #[inline(always)]
            fn floor_over(self, y: Self) -> Self {
                (self / y).floor()
            }
            #[inline(always)]
            fn raised<M: Mode>(self, y: Self) -> Self {
                Float::power::<M>(self, y)
            }
            #[inline(always)]
            fn smaller(self, y: Self) -> Self {
                let chosen = if self < y || self != self { self } else { y };
                // Equal numbers differ in the sign of zero at most, and −0 is the smaller.
                if self == y { $float::from_bits(self.to_bits() | y.to_bits()) } else { chosen }
            }
            #[inline(always)]
            fn larger(self, y: Self) -> Self {
                let chosen = if self > y || self != self { self } else { y };
                if self == y { $float::from_bits(self.to_bits() & y.to_bits()) } else { chosen }
            }
            #[inline(always)]
            fn nan(self) -> bool {
                self != self
            }
        }
    )*};
}

float_number! { f32 f64 }

/// Operations on bits and shifts.
trait Bits: Number {
    fn and(self, y: Self) -> Self;
    fn or(self, y: Self) -> Self;
    fn xor(self, y: Self) -> Self;
    fn flip(self) -> Self;
    fn left(self, y: Self) -> Self;
    fn right(self, y: Self) -> Self;
}

macro_rules! bits {
    ($($int:ident $unsigned:ident;)*) => {$(
        impl Bits for $int {
            #[inline(always)]
            fn and(self, y: Self) -> Self {
                self & y
            }
            #[inline(always)]
            fn or(self, y: Self) -> Self {
                self | y
            }
            #[inline(always)]
            fn xor(self, y: Self) -> Self {
                self ^ y
            }
            #[inline(always)]
            fn flip(self) -> Self {
                !self
            }
            #[inline(always)]
            fn left(self, y: Self) -> Self {
                // A negative count is a large unsigned one.
                let shifted = self.wrapping_shl(y as u32);
                if (y as $unsigned) < $int::BITS as $unsigned { shifted } else { 0 }
            }
            #[inline(always)]
            fn right(self, y: Self) -> Self {
                let count = if (y as $unsigned) < $int::BITS as $unsigned { y as u32 } else { $int::BITS - 1 };
                let shifted = self.wrapping_shr(count);
                let zero = $int::MIN == 0 && (y as $unsigned) >= $int::BITS as $unsigned;
                if zero { 0 } else { shifted }
            }
        }
    )*};
}

bits! { u8 u8; u32 u32; i32 u32; i64 u64; }

/// Defines types that name functions, generic over an element type.
macro_rules! maps {
    ($($name:ident: $bound:ident, $trait:ident($($arg:ident),*) -> $result:ty = $body:expr;)*) => {$(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: $bound> $trait for $name<T> {
            type X = T;
            type R = $result;
            #[inline(always)]
            fn call<M: Mode>($($arg: T),*) -> $result {
                $body
            }
        }
    )*};
}

maps! {
    Neg: Number, Map1(x) -> T = x.negate();
    Abs: Number, Map1(x) -> T = x.magnitude();
    Sign: Number, Map1(x) -> T = x.signum_of();
    Not: Bits, Map1(x) -> T = x.flip();
    Same: Copy, Map1(x) -> T = x;
    IsNan: Number, Map1(x) -> u8 = u8::from(x.nan());
    IsFinite: Number, Map1(x) -> u8 = u8::from(x.magnitude() < T::HIGHEST);
    Exp: Float, Map1(x) -> T = x.exp::<M>();
    Expm1: Float, Map1(x) -> T = x.expm1::<M>();
    Log: Float, Map1(x) -> T = x.log::<M>();
    Log1p: Float, Map1(x) -> T = x.log1p::<M>();
    Sqrt: Float, Map1(x) -> T = x.square_root();
    Rsqrt: Float, Map1(x) -> T = x.rsqrt();
    Sin: Float, Map1(x) -> T = x.sin::<M>();
    Cos: Float, Map1(x) -> T = x.cos::<M>();
    Tan: Float, Map1(x) -> T = x.tan::<M>();
    Tanh: Float, Map1(x) -> T = x.tanh::<M>();
    Erf: Float, Map1(x) -> T = x.erf::<M>();
    Erfc: Float, Map1(x) -> T = x.erfc::<M>();
    Erfinv: Float, Map1(x) -> T = x.erfinv();
    Lgamma: Float, Map1(x) -> T = x.lgamma();
    Digamma: Float, Map1(x) -> T = x.digamma();
    Floor: Float, Map1(x) -> T = x.round_down();
    Ceil: Float, Map1(x) -> T = x.round_up();
    Round: Float, Map1(x) -> T = x.round_even();
    Add: Number, Map2(x, y) -> T = x.plus(y);
    Sub: Number, Map2(x, y) -> T = x.minus(y);
    Mul: Number, Map2(x, y) -> T = x.times(y);
    Div: Number, Map2(x, y) -> T = x.over(y);
    Rem: Number, Map2(x, y) -> T = x.remainder(y);
    FloorDiv: Number, Map2(x, y) -> T = x.floor_over(y);
    Pow: Number, Map2(x, y) -> T = x.raised::<M>(y);
    Min: Number, Map2(x, y) -> T = x.smaller(y);
    Max: Number, Map2(x, y) -> T = x.larger(y);
    And: Bits, Map2(x, y) -> T = x.and(y);
    Or: Bits, Map2(x, y) -> T = x.or(y);
    Xor: Bits, Map2(x, y) -> T = x.xor(y);
    Shl: Bits, Map2(x, y) -> T = x.left(y);
    Shr: Bits, Map2(x, y) -> T = x.right(y);
    Atan2: Float, Map2(x, y) -> T = x.angle(y);
    Eq: Number, Map2(x, y) -> u8 = u8::from(x == y);
    Ne: Number, Map2(x, y) -> u8 = u8::from(x != y);
    Lt: Number, Map2(x, y) -> u8 = u8::from(x < y);
    Le: Number, Map2(x, y) -> u8 = u8::from(x <= y);
    Gt: Number, Map2(x, y) -> u8 = u8::from(x > y);
    Ge: Number, Map2(x, y) -> u8 = u8::from(x >= y);
}

/// Not of a bool.
struct NotBool;
impl Map1 for NotBool {
    type X = u8;
    type R = u8;
    #[inline(always)]
    fn call<M: Mode>(x: u8) -> u8 {
        x ^ 1
    }
}

/// An `f32` rounded to a value of `f16`.
struct ToF16;
impl Map1 for ToF16 {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call<M: Mode>(x: f32) -> f32 {
        half::f16::from_f32(x).to_f32()
    }
}

/// An `f32` rounded to a value of `bf16`.
struct ToBf16;
impl Map1 for ToBf16 {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call<M: Mode>(x: f32) -> f32 {
        half::bf16::from_f32(x).to_f32()
    }
}

/// The condition's choice, by the size of the elements.
struct Choose<T>(PhantomData<T>);
impl<T: Copy> Map3 for Choose<T> {
    type C = u8;
    type X = T;
    type R = T;
    #[inline(always)]
    fn call<M: Mode>(c: u8, x: T, y: T) -> T {
        if c != 0 { x } else { y }
    }
}

/// x · y + z, rounded once.
struct MulAdd<T>(PhantomData<T>);
impl<T: Float> Map3 for MulAdd<T> {
    type C = T;
    type X = T;
    type R = T;
    #[inline(always)]
    fn call<M: Mode>(x: T, y: T, z: T) -> T {
        x.fused(y, z)
    }
}

/// A conversion as `cast` defines it; Rust's `as` truncates, saturates and wraps as it asks.
struct Convert<A, B>(PhantomData<(A, B)>);
/// x ≠ 0.
struct ToBool<A>(PhantomData<A>);
impl<A: Number> Map1 for ToBool<A> {
    type X = A;
    type R = u8;
    #[inline(always)]
    fn call<M: Mode>(x: A) -> u8 {
        u8::from(x != A::default())
    }
}

macro_rules! convert {
    ($($from:ident => $($to:ident)*;)*) => {$($(
        impl Map1 for Convert<$from, $to> {
            type X = $from;
            type R = $to;
            #[inline(always)]
            fn call<M: Mode>(x: $from) -> $to {
                x as $to
            }
        }
    )*)*};
}

convert! {
    u8 => u8 u32 i32 i64 f32 f64;
    u32 => u8 u32 i32 i64 f32 f64;
    i32 => u8 u32 i32 i64 f32 f64;
    i64 => u8 u32 i32 i64 f32 f64;
    f32 => u8 u32 i32 i64 f32 f64;
    f64 => u8 u32 i32 i64 f32 f64;
}

/// Calls a generic function with the Rust type of a register dtype (`bool` as `u8`).
macro_rules! with_number {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool | DType::U8 => {
                type $t = u8;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F16 | DType::BF16 | DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(super) use with_number;

macro_rules! with_int {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            _ => {
                type $t = u8;
                $body
            }
        }
    };
}

macro_rules! with_float {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::F64 => {
                type $t = f64;
                $body
            }
            _ => {
                type $t = f32;
                $body
            }
        }
    };
}

/// The function for an elementwise op on registers of `dtype`. [`Unary::Polygamma`] is an op of two operands here: the order,
/// as a splat of `dtype`, comes second.
pub(super) fn unary(op: Unary, dtype: DType, isa: Isa) -> LaneFn {
    match op {
        Unary::Neg => with_number!(dtype, T => one::pick::<Neg<T>>(isa)),
        Unary::Abs => with_number!(dtype, T => one::pick::<Abs<T>>(isa)),
        Unary::Sign => with_number!(dtype, T => one::pick::<Sign<T>>(isa)),
        Unary::Not if dtype == DType::Bool => one::pick::<NotBool>(isa),
        Unary::Not => with_int!(dtype, T => one::pick::<Not<T>>(isa)),
        Unary::IsNan => with_number!(dtype, T => one::pick::<IsNan<T>>(isa)),
        Unary::IsFinite => with_float!(dtype, T => one::pick::<IsFinite<T>>(isa)),
        Unary::StopGradient => with_number!(dtype, T => one::pick::<Same<T>>(isa)),
        Unary::Exp => with_float!(dtype, T => one::pick::<Exp<T>>(isa)),
        Unary::Expm1 => with_float!(dtype, T => one::pick::<Expm1<T>>(isa)),
        Unary::Log => with_float!(dtype, T => one::pick::<Log<T>>(isa)),
        Unary::Log1p => with_float!(dtype, T => one::pick::<Log1p<T>>(isa)),
        Unary::Sqrt => with_float!(dtype, T => one::pick::<Sqrt<T>>(isa)),
        Unary::Rsqrt => with_float!(dtype, T => one::pick::<Rsqrt<T>>(isa)),
        Unary::Sin => with_float!(dtype, T => one::pick::<Sin<T>>(isa)),
        Unary::Cos => with_float!(dtype, T => one::pick::<Cos<T>>(isa)),
        Unary::Tan => with_float!(dtype, T => one::pick::<Tan<T>>(isa)),
        Unary::Tanh => with_float!(dtype, T => one::pick::<Tanh<T>>(isa)),
        Unary::Erf => with_float!(dtype, T => one::pick::<Erf<T>>(isa)),
        Unary::Erfc => with_float!(dtype, T => one::pick::<Erfc<T>>(isa)),
        Unary::Erfinv => with_float!(dtype, T => one::pick::<Erfinv<T>>(isa)),
        Unary::Lgamma => with_float!(dtype, T => one::pick::<Lgamma<T>>(isa)),
        Unary::Digamma => with_float!(dtype, T => one::pick::<Digamma<T>>(isa)),
        Unary::Polygamma(_) => with_float!(dtype, T => two::pick::<Polygamma<T>, false, true>(isa)),
        Unary::Floor => with_float!(dtype, T => one::pick::<Floor<T>>(isa)),
        Unary::Ceil => with_float!(dtype, T => one::pick::<Ceil<T>>(isa)),
        Unary::Round => with_float!(dtype, T => one::pick::<Round<T>>(isa)),
    }
}

/// The function for a binary op on registers of `dtype`.
pub(super) fn binary(op: Binary, dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match op {
        Binary::Min if dtype == DType::Bool => form2::<And<u8>>(isa, splats),
        Binary::Max if dtype == DType::Bool => form2::<Or<u8>>(isa, splats),
        Binary::Add => with_number!(dtype, T => form2::<Add<T>>(isa, splats)),
        Binary::Sub => with_number!(dtype, T => form2::<Sub<T>>(isa, splats)),
        Binary::Mul => with_number!(dtype, T => form2::<Mul<T>>(isa, splats)),
        Binary::Div => with_number!(dtype, T => form2::<Div<T>>(isa, splats)),
        Binary::Rem => with_number!(dtype, T => form2::<Rem<T>>(isa, splats)),
        Binary::FloorDiv => with_number!(dtype, T => form2::<FloorDiv<T>>(isa, splats)),
        Binary::Pow => with_number!(dtype, T => form2::<Pow<T>>(isa, splats)),
        Binary::Min => with_number!(dtype, T => form2::<Min<T>>(isa, splats)),
        Binary::Max => with_number!(dtype, T => form2::<Max<T>>(isa, splats)),
        Binary::And => with_int!(dtype, T => form2::<And<T>>(isa, splats)),
        Binary::Or => with_int!(dtype, T => form2::<Or<T>>(isa, splats)),
        Binary::Xor => with_int!(dtype, T => form2::<Xor<T>>(isa, splats)),
        Binary::Shl => with_int!(dtype, T => form2::<Shl<T>>(isa, splats)),
        Binary::Shr => with_int!(dtype, T => form2::<Shr<T>>(isa, splats)),
        Binary::Atan2 => with_float!(dtype, T => form2::<Atan2<T>>(isa, splats)),
    }
}

/// The function for a comparison of registers of `dtype`.
pub(super) fn compare(op: Compare, dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match op {
        Compare::Eq => with_number!(dtype, T => form2::<Eq<T>>(isa, splats)),
        Compare::Ne => with_number!(dtype, T => form2::<Ne<T>>(isa, splats)),
        Compare::Lt => with_number!(dtype, T => form2::<Lt<T>>(isa, splats)),
        Compare::Le => with_number!(dtype, T => form2::<Le<T>>(isa, splats)),
        Compare::Gt => with_number!(dtype, T => form2::<Gt<T>>(isa, splats)),
        Compare::Ge => with_number!(dtype, T => form2::<Ge<T>>(isa, splats)),
    }
}

/// The function that selects between registers of `dtype`.
pub(super) fn select(dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match dtype.size() {
        1 => form3::<Choose<u8>>(isa, splats),
        8 => form3::<Choose<u64>>(isa, splats),
        _ => form3::<Choose<u32>>(isa, splats),
    }
}

/// The function for a fused multiply-add of floats.
pub(super) fn fma(dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    with_float!(dtype, T => form3::<MulAdd<T>>(isa, splats))
}

/// The function that rounds `f32` to a 16-bit float dtype.
pub(super) fn round(dtype: DType, isa: Isa) -> LaneFn {
    if dtype == DType::F16 { one::pick::<ToF16>(isa) } else { one::pick::<ToBf16>(isa) }
}

/// The function that converts registers of one dtype to another.
pub(super) fn cast(from: DType, to: DType, isa: Isa) -> LaneFn {
    if to == DType::Bool {
        return with_number!(from, A => one::pick::<ToBool<A>>(isa));
    }
    with_number!(from, A => match to {
        DType::U32 => one::pick::<Convert<A, u32>>(isa),
        DType::I32 => one::pick::<Convert<A, i32>>(isa),
        DType::I64 => one::pick::<Convert<A, i64>>(isa),
        DType::F64 => one::pick::<Convert<A, f64>>(isa),
        DType::Bool | DType::U8 => one::pick::<Convert<A, u8>>(isa),
        DType::F16 | DType::BF16 | DType::F32 => one::pick::<Convert<A, f32>>(isa),
    })
}

/// ψ⁽ⁿ⁾(x) with the bits of n as the second operand.
struct Polygamma<T>(PhantomData<T>);
impl Map2 for Polygamma<f32> {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call<M: Mode>(x: f32, order: f32) -> f32 {
        x.polygamma(order.to_bits())
    }
}
impl Map2 for Polygamma<f64> {
    type X = f64;
    type R = f64;
    #[inline(always)]
    fn call<M: Mode>(x: f64, order: f64) -> f64 {
        x.polygamma(order.to_bits() as u32)
    }
}
