//! Ops as types that name functions of elements.

use super::number::{Bits, Float, Integer, Number};
use std::marker::PhantomData;
use wootz_ir::eval::special;

/// A function of one element.
pub(in crate::vm) trait Map1 {
    type X: Copy;
    type R: Copy;
    fn call(x: Self::X) -> Self::R;
}

/// A function of two elements.
pub(in crate::vm) trait Map2 {
    type X: Copy;
    type R: Copy;
    fn call(x: Self::X, y: Self::X) -> Self::R;
}

/// A function of three elements.
pub(in crate::vm) trait Map3 {
    type C: Copy;
    type X: Copy;
    type R: Copy;
    fn call(c: Self::C, x: Self::X, y: Self::X) -> Self::R;
}
/// Defines types that name functions, generic over an element type.
macro_rules! maps {
    ($($name:ident: $bound:ident, $trait:ident($($arg:ident),*) -> $result:ty = $body:expr;)*) => {$(
        pub(in crate::vm) struct $name<T>(PhantomData<T>);
        impl<T: $bound> $trait for $name<T> {
            type X = T;
            type R = $result;
            #[inline(always)]
            fn call($($arg: T),*) -> $result {
                $body
            }
        }
    )*};
}

maps! {
    Neg: Number, Map1(x) -> T = x.negate();
    Abs: Number, Map1(x) -> T = x.magnitude();
    Not: Bits, Map1(x) -> T = x.flip();
    Same: Copy, Map1(x) -> T = x;
    Sqrt: Float, Map1(x) -> T = x.square_root();
    Floor: Float, Map1(x) -> T = x.round_down();
    Ceil: Float, Map1(x) -> T = x.round_up();
    Round: Float, Map1(x) -> T = x.round_even();
    Add: Number, Map2(x, y) -> T = x.plus(y);
    Sub: Number, Map2(x, y) -> T = x.minus(y);
    Mul: Number, Map2(x, y) -> T = x.times(y);
    Div: Number, Map2(x, y) -> T = x.over(y);
    Rem: Number, Map2(x, y) -> T = x.remainder(y);
    FloorDiv: Integer, Map2(x, y) -> T = x.floor_over(y);
    Pow: Integer, Map2(x, y) -> T = x.raised(y);
    Min: Number, Map2(x, y) -> T = x.smaller(y);
    Max: Number, Map2(x, y) -> T = x.larger(y);
    And: Bits, Map2(x, y) -> T = x.and(y);
    Or: Bits, Map2(x, y) -> T = x.or(y);
    Xor: Bits, Map2(x, y) -> T = x.xor(y);
    Shl: Bits, Map2(x, y) -> T = x.left(y);
    Shr: Bits, Map2(x, y) -> T = x.right(y);
    Eq: Number, Map2(x, y) -> u8 = u8::from(x == y);
    Ne: Number, Map2(x, y) -> u8 = u8::from(x != y);
    Lt: Number, Map2(x, y) -> u8 = u8::from(x < y);
    Le: Number, Map2(x, y) -> u8 = u8::from(x <= y);
    Gt: Number, Map2(x, y) -> u8 = u8::from(x > y);
    Ge: Number, Map2(x, y) -> u8 = u8::from(x >= y);
}

/// Not of a bool.
pub(in crate::vm) struct NotBool;
impl Map1 for NotBool {
    type X = u8;
    type R = u8;
    #[inline(always)]
    fn call(x: u8) -> u8 {
        x ^ 1
    }
}

