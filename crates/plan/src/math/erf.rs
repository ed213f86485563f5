//! The error function.
//!
//! Near 0 it is x + x · R(x²); further out 1 − P(|x|)ᵏ, where P is a polynomial approximation of the k-th root of erfc, which is
//! smooth enough for one.

use super::builder::{Coefficients, Math, Pair};
use crate::kernel::Reg;

/// Up to here R is used.
const NEAR: Pair<f64> = Pair { f32: 0.9375, f64: 1.0 };
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
        -0.376126389031841,
        0.11283791670971104,
        -0.026866170648033316,
        0.005223977652724373,
        -0.0008548328538208588,
        0.00012055386301261602,
        -1.4926884509302223e-05,
        1.648111458054666e-06,
        -1.655778903182625e-07,
        1.601810311077857e-08,
        -1.6485195437988688e-09,
        1.43807409471119e-10,
    ],
};

/// erfc^(1/4) in |x|, erfc^(1/8) in |x| − 3.5.
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
        0.17134869010167358,
        -0.1556295808250791,
        0.04996976838167495,
        -0.0027025332277669143,
        -0.00231066744453523,
        0.000514036004137426,
        2.2694668809376014e-05,
        -2.136123355205426e-05,
        1.712129246256925e-06,
        4.084211254106608e-07,
        -7.710818798911383e-08,
        -3.528488029856449e-09,
        1.6502556234149208e-09,
        -3.0921026123005175e-11,
        2.9592756642683605e-11,
        3.400947679164614e-11,
        8.902008023888264e-12,
        1.2665398854567103e-12,
        8.211853890454243e-14,
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
    let mut power = m.polynomial(at, m.pick(TAIL));
    for _ in 0..if m.is_double() { 3 } else { 2 } {
        power = m.mul(power, power);
    }
    let one = m.float(1.0);
    let large = m.sub(one, power);
    let near = m.float(near);
    let is_near = m.lt(size, near);
    let value = m.select(is_near, small, large);
    m.with_sign(value, x)
}
