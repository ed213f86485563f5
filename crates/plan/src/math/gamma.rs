//! The logarithm of the gamma function and its derivatives.
//!
//! Of large numbers by Stirling's series; smaller ones are reached by the recurrences, and numbers below 0 by the reflection
//! formulas. f32 is computed in f64.

use super::builder::Math;
use super::log::log_parts;
use crate::kernel::Reg;

/// π² in two parts.
const PI_SQUARED: [f64; 2] = [9.869604401089358, 6.265295508739711e-16];
/// ψ(z) for 1.375 ≤ z < 6, to two digits.
const SLOPE: [f64; 5] =
    [-2.1389543821695085, 2.156953240566775, -0.5862627325847772, 0.08303123785529022, -0.004576551233323129];

/// From here on Stirling's series are used, for the function and its two derivatives.
const LARGE: [f64; 3] = [6.0, 3.0, 4.0];

/// lgamma(1 + d) / d for −0.3 ≤ d < 0.375.
const AT_ONE: [f64; 21] = [
    -0.5772156649015329,
    0.8224670334241139,
    -0.4006856343865237,
    0.27058080842736526,
    -0.20738555103045067,
    0.16955717707262083,
    -0.1440498966433729,
    0.12550966338052927,
    -0.11133426717960855,
    0.1000997281752679,
    -0.09095423067677746,
    0.08334694584591557,
    -0.07692159730423757,
    0.07153502831212373,
    -0.06690705040847336,
    0.06169171977406976,
    -0.05612994257268815,
    0.05781994168913139,
    -0.06748919668271908,
    0.05851064448508296,
    -0.02247961102080974,
];
/// lgamma(2 + d) / d for −0.625 ≤ d < 0.5.
const AT_TWO: [f64; 21] = [
    0.42278433509846713,
    0.32246703342411315,
    -0.06735230105319506,
    0.020580808427800648,
    -0.007385551028978128,
    0.0028905103295893478,
    -0.0011927539000584834,
    0.0005096695627293783,
    -0.00022315497885107809,
    9.94568297420025e-05,
    -4.4923948725706885e-05,
    2.0514447020155488e-05,
    -9.452766855767462e-06,
    4.3285331793489025e-06,
    -1.9997783130471017e-06,
    1.1315008679238347e-06,
    -4.824087898704005e-07,
    -1.5572366848950874e-07,
    -1.9892840058780075e-07,
    3.750668267228173e-07,
    1.6399027521452133e-07,
];
/// x · (lgamma x − (x − ½) log x + x − ½ log 2π) in 1/x².
const STIRLING: [f64; 8] = [
    0.08333333333333333,
    -0.0027777777777609754,
    0.0007936507848289927,
    -0.0005952361553197955,
    0.0008415250828222062,
    -0.0019023361972879795,
    0.005804574260050723,
    -0.015526526751172862,
];
/// ½ log 2π − ½.
const STIRLING_CONSTANT: f64 = 0.4189385332046727;

/// ψ(1.5 + d) / (1.5 + d − root) for −½ ≤ d < ½.
const DIGAMMA: [f64; 23] = [
    0.9510558760318328,
    -0.4236274212814606,
    0.24054248424078722,
    -0.14840492305388014,
    0.09498872445284948,
    -0.06192213327555747,
    0.040760833943411526,
    -0.026975796656992568,
    0.01790724823486203,
    -0.011908220167962565,
    0.007927023341945966,
    -0.0052799364292288676,
    0.00351808852138793,
    -0.0023455016376135334,
    0.0015635048878528256,
    -0.0010364221412720624,
    0.0006902744194003556,
    -0.0004860677212733324,
    0.00032590549576738724,
    -0.00014459450970866382,
    9.325050318424975e-05,
    -0.00017838284621913048,
    0.00012120787529455046,
];
/// The positive root of ψ, in two parts.
const ROOT: [f64; 2] = [1.4616321449683622, 9.549995429965697e-17];
/// x² · (log x − 1/2x − ψ x) in 1/x².
const DIGAMMA_SERIES: [f64; 12] = [
    0.08333333333333333,
    -0.00833333333257535,
    0.003968253717685269,
    -0.004166633117323176,
    0.007573277257250709,
    -0.02097717935783414,
    0.07966434538770267,
    -0.3594506908947721,
    1.598600506345444,
    -5.788895009291285,
    14.001399801592424,
    -16.256172785210246,
];
/// x³ · (ψ′ x − 1/x − 1/2x²) in 1/x².
const TRIGAMMA_SERIES: [f64; 12] = [
    0.16666666666666666,
    -0.03333333333320344,
    0.02380952372997907,
    -0.03333331362408224,
    0.07575491208947176,
    -0.25289001256826854,
    1.1541433381270307,
    -6.601298034210256,
    40.99634792798531,
    -227.43193817635785,
    898.0428170006794,
    -1767.6038644164512,
];

