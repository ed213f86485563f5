//! The error function, its complement and its inverse.
//!
//! Near 0 erf x is x + x · R(x²); further out 1 − P(|x|)⁴: the fourth root of erfc is smooth enough for a
//! polynomial.

use super::builder::{Coefficients, Math, Pair};
use super::exp::{exp_parts, exp_short};
use super::log::{log, log_short};
use crate::kernel::Reg;

/// Up to here R is used.
const NEAR: Pair<f64> = Pair { f32: 0.9375, f64: 1.1875 };
/// From here on erf is 1.
const FLAT: Pair<f64> = Pair { f32: 4.0, f64: 6.0 };

/// erf x / x − 1 in x².
const SMALL: Coefficients = Pair {
    f32: &[
        0.12837915122509003,
        -0.3761247992515564,
        0.11281617730855942,
        -0.02675856463611126,
        0.004980687517672777,
        -0.0005925122532062232,
    ],
    f64: &[
        0.1283791670955126,
        -0.37612638903184037,
        0.11283791670965973,
        -0.026866170646762038,
        0.005223977638207415,
        -0.0008548327618669787,
        0.00012055350790948828,
        -1.492600674299562e-05,
        1.6466975111236444e-06,
        -1.6410980891314236e-07,
        1.508538249238806e-08,
        -1.3353095104146078e-09,
        1.1494996845616372e-10,
        -7.087122533131599e-12,
    ],
};

/// The fourth root of erfc, in |x| and in |x| − 3.5.
const TAIL: Coefficients = Pair {
    f32: &[
        1.0015264749526978,
        -0.29046860337257385,
        -0.09969521313905716,
        -0.010232970118522644,
        0.03876522183418274,
        -0.010555848479270935,
        0.00019425286154728383,
        0.0002638766309246421,
        -2.7684034648700617e-05,
    ],
    f64: &[
        0.02936037359959606,
        -0.05333384963124837,
        0.04134507513711034,
        -0.016479699280588737,
        0.002546306319246209,
        0.0006252853810535901,
        -0.00037584426670549755,
        4.947736581558489e-05,
        1.2064210905634074e-05,
        -5.026160053180203e-06,
        2.9248211530130945e-07,
        1.766215211727713e-07,
        -3.7511512991718796e-08,
        -1.5869229773561432e-09,
        1.4657096927849612e-09,
        -1.4403277145974168e-10,
        -3.2095184350527856e-11,
        1.0282608462083399e-11,
        1.1616144185879969e-12,
        -1.8584516616384016e-13,
        -2.3399280375497813e-14,
    ],
};
/// The middle of the tail's interval.
const MIDDLE: f64 = 3.5;

/// erf x.
pub(super) fn erf(m: &mut Math<'_>, x: Reg) -> Reg {
    let (near, flat) = (m.pick(NEAR), m.pick(FLAT));
    let square = m.mul(x, x);
    let curve = m.polynomial(square, m.pick(SMALL));
    let small = m.fma(x, curve, x);
    let size = m.abs(x);
    let within = m.at_most(size, flat);
    let at = if m.is_double() { m.add_to(within, -MIDDLE) } else { within };
    let root = m.polynomial(at, m.pick(TAIL));
    let square = m.mul(root, root);
    let power = m.mul(square, square);
    let one = m.float(1.0);
    let large = m.sub(one, power);
    let near = m.float(near);
    let is_near = m.lt(size, near);
    let value = m.select(is_near, small, large);
    m.with_sign(value, x)
}

/// From here on erfc is 0.
const VANISHED: Pair<f64> = Pair { f32: 10.3, f64: 28.0 };

/// (log(erfc a · e^(a²)) − log t) / (1 − t) in t = 1 / (1 + a/2) less 0.5810546875.
const LOG_SCALED: [f64; 12] = [
    -1.3407805889016031,
    0.06572917874080168,
    0.380010738084671,
    -0.06461518110774239,
    -0.24492117172479216,
    0.12282612885483009,
    0.17291732460438308,
    -0.19329091992214054,
    -0.0847619805595572,
    0.23800826338928385,
    0.00018472426230603232,
    -0.18192466207663524,
];

/// (erfc a · e^(a²) · (1 + 2a) − 1) / (1 − u) in u = 1 / (1 + a/4) less 0.5625.
const SCALED: [f64; 23] = [
    0.5726337445463758,
    1.94593765749821,
    4.249197643551422,
    7.221931959448266,
    9.997348390793068,
    11.323179867323931,
    10.258312720472189,
    6.960147140309419,
    2.8553765460435017,
    -0.19058745936849295,
    -1.180132626392048,
    -0.6137586274396336,
    0.1843017978066846,
    0.35013555337284186,
    0.04137144621048365,
    -0.15696188242705592,
    -0.05826128841135168,
    0.07068091712733635,
    0.04082152225015871,
    -0.032942886893849506,
    -0.02404807386884671,
    0.01180274520671685,
    0.010016699645877139,
];
/// About the mean of 1 / (erfc a · e^(a²) · (1 + 2a)).
const MEAN_INVERSE: f64 = 0.875;

