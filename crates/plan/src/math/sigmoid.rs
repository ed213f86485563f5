//! The logistic function.

use super::builder::Math;
use super::exp::exp_pair;
use crate::kernel::Reg;

/// With e = e^−|x|, which is at most 1, and d = 1 + e: 1/d for positive x, e/d for negative ones. e and d are in two parts: where
/// e is a little above a power of two and e/d below, the units of the result are half those of e.
pub(super) fn sigmoid(m: &mut Math<'_>, x: Reg) -> Reg {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let size = m.abs(x);
    let decay = m.neg(size);
    let (e, e_low) = exp_pair(m, decay);
    let (d, lost) = m.fast_two_sum(one, e);
    let d_low = m.add(lost, e_low);
    let negative = m.lt(x, zero);
    let numerator = m.select(negative, e, one);
    let numerator_low = m.select(negative, e_low, zero);
    let quotient = m.div(numerator, d);
    // (n − q d) / d, and 1/d is the quotient or what it lacks to 1.
    let rest = m.residual(quotient, d, numerator);
    let rest = m.add(rest, numerator_low);
    let rest = m.minus_product(quotient, d_low, rest);
    let other = m.sub(one, quotient);
    let inverse = m.select(negative, other, quotient);
    m.fma(rest, inverse, quotient)
}
