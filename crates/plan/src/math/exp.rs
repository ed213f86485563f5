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

/// From here on eˣ is infinite.
const OVERFLOW: Pair<f64> = Pair { f32: 89.0, f64: 710.0 };
/// From here on eˣ is 0.
const UNDERFLOW: Pair<f64> = Pair { f32: -104.0, f64: -746.0 };
/// From here on eˣ − 1 is −1.
const MINUS_ONE: Pair<f64> = Pair { f32: -20.0, f64: -40.0 };
/// Up to here eˣ − 1 is x.
const LINEAR: Pair<f64> = Pair { f32: 2e-8, f64: 5e-17 };
/// From here on tanh x is 1.
const FLAT: Pair<f64> = Pair { f32: 10.0, f64: 20.0 };

/// x as step · ln 2 · n + r: r, and 2^(n + shift).
fn reduce(m: &mut Math<'_>, x: Reg, step: f64, shift: i64) -> (Reg, Reg) {
    let format = m.format();
    let magic = format.magic + (format.bias + shift) as f64;
    let magic_reg = m.float(magic);
    let shifted = m.fma_by(x, LOG2_E / step, magic_reg);
    let n = m.sub(shifted, magic_reg);
    let [high, low] = m.pick(LN_2);
    let r = m.fma_by(n, -step * high, x);
    let r = m.fma_by(n, -step * low, r);
    let bits = m.bits(shifted);
    let power = m.shl(bits, format.fraction);
    (r, m.from_bits(power))
}

/// eˣ.
pub(super) fn exp(m: &mut Math<'_>, x: Reg) -> Reg {
    let (low, high) = (m.pick(UNDERFLOW), m.pick(OVERFLOW));
    let x = m.at_least(x, low);
    let x = m.at_most(x, high);
    // An even power of two is the square of one that is normal, whether or not the result is.
    let (r, root) = reduce(m, x, 2.0, 0);
    let part = m.polynomial(r, m.pick(EXP));
    let scaled = m.mul(part, root);
    m.mul(scaled, root)
}

/// (eʳ − 1) · scale + scale − one.
fn scaled_expm1(m: &mut Math<'_>, r: Reg, scale: Reg, one: f64) -> Reg {
    let curve = m.polynomial(r, m.pick(EXPM1));
    let square = m.mul(r, r);
    let part = m.fma(square, curve, r);
    let rest = m.add_to(scale, -one);
    m.fma(part, scale, rest)
}

/// eˣ − 1.
pub(super) fn expm1(m: &mut Math<'_>, x: Reg) -> Reg {
    let (low, high, linear) = (m.pick(MINUS_ONE), m.pick(OVERFLOW), m.pick(LINEAR));
    let within = m.at_least(x, low);
    let within = m.at_most(within, high);
    // Half the result: its power of two is finite up to the overflow.
    let (r, scale) = reduce(m, within, 1.0, -1);
    let half = scaled_expm1(m, r, scale, 0.5);
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
    let (r, scale) = reduce(m, double, 1.0, -1);
    let h = scaled_expm1(m, r, scale, 0.5);
    let denominator = m.add_to(h, 1.0);
    let quotient = m.div(h, denominator);
    // Where h is small, h − h · quotient has fewer errors than the quotient.
    let square = m.mul(h, quotient);
    let difference = m.sub(h, square);
    let near = m.float(0.375);
    let is_near = m.lt(h, near);
    let value = m.select(is_near, difference, quotient);
    m.with_sign(value, x)
}
