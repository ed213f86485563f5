//! What is a few instructions.

use super::builder::Math;
use crate::kernel::Reg;

/// −1, 0 or 1; of floats, zeros and NaN stay themselves.
pub(super) fn sign(m: &mut Math<'_>, x: Reg) -> Reg {
    if !m.is_float() {
        let [minus, zero, one] = [-1, 0, 1].map(|n| m.int(n));
        let (below, above) = (m.lt(x, zero), m.gt(x, zero));
        let other = m.select(below, minus, zero);
        return m.select(above, one, other);
    }
    let zero = m.float(0.0);
    let one = m.float(1.0);
    let unit = m.with_sign(one, x);
    let size = m.abs(x);
    let nonzero = m.gt(size, zero);
    m.select(nonzero, unit, x)
}

pub(super) fn is_finite(m: &mut Math<'_>, x: Reg) -> Reg {
    let infinity = m.float(f64::INFINITY);
    let size = m.abs(x);
    m.lt(size, infinity)
}

/// 1/√x.
pub(super) fn rsqrt(m: &mut Math<'_>, x: Reg) -> Reg {
    let one = m.float(1.0);
    let root = m.sqrt(x);
    m.div(one, root)
}

/// ⌊x / y⌋ of floats.
pub(super) fn floor_div(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let quotient = m.div(x, y);
    m.floor(quotient)
}
