//! Exponentials and the hyperbolic tangent.
//!
//! x = n · ln 2 + r with a small r (Cody and Waite's reduction, ln 2 in two parts); eˣ = 2ⁿ · eʳ.

use super::builder::{Coefficients, LN_2, Math, Pair};
use crate::kernel::Reg;
use std::f64::consts::LOG2_E;

/// eʳ for |r| ≤ ln 2.
const EXP: Coefficients = Pair {
    f32: &[
        1.0,
        1.0,
        0.5000003576278687,
        0.1666661649942398,
        0.04166116565465927,
        0.008335904218256474,
        0.0014106358867138624,
        0.0001964666589628905,
    ],
    f64: &[
        1.0,
        1.0,
        0.4999999999999993,
        0.16666666666666935,
        0.04166666666670208,
        0.008333333333269988,
        0.0013888888883583595,
        0.00019841269892940903,
        2.4801590824552767e-05,
        2.755730051698045e-06,
        2.7556159566454746e-07,
        2.505506880775861e-08,
        2.10621893149272e-09,
        1.5932479426481579e-10,
    ],
};

/// The same with the digits that an f32 result needs, in f64.
const EXP_SHORT: [f64; 9] = [
    1.0,
    0.9999999948516546,
    0.4999999995129892,
    0.16666681010554535,
    0.04166668049509086,
    0.008332255924480746,
    0.0013887835062602848,
    0.00020140457465285736,
    2.5097670858806024e-05,
];

/// (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2.
const EXPM1: Coefficients = Pair {
    f32: &[
        0.5,
        0.1666666567325592,
        0.04166646674275398,
        0.008333642967045307,
        0.0013935042079538107,
        0.00019664799037855119,
    ],
    f64: &[
        0.5000000000000001,
        0.1666666666666667,
        0.04166666666664967,
        0.008333333333328693,
        0.0013888888896326252,
        0.00019841269858491645,
        2.480157371034004e-05,
        2.7557280470269898e-06,
        2.756830050798124e-07,
        2.5094045611776945e-08,
        1.7648153458847776e-09,
    ],
};

/// From here on eˣ is infinite, with room for a low part.
const OVERFLOW: Pair<f64> = Pair { f32: 89.0, f64: 720.0 };
/// From here on eˣ is 0.
const UNDERFLOW: Pair<f64> = Pair { f32: -104.0, f64: -760.0 };
/// From here on eˣ − 1 is infinite.
const EXPM1_OVERFLOW: Pair<f64> = Pair { f32: 89.0, f64: 710.0 };
/// From here on eˣ − 1 is −1.
const MINUS_ONE: Pair<f64> = Pair { f32: -20.0, f64: -40.0 };
/// Up to here eˣ − 1 is x.
const LINEAR: Pair<f64> = Pair { f32: 2e-8, f64: 5e-17 };
/// From here on tanh x is 1.
const FLAT: Pair<f64> = Pair { f32: 10.0, f64: 20.0 };

/// Up to here tanh x is not taken as a quotient.
const NEAR: f64 = 0.55;
/// (tanh x / x − 1) / x² in x², for |x| < 0.55.
const TANH: [f64; 11] = [
    -0.333333333333333,
    0.1333333333332656,
    -0.05396825396371477,
    0.02186948838426204,
    -0.008863232571016724,
    0.0035920916820920954,
    -0.0014555403522600347,
    0.0005884332447048097,
    -0.0002333505688275548,
    8.326872404757415e-05,
    -1.9463265075891656e-05,
];

/// x = n · step · ln 2 + r.
struct Reduced {
    n: Reg,
    /// r, but for n times the low part of step · ln 2.
    r: Reg,
    /// 2^(n + shift).
    power: Reg,
}

fn reduce(m: &mut Math<'_>, x: Reg, step: f64, shift: i64) -> Reduced {
    let format = m.format();
    let magic = m.float(format.magic + (format.bias + shift) as f64);
    let shifted = m.fma_by(x, LOG2_E / step, magic);
    let n = m.sub(shifted, magic);
    let r = m.fma_by(n, -step * m.pick(LN_2)[0], x);
    let bits = m.bits(shifted);
    let power = m.shl(bits, format.fraction);
    Reduced { n, r, power: m.as_float(power) }
}

/// [`reduce`] within the range of results, by even powers of two: squares of powers that are normal, whether or not the result
/// is.
fn reduce_even(m: &mut Math<'_>, x: Reg) -> Reduced {
    let (low, high) = (m.pick(UNDERFLOW), m.pick(OVERFLOW));
    let x = m.at_least(x, low);
    let x = m.at_most(x, high);
    reduce(m, x, 2.0, 0)
}

/// eˣ.
pub(super) fn exp(m: &mut Math<'_>, x: Reg) -> Reg {
    exp_by(m, x, |m, r| {
        if m.is_fused() {
            return m.polynomial(r, m.pick(EXP));
        }
        // 1 + (r + r² · …): products are rounded, those of r² matter less.
        let curve = m.polynomial(r, &m.pick(EXP)[2..]);
        let square = m.mul(r, r);
        let rest = m.fma(square, curve, r);
        m.add_to(rest, 1.0)
    })
}

