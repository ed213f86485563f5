//! Sine, cosine and tangent of any finite angle.
//!
//! The angle in turns, x / 2π, is needed modulo 1, so with as many bits of 1/2π as the angle has below and above its point
//! (Payne and Hanek). The products with pieces of 1/2π are exact and every one is taken modulo 1 on its own. The angle's
//! distance from the nearest quarter turn, at most 1/8, then is the operand of two polynomials.

use super::builder::{Coefficients, Math, Pair};
use crate::kernel::Reg;
use std::f64::consts::TAU;

/// 1/2π in pieces of 29 bits, whose products with an f32 are exact in f64, and a last one.
const PIECES: [f64; 6] = [
    0.15915494272485375,
    3.6704158115630214e-10,
    5.690025167992954e-19,
    1.4703036846932608e-27,
    2.5867171752090537e-36,
    9.458140970740169e-46,
];

/// The bits of 1/2π behind the point, 48 a word.
const WORDS: [u64; 25] = [
    0x28be60db9391,
    0x54a7f09d5f4,
    0x7d4d377036d8,
    0xa5664f10e410,
    0x7f9458eaf7ae,
    0xf1586dc91b8e,
    0x909374b80192,
    0x4bba82746487,
    0x3f877ac72c4a,
    0x69cfba208d7d,
    0x4baed1213a67,
    0x1c09ad17df90,
    0x4e64758e60d4,
    0xce7d272117e2,
    0xef7e4a0ec7fe,
    0x25fff7816603,
    0xfbcbc462d682,
    0x9b47db4d9fb3,
    0xc9f2c26dd3d1,
    0x8fd9a797fa8b,
    0x5d49eeb1faf9,
    0x7c5ecf41ce7d,
    0xe294a4ba9afe,
    0xd7ec47e35742,
    0x1580cc11bf1e,
];
/// Bits of a word.
const WORD: i32 = 48;

/// 2π − TAU.
const TAU_LOW: f64 = 2.449_293_598_294_706_4e-16;

/// (sin r / r − 1) / r² in r², for |r| ≤ π/4.
const SIN: Coefficients = Pair {
    f32: &[-0.16666655242443085, 0.008332189172506332, -0.00019518287444952875],
    f64: &[
        -0.16666666666666666,
        0.008333333333333042,
        -0.0001984126984096247,
        2.7557319073981664e-06,
        -2.5052070922407753e-08,
        1.605431149842014e-10,
        -7.389459753891056e-13,
    ],
};

/// (cos r − 1 + r²/2) / r⁴ in r², for |r| ≤ π/4.
const COS: Coefficients = Pair {
    f32: &[0.04166664555668831, -0.0013887309469282627, 2.4432330974377692e-05],
    f64: &[
        0.041666666666666595,
        -0.0013888888888873338,
        2.480158728899751e-05,
        -2.7557314215314926e-07,
        2.087570511801707e-09,
        -1.1358732968848928e-11,
    ],
};

/// An angle as a number of quarter turns and a rest in radians.
struct Angle {
    /// Its last two bits count quarter turns.
    quarters: Reg,
    /// The rest, and what is left out of it.
    rest: [Reg; 2],
}

/// Sine and cosine of the rest of an angle, each in two parts; and the bits that count quarter turns.
struct Circle {
    quarters: Reg,
    sin: [Reg; 2],
    cos: [Reg; 2],
}

/// v modulo 1, in [−½, ½].
fn fraction(m: &mut Math<'_>, v: Reg) -> Reg {
    let whole = m.round(v);
    m.sub(v, whole)
}

/// The nearest quarter turn: as bits, and as a number.
fn nearest_quarter(m: &mut Math<'_>, turns: Reg) -> (Reg, Reg) {
    let magic = m.float(m.format().magic);
    let shifted = m.fma_by(turns, 4.0, magic);
    let quarter = m.sub(shifted, magic);
    (m.bits(shifted), quarter)
}

/// |x| of an f32 angle, computed in f64: the quarter turns' bits, their number, and the rest in radians.
fn reduce_single(m: &mut Math<'_>, x: Reg) -> (Reg, Reg, Reg) {
    let x = m.cast(x);
    let (last, pieces) = PIECES.split_last().expect("there are six");
    let last = m.mul_by(x, *last);
    let parts: Vec<Reg> = pieces
        .iter()
        .map(|piece| {
            let product = m.mul_by(x, *piece);
            fraction(m, product)
        })
        .collect();
    let turns = parts[1..].iter().fold(parts[0], |sum, part| m.add(sum, *part));
    let (bits, quarter) = nearest_quarter(m, turns);
    // Largest parts first: whenever they cancel, their sum is exact.
    let mut rest = m.fma_by(quarter, -0.25, parts[0]);
    for part in parts[1..].iter().chain([&last]) {
        rest = m.add(rest, *part);
    }
    (bits, quarter, m.mul_by(rest, TAU))
}