/// erfc x: of |x|, or 2 minus that.
pub(super) fn erfc(m: &mut Math<'_>, x: Reg) -> Reg {
    let size = m.abs(x);
    let size = m.at_most(size, m.pick(VANISHED));
    let value = if m.is_double() {
        complement(m, size)
    } else {
        let value = complement_short(&mut m.wide(), size);
        m.cast(value)
    };
    let (two, zero) = (m.float(2.0), m.float(0.0));
    let other = m.sub(two, value);
    let negative = m.lt(x, zero);
    m.select(negative, other, value)
}

/// erfc a = t · e^(−a² + (1 − t) · Q(t)) of an f32 operand, in f64 (after Numerical Recipes, "erfc").
fn complement_short(m: &mut Math<'_>, a: Reg) -> Reg {
    let a = m.cast(a);
    let one = m.float(1.0);
    let half = m.mul_by(a, 0.5);
    let denominator = m.add(half, one);
    let t = m.div(one, denominator);
    let at = m.add_to(t, -0.5810546875);
    let curve = m.polynomial(at, &LOG_SCALED);
    let rest = m.mul(half, t);
    let square = m.mul(a, a);
    let minus = m.neg(square);
    let exponent = m.fma(rest, curve, minus);
    let power = exp_short(m, exponent);
    m.mul(t, power)
}

/// erfc a = e^(−a²) · (1 + (1 − u) · P(u)) / (1 + 2a).
fn complement(m: &mut Math<'_>, a: Reg) -> Reg {
    let one = m.float(1.0);
    let quarter = m.mul_by(a, 0.25);
    let denominator = m.add(quarter, one);
    let u = m.div(one, denominator);
    let at = m.add_to(u, -0.5625);
    let curve = m.polynomial(at, &SCALED);
    let rest = m.mul(quarter, u);
    let rest = m.mul(rest, curve);
    let (above, above_low) = m.fast_two_sum(one, rest);
    let double = m.add(a, a);
    let (below, below_low) = m.two_sum(double, one);
    let factor = m.div(above, below);
    // What the factor lacks, relative to it, goes to the exponent.
    let lacking = m.residual(factor, below, above);
    let lacking = m.add(lacking, above_low);
    let lacking = m.minus_product(factor, below_low, lacking);
    let (square, lost) = m.two_product(a, a);
    let minus = m.neg(square);
    let low = m.mul_by(lacking, MEAN_INVERSE);
    let low = m.sub(low, lost);
    exp_parts(m, minus, low, factor)
}

/// erfinv x / x in w = −log(1 − x²), with the digits that an f32 result needs: up to 6.25 in w − 3.125, then in √w − 3.25.
const INVERSE_SHORT: [&[f64]; 2] = [
    &[
        1.653654571317816,
        0.24015817427042369,
        -0.006033730092447482,
        -0.0007406878507749184,
        0.00018679966440807066,
        -1.3891376069128038e-05,
        -1.3919401452688078e-06,
        4.2629509892001294e-07,
        -2.4212105281388854e-08,
        -4.637760249796446e-09,
        6.379887478948346e-10,
    ],
    &[
        3.083885623144445,
        1.005258436301859,
        0.005370045928772463,
        -0.003740847834193332,
        0.002498620461477035,
        -0.0017437819265697558,
        0.0009426039149368019,
        -0.0002444891469063605,
    ],
];