/// An `f32` rounded to a value of `f16`.
pub(in crate::vm) struct ToF16;
impl Map1 for ToF16 {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call(x: f32) -> f32 {
        /// The least normal f16.
        const MIN_NORMAL: f32 = 1.0 / 16384.0;
        /// Halfway between the largest f16 and the next power of two.
        const OVERFLOW: f32 = 65520.0;
        let (bits, magnitude) = (x.to_bits(), x.abs());
        // Ties go to the even multiple of 2¹³ units in the last place, the 13 bits that f16 lacks.
        let odd = (bits >> 13) & 1;
        let normal = f32::from_bits(((bits & 0x7fff_ffff) + 0xfff + odd) & !0x1fff);
        // Between ½ and 1 the unit in the last place is 2⁻²⁴, as that of subnormal f16.
        let value = if magnitude < MIN_NORMAL { (magnitude + 0.5) - 0.5 } else { normal };
        let value = if magnitude >= OVERFLOW { f32::INFINITY } else { value };
        let value = value.copysign(x);
        if x.is_nan() { f32::NAN } else { value }
    }
}

/// `x` rounded to a value of `bf16`.
#[inline(always)]
pub(in crate::vm) fn to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    // Ties go to even.
    let rounded = f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000);
    if x.is_nan() { f32::NAN } else { rounded }
}

/// An `f32` rounded to a value of `bf16`.
pub(in crate::vm) struct ToBf16;
impl Map1 for ToBf16 {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call(x: f32) -> f32 {
        to_bf16(x)
    }
}

/// The condition's choice, by the size of the elements.
pub(in crate::vm) struct Choose<T>(PhantomData<T>);
impl<T: Copy> Map3 for Choose<T> {
    type C = u8;
    type X = T;
    type R = T;
    #[inline(always)]
    fn call(c: u8, x: T, y: T) -> T {
        if c != 0 { x } else { y }
    }
}

/// x · y + z, rounded once.
pub(in crate::vm) struct MulAdd<T>(PhantomData<T>);
impl<T: Float> Map3 for MulAdd<T> {
    type C = T;
    type X = T;
    type R = T;
    #[inline(always)]
    fn call(x: T, y: T, z: T) -> T {
        x.fused(y, z)
    }
}

/// A conversion as `cast` defines it; Rust's `as` truncates, saturates and wraps as it asks.
pub(in crate::vm) struct Convert<A, B>(PhantomData<(A, B)>);
/// x ≠ 0.
pub(in crate::vm) struct ToBool<A>(PhantomData<A>);
impl<A: Number> Map1 for ToBool<A> {
    type X = A;
    type R = u8;
    #[inline(always)]
    fn call(x: A) -> u8 {
        u8::from(x != A::default())
    }
}

macro_rules! convert {
    ($($from:ident => $($to:ident)*;)*) => {$($(
        impl Map1 for Convert<$from, $to> {
            type X = $from;
            type R = $to;
            #[inline(always)]
            fn call(x: $from) -> $to {
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
/// ψ⁽ⁿ⁾(x) with the bits of n as the second operand.
pub(in crate::vm) struct Polygamma<T>(PhantomData<T>);
impl Map2 for Polygamma<f32> {
    type X = f32;
    type R = f32;
    #[inline(always)]
    fn call(x: f32, order: f32) -> f32 {
        special::polygamma(order.to_bits(), x.into()) as f32
    }
}
impl Map2 for Polygamma<f64> {
    type X = f64;
    type R = f64;
    #[inline(always)]
    fn call(x: f64, order: f64) -> f64 {
        special::polygamma(order.to_bits() as u32, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn rounds_to_narrow_floats() {
        let near_halfway = [0x1000u32, 0xfff, 0x1001, 0x8000, 0x7fff, 0x8001, 0];
        let spread = (0..1 << 16).flat_map(|high: u32| near_halfway.map(|low| (high << 16) | low));
        for bits in spread.chain((0..1 << 20).map(|i: u32| i.wrapping_mul(0x9e37_79b9))) {
            let x = f32::from_bits(bits);
            let (to_f16, to_bf16) = (ToF16::call(x), ToBf16::call(x));
            if x.is_nan() {
                assert!(to_f16.is_nan() && to_bf16.is_nan());
                continue;
            }
            assert_eq!(to_f16.to_bits(), f16::from_f32(x).to_f32().to_bits(), "{x:e}");
            assert_eq!(to_bf16.to_bits(), bf16::from_f32(x).to_f32().to_bits(), "{x:e}");
        }
    }
}
