//! Elementary and special functions: f64 against values from mpmath, f32 against f64 functions, and special values, on every
//! instruction set. `cargo xtask math-accuracy` tests the f32 functions on every operand.

use crate::check::run;
use crate::support::compile;
use std::collections::BTreeMap;
use wootz_cpu::isa::Isa;
use wootz_ir::eval::special;
use wootz_ir::{DType, HostTensor, text};
use wootz_passes::Optimize;

/// The results of an op on lists of operands.
fn apply(op: &str, operands: &[Vec<f64>], dtype: DType, isa: Isa) -> Vec<f64> {
    let n = operands[0].len();
    let params: Vec<String> =
        (0..operands.len()).map(|i| format!("%x{i}: {dtype}[{n}] = input \"x{i}\"")).collect();
    let names: Vec<String> = (0..operands.len()).map(|i| format!("%x{i}")).collect();
    let source =
        format!("graph({}) {{ %y = {op} {} return \"y\" = %y }}", params.join(", "), names.join(", "));
    let graph = text::parse(&source).expect("well formed");
    let inputs: Vec<HostTensor> = operands.iter().map(|x| HostTensor::from_f64(dtype, &[n], x)).collect();
    run(&graph, &*compile(&graph, Optimize::None, isa, 1), &inputs)[0].to_f64()
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// The distance from `want + rest` in units of the last place of a number with `digits` digits whose least exponent is `least`.
fn ulps(got: f64, want: f64, rest: f64, digits: i32, least: i32) -> f64 {
    let exponent = (want.abs().to_bits() >> 52) as i32 - 1023;
    let unit = libm::ldexp(1.0, (exponent.max(least) - digits + 1).max(-1074));
    (((got - want) - rest) / unit).abs()
}

/// Random and hard operands.
#[test]
fn f64_is_within_2_units() {
    let mut cases: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    for line in include_str!("math_cases.txt").lines().filter(|l| !l.starts_with('#')) {
        let (name, numbers) = line.split_once(' ').expect("a name first");
        let numbers = numbers.split(' ').map(|x| x.parse().expect("a number"));
        cases.entry(name).or_default().push(numbers.collect());
    }
    assert_eq!(cases.len(), 16);
    for (name, rows) in cases {
        let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<f64>>();
        let width = rows[0].len();
        let operands: Vec<Vec<f64>> = (0..width - 2).map(column).collect();
        let (want, rest) = (column(width - 2), column(width - 1));
        let op = if name == "trigamma" { "polygamma[order=1]" } else { name };
        for isa in available() {
            for (i, got) in apply(op, &operands, DType::F64, isa).into_iter().enumerate() {
                let error = ulps(got, want[i], rest[i], 53, -1022);
                let at: Vec<f64> = operands.iter().map(|x| x[i]).collect();
                // Below 0 two terms cancel next to a zero.
                let absolute = match name {
                    "lgamma" | "digamma" if at[0] < 0.0 && want[i].abs() < 1.0 => 5e-16,
                    _ => 0.0,
                };
                let near = ((got - want[i]) - rest[i]).abs() <= absolute;
                assert!(
                    error <= 2.0 || near,
                    "{name}{at:?} on {isa}: {got:e}, not {:e}: {error} units",
                    want[i]
                );
            }
        }
    }
}

type Function = (&'static str, fn(f64) -> f64);

const UNARY: [Function; 17] = [
    ("exp", libm::exp),
    ("expm1", libm::expm1),
    ("log", libm::log),
    ("log1p", libm::log1p),
    ("rsqrt", |x| 1.0 / libm::sqrt(x)),
    ("tanh", libm::tanh),
    ("sigmoid", special::sigmoid),
    ("erf", libm::erf),
    ("erfc", libm::erfc),
    ("erfinv", special::erfinv),
    ("sin", libm::sin),
    ("cos", libm::cos),
    ("tan", libm::tan),
    ("lgamma", libm::lgamma),
    ("digamma", special::digamma),
    ("polygamma[order=1]", |x| if x > 1e200 { 1.0 / x } else { special::polygamma(1, x) }),
    ("sign", |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
];

/// True for the same number, the same infinity or NaN.
fn same(got: f64, want: f64) -> bool {
    (got == want && got.is_sign_negative() == want.is_sign_negative()) || (got.is_nan() && want.is_nan())
}

/// Operands all over f32. Near the zeros of `lgamma` and `digamma` below 0, whose terms cancel, f64 has digits to spare.
#[test]
fn f32_is_within_2_units() {
    let operands: Vec<f64> = (0..40_000u32).map(|i| f32::from_bits(i.wrapping_mul(107_377)).into()).collect();
    for (op, oracle) in UNARY {
        for isa in available() {
            for (got, x) in apply(op, std::slice::from_ref(&operands), DType::F32, isa).iter().zip(&operands)
            {
                let want = oracle(*x);
                let near = f64::from(want as f32);
                let error = ulps(*got, want, 0.0, 24, -126);
                assert!(
                    same(*got, near) || (error <= 2.0 && !(*got == 0.0 && near == 0.0)),
                    "{op}({x:e}) on {isa}: {got:e}, not {want:e}: {error} units"
                );
            }
        }
    }
}

/// Pairs all over f32, and pairs whose powers are numbers.
#[test]
fn f32_of_two_operands_is_within_2_units() {
    let anywhere = (0..20_000u32).map(|i| (i.wrapping_mul(214_753), i.wrapping_mul(2_654_435_769)));
    let anywhere = anywhere.map(|(x, y)| (f32::from_bits(x), f32::from_bits(y)));
    let near = (0..20_000u32).map(|i| ((i % 997) as f32 / 64.0, (i % 1009) as f32 / 32.0 - 15.0));
    let pairs: Vec<(f64, f64)> = anywhere.chain(near).map(|(x, y)| (x.into(), y.into())).collect();
    let operands = [pairs.iter().map(|p| p.0).collect::<Vec<_>>(), pairs.iter().map(|p| p.1).collect()];
    type Function = (&'static str, fn(f64, f64) -> f64);
    let functions: [Function; 2] = [("pow", libm::pow), ("atan2", libm::atan2)];
    for (op, oracle) in functions {
        for isa in available() {
            for (got, (x, y)) in apply(op, &operands, DType::F32, isa).iter().zip(&pairs) {
                let want = oracle(*x, *y);
                let near = f64::from(want as f32);
                let error = ulps(*got, want, 0.0, 24, -126);
                assert!(
                    same(*got, near) || (error <= 2.0 && !(*got == 0.0 && near == 0.0)),
                    "{op}({x:e}, {y:e}) on {isa}: {got:e}, not {want:e}: {error} units"
                );
            }
        }
    }
}

/// Zeros, infinities, NaN, subnormal numbers, poles and the ends of domains give what the operands' f64 functions give.
#[test]
fn special_values() {
    let operands = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        -3.0,
        5e-324,
        -5e-324,
        1e-310,
        1e-40,
        -1e-45,
        f64::from(f32::MAX),
        f64::from(f32::MIN_POSITIVE),
        f64::MAX,
        f64::MIN,
        1e300,
        -1e300,
        1e-300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -0.5,
        1.5,
        -4503599627370497.5,
    ];
    for (op, oracle) in UNARY {
        for isa in available() {
            for dtype in [DType::F64, DType::F32] {
                let got = apply(op, std::slice::from_ref(&operands), dtype, isa);
                for (got, x) in got.iter().zip(&operands) {
                    let x = if dtype == DType::F32 { f64::from(*x as f32) } else { *x };
                    let want = oracle(x);
                    let near = if dtype == DType::F32 { f64::from(want as f32) } else { want };
                    let (digits, least) = if dtype == DType::F32 { (24, -126) } else { (53, -1022) };
                    // In f64, the functions that are compared with err themselves; the interpreter's series by as much.
                    let bound = match dtype {
                        DType::F32 => 2.0,
                        _ if op.contains("gamma") => 16.0,
                        _ => 3.0,
                    };
                    let close =
                        near.is_finite() && near != 0.0 && ulps(*got, want, 0.0, digits, least) <= bound;
                    assert!(
                        same(*got, near) || close,
                        "{op}({x:e}) of {dtype} on {isa}: {got:e}, not {near:e}"
                    );
                }
            }
        }
    }
}

/// Every pair of special values, as IEEE 754 has them.
#[test]
fn special_pairs() {
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        3.0,
        -3.0,
        0.5,
        -0.5,
        1e18,
        -1e18,
        9007199254740993.0,
        -9007199254740991.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        5e-324,
        -5e-324,
        1e300,
        -1e300,
    ];
    let pairs = || values.iter().flat_map(|x| values.iter().map(move |y| (*x, *y)));
    let operands = [pairs().map(|p| p.0).collect::<Vec<_>>(), pairs().map(|p| p.1).collect()];
    type Function = (&'static str, fn(f64, f64) -> f64);
    let functions: [Function; 3] =
        [("pow", libm::pow), ("atan2", libm::atan2), ("floor_div", |x, y| (x / y).floor())];
    for (op, oracle) in functions {
        for isa in available() {
            for (got, (x, y)) in apply(op, &operands, DType::F64, isa).iter().zip(pairs()) {
                let want = oracle(x, y);
                let close = want.is_finite() && want != 0.0 && ulps(*got, want, 0.0, 53, -1022) <= 3.0;
                assert!(same(*got, want) || close, "{op}({x:e}, {y:e}) on {isa}: {got:e}, not {want:e}");
            }
            // A quotient is rounded before its floor is taken, to f32 or to f64.
            if op == "floor_div" {
                continue;
            }
            for (got, (x, y)) in apply(op, &operands, DType::F32, isa).iter().zip(pairs()) {
                let want = oracle(f64::from(x as f32), f64::from(y as f32));
                let near = f64::from(want as f32);
                let close = near.is_finite() && near != 0.0 && ulps(*got, want, 0.0, 24, -126) <= 2.0;
                assert!(
                    same(*got, near) || close,
                    "{op}({x:e}, {y:e}) of f32 on {isa}: {got:e}, not {want:e}"
                );
            }
        }
    }
}

/// Powers that are numbers are exact.
#[test]
fn exact_powers() {
    let pairs: Vec<(f64, f64)> =
        (2..60).flat_map(|x| (1..4).map(move |y| (f64::from(x), f64::from(y)))).collect();
    let operands = [pairs.iter().map(|p| p.0).collect::<Vec<_>>(), pairs.iter().map(|p| p.1).collect()];
    for isa in available() {
        for (got, (x, y)) in apply("pow", &operands, DType::F64, isa).iter().zip(&pairs) {
            assert_eq!(*got, x.powi(*y as i32), "{x} to the power of {y} on {isa}");
        }
    }
}