/// |x| of an f64 angle.
fn reduce_double(m: &mut Math<'_>, x: Reg) -> Angle {
    // Words whose products are whole turns are skipped, 16, 8, 4, 2 and 1 at a time.
    let mut words: Vec<Reg> = WORDS.iter().map(|w| m.float(*w as f64 / (1u64 << WORD) as f64)).collect();
    let mut x = x;
    for (step, left) in [(16, 20), (8, 12), (4, 8), (2, 6), (1, 5)] {
        let bound = m.float(2f64.powi(52 + WORD * step));
        let skip = m.le(bound, x);
        let scaled = m.mul_by(x, 2f64.powi(-WORD * step));
        x = m.select(skip, scaled, x);
        words = (0..left)
            .map(|i| match words.get(i + step as usize) {
                Some(later) => m.select(skip, *later, words[i]),
                None => words[i],
            })
            .collect();
    }
    let products: Vec<(Reg, Reg)> = (0..5)
        .map(|i| {
            let scaled = m.mul_by(x, 2f64.powi(-WORD * i));
            m.two_product(scaled, words[i as usize])
        })
        .collect();
    let [(h0, l0), (h1, l1), (h2, l2), (h3, l3), (h4, _)] = products[..] else {
        unreachable!("there are five products")
    };
    let [h0, l0, h1, h2] = [h0, l0, h1, h2].map(|v| fraction(m, v));
    let turns = [l0, h1, l1, h2].iter().fold(h0, |sum, part| m.add(sum, *part));
    let (quarters, quarter) = nearest_quarter(m, turns);
    let mut high = m.fma_by(quarter, -0.25, h0);
    let (near, far) = (m.add(h4, l3), m.add(h3, l2));
    let mut low = m.add(near, far);
    for part in [l0, h1, l1, h2] {
        let (sum, lost) = m.two_sum(high, part);
        high = sum;
        low = m.add(low, lost);
    }
    let (high, low) = m.two_sum(high, low);
    let tau = m.float(TAU);
    let (radians, rest) = m.two_product(high, tau);
    let rest = m.fma_by(high, TAU_LOW, rest);
    Angle { quarters, rest: [radians, m.fma_by(low, TAU, rest)] }
}

/// Sine and cosine of the rest of an f64 angle.
fn circle(m: &mut Math<'_>, angle: Angle) -> Circle {
    let [r, low] = angle.rest;
    let z = m.mul(r, r);
    let half = m.mul_by(z, 0.5);
    let one = m.float(1.0);
    let cos = m.sub(one, half);
    let lost = m.sub(one, cos);
    let lost = m.sub(lost, half);
    let curve = m.polynomial(z, m.pick(COS));
    let square = m.mul(z, z);
    let cos_low = m.fma(square, curve, lost);
    let cos_low = m.minus_product(r, low, cos_low);
    let curve = m.polynomial(z, m.pick(SIN));
    let cube = m.mul(z, r);
    let shift = m.mul(low, cos);
    Circle { quarters: angle.quarters, sin: [r, m.fma(cube, curve, shift)], cos: [cos, cos_low] }
}

/// Sine and cosine of the rest of an angle, rounded; and the bits that count quarter turns.
fn sin_cos(m: &mut Math<'_>, x: Reg) -> (Reg, Reg, Reg) {
    let size = m.abs(x);
    if m.is_double() {
        let angle = reduce_double(m, size);
        let Circle { quarters, sin, cos } = circle(m, angle);
        return (quarters, m.add(sin[0], sin[1]), m.add(cos[0], cos[1]));
    }
    let (_, quarter, rest) = reduce_single(&mut m.wide(), size);
    let (quarter, r) = (m.cast(quarter), m.cast(rest));
    let shifted = m.add_to(quarter, m.format().magic);
    let quarters = m.bits(shifted);
    let z = m.mul(r, r);
    let curve = m.polynomial(z, m.pick(SIN));
    let cube = m.mul(z, r);
    let sin = m.fma(cube, curve, r);
    let curve = m.polynomial(z, m.pick(COS));
    let [one, minus_half] = [1.0, -0.5].map(|c| m.float(c));
    let curve = m.fma(curve, z, minus_half);
    (quarters, sin, m.fma(curve, z, one))
}