/// eˣ with the digits that an f32 result needs, in f64.
pub(super) fn exp_short(m: &mut Math<'_>, x: Reg) -> Reg {
    exp_by(m, x, |m, r| m.polynomial(r, &EXP_SHORT))
}

/// eˣ by a function that gives eʳ of the reduced argument.
fn exp_by(m: &mut Math<'_>, x: Reg, reduced: impl FnOnce(&mut Math<'_>, Reg) -> Reg) -> Reg {
    let Reduced { n, r, power } = reduce_even(m, x);
    let r = m.fma_by(n, -2.0 * m.pick(LN_2)[1], r);
    let part = reduced(m, r);
    let scaled = m.mul(part, power);
    m.mul(scaled, power)
}

/// eˣ in two parts, for x ≤ 0.
pub(super) fn exp_pair(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let Reduced { n, r, power } = reduce_even(m, x);
    // r and what rounding it loses.
    let factor = -2.0 * m.pick(LN_2)[1];
    let (high, r) = (r, m.fma_by(n, factor, r));
    let less = m.sub(high, r);
    let low = m.fma_by(n, factor, less);
    let curve = m.polynomial(r, &m.pick(EXP)[2..]);
    let square = m.mul(r, r);
    let rest = m.fma(r, low, low);
    let rest = m.fma(square, curve, rest);
    let (part, part_low) = m.fast_two_sum(r, rest);
    let one = m.float(1.0);
    let (part, lost) = m.fast_two_sum(one, part);
    let low = m.add(lost, part_low);
    let scaled = |m: &mut Math<'_>, x: Reg| {
        let scaled = m.mul(x, power);
        m.mul(scaled, power)
    };
    (scaled(m, part), scaled(m, low))
}

/// factor · e^(x + low), for a low part that does not matter where the result is 0 or infinite. It is rounded once, but for
/// what is scaled down to a subnormal number.
pub(super) fn exp_parts(m: &mut Math<'_>, x: Reg, low: Reg, factor: Reg) -> Reg {
    let Reduced { n, r, power } = reduce_even(m, x);
    let rest = m.fma_by(n, -2.0 * m.pick(LN_2)[1], low);
    let (r, rest) = m.two_sum(r, rest);
    let curve = m.polynomial(r, &m.pick(EXP)[2..]);
    let square = m.mul(r, r);
    let rest = m.fma(r, rest, rest);
    let rest = m.fma(square, curve, rest);
    let (part, part_low) = m.fast_two_sum(r, rest);
    let one = m.float(1.0);
    let (part, lost) = m.fast_two_sum(one, part);
    let lost = m.add(lost, part_low);
    let lost = m.mul(factor, lost);
    let part = m.fma(factor, part, lost);
    let scaled = m.mul(part, power);
    m.mul(scaled, power)
}

/// ½ (eˣ − 1).
fn half_expm1(m: &mut Math<'_>, x: Reg) -> Reg {
    let Reduced { n, r, power: scale } = reduce(m, x, 1.0, -1);
    let r = m.fma_by(n, -m.pick(LN_2)[1], r);
    let curve = m.polynomial(r, m.pick(EXPM1));
    let square = m.mul(r, r);
    let part = m.fma(square, curve, r);
    let rest = m.add_to(scale, -0.5);
    m.fma(part, scale, rest)
}

/// eˣ − 1.
pub(super) fn expm1(m: &mut Math<'_>, x: Reg) -> Reg {
    let (low, high, linear) = (m.pick(MINUS_ONE), m.pick(EXPM1_OVERFLOW), m.pick(LINEAR));
    let within = m.at_least(x, low);
    let within = m.at_most(within, high);
    // The power of two of half the result is finite up to the overflow.
    let half = half_expm1(m, within);
    let value = m.add(half, half);
    // Halves of subnormal numbers may not be exact, and −0 stays itself.
    let size = m.abs(x);
    let linear = m.float(linear);
    let small = m.lt(size, linear);
    m.select(small, x, value)
}

/// tanh |x| = h / (1 + h) with h = ½ (e^(2|x|) − 1).
pub(super) fn tanh(m: &mut Math<'_>, x: Reg) -> Reg {
    let flat = m.pick(FLAT);
    let size = m.abs(x);
    let size = m.at_most(size, flat);
    let double = m.add(size, size);
    let h = half_expm1(m, double);
    let denominator = m.add_to(h, 1.0);
    let quotient = m.div(h, denominator);
    // Where h is small, its error and the denominator's matter.
    let near = m.float(NEAR);
    let is_near = m.lt(size, near);
    let small = if m.is_double() {
        let square = m.mul(x, x);
        let curve = m.polynomial(square, &TANH);
        let cube = m.mul(square, size);
        m.fma(cube, curve, size)
    } else {
        m.minus_product(h, quotient, h)
    };
    let value = m.select(is_near, small, quotient);
    m.with_sign(value, x)
}
