//! Initial values: distributions, determinism, errors.

// Helpers outside `#[test]` functions fail by panicking too.
#![allow(clippy::unwrap_used)]

use wootz_ir::{DType, HostTensor, TensorType};
use wootz_nn::{Fan, Init, Mode, init, mlp, trace};

const DIMS: [usize; 2] = [300, 200];

fn fill(init: &Init, dtype: DType, site: u32) -> HostTensor {
    init::fill(init, "w", &TensorType::new(dtype, DIMS), 42, site).unwrap()
}

/// Requires values in [low, high), and the first two moments within five standard deviations of what they should be.
/// `kurtosis` is the fourth central moment over the variance squared.
fn check(init: Init, mean: f64, std: f64, kurtosis: f64, low: f64, high: f64) {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let values = fill(&init, dtype, 0).to_f64();
        let n = values.len() as f64;
        // A 16-bit float rounds by up to this share of a value: past a bound, and off a moment.
        let slack = if dtype == DType::BF16 { 1.0 / 256.0 } else { 1.0 / 2048.0 };
        let slack = if dtype.size() == 2 { slack * (mean.abs() + 2.0 * std) } else { 0.0 };
        assert!(values.iter().all(|v| *v >= low - slack && *v <= high + slack), "{init} {dtype}");
        let got = values.iter().sum::<f64>() / n;
        assert!((got - mean).abs() < 5.0 * std / n.sqrt() + slack, "{init} {dtype}: mean {got}, not {mean}");
        let variance = values.iter().map(|v| (v - got) * (v - got)).sum::<f64>() / n;
        let deviation = std * std * ((kurtosis - 1.0) / n).sqrt();
        let error = (variance - std * std).abs();
        assert!(error < 5.0 * deviation + 3.0 * std * slack, "{init} {dtype}: variance {variance}");
    }
}

fn check_uniform(init: Init, low: f64, high: f64) {
    check(init, (low + high) / 2.0, (high - low) / 12f64.sqrt(), 1.8, low, high);
}

fn check_normal(init: Init, mean: f64, std: f64) {
    check(init, mean, std, 3.0, f64::NEG_INFINITY, f64::INFINITY);
}

#[test]
fn distributions_have_their_moments() {
    let (fan_in, fan_out) = (200f64, 300f64);
    check_uniform(Init::Uniform { low: -0.25, high: 0.75 }, -0.25, 0.75);
    check_normal(Init::Normal { mean: 1.0, std: 2.0 }, 1.0, 2.0);
    let bound = (6.0 / fan_in).sqrt();
    check_uniform(Init::kaiming_uniform(0.0), -bound, bound);
    // PyTorch's `kaiming_uniform_(a=√5)` is U(−1/√in, 1/√in).
    check_uniform(Init::kaiming_uniform(5f64.sqrt()), -1.0 / fan_in.sqrt(), 1.0 / fan_in.sqrt());
    check_normal(Init::kaiming_normal(0.0), 0.0, (2.0 / fan_in).sqrt());
    check_normal(Init::KaimingNormal { gain: 1.0, fan: Fan::Out }, 0.0, (1.0 / fan_out).sqrt());
    let bound = (6.0 / (fan_in + fan_out)).sqrt();
    check_uniform(Init::XavierUniform { gain: 1.0 }, -bound, bound);
    check_normal(Init::XavierNormal { gain: 2.0 }, 0.0, 2.0 * (2.0 / (fan_in + fan_out)).sqrt());
}

#[test]
fn constants_are_constant() {
    for dtype in DType::ALL {
        assert!(fill(&Init::Zeros, dtype, 0).to_f64().iter().all(|v| *v == 0.0));
        assert!(fill(&Init::Ones, dtype, 0).to_f64().iter().all(|v| *v == 1.0));
    }
    assert!(fill(&Init::Constant(-1.5), DType::F32, 0).to_f64().iter().all(|v| *v == -1.5));
}

#[test]
fn values_depend_on_seed_and_site_alone() {
    let uniform = Init::Uniform { low: 0.0, high: 1.0 };
    assert_eq!(fill(&uniform, DType::F32, 1), fill(&uniform, DType::F32, 1));
    assert_ne!(fill(&uniform, DType::F32, 1), fill(&uniform, DType::F32, 2));
    let ty = TensorType::new(DType::F32, DIMS);
    assert_ne!(init::fill(&uniform, "w", &ty, 1, 0).unwrap(), init::fill(&uniform, "w", &ty, 2, 0).unwrap());
    // A shorter tensor is a prefix of a longer one, whatever the length of the last vector.
    let long = fill(&uniform, DType::F32, 1);
    for n in [0usize, 1, 31, 32, 33] {
        let short = init::fill(&uniform, "w", &TensorType::new(DType::F32, [n]), 42, 1).unwrap();
        assert_eq!(short.as_slice::<f32>(), &long.as_slice::<f32>()[..n]);
    }
}

#[test]
fn a_model_has_pytorchs_initial_distribution_and_different_layers_differ() {
    let traced =
        trace(&mlp(&[64, 64, 64]), &[("x", TensorType::new(DType::F32, [1usize, 64]))], Mode::Inference)
            .unwrap();
    let values: Vec<HostTensor> = traced.init(0).unwrap().into_iter().flatten().collect();
    assert_eq!(values.len(), 4);
    for value in &values {
        assert!(value.to_f64().iter().all(|v| v.abs() <= 0.125));
        assert!(value.to_f64().iter().any(|v| v.abs() > 0.12), "the values reach their bound 1/√64");
    }
    assert_ne!(values[0], values[2]);
}

#[test]
fn errors_name_the_parameter() {
    let error =
        |init: Init, ty: TensorType| init::fill(&init, "fc.weight", &ty, 0, 0).unwrap_err().to_string();
    assert_eq!(
        error(Init::kaiming_normal(0.0), TensorType::new(DType::F32, [3usize])),
        "`fc.weight` cannot be initialised: kaiming_normal(1.4142135623730951, fan_in) needs a weight of rank 2 or more, it is f32[3]"
    );
    assert_eq!(
        error(Init::Zeros, TensorType::new(DType::F32, ["N"])),
        "`fc.weight` cannot be initialised: its shape [N] is not all numbers"
    );
    assert_eq!(
        error(Init::Uniform { low: 0.0, high: 1.0 }, TensorType::new(DType::I64, [3usize])),
        "`fc.weight` cannot be initialised: uniform(0, 1) gives floats, it is i64[3]"
    );
    assert_eq!(
        error(Init::Value(HostTensor::scalar(DType::F32, 1.0)), TensorType::new(DType::F32, [3usize])),
        "`fc.weight` cannot be initialised: it is f32[3], its initial value f32[]"
    );
}