/// sin πd / πd in d², for |d| ≤ ½.
const SIN_PI: [f64; 10] = [
    1.0,
    -1.6449340668482264,
    0.8117424252833498,
    -0.19075182412192007,
    0.0261478478142143,
    -0.0023460809953745067,
    0.00014842851964845505,
    -6.974785606801227e-06,
    2.507682109612864e-07,
    -5.109980079057077e-09,
];
/// cos πd in d², for |d| ≤ ½.
const COS_PI: [f64; 10] = [
    1.0,
    -4.934802200544679,
    4.058712126416728,
    -1.3352627688527754,
    0.23533063031982004,
    -0.025806890923688455,
    0.001929571056903933,
    -0.00010462486855152755,
    4.273684898036863e-06,
    -1.1012755072777811e-07,
];

fn in_double(m: &mut Math<'_>, x: Reg, f: fn(&mut Math<'_>, Reg) -> Reg) -> Reg {
    if m.is_double() {
        return f(m, x);
    }
    let wide = m.wide().cast(x);
    let value = f(&mut m.wide(), wide);
    m.cast(value)
}

/// ln |Γ(x)|.
pub(super) fn lgamma(m: &mut Math<'_>, x: Reg) -> Reg {
    in_double(m, x, lgamma_double)
}

/// ψ(x).
pub(super) fn digamma(m: &mut Math<'_>, x: Reg) -> Reg {
    in_double(m, x, digamma_double)
}

/// ψ′(x).
pub(super) fn trigamma(m: &mut Math<'_>, x: Reg) -> Reg {
    in_double(m, x, trigamma_double)
}

/// x less the nearest integer.
fn from_integer(m: &mut Math<'_>, x: Reg) -> Reg {
    let nearest = m.round(x);
    m.sub(x, nearest)
}

/// log |Γ(z)| of a z > 0.7, where z = 1 + t, and log |Γ(x)| = log |Γ(z)| − log(factor).
fn lgamma_double(m: &mut Math<'_>, x: Reg) -> Reg {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let size = m.abs(x);
    let negative = m.lt(x, zero);
    let bound = m.float(0.7);
    let small = m.lt(x, bound);
    // Γ(x) = Γ(1 + x) / x, and |Γ(−a)| = π / (|sin πa| · Γ(1 + a)).
    let below = m.add_to(x, -1.0);
    let t = m.select(small, size, below);
    let (z, z_low) = m.two_sum(t, one);
    let z_low = m.select(small, z_low, zero);
    let [main, main_low] = lgamma_positive(m, t, [z, z_low]);
    let d = from_integer(m, size);
    let square = m.mul(d, d);
    let curve = m.polynomial(square, &SIN_PI[1..]);
    let curve = m.mul(square, curve);
    let (curve, curve_low) = m.fast_two_sum(one, curve);
    let d = m.abs(d);
    let (sine, sine_low) = m.two_product(d, curve);
    let sine_low = m.fma(d, curve_low, sine_low);
    let relative = m.div(sine_low, sine);
    let factor = m.select(small, x, one);
    let factor = m.select(negative, sine, factor);
    let [logarithm, low] = log_parts(m, factor);
    let nonzero = m.gt(sine, zero);
    let reflected = m.and(negative, nonzero);
    let relative = m.select(reflected, relative, zero);
    let low = m.add(low, relative);
    let minus = m.neg(main);
    let main = m.select(negative, minus, main);
    let minus = m.neg(main_low);
    let main_low = m.select(negative, minus, main_low);
    // Below 0 the two cancel in part.
    let minus = m.neg(logarithm);
    let (value, lost) = m.two_sum(main, minus);
    let low = m.sub(main_low, low);
    let low = m.add(low, lost);
    let low = or_zero(m, low);
    let value = m.add(value, low);
    // Integers only.
    let (infinity, bound) = (m.float(f64::INFINITY), m.float(-2f64.powi(52)));
    let is_pole = m.le(x, bound);
    m.select(is_pole, infinity, value)
}

