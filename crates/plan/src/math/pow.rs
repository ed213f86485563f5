//! Powers of floats: xʸ = e^(y · log |x|), the logarithm in two parts.

use super::builder::{LN_2, Math};
use super::exp::{exp_parts, exp_short};
use super::log::{log_short, split};
use crate::kernel::Reg;

/// (log(1 + f) − 2 s − ⅔ s³) / s⁵ in s², s = f / (2 + f).
const SERIES: [f64; 8] = [
    0.4,
    0.285714285714319,
    0.2222222222028576,
    0.18181818575197922,
    0.15384574776749074,
    0.1333569684691539,
    0.11686284192162527,
    0.11901361874643601,
];
/// ⅔ in two parts.
const TWO_THIRDS: [f64; 2] = [0.6666666666666666, 3.700743415417188e-17];
/// Exponents beyond this give 0 or infinity (or 1) all the same.
const LARGEST: f64 = 18446744073709551616.0;

/// xʸ as IEEE 754 has it.
pub(super) fn pow(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let size = m.abs(x);
    let value = if m.is_double() {
        power(m, size, y)
    } else {
        let value = power_single(&mut m.wide(), size, y);
        m.cast(value)
    };
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let infinity = m.float(f64::INFINITY);
    // 0 and infinity.
    let finite = m.lt(size, infinity);
    let up = m.gt(y, zero);
    let (up_zero, up_infinity) = (m.select(up, zero, infinity), m.select(up, infinity, zero));
    let nan = m.ne(size, size);
    let edge = m.select(nan, size, up_infinity);
    let value = m.select(finite, value, edge);
    let at_zero = m.eq(size, zero);
    let value = m.select(at_zero, up_zero, value);
    // A negative base: only integers may be exponents, and odd ones keep the sign.
    let whole = m.floor(y);
    let is_whole = m.eq(whole, y);
    let half = m.mul_by(y, 0.5);
    let half_whole = m.floor(half);
    let is_odd = m.ne(half_whole, half);
    let is_odd = m.and(is_odd, is_whole);
    let bits = m.bits(x);
    let int_zero = m.int(0);
    let odd_bits = m.select(is_odd, bits, int_zero);
    let value = m.flip_sign(value, odd_bits);
    let negative = m.lt(x, zero);
    let both = m.and(negative, finite);
    let not_a_number = m.float(f64::NAN);
    let outside = m.select(is_whole, value, not_a_number);
    let value = m.select(both, outside, value);
    // NaN to the power of 0 is 1, as is 1 to the power of NaN.
    let value_nan = m.ne(y, y);
    let value = m.select(value_nan, y, value);
    let no_exponent = m.eq(y, zero);
    let is_one = m.eq(x, one);
    let trivial = m.or(no_exponent, is_one);
    m.select(trivial, one, value)
}

/// xʸ of f32 operands, in f64.
fn power_single(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let (x, y) = (m.cast(x), m.cast(y));
    let y = m.at_most(y, LARGEST);
    let y = m.at_least(y, -LARGEST);
    let logarithm = log_short(m, x);
    let exponent = m.mul(y, logarithm);
    exp_short(m, exponent)
}

/// xʸ for x > 0.
fn power(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let y = m.at_most(y, LARGEST);
    let y = m.at_least(y, -LARGEST);
    let (high, low) = logarithm(m, x);
    let (product, rest) = m.two_product(y, high);
    let rest = m.fma(y, low, rest);
    // Where the result is 0 or infinite, the rest may be anything.
    let rest = m.at_most(rest, 1.0);
    let rest = m.at_least(rest, -1.0);
    let one = m.float(1.0);
    exp_parts(m, product, rest, one)
}

/// log x in two parts, to 2⁻⁶⁵ of its value.
fn logarithm(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let (f, e) = split(m, x);
    // s = f / (2 + f) in two parts.
    let two = m.float(2.0);
    let (denominator, lost) = m.fast_two_sum(two, f);
    let s = m.div(f, denominator);
    let rest = m.residual(s, denominator, f);
    let rest = m.minus_product(s, lost, rest);
    let s_low = m.div(rest, denominator);
    // Its square, and ⅔ + the rest of the series.
    let (z, z_low) = m.two_product(s, s);
    let double = m.add(s, s);
    let z_low = m.fma(double, s_low, z_low);
    let series = m.polynomial(z, &SERIES);
    let series = m.mul(z, series);
    let third = m.float(TWO_THIRDS[0]);
    let (factor, factor_low) = m.fast_two_sum(third, series);
    let factor_low = m.add_to(factor_low, TWO_THIRDS[1]);
    let (a, a_low) = multiply(m, (z, z_low), (factor, factor_low));
    let (b, b_low) = multiply(m, (s, s_low), (a, a_low));
    let [high, low] = m.pick(LN_2);
    let whole = m.mul_by(e, high);
    let (sum, lost) = m.two_sum(whole, double);
    let (sum, lost_too) = m.two_sum(sum, b);
    let rest = m.fma_by(e, low, b_low);
    let two_low = m.add(s_low, s_low);
    let rest = m.add(rest, two_low);
    let rest = m.add(rest, lost);
    let rest = m.add(rest, lost_too);
    m.fast_two_sum(sum, rest)
}

fn multiply(m: &mut Math<'_>, x: (Reg, Reg), y: (Reg, Reg)) -> (Reg, Reg) {
    let (high, low) = m.two_product(x.0, y.0);
    let low = m.fma(x.0, y.1, low);
    (high, m.fma(x.1, y.0, low))
}
