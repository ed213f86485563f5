//! The error function without branches, so that loops over lanes become vector code.
//!
//! Below 1, erf x = x + x·R(x²) with a polynomial R. From 1 on, erf x = 1 − e^−Q(x), where Q, the negative logarithm of
//! erfc, is a polynomial up to where the result rounds to 1. Both are interpolated at Chebyshev nodes.

use super::Mode;

macro_rules! erf {
    ($float:ident, $last:literal, [$($small:expr),* $(,)?], [$($tail:expr),* $(,)?]) => {
        /// The error function of one float type.
        pub(super) mod $float {
            use super::Mode;
            use crate::math::elementary::$float::{exp, polynomial};
            use crate::math::elementary::MulAdd;

            /// From here on the result is 1.
            const LAST: $float = $last;
            const MIDDLE: $float = (1.0 + LAST) / 2.0;
            const INVERSE: $float = 2.0 / (LAST - 1.0);

            #[inline(always)]
            pub(crate) fn erf<M: Mode>(x: $float) -> $float {
                let magnitude = x.abs();
                let small = polynomial::<M, _>(x * x, [$($small),*]);
                let small = small.mul_plus::<M>(x, x);
                let within = if magnitude < LAST { magnitude } else { LAST };
                let tail = polynomial::<M, _>((within - MIDDLE) * INVERSE, [$($tail),*]);
                let large = (1.0 - exp::<M>(-tail)).copysign(x);
                let value = if magnitude < 1.0 { small } else { large };
                if x != x { x } else { value }
            }
        }
    };
}

erf!(
    f32,
    4.0,
    [
        1.2837917e-01,
        -3.7612638e-01,
        1.1283782e-01,
        -2.686543e-02,
        5.2210316e-03,
        -8.4840803e-04,
        1.1265959e-04,
        -9.667045e-06
    ],
    [
        7.806815e+00,
        8.029021e+00,
        2.123761e+00,
        3.6646303e-02,
        -1.0962852e-02,
        3.1947638e-03,
        -8.767322e-04,
        2.2168194e-04,
        -4.6895588e-05,
        2.5428885e-06,
        2.2112895e-06
    ]
);

erf!(
    f64,
    6.0,
    [
        0.1283791670955126,
        -0.37612638903183754,
        0.11283791670955126,
        -0.026866170645131252,
        0.005223977625442175,
        -0.0008548327023449497,
        0.00012055332981694495,
        -1.4925650353787866e-05,
        1.6462114205798046e-06,
        -1.6365840648222765e-07,
        1.4807117719731329e-08,
        -1.2289529419960295e-09,
        9.412558594992829e-11,
        -6.639294901316118e-12,
        4.117309460970657e-13,
        -1.746609279318069e-14
    ],
    [
        14.112437402148174,
        18.165248970912977,
        6.042206592138939,
        0.08165090971779557,
        -0.03412841107974122,
        0.014384548330824112,
        -0.005953704476500266,
        0.002373997272217967,
        -0.0008935765803576782,
        0.00030781963845886724,
        -9.090095179427461e-05,
        1.847405574622964e-05,
        1.4777972647466486e-06,
        -4.564131261214968e-06,
        3.4211450775738658e-06,
        -1.9228114527884747e-06,
        9.155125406278994e-07,
        -3.7520834706408876e-07,
        1.3040093864953312e-07,
        -3.7976177673401155e-08,
        3.457472221894705e-09,
        1.0227511332473707e-08,
        -7.14621736990772e-09,
        -3.3520800861774227e-10,
        3.6800577280580195e-11,
        2.2479171642368137e-09,
        -1.0078085715187335e-09,
        -2.9593169302253136e-10,
        1.8353089248431713e-10
    ]
);