/// The low part of a sum, or 0 where an infinite sum has none.
fn or_zero(m: &mut Math<'_>, low: Reg) -> Reg {
    let zero = m.float(0.0);
    let size = m.abs(low);
    let infinity = m.float(f64::INFINITY);
    let finite = m.lt(size, infinity);
    m.select(finite, low, zero)
}

/// log Γ(z) of z = 1 + t > 0.7, whose second part is small; in two parts, the second of which may be NaN where the first is
/// infinite.
fn lgamma_positive(m: &mut Math<'_>, t: Reg, [z, z_low]: [Reg; 2]) -> [Reg; 2] {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let (mut at, mut product, mut product_low) = (z, one, zero);
    for step in 1..=4 {
        let bound = m.float(f64::from(step) + 1.5);
        let above = m.le(bound, z);
        let lower = m.add_to(z, -f64::from(step));
        let (longer, lost) = m.two_product(product, lower);
        let lost = m.fma(product_low, lower, lost);
        product = m.select(above, longer, product);
        product_low = m.select(above, lost, product_low);
        at = m.select(above, lower, at);
    }
    let bound = m.float(LARGE[0]);
    let large = m.le(bound, z);
    let of = m.select(large, z, product);
    let [logarithm, low] = log_parts(m, of);
    let curve = m.polynomial(t, &AT_ONE);
    // Adding 0 makes lgamma 1 positive.
    let at_one = m.fma(t, curve, zero);
    let d = m.add_to(at, -2.0);
    let curve = m.polynomial(d, &AT_TWO);
    let part = m.mul(d, curve);
    let (at_two, at_two_low) = m.two_sum(logarithm, part);
    let relative = m.div(product_low, product);
    let at_two_low = m.add(at_two_low, relative);
    let at_two_low = m.add(at_two_low, low);
    let inverse = m.div(one, z);
    let square = m.mul(inverse, inverse);
    let curve = m.polynomial(square, &STIRLING);
    let constant = m.float(STIRLING_CONSTANT);
    let rest = m.fma(inverse, curve, constant);
    let power = m.add_to(z, -0.5);
    let rest = m.fma(power, low, rest);
    let less = m.add_to(logarithm, -1.0);
    let (most, most_low) = m.two_product(power, less);
    let (stirling, stirling_low) = m.two_sum(most, rest);
    let stirling_low = m.add(stirling_low, most_low);
    // ψ(z) = log z − 1/2z − …
    let slope = m.polynomial(z, &SLOPE);
    let slope = m.select(large, logarithm, slope);
    let value = m.select(large, stirling, at_two);
    let value_low = m.select(large, stirling_low, at_two_low);
    let value_low = m.fma(slope, z_low, value_low);
    let bound = m.float(1.375);
    let near_one = m.lt(z, bound);
    [m.select(near_one, at_one, value), m.select(near_one, zero, value_low)]
}

