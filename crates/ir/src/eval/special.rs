//! Special functions in `f64` that `libm` lacks.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// The inverse of `erf`: ±∞ at ±1, NaN outside [−1, 1].
pub fn erfinv(x: f64) -> f64 {
    let magnitude = x.abs();
    if x.is_nan() || magnitude > 1.0 {
        return f64::NAN;
    }
    if magnitude == 1.0 {
        return f64::INFINITY.copysign(x);
    }
    if magnitude < 1e-9 {
        return x / FRAC_2_SQRT_PI;
    }
    // Winitzki's closed form, good to 3e-3, then Halley's method, which triples the digits each time.
    let (a, log) = (0.147, libm::log1p(-x * x));
    let t = 2.0 / (PI * a) + log / 2.0;
    let mut y = libm::sqrt(libm::sqrt(t * t - log / a) - t);
    for _ in 0..4 {
        // Above ½ the complement 1 − |x| is exact, and erfc keeps its digits where erf saturates.
        let residual =
            if magnitude < 0.5 { libm::erf(y) - magnitude } else { (1.0 - magnitude) - libm::erfc(y) };
        let step = residual / (FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// 1 / (1 + e⁻ˣ), with all digits where it is small.
pub fn sigmoid(x: f64) -> f64 {
    let decay = libm::exp(-x.abs());
    if x < 0.0 { decay / (1.0 + decay) } else { 1.0 / (1.0 + decay) }
}

/// ψ(x). NaN at the poles 0, −1, −2, … and at −∞.
pub fn digamma(x: f64) -> f64 {
    if x <= 0.0 {
        return if x == x.floor() { f64::NAN } else { digamma(1.0 - x) - PI * cot_pi(x) };
    }
    if (x - DIGAMMA_ROOT).abs() < 0.3 {
        let d = (x - DIGAMMA_ROOT) - DIGAMMA_ROOT_LOW;
        return DIGAMMA_TAYLOR.iter().rev().fold(0.0, |sum, c| (sum + c) * d);
    }
    // ψ(x) = ψ(x + 1) − 1/x up to where the asymptotic series has full precision.
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series =
        BERNOULLI.iter().enumerate().rev().fold(0.0, |sum, (j, b)| (sum + b / (2 * j + 2) as f64) * inverse);
    libm::log(x) - (0.5 / x + series + shift)
}

/// ψ⁽ⁿ⁾(x) for n ≥ 1. At the poles 0, −1, −2, …: +∞ for odd n, NaN for even n. 0 at +∞, NaN at −∞.
pub fn polygamma(n: u32, x: f64) -> f64 {
    let odd = n % 2 == 1;
    if x.is_nan() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    let sign = if odd { 1.0 } else { -1.0 };
    if x > 0.0 {
        return sign * scaled_zeta(n, x);
    }
    if x == x.floor() {
        return if odd { f64::INFINITY } else { f64::NAN };
    }
    let r = x - x.round();
    let pole = |d: f64| if odd || d > 0.0 { sign } else { -sign } * factorial_over_power(n, d.abs());
    if pole(r).is_infinite() {
        return pole(r);
    }
    if n <= 100 {
        // Reflection: ψ⁽ⁿ⁾(x) = (−1)ⁿ ψ⁽ⁿ⁾(1 − x) − π dⁿ/dxⁿ cot πx, and ψ⁽ⁿ⁾(1 − x) = (−1)ⁿ⁺¹ n! ζ(n + 1, 1 − x).
        return -scaled_zeta(n, 1.0 - x) - PI * cot_pi_derivative(n, x);
    }
    // At such orders the two nearest poles are all that counts: those farther off are below 3^−100 of them.
    let (near, far) = (r, if r > 0.0 { r - 1.0 } else { r + 1.0 });
    pole(near) + pole(far)
}

/// n! ζ(n + 1, x) for x > 0, by Euler–Maclaurin summation.
fn scaled_zeta(n: u32, x: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    let s = f64::from(n) + 1.0;
    // Everything is relative to the first term x^−s, which alone may overflow or underflow.
    let relative = |a: f64| libm::pow(x / a, s);
    let (mut sum, mut a) = (0.0, x);
    while a < 20.0 + 2.0 * s {
        let term = relative(a);
        sum += term;
        if term * (1.0 + a / (s - 1.0)) < 1e-18 * sum {
            return sum * factorial_over_power(n, x);
        }
        a += 1.0;
    }
    // Tail from a on: ∫ + half the first term + Σ B₂ⱼ/(2j)! s(s+1)…(s+2j−2) a^(1−s−2j).
    let mut factor = s / a / 2.0;
    let mut tail = a / (s - 1.0) + 0.5;
    for (b, j) in BERNOULLI.iter().zip(1..) {
        tail += b * factor;
        let (k, j) = (s + 2.0 * f64::from(j), f64::from(j));
        factor *= (k - 1.0) * k / (a * a) / ((2.0 * j + 1.0) * (2.0 * j + 2.0));
    }
    (sum + relative(a) * tail) * factorial_over_power(n, x)
}

/// n! / xⁿ⁺¹ for x > 0.
fn factorial_over_power(n: u32, x: f64) -> f64 {
    let power = libm::pow(x, -(f64::from(n) + 1.0));
    if n <= 170 && power.is_normal() {
        return (1..=n).fold(1.0, |f, k| f * f64::from(k)) * power;
    }
    let n = f64::from(n);
    libm::exp(libm::lgamma(n + 1.0) - (n + 1.0) * libm::log(x))
}

/// cot(πx), with the angle reduced exactly.
fn cot_pi(x: f64) -> f64 {
    let r = x - x.round();
    let angle = r.abs();
    let cot = if angle <= 0.25 { 1.0 / libm::tan(PI * angle) } else { libm::tan(PI * (0.5 - angle)) };
    cot.copysign(r) * if angle == 0.5 { 0.0 } else { 1.0 }
}

/// dⁿ/dxⁿ cot(πx) = πⁿ Pₙ(cot πx) with P₀ = c and Pₖ₊₁ = −(1 + c²) Pₖ′.
fn cot_pi_derivative(n: u32, x: f64) -> f64 {
    let mut p = vec![0.0, 1.0];
    for _ in 0..n {
        let mut next = vec![0.0; p.len() + 1];
        for (k, coefficient) in p.iter().enumerate().skip(1) {
            next[k - 1] -= coefficient * k as f64;
            next[k + 1] -= coefficient * k as f64;
        }
        p = next;
    }
    let c = cot_pi(x);
    let value = p.iter().rev().fold(0.0, |sum, coefficient| sum * c + coefficient);
    value * libm::pow(PI, f64::from(n))
}

/// B₂, B₄, …, B₂₀.
const BERNOULLI: [f64; 10] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174611.0 / 330.0,
];

/// The positive root of ψ is `DIGAMMA_ROOT + DIGAMMA_ROOT_LOW`.
const DIGAMMA_ROOT: f64 = 1.4616321449683622;
const DIGAMMA_ROOT_LOW: f64 = 9.549995429965697e-17;

/// ψ⁽ᵏ⁾(root)/k! for k = 1, 2, …: near the root any other formula cancels.
const DIGAMMA_TAYLOR: [f64; 26] = [
    0.9676722454476212,
    -0.4427631689835921,
    0.258499760955651,
    -0.16394270544240652,
    0.10782405069126237,
    -0.07219956125645471,
    0.04880428816414311,
    -0.03316112647484736,
    0.022597648232218104,
    -0.01542476590494896,
    0.010538791616612175,
    -0.007204534386356869,
    0.004926781395729853,
    -0.003369801655439328,
    0.002305126326734928,
    -0.0015769367714301972,
    0.0010788252019162967,
    -0.0007380709389960052,
    0.000504953265834602,
    -0.0003454680251063077,
    0.00023635601564027053,
    -0.00016170622091974803,
    0.0001106337276874741,
    -7.569179582195066e-05,
    5.178575795222081e-05,
    -3.5430070947659604e-05,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Arguments and values to 17 digits, computed with 50 digits.
    fn check(name: &str, tolerance: f64, f: impl Fn(f64) -> f64, table: &[(f64, f64)]) {
        for (x, expected) in table {
            let got = f(*x);
            let error = ((got - expected) / expected).abs();
            assert!(error <= tolerance, "{name}({x}) = {got}, expected {expected}, relative error {error:e}");
        }
    }

    #[test]
    fn library_functions() {
        check(
            "erf",
            1e-15,
            libm::erf,
            &[
                (1e-9, 1.1283791670955127e-09),
                (0.3, 0.3286267594591274),
                (-1.1, -0.8802050695740817),
                (2.5, 0.999593047982555),
                (3.75, 0.9999998862727434),
            ],
        );
        check(
            "erfc",
            1e-14,
            libm::erfc,
            &[
                (-2.5, 1.999593047982555),
                (0.2, 0.7772974107895215),
                (1.0, 0.15729920705028513),
                (5.0, 1.537459794428035e-12),
                (10.0, 2.088487583762545e-45),
                (26.0, 5.663192408856143e-296),
            ],
        );
        check(
            "lgamma",
            1e-14,
            libm::lgamma,
            &[
                (1e-05, 11.512919692895826),
                (0.5, 0.5723649429247001),
                (1.3, -0.10817480950786047),
                (2.7, 0.4348205536551047),
                (10.5, 13.940625219403763),
                (100.25, 360.28455963776423),
                (1000000.0, 12815504.569147611),
                (-0.5, 1.2655121234846454),
                (-1.3, 1.2024757863901114),
                (-10.7, -15.416789096416636),
            ],
        );
        check(
            "tanh",
            1e-15,
            libm::tanh,
            &[
                (1e-08, 1e-08),
                (0.3, 0.2913126124515909),
                (-1.7, -0.935409070603099),
                (8.0, 0.9999997749296758),
            ],
        );
        check(
            "expm1",
            1e-15,
            libm::expm1,
            &[(1e-12, 1.0000000000005e-12), (0.5, 0.6487212707001282), (-3.0, -0.950212931632136)],
        );
        check(
            "log1p",
            1e-15,
            libm::log1p,
            &[(1e-12, 9.999999999995e-13), (0.5, 0.4054651081081644), (-0.8, -1.6094379124341005)],
        );
    }

    #[test]
    fn inverse_error_function() {
        check(
            "erfinv",
            1e-15,
            erfinv,
            &[
                (1e-300, 8.86226925452758e-301),
                (1e-10, 8.862269254527581e-11),
                (0.1, 0.08885599049425769),
                (-0.3, -0.2724627147267543),
                (0.5, 0.4769362762044699),
                (0.75, 0.8134198475976185),
                (-0.9, -1.1630871536766743),
                (0.999, 2.3267537655135246),
                (0.9999999, 3.7665625816384707),
                (0.9999999999999999, 5.8635847487551676),
            ],
        );
        assert_eq!(erfinv(1.0), f64::INFINITY);
        assert_eq!(erfinv(-1.0), f64::NEG_INFINITY);
        assert!(erfinv(1.5).is_nan() && erfinv(f64::NAN).is_nan());
        assert!(erfinv(-0.0) == 0.0 && erfinv(-0.0).is_sign_negative());
    }

    #[test]
    fn digamma_everywhere() {
        check(
            "digamma",
            1e-14,
            digamma,
            &[
                (1e-05, -100000.57719921567),
                (0.1, -10.423754940411076),
                (0.5, -1.9635100260214235),
                (1.0, -0.5772156649015329),
                (1.3, -0.16919088886679962),
                (1.4616, -3.110625123034165e-05),
                (1.4616321449683622, -9.241265521729427e-17),
                (1.75, 0.24747245354686118),
                (2.0, 0.42278433509846713),
                (5.5, 1.6110931485817512),
                (9.99, 2.250700372831201),
                (100.25, 4.602671243274712),
                (10000000000.0, 23.025850929890456),
                (-1.3, 2.8825405488661673),
                (-10.7, 0.13374481244706443),
                (-100.25, 7.754238959208646),
            ],
        );
        // Near a negative root the reflection formula cancels: the error is absolute there.
        assert!((digamma(-0.5) - 0.03648997397857652).abs() < 1e-15);
        for pole in [0.0, -0.0, -1.0, -7.0, f64::NEG_INFINITY, f64::NAN] {
            assert!(digamma(pole).is_nan(), "{pole}");
        }
        assert_eq!(digamma(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn polygamma_everywhere() {
        let tables: [(u32, &[(f64, f64)]); 7] = [
            (
                1,
                &[
                    (0.01, 10001.621213528313),
                    (0.5, 4.934802200544679),
                    (1.0, 1.6449340668482264),
                    (3.25, 0.3597982903095799),
                    (19.5, 0.05261944121365593),
                    (1000.0, 0.0010005001666666333),
                    (-0.3, 13.945160267805722),
                    (-1.75, 19.301637544529786),
                    (-10.5, 9.778757739814813),
                ],
            ),
            (
                2,
                &[
                    (0.01, -2000002.340398677),
                    (0.5, -16.82879664423432),
                    (1.0, -2.4041138063191885),
                    (3.25, -0.12815694713911513),
                    (19.5, -0.002768167852746702),
                    (1000.0, -1.0010004999998333e-06),
                    (-0.3, 67.63908119988317),
                    (-1.75, -124.21382135423057),
                    (-10.4, 22.267897910974774),
                ],
            ),
            (
                3,
                &[
                    (0.01, 600000006.2510618),
                    (0.5, 97.40909103400244),
                    (1.0, 6.493939402266829),
                    (3.25, 0.09043335532465574),
                    (19.5, 0.00029118480883598755),
                    (1000.0, 2.003001999999e-09),
                    (-0.3, 766.6198904191685),
                    (-1.75, 1558.3848404165494),
                    (-10.5, 194.8166856032526),
                ],
            ),
            (
                5,
                &[
                    (0.01, 120000000000115.05),
                    (0.5, 7691.113548602436),
                    (1.0, 122.0811674381339),
                    (3.25, 0.13160608578097313),
                    (19.5, 9.65925476058735e-06),
                    (1000.0, 2.4060059999944e-14),
                    (-0.3, 165634.3818520859),
                    (-1.75, 492230.9303018743),
                    (-10.5, 15382.226949702843),
                ],
            ),
            (
                20,
                &[
                    (0.01, -2.4329020081766388e+60),
                    (0.5, -5.10216531273943e+24),
                    (1.0, -2.4329031685078615e+18),
                    (3.25, -43465336.21096778),
                    (19.5, -3.0853756726620644e-09),
                    (1000.0, -1.2286580895552956e-43),
                    (-0.3, 2.3258315617066463e+29),
                    (-1.75, -1.0700016187896298e+31),
                ],
            ),
            (
                60,
                &[
                    (0.01, -8.32098711274138e+203),
                    (0.5, -1.9186889963671973e+100),
                    (1.0, -8.32098711274139e+81),
                    (3.25, -4.957809823234342e+50),
                    (19.5, -1775.3806722204693),
                    (1000.0, -1.4288590769986702e-100),
                    (-0.3, 6.543020959480156e+113),
                    (-1.75, -4.424195609128541e+118),
                ],
            ),
            (200, &[(30.0, -9.910905389911173e+77), (100.0, -9.125424691096223e-28)]),
        ];
        for (n, table) in tables {
            // Orders above 170 go through logarithms, whose absolute error becomes relative.
            check(&format!("polygamma{n}"), if n > 170 { 1e-12 } else { 1e-14 }, |x| polygamma(n, x), table);
        }
        assert_eq!(polygamma(1, 0.0), f64::INFINITY);
        assert_eq!(polygamma(3, -2.0), f64::INFINITY);
        assert!(polygamma(2, -2.0).is_nan() && polygamma(1, f64::NEG_INFINITY).is_nan());
        assert_eq!(polygamma(1, f64::INFINITY), 0.0);
    }

    proptest! {
        #[test]
        fn erfinv_inverts(y in -3.0f64..3.0) {
            // The condition number of the inverse grows as e^(y²).
            let error = (erfinv(libm::erf(y)) - y).abs();
            prop_assert!(error <= 1e-15 * (1.0 + (y * y).exp()), "{}", error);
        }

        #[test]
        fn polygamma_recurs(n in 1u32..8, x in 0.1f64..30.0) {
            let step = polygamma(n, x + 1.0) - polygamma(n, x);
            let expected = -polygamma_sign(n) * factorial_over_power(n, x);
            prop_assert!((step - expected).abs() <= 1e-13 * polygamma(n, x).abs());
        }
    }

    fn polygamma_sign(n: u32) -> f64 {
        if n % 2 == 1 { 1.0 } else { -1.0 }
    }
}