/// erfinv x / x − 1 up to w = 1.75, in w − 0.875.
const INVERSE_SMALL: [f64; 15] = [
    0.09646636684490231,
    0.24665806583243216,
    0.005150472981892434,
    -0.0024202998227868026,
    7.528421869919738e-05,
    4.1209927881694735e-05,
    -3.7286458808717186e-06,
    -6.834363838765844e-07,
    1.1339853997104871e-07,
    9.805177595484296e-09,
    -2.9754500265810702e-09,
    -8.862615337081372e-11,
    7.144882881586017e-11,
    -8.565337962598063e-13,
    -1.4971797249093711e-12,
];
/// erfinv x / x up to w = 6.25, in w − 4.
const INVERSE_NEAR: [f64; 19] = [
    1.8587791124269735,
    0.22835468533769057,
    -0.00722105995183922,
    -0.00020397201750681261,
    0.00011887778913577216,
    -1.5515141165865696e-05,
    4.865424241109113e-07,
    1.7724370250497394e-07,
    -3.343643877739314e-08,
    1.8500709722243265e-09,
    2.9098161281427033e-10,
    -7.177302359211084e-11,
    5.2472322226017664e-12,
    4.687367582384485e-13,
    -1.5518182326542835e-13,
    1.3302247015012164e-14,
    8.796156976380703e-16,
    -2.8836061676169207e-16,
    1.655474996242068e-17,
];
/// Up to w = 16, in √w − 3.25.
const INVERSE_MIDDLE: [f64; 21] = [
    3.0838856104922208,
    1.0052589676941655,
    0.00537091455355526,
    -0.003751208508225412,
    0.0024914420979423577,
    -0.0016882755354237274,
    0.0009532893419397371,
    -0.00035503781419689317,
    2.4031508391273586e-05,
    6.828712097130398e-05,
    -4.732064898513976e-05,
    1.2465010232709426e-05,
    2.932442736494542e-06,
    -3.985651954223343e-06,
    1.4819557845709388e-06,
    -2.7712486505658737e-08,
    -2.460663340000448e-07,
    1.3167791243019066e-07,
    -2.0417247724262383e-08,
    -1.5341941008342054e-08,
    7.495828257247082e-09,
];
/// Above that, in √w − 5.0625.
const INVERSE_FAR: [f64; 19] = [
    4.913049587233785,
    1.0102806778035613,
    -0.0001773033612982421,
    -0.00019677853807087054,
    7.010167464969395e-05,
    -1.8062951599128805e-05,
    4.115356400308575e-06,
    -8.872281014420649e-07,
    1.9559137909665572e-07,
    -5.229800661249298e-08,
    2.0333509873266637e-08,
    -1.0368195237937163e-08,
    5.401351024107083e-09,
    -2.4535342547417976e-09,
    9.700465759001707e-10,
    -3.7100304990823026e-10,
    8.656443539537475e-11,
    2.550023371654719e-11,
    -1.6077615270462535e-11,
];

/// The inverse of erf (after Giles, "Approximating the erfinv function", 2012).
pub(super) fn erfinv(m: &mut Math<'_>, x: Reg) -> Reg {
    let value = if m.is_double() {
        inverse(m, x)
    } else {
        let value = inverse_short(&mut m.wide(), x);
        m.cast(value)
    };
    let (one, infinity) = (m.float(1.0), m.float(f64::INFINITY));
    let size = m.abs(x);
    let is_end = m.eq(size, one);
    let end = m.mul(x, infinity);
    m.select(is_end, end, value)
}

/// 1 − x².
fn distance(m: &mut Math<'_>, x: Reg) -> Reg {
    let one = m.float(1.0);
    let (below, above) = (m.sub(one, x), m.add(one, x));
    m.mul(below, above)
}

/// The polynomial of w where w is below a bound, else what is given.
fn piece(m: &mut Math<'_>, w: Reg, below: f64, at: Reg, curve: &[f64], other: Reg) -> Reg {
    let curve = m.polynomial(at, curve);
    let bound = m.float(below);
    let is_below = m.lt(w, bound);
    m.select(is_below, curve, other)
}

/// erfinv of an f32 operand, in f64.
fn inverse_short(m: &mut Math<'_>, x: Reg) -> Reg {
    let x = m.cast(x);
    let product = distance(m, x);
    let logarithm = log_short(m, product);
    let w = m.neg(logarithm);
    let root = m.sqrt(w);
    let at = m.add_to(root, -3.25);
    let curve = m.polynomial(at, INVERSE_SHORT[1]);
    let at = m.add_to(w, -3.125);
    let curve = piece(m, w, 6.25, at, INVERSE_SHORT[0], curve);
    m.mul(x, curve)
}

fn inverse(m: &mut Math<'_>, x: Reg) -> Reg {
    let product = distance(m, x);
    let logarithm = log(m, product);
    let w = m.neg(logarithm);
    let root = m.sqrt(w);
    let at = m.add_to(root, -5.0625);
    let curve = m.polynomial(at, &INVERSE_FAR);
    let at = m.add_to(root, -3.25);
    let curve = piece(m, w, 16.0, at, &INVERSE_MIDDLE, curve);
    let at = m.add_to(w, -4.0);
    let curve = piece(m, w, 6.25, at, &INVERSE_NEAR, curve);
    let value = m.mul(x, curve);
    let at = m.add_to(w, -0.875);
    let curve = m.polynomial(at, &INVERSE_SMALL);
    let small = m.fma(x, curve, x);
    let bound = m.float(1.75);
    let is_small = m.lt(w, bound);
    let value = m.select(is_small, small, value);
    // −0 stays itself.
    m.with_sign(value, x)
}