fn digamma_double(m: &mut Math<'_>, x: Reg) -> Reg {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let negative = m.le(x, zero);
    // ψ(−a) = ψ(1 + a) + π / tan πa.
    let minus = m.neg(x);
    let (reflected, reflected_low) = m.two_sum(minus, one);
    let z = m.select(negative, reflected, x);
    let z_low = m.select(negative, reflected_low, zero);
    // ψ(z) = ψ(z + 1) − 1/z = ψ(z − 1) + 1/(z − 1).
    let (small, below) = (m.lt(z, one), m.add_to(z, -1.0));
    let two = m.float(2.0);
    let above = m.le(two, z);
    let raised = m.add(z, one);
    let at = m.select(small, raised, z);
    let at = m.select(above, below, at);
    let minus = m.neg(z);
    let denominator = m.select(small, minus, below);
    let sum = m.div(one, denominator);
    let rest = m.residual(sum, denominator, one);
    let rest = m.mul(rest, sum);
    // From 1 to 2 nothing is added.
    let inside = m.or(small, above);
    let sum = m.select(inside, sum, zero);
    let rest = m.select(inside, rest, zero);
    let d = m.add_to(at, -1.5);
    let curve = m.polynomial(d, &DIGAMMA);
    let from_root = m.add_to(at, -ROOT[0]);
    let rest = m.fma_by(curve, -ROOT[1], rest);
    // The two terms cancel in part: neither the product nor their sum may be rounded before the rest is added.
    let (near, low) = m.two_product(from_root, curve);
    let rest = m.add(rest, low);
    let (near, low) = m.two_sum(sum, near);
    let rest = m.add(rest, low);
    // Next to a pole the rest is not finite.
    let rest = or_zero(m, rest);
    let inverse = m.div(one, z);
    let square = m.mul(inverse, inverse);
    let curve = m.polynomial(square, &DIGAMMA_SERIES);
    let half = m.mul_by(inverse, 0.5);
    let series = m.fma(square, curve, half);
    let [logarithm, low] = log_parts(m, z);
    let minus = m.neg(series);
    let (far, far_low) = m.two_sum(logarithm, minus);
    let far_low = m.add(far_low, low);
    let bound = m.float(LARGE[1]);
    let large = m.le(bound, z);
    let value = m.select(large, far, near);
    let value_low = m.select(large, far_low, rest);
    // ψ′(z) = 1/z + 1/2z² + …
    let slope = m.fma(half, inverse, inverse);
    let value_low = m.fma(slope, z_low, value_low);
    let value_low = or_zero(m, value_low);
    // π / tan πa; with a an integer, a pole.
    let d = from_integer(m, x);
    let [cotangent, cotangent_low] = cotangent(m, d);
    let minus = m.neg(cotangent);
    let minus = m.select(negative, minus, zero);
    let minus_low = m.neg(cotangent_low);
    let minus_low = m.select(negative, minus_low, zero);
    let (value, lost) = m.two_sum(value, minus);
    let low = m.add(value_low, minus_low);
    let low = m.add(low, lost);
    let low = or_zero(m, low);
    let value = m.add(value, low);
    let nan = m.float(f64::NAN);
    let pole = m.eq(d, zero);
    let pole = m.and(pole, negative);
    m.select(pole, nan, value)
}

/// π / tan πd, for |d| ≤ ½, in two parts. Beyond ¼ it is π² · (sin πe / π) / cos πe with e = ½ − |d|.
fn cotangent(m: &mut Math<'_>, d: Reg) -> [Reg; 2] {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let (quarter, half) = (m.float(0.25), m.float(0.5));
    let size = m.abs(d);
    let far = m.lt(quarter, size);
    let other = m.sub(half, size);
    let angle = m.select(far, other, size);
    let square = m.mul(angle, angle);
    let [(factor, factor_low), (cosine, cosine_low)] = [&SIN_PI, &COS_PI].map(|coefficients| {
        let curve = m.polynomial(square, &coefficients[1..]);
        let curve = m.mul(square, curve);
        m.fast_two_sum(one, curve)
    });
    let (sine, sine_low) = m.two_product(angle, factor);
    let sine_low = m.fma(angle, factor_low, sine_low);
    let (over, over_low) = (m.select(far, sine, cosine), m.select(far, sine_low, cosine_low));
    let (under, under_low) = (m.select(far, cosine, sine), m.select(far, cosine_low, sine_low));
    let quotient = m.div(over, under);
    let rest = m.residual(quotient, under, over);
    let rest = m.add(rest, over_low);
    let rest = m.minus_product(quotient, under_low, rest);
    let rest = m.div(rest, under);
    let [scale, scale_low] = PI_SQUARED.map(|part| m.float(part));
    let (scale, scale_low) = (m.select(far, scale, one), m.select(far, scale_low, zero));
    let (value, low) = m.two_product(quotient, scale);
    let low = m.fma(quotient, scale_low, low);
    let low = m.fma(rest, scale, low);
    let sign = m.bits(d);
    [m.flip_sign(value, sign), m.flip_sign(low, sign)]
}

