//! Exponentials, logarithms and the hyperbolic tangent without branches, so that loops over lanes become vector code.
//!
//! * eˣ: x = n·ln 2 + r with |r| ≤ ½ ln 2; a polynomial in r (Taylor's, which is within a fraction of an ulp on so short an
//!   interval) times 2ⁿ, in two factors so that results may be subnormal.
//! * ln x: x = 2ᵉ·m with m in [√½, √2); ln m = 2 artanh((m − 1)/(m + 1)) as a series.
//! * eˣ − 1 and tanh from the polynomial without its constant term.

use super::Mode;

/// a · b + c, fused where that is one instruction.
pub(super) trait MulAdd: Copy {
    fn mul_plus<M: Mode>(self, b: Self, c: Self) -> Self;
}

macro_rules! elementary {
    ($float:ident, $bits:ident, {
        mantissa: $mantissa:literal, bias: $bias:literal, magic: $magic:expr,
        ln2: [$ln2_high:expr, $ln2_low:expr], exp_range: [$exp_low:expr, $exp_high:expr],
        expm1_low: $expm1_low:expr, tanh_high: $tanh_high:expr, root_half: $root_half:expr,
        exp: $exp:expr, log: $log:expr $(,)?
    }) => {
        impl MulAdd for $float {
            #[inline(always)]
            fn mul_plus<M: Mode>(self, b: Self, c: Self) -> Self {
                if M::FUSED { self.mul_add(b, c) } else { self * b + c }
            }
        }

        /// Exponentials and logarithms of one float type.
        pub(super) mod $float {
            use super::{Mode, MulAdd};

            const MANTISSA: u32 = $mantissa;
            const BIAS: $bits = $bias;
            /// Adding it rounds to an integer, which then lies in the low bits.
            const MAGIC: $float = $magic;

            /// Horner's rule, the highest coefficient last.
            #[inline(always)]
            pub(in crate::math) fn polynomial<M: Mode, const N: usize>(
                x: $float,
                coefficients: [$float; N],
            ) -> $float {
                let mut sum = coefficients[N - 1];
                for i in (0..N - 1).rev() {
                    sum = sum.mul_plus::<M>(x, coefficients[i]);
                }
                sum
            }

            /// 2ⁿ for an n whose power is normal, given in two's complement.
            #[inline(always)]
            fn power_of_two(n: $bits) -> $float {
                $float::from_bits(n.wrapping_add(BIAS) << MANTISSA)
            }

            /// (eʳ − 1, n) with x = n·ln 2 + r.
            #[inline(always)]
            fn reduced<M: Mode>(x: $float) -> ($float, $bits) {
                let shifted = x.mul_plus::<M>(std::$float::consts::LOG2_E, MAGIC);
                let count = shifted - MAGIC;
                let r = count.mul_plus::<M>(-$ln2_low, count.mul_plus::<M>(-$ln2_high, x));
                let curve = polynomial::<M, _>(r, $exp);
                (curve.mul_plus::<M>(r * r, r), shifted.to_bits().wrapping_sub(MAGIC.to_bits()))
            }

            #[inline(always)]
            fn clamp(x: $float, low: $float, high: $float) -> $float {
                let x = if x < low { low } else { x };
                if x > high { high } else { x }
            }

            #[inline(always)]
            pub(crate) fn exp<M: Mode>(x: $float) -> $float {
                let (part, n) = reduced::<M>(clamp(x, $exp_low, $exp_high));
                // Half of n, rounded down: n is above −2·BIAS.
                let half = (n.wrapping_add(2 * BIAS) >> 1).wrapping_sub(BIAS);
                (part + 1.0) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
            }

            #[inline(always)]
            pub(crate) fn expm1<M: Mode>(x: $float) -> $float {
                let (part, n) = reduced::<M>(clamp(x, $expm1_low, $exp_high));
                // Twice half the result, whose power of two is finite.
                let scale = power_of_two(n.wrapping_sub(1));
                let value = part.mul_plus::<M>(scale, scale - 0.5) * 2.0;
                // Halving may round a subnormal number.
                let value = if n == 0 { part } else { value };
                if x == 0.0 { x } else { value }
            }

            #[inline(always)]
            pub(crate) fn tanh<M: Mode>(x: $float) -> $float {
                let t = expm1::<M>(2.0 * clamp(x.abs(), 0.0, $tanh_high));
                (t / (t + 2.0)).copysign(x)
            }

            /// Of a positive normal number, and a correction added to the result's low part.
            #[inline(always)]
            fn log_normal<M: Mode>(x: $float, exponent: $float, correction: $float) -> $float {
                const ROOT_HALF: $bits = $root_half;
                let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
                // The exponent as a float, by way of the magic number: shifts of signed 64-bit lanes are slow.
                let biased = (shifted.wrapping_add(BIAS << MANTISSA)) >> MANTISSA;
                let e = ($float::from_bits(MAGIC.to_bits() | biased) - MAGIC) - BIAS as $float;
                let m = $float::from_bits((shifted & ((1 << MANTISSA) - 1)).wrapping_add(ROOT_HALF));
                let e = e + exponent;
                let f = m - 1.0;
                let s = f / (f + 2.0);
                let z = s * s;
                let series = z * polynomial::<M, _>(z, $log);
                let half_square = 0.5 * f * f;
                let low = s.mul_plus::<M>(half_square + series, e.mul_plus::<M>($ln2_low, correction));
                e.mul_plus::<M>($ln2_high, f - (half_square - low))
            }

            #[inline(always)]
            pub(crate) fn log<M: Mode>(x: $float) -> $float {
                let subnormal = x < $float::MIN_POSITIVE;
                let lift = ((1 as $bits) << MANTISSA) as $float;
                let (normal, exponent) = if subnormal { (x * lift, -(MANTISSA as $float)) } else { (x, 0.0) };
                special(x, log_normal::<M>(normal, exponent, 0.0))
            }

            /// The logarithm of x where that is not a finite number, else `value`.
            #[inline(always)]
            fn special(x: $float, value: $float) -> $float {
                let value = if x == 0.0 { $float::NEG_INFINITY } else { value };
                let value = if x < 0.0 || x != x { $float::NAN } else { value };
                if x == $float::INFINITY { x } else { value }
            }

            #[inline(always)]
            pub(crate) fn log1p<M: Mode>(x: $float) -> $float {
                let u = x + 1.0;
                // What the addition lost, relative to u; of the larger operand first, so that it is exact.
                let lost = if x > 1.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
                let value = special(u, log_normal::<M>(u, 0.0, lost / u));
                if u == 1.0 { x } else { value }
            }
        }
    };
}