/// True for an odd number of quarter turns.
fn is_odd(m: &mut Math<'_>, quarters: Reg) -> Reg {
    let (one, zero) = (m.int(1), m.int(0));
    let last = m.and(quarters, one);
    m.ne(last, zero)
}

/// Bits with bit 1 of a number moved to the sign.
fn half_turns(m: &mut Math<'_>, quarters: Reg) -> Reg {
    let to_sign = if m.is_double() { 62 } else { 30 };
    m.shl(quarters, to_sign)
}

/// sin x.
pub(super) fn sin(m: &mut Math<'_>, x: Reg) -> Reg {
    let (quarters, sin, cos) = sin_cos(m, x);
    let odd = is_odd(m, quarters);
    let value = m.select(odd, cos, sin);
    let turned = half_turns(m, quarters);
    let bits = m.bits(x);
    let sign = m.xor(turned, bits);
    let value = m.flip_sign(value, sign);
    linear_near_zero(m, x, value)
}

/// x where x is so small that it is its own sine and tangent: the reduction would lose digits there.
fn linear_near_zero(m: &mut Math<'_>, x: Reg, value: Reg) -> Reg {
    if !m.is_double() {
        return value;
    }
    let size = m.abs(x);
    let bound = m.float(2f64.powi(-27));
    let small = m.lt(size, bound);
    m.select(small, x, value)
}

/// cos x.
pub(super) fn cos(m: &mut Math<'_>, x: Reg) -> Reg {
    let (quarters, sin, cos) = sin_cos(m, x);
    let odd = is_odd(m, quarters);
    let value = m.select(odd, sin, cos);
    let one = m.int(1);
    let next = m.add(quarters, one);
    let turned = half_turns(m, next);
    m.flip_sign(value, turned)
}

/// tan x.
pub(super) fn tan(m: &mut Math<'_>, x: Reg) -> Reg {
    if !m.is_double() {
        let size = m.abs(x);
        let mut wide = m.wide();
        let (quarters, _, r) = reduce_single(&mut wide, size);
        let z = wide.mul(r, r);
        let curve = wide.polynomial(z, TAN_SIN);
        let sin = wide.mul(r, curve);
        let cos = wide.polynomial(z, TAN_COS);
        let odd = is_odd(&mut wide, quarters);
        let (above, below) = (wide.select(odd, cos, sin), wide.select(odd, sin, cos));
        let value = wide.div(above, below);
        let turned = wide.shl(quarters, 63);
        let value = wide.flip_sign(value, turned);
        let value = m.cast(value);
        let bits = m.bits(x);
        return m.flip_sign(value, bits);
    }
    let size = m.abs(x);
    let angle = reduce_double(m, size);
    let Circle { quarters, sin, cos } = circle(m, angle);
    let (sin, cos) = (m.fast_two_sum(sin[0], sin[1]), m.fast_two_sum(cos[0], cos[1]));
    let odd = is_odd(m, quarters);
    let [above, above_low] = [m.select(odd, cos.0, sin.0), m.select(odd, cos.1, sin.1)];
    let [below, below_low] = [m.select(odd, sin.0, cos.0), m.select(odd, sin.1, cos.1)];
    let quotient = m.div(above, below);
    let rest = m.residual(quotient, below, above);
    let rest = m.add(rest, above_low);
    let rest = m.minus_product(quotient, below_low, rest);
    let correction = m.div(rest, below);
    let value = m.add(quotient, correction);
    let turned = m.shl(quarters, 63);
    let bits = m.bits(x);
    let sign = m.xor(turned, bits);
    let value = m.flip_sign(value, sign);
    linear_near_zero(m, x, value)
}

/// sin r / r and cos r in r² with the digits that an f32 tangent needs.
const TAN_SIN: &[f64] =
    &[1.0, -0.16666666640772482, 0.008333329302330507, -0.00019839311510958465, 2.7181146059305333e-06];
const TAN_COS: &[f64] = &[
    1.0,
    -0.4999999999948893,
    0.04166666655334707,
    -0.0013888880654994722,
    2.479895978058658e-05,
    -2.7174719930057624e-07,
];
