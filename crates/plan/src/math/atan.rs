//! The angle of a point.

use super::builder::{Coefficients, Math, Pair};
use crate::kernel::Reg;
use std::f64::consts::{FRAC_PI_2, PI};

/// (atan q / q − 1) / q² in q², for 0 ≤ q ≤ 1.
const ATAN: Coefficients = Pair {
    f32: &[
        -0.33333298563957214,
        0.1999852955341339,
        -0.14264015853405,
        0.10950880497694016,
        -0.08399301767349243,
        0.057881105691194534,
        -0.03109635040163994,
        0.010868078097701073,
        -0.001782609848305583,
    ],
    f64: &[
        -0.3333333333333307,
        0.19999999999951748,
        -0.14285714282587966,
        0.11111111007337945,
        -0.0909090700772402,
        0.07692279888051437,
        -0.06666404416597986,
        0.05880529770898938,
        -0.05253526632816761,
        0.0472234792817514,
        -0.04219242643974155,
        0.03664314531590956,
        -0.029905731013424326,
        0.021987065367878818,
        -0.013902571828550083,
        0.007197883510760954,
        -0.002885609151402732,
        0.000831559583898346,
        -0.00015221116765089251,
        1.3230006216171028e-05,
    ],
};

/// π/2 in two parts.
const HALF_PI: Pair<[f64; 2]> =
    Pair { f32: [1.5707963705062866, -4.371139000186241e-08], f64: [FRAC_PI_2, 6.123233995736766e-17] };
/// π in two parts.
const WHOLE_PI: Pair<[f64; 2]> =
    Pair { f32: [3.1415927410125732, -8.742278000372482e-08], f64: [PI, 1.2246467991473532e-16] };

/// The angle of the point (y, x): of the smaller coordinate over the larger, then reflected to the point's octant.
pub(super) fn atan2(m: &mut Math<'_>, y: Reg, x: Reg) -> Reg {
    let (height, width) = (m.abs(y), m.abs(x));
    let steep = m.gt(height, width);
    let above = m.select(steep, width, height);
    let below = m.select(steep, height, width);
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let quotient = m.div(above, below);
    // Two zeros have the quotient 0, two infinities 1.
    let at_origin = m.eq(above, zero);
    let equal = m.select(at_origin, zero, one);
    let same = m.eq(above, below);
    let q = m.select(same, equal, quotient);
    let z = m.mul(q, q);
    let curve = m.polynomial(z, m.pick(ATAN));
    let cube = m.mul(q, z);
    let angle = m.fma(cube, curve, q);
    let bits = m.bits(x);
    let int_zero = m.int(0);
    let left = m.lt(bits, int_zero);
    let (half, whole) = (m.pick(HALF_PI), m.pick(WHOLE_PI));
    let [high, low] = [0, 1].map(|i| {
        let (half, whole) = (m.float(half[i]), m.float(whole[i]));
        let flat = m.select(left, whole, zero);
        m.select(steep, half, flat)
    });
    let backwards = m.xor(steep, left);
    let minus = m.neg(angle);
    let angle = m.select(backwards, minus, angle);
    let rest = m.add(angle, low);
    let value = m.add(high, rest);
    m.with_sign(value, y)
}
