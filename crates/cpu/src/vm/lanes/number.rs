//! Arithmetic of the register types.

/// Arithmetic of one number type, with the semantics of [`Unary`] and [`Binary`].
pub(in crate::vm) trait Number: Copy + PartialOrd + Default + 'static {
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn negate(self) -> Self;
    fn magnitude(self) -> Self;
    fn plus(self, y: Self) -> Self;
    fn minus(self, y: Self) -> Self;
    fn times(self, y: Self) -> Self;
    fn over(self, y: Self) -> Self;
    fn remainder(self, y: Self) -> Self;
    fn smaller(self, y: Self) -> Self;
    fn larger(self, y: Self) -> Self;
    fn nan(self) -> bool;
}

/// What only integers have.
pub(in crate::vm) trait Integer: Number {
    fn floor_over(self, y: Self) -> Self;
    fn raised(self, y: Self) -> Self;
}

/// What only floats have.
pub(in crate::vm) trait Float: Number {
    fn square_root(self) -> Self;
    fn round_down(self) -> Self;
    fn round_up(self) -> Self;
    fn round_even(self) -> Self;
    /// self · b + c with one rounding.
    fn fused(self, b: Self, c: Self) -> Self;
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

        impl Integer for $int {
            #[inline(always)]
            fn floor_over(self, y: Self) -> Self {
                let remainder = self.remainder(y);
                let below = remainder != 0 && (remainder < $int::default()) != (y < $int::default());
                self.over(y).wrapping_sub($int::from(below))
            }
            #[inline(always)]
            fn raised(self, y: Self) -> Self {
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

        impl Float for $float {
            #[inline(always)]
            fn square_root(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn round_down(self) -> Self {
                self.floor()
            }
            #[inline(always)]
            fn round_up(self) -> Self {
                self.ceil()
            }
            #[inline(always)]
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
        }
    )*};
}

float_number! { f32 f64 }

/// Operations on bits and shifts.
pub(super) trait Bits: Number {
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