elementary!(f32, u32, {
    mantissa: 23, bias: 127, magic: 12582912.0,
    ln2: [355.0 / 512.0, -2.121_944_4e-4], exp_range: [-104.0, 89.0],
    expm1_low: -20.0, tanh_high: 10.0, root_half: 0x3f35_04f3,
    exp: [1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0],
    log: [2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0],
});

elementary!(f64, u64, {
    mantissa: 52, bias: 1023, magic: 6755399441055744.0,
    ln2: [0.6931471804855391, 7.440617110012397e-11], exp_range: [-746.0, 710.0],
    expm1_low: -40.0, tanh_high: 20.0, root_half: 0x3fe6_a09e_667f_3bcd,
    exp: [
        1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0,
        1.0 / 3628800.0, 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0,
    ],
    log: [
        2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0, 2.0 / 13.0, 2.0 / 15.0, 2.0 / 17.0, 2.0 / 19.0,
        2.0 / 21.0, 2.0 / 23.0,
    ],
});

#[cfg(test)]
mod tests {
    use super::super::{Float, Fused, Plain};

    /// Distance in units of the last place of the expected value.
    fn ulps32(got: f32, want: f64) -> f64 {
        let near = want as f32;
        if got == near || (got.is_nan() && near.is_nan()) {
            return 0.0;
        }
        let unit = (f64::from(near.abs()) * 2f64.powi(-23)).max(2f64.powi(-149));
        (f64::from(got) - want).abs() / unit
    }

    fn ulps64(got: f64, want: f64) -> f64 {
        if got == want || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        (got - want).abs() / (want.abs() * 2f64.powi(-52)).max(2f64.powi(-1074))
    }

    /// A function of each type with and without fused operations, and the oracle.
    struct Case {
        name: &'static str,
        single: [fn(f32) -> f32; 2],
        double: [fn(f64) -> f64; 2],
        oracle: fn(f64) -> f64,
    }

    macro_rules! case {
        ($name:ident) => {
            Case {
                name: stringify!($name),
                single: [<f32 as Float>::$name::<Plain>, <f32 as Float>::$name::<Fused>],
                double: [<f64 as Float>::$name::<Plain>, <f64 as Float>::$name::<Fused>],
                oracle: libm::$name,
            }
        };
    }

    fn cases() -> [Case; 6] {
        [case!(exp), case!(expm1), case!(tanh), case!(log), case!(log1p), case!(erf)]
    }

    #[test]
    fn accurate_everywhere() {
        for case in cases() {
            let (mut worst32, mut worst64) = ((0.0, 0.0), (0.0, 0.0));
            for i in 0..400_000u32 {
                let x = f32::from_bits(i.wrapping_mul(10_737));
                for f in case.single {
                    let error = ulps32(f(x), (case.oracle)(x.into()));
                    worst32 = if error > worst32.0 { (error, f64::from(x)) } else { worst32 };
                }
                let x = f64::from_bits(u64::from(i).wrapping_mul(46_116_860_184_273_879));
                for f in case.double {
                    let error = ulps64(f(x), (case.oracle)(x));
                    worst64 = if error > worst64.0 { (error, x) } else { worst64 };
                }
            }
            // The oracle itself may be off by one in f64.
            assert!(worst32.0 <= 3.0 && worst64.0 <= 4.0, "{}: {worst32:?} {worst64:?}", case.name);
        }
    }

    #[test]
    fn special_values() {
        let values =
            [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -2.0, 1000.0, -1000.0, 5e-324];
        for case in cases() {
            for x in values {
                let want = (case.oracle)(x);
                for f in case.double {
                    let got = f(x);
                    assert!(ulps64(got, want) <= 2.0, "{}({x}) = {got}, not {want}", case.name);
                    assert!(
                        got.is_nan() || got.is_sign_negative() == want.is_sign_negative(),
                        "{}({x})",
                        case.name
                    );
                }
                let want = (case.oracle)(f64::from(x as f32)) as f32;
                for f in case.single {
                    let got = f(x as f32);
                    assert!(ulps32(got, want.into()) <= 2.0, "{}({x}) = {got}, not {want}", case.name);
                    assert!(
                        got.is_nan() || got.is_sign_negative() == want.is_sign_negative(),
                        "{}({x})",
                        case.name
                    );
                }
            }
        }
    }
}
