//! Logarithms.
//!
//! x = 2ᵉ · (1 + f) with √½ ≤ 1 + f < √2; log x = e · ln 2 + log(1 + f), and log(1 + f) is a polynomial in f, or in
//! s = f / (2 + f) where many digits are needed: log(1 + f) = 2 artanh s.

use super::builder::{LN_2, Math, Pair};
use crate::kernel::Reg;

/// The bits of √½.
const ROOT_HALF: Pair<i64> = Pair { f32: 0x3f35_04f3, f64: 0x3fe6_a09e_667f_3bcd };

/// (log(1 + f) − f) / f².
const SINGLE: [f64; 9] = [
    -0.5,
    0.3333333134651184,
    -0.250008225440979,
    0.20001259446144104,
    -0.16623350977897644,
    0.14201107621192932,
    -0.13159523904323578,
    0.1276533305644989,
    -0.07640671730041504,
];

/// (2 artanh s − 2 s) / s³, in s².
const DOUBLE: [f64; 7] = [
    0.6666666666666734,
    0.3999999999941681,
    0.28571428741981525,
    0.2222219860974156,
    0.18183562639817108,
    0.15314089063473624,
    0.1479560507116351,
];

/// The same with the digits that an f32 result needs.
const SHORT: [f64; 5] =
    [0.6666666667577775, 0.3999999562933222, 0.2857210840731201, 0.2217621830094848, 0.19583749871733813];

/// log(1 + f) + e · ln 2, but for e times the high part of ln 2; `series` is what f64 uses.
fn without_high(m: &mut Math<'_>, f: Reg, e: Reg, series: &[f64]) -> Reg {
    let low = m.pick(LN_2)[1];
    if m.is_double() {
        // f − (f²/2 − s · (f²/2 + R)): what is rounded last is f, which is exact.
        let denominator = m.add_to(f, 2.0);
        let s = m.div(f, denominator);
        let z = m.mul(s, s);
        let curve = m.polynomial(z, series);
        let square = m.mul(f, f);
        let half = m.mul_by(square, 0.5);
        let sum = m.fma(z, curve, half);
        let low = m.mul_by(e, low);
        let part = m.fma(s, sum, low);
        let rest = m.sub(half, part);
        return m.sub(f, rest);
    }
    let curve = m.polynomial(f, &SINGLE);
    let square = m.mul(f, f);
    let small = m.fma_by(e, low, f);
    m.fma(square, curve, small)
}

/// log(1 + f) + e · ln 2.
fn combine(m: &mut Math<'_>, f: Reg, e: Reg, series: &[f64]) -> Reg {
    let rest = without_high(m, f, e, series);
    m.fma_by(e, m.pick(LN_2)[0], rest)
}

/// log x of x > 0; x where that is infinite or NaN, −∞ at 0 and NaN below. `value` is the logarithm of ordinary x.
fn special(m: &mut Math<'_>, x: Reg, value: Reg) -> Reg {
    let (zero, infinity) = (m.float(0.0), m.float(f64::INFINITY));
    let (minus_infinity, nan) = (m.float(f64::NEG_INFINITY), m.float(f64::NAN));
    let finite = m.lt(x, infinity);
    let value = m.select(finite, value, x);
    let is_zero = m.eq(x, zero);
    let outside = m.select(is_zero, minus_infinity, nan);
    let outside_at = m.le(x, zero);
    m.select(outside_at, outside, value)
}

/// The exponent e of x = 2ᵉ · (1 + f), in the place of a float's exponent and as a number.
fn exponent(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let format = m.format();
    let (root, mask) = (m.pick(ROOT_HALF), -1 << format.fraction);
    let bits = m.bits(x);
    let root = m.int(root);
    let above = m.sub(bits, root);
    let mask = m.int(mask);
    let in_place = m.and(above, mask);
    if !m.is_double() {
        let e = m.shr(in_place, format.fraction);
        return (in_place, m.cast(e));
    }
    // Vectors of 64-bit integers have no conversion to floats, but small ones can be put into a float's low bits.
    let bias = m.int(format.bias << format.fraction);
    let biased = m.add(in_place, bias);
    let positive = m.int(i64::MAX);
    let biased = m.and(biased, positive);
    let biased = m.shr(biased, format.fraction);
    let magic = m.int(format.magic.to_bits() as i64);
    let number = m.or(biased, magic);
    let number = m.as_float(number);
    let e = m.add_to(number, -(format.magic + format.bias as f64));
    (in_place, e)
}

/// log x.
pub(super) fn log(m: &mut Math<'_>, x: Reg) -> Reg {
    log_by(m, x, &DOUBLE)
}

/// log x with the digits that an f32 result needs, in f64.
pub(super) fn log_short(m: &mut Math<'_>, x: Reg) -> Reg {
    log_by(m, x, &SHORT)
}

fn log_by(m: &mut Math<'_>, x: Reg, series: &[f64]) -> Reg {
    let (f, e) = split(m, x);
    let value = combine(m, f, e, series);
    special(m, x, value)
}

/// log x and what its last rounding lost, in f64.
pub(super) fn log_parts(m: &mut Math<'_>, x: Reg) -> [Reg; 2] {
    let (f, e) = split(m, x);
    let rest = without_high(m, f, e, &DOUBLE);
    let high = m.mul_by(e, LN_2.f64[0]);
    let value = m.add(high, rest);
    let from_rest = m.sub(value, high);
    let lost = m.sub(rest, from_rest);
    [special(m, x, value), lost]
}

/// (f, e) with x = 2ᵉ · (1 + f).
pub(super) fn split(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let format = m.format();
    // Subnormal numbers are lifted first.
    let lift = (1i64 << format.fraction) as f64;
    let tiny = m.float(format.tiny);
    let subnormal = m.lt(x, tiny);
    let lifted = m.mul_by(x, lift);
    let normal = m.select(subnormal, lifted, x);
    let (in_place, e) = exponent(m, normal);
    let (zero, down) = (m.float(0.0), m.float(-f64::from(format.fraction)));
    let offset = m.select(subnormal, down, zero);
    let e = m.add(e, offset);
    let bits = m.bits(normal);
    let bits = m.sub(bits, in_place);
    let mantissa = m.as_float(bits);
    (m.add_to(mantissa, -1.0), e)
}

/// log(1 + x).
pub(super) fn log1p(m: &mut Math<'_>, x: Reg) -> Reg {
    let format = m.format();
    let u = m.add_to(x, 1.0);
    let (in_place, e) = exponent(m, u);
    // f = x · 2^−e + (2^−e − 1), rounded once: nothing is lost to 1 + x. Four times the power of two is normal.
    let bits = m.bits(x);
    let bits = m.sub(bits, in_place);
    let scaled = m.as_float(bits);
    let four = m.int((format.bias + 2) << format.fraction);
    let power = m.sub(four, in_place);
    let power = m.as_float(power);
    let minus_one = m.float(-1.0);
    let rest = m.fma_by(power, 0.25, minus_one);
    let f = m.add(scaled, rest);
    let value = combine(m, f, e, &DOUBLE);
    let value = special(m, u, value);
    // Where 1 + x is 1 or next to it, scaling by 1 keeps x, but not the sign of −0.
    let zero = m.float(0.0);
    let is_zero = m.eq(x, zero);
    m.select(is_zero, x, value)
}
