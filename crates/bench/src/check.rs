//! Compares a worker's first outputs with the float64 reference.

use serde::{Deserialize, Serialize};

use crate::cases::CaseData;
use crate::protocol::TensorFile;
use crate::reference::Reference;

/// Largest error of the inference output, relative to the largest magnitude of the reference.
pub const OUTPUT_TOLERANCE: f64 = 2e-5;
/// Largest relative error of the loss.
pub const LOSS_TOLERANCE: f64 = 1e-5;
/// Largest error of a parameter's update in the Euclidean norm, relative to the update's norm. One unit in the last
/// place of each stored parameter is forgiven first: a small update of a large parameter cannot be stored better.
pub const UPDATE_TOLERANCE: f64 = 2e-3;

/// How one quantity compared.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Check {
    /// `output`, `loss`, or the parameter's name.
    pub quantity: String,
    /// The error as the quantity's tolerance defines it.
    pub error: f64,
    /// The tolerance.
    pub tolerance: f64,
}

impl Check {
    /// Whether the error is within the tolerance (NaN is not).
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Compares `outputs` with `reference`. Errors with a sentence if a quantity is absent or malformed, or wrong.
pub fn check(reference: &Reference, data: &CaseData, outputs: &[TensorFile]) -> Result<Vec<Check>, String> {
    let checks = match reference {
        Reference::Inference { output } => {
            let got = read(outputs, "output", output.len())?;
            vec![Check {
                quantity: "output".to_owned(),
                error: max_error(&got, output),
                tolerance: OUTPUT_TOLERANCE,
            }]
        }
        Reference::Training { loss, updates } => {
            let got = read(outputs, "loss", 1)?;
            let mut checks = vec![Check {
                quantity: "loss".to_owned(),
                error: max_error(&got, &[*loss]),
                tolerance: LOSS_TOLERANCE,
            }];
            for (parameter, update) in data.parameters.iter().zip(updates) {
                let got = read(outputs, &parameter.name, update.len())?;
                checks.push(Check {
                    quantity: parameter.name.clone(),
                    error: update_error(&got, &parameter.values, update),
                    tolerance: UPDATE_TOLERANCE,
                });
            }
            checks
        }
    };
    match checks.iter().find(|check| !check.passed()) {
        None => Ok(checks),
        Some(wrong) => Err(format!(
            "wrong result: {} is off by {:.2e}, the tolerance is {:.0e}",
            wrong.quantity, wrong.error, wrong.tolerance
        )),
    }
}

fn read(outputs: &[TensorFile], name: &str, elements: usize) -> Result<Vec<f64>, String> {
    let file = outputs
        .iter()
        .find(|file| file.name == name)
        .ok_or_else(|| format!("the worker wrote no output named {name}"))?;
    if file.elements() != elements {
        return Err(format!("output {name} has shape {:?}, expected {elements} elements", file.shape));
    }
    let values = file.read_f32().map_err(|error| format!("output {name} cannot be read: {error}"))?;
    Ok(values.into_iter().map(f64::from).collect())
}

fn max_error(got: &[f64], want: &[f64]) -> f64 {
    let scale = want.iter().fold(f64::MIN_POSITIVE, |scale, v| scale.max(v.abs()));
    // `f64::max` drops NaN, which would hide the worst result of all.
    got.iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs() / scale)
        .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

fn update_error(got: &[f64], initial: &[f32], update: &[f64]) -> f64 {
    let ulp = f64::from(f32::EPSILON);
    let mut squared = 0.0;
    for ((got, initial), update) in got.iter().zip(initial).zip(update) {
        let want = f64::from(*initial) + update;
        let error = (got - want).abs() - ulp * want.abs();
        squared += if error < 0.0 { 0.0 } else { error * error };
    }
    let norm: f64 = update.iter().map(|u| u * u).sum();
    (squared / norm.max(f64::MIN_POSITIVE)).sqrt()
}