fn trigamma_double(m: &mut Math<'_>, x: Reg) -> Reg {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let negative = m.le(x, zero);
    // ψ′(−a) = π² / sin² πa − ψ′(1 + a).
    let reflected = m.sub(one, x);
    let z = m.select(negative, reflected, x);
    // ψ′(z) = ψ′(z + 1) + 1/z².
    let mut at = z;
    let mut terms = Vec::new();
    let bound = m.float(LARGE[2]);
    for _ in 0..4 {
        let below = m.lt(at, bound);
        let square = m.mul(at, at);
        let term = m.div(one, square);
        terms.push(m.select(below, term, zero));
        let next = m.add(at, one);
        at = m.select(below, next, at);
    }
    let inverse = m.div(one, at);
    let square = m.mul(inverse, inverse);
    let curve = m.polynomial(square, &TRIGAMMA_SERIES);
    let cube = m.mul(square, inverse);
    let half = m.mul_by(square, 0.5);
    let rest = m.fma(cube, curve, half);
    let rest = m.add(rest, inverse);
    // The smallest first, with what each sum loses.
    let mut lost = inverse_square_error(m, z, terms[0]);
    let mut value = rest;
    for term in terms.into_iter().rev() {
        let (sum, low) = m.two_sum(term, value);
        value = sum;
        lost = m.add(lost, low);
    }
    // Next to the pole it is not a number.
    let (infinity, size) = (m.float(f64::INFINITY), m.abs(lost));
    let finite = m.lt(size, infinity);
    let lost = m.select(finite, lost, zero);
    let value = m.add(value, lost);
    let pole = inverse_square_sine(m, x);
    let other = m.sub(pole, value);
    m.select(negative, other, value)
}

/// What the rounded 1/x² lacks; 0 for one that is 0.
fn inverse_square_error(m: &mut Math<'_>, x: Reg, inverse: Reg) -> Reg {
    let (zero, one) = (m.float(0.0), m.float(1.0));
    let (square, square_low) = m.two_product(x, x);
    let rest = m.residual(inverse, square, one);
    let rest = m.minus_product(inverse, square_low, rest);
    let error = m.mul(inverse, rest);
    let nothing = m.eq(inverse, zero);
    m.select(nothing, zero, error)
}

/// π² / sin² πx.
fn inverse_square_sine(m: &mut Math<'_>, x: Reg) -> Reg {
    let one = m.float(1.0);
    let d = from_integer(m, x);
    let square = m.mul(d, d);
    let curve = m.polynomial(square, &SIN_PI[1..]);
    let curve = m.mul(square, curve);
    let (factor, factor_low) = m.fast_two_sum(one, curve);
    let (sine, low) = m.two_product(d, factor);
    let low = m.fma(d, factor_low, low);
    let (square, square_low) = m.two_product(sine, sine);
    let double = m.add(sine, sine);
    let square_low = m.fma(double, low, square_low);
    let inverse = m.div(one, square);
    let rest = m.residual(inverse, square, one);
    let rest = m.minus_product(inverse, square_low, rest);
    // Next to a pole the inverse is infinite, and the rest is not a number.
    let correction = m.mul(inverse, rest);
    let corrected = m.add(inverse, correction);
    let finite = m.eq(corrected, corrected);
    m.select(finite, corrected, inverse)
}
