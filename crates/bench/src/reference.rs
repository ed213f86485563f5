//! The float64 reference: the outputs that every stack is held to, by plain loops.

use std::thread;

use crate::cases::{CaseData, LEARNING_RATE, Target};
use crate::protocol::{Case, Mode};

/// Reference outputs of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// Outputs of the last layer, `[batch, dims.last()]`.
    Inference {
        /// Row-major values.
        output: Vec<f64>,
    },
    /// Result of one SGD step from the initial parameters.
    Training {
        /// Loss before the step.
        loss: f64,
        /// Change of each parameter (−learning rate × gradient), in the order of [`CaseData::parameters`].
        updates: Vec<Vec<f64>>,
    },
}

/// Computes the reference of `case` over `data`.
pub fn reference(case: &Case, data: &CaseData) -> Reference {
    let widen = |values: &[f32]| -> Vec<f64> { values.iter().map(|v| f64::from(*v)).collect() };
    let parameters: Vec<Vec<f64>> = data.parameters.iter().map(|p| widen(&p.values)).collect();
    let dims = &case.model.dims;
    let (batch, layers) = (case.batch, case.model.layers());

    // activations[i] is the input of layer i.
    let mut activations = vec![widen(&data.input.values)];
    for layer in 0..layers {
        let (inputs, outputs) = (dims[layer], dims[layer + 1]);
        let weight = transpose(&parameters[2 * layer], outputs, inputs);
        let mut y = matmul(&activations[layer], &weight, batch, inputs, outputs);
        for row in y.chunks_exact_mut(outputs) {
            for (value, bias) in row.iter_mut().zip(&parameters[2 * layer + 1]) {
                *value += bias;
                if layer + 1 < layers {
                    *value = value.max(0.0);
                }
            }
        }
        activations.push(y);
    }
    let output = activations.pop().expect("the input is always there (invariant)");
    if case.mode == Mode::Inference {
        return Reference::Inference { output };
    }

    let (loss, mut gradient) = match &data.target {
        Target::Values(target) => mse(&output, &widen(&target.values)),
        Target::Labels(labels) => cross_entropy(&output, labels, dims[layers]),
    };
    let mut updates = Vec::with_capacity(2 * layers);
    for layer in (0..layers).rev() {
        let (inputs, outputs) = (dims[layer], dims[layer + 1]);
        let bias: Vec<f64> =
            (0..outputs).map(|o| (0..batch).map(|b| gradient[b * outputs + o]).sum()).collect();
        let weight =
            matmul(&transpose(&gradient, batch, outputs), &activations[layer], outputs, batch, inputs);
        if layer > 0 {
            let mut below = matmul(&gradient, &parameters[2 * layer], batch, outputs, inputs);
            for (g, activation) in below.iter_mut().zip(&activations[layer]) {
                if *activation <= 0.0 {
                    *g = 0.0;
                }
            }
            gradient = below;
        }
        let scale = |values: Vec<f64>| values.into_iter().map(|g| -LEARNING_RATE * g).collect::<Vec<f64>>();
        updates.push(scale(bias));
        updates.push(scale(weight));
    }
    updates.reverse();
    Reference::Training { loss, updates }
}

/// Mean squared error over all elements and its gradient.
fn mse(output: &[f64], target: &[f64]) -> (f64, Vec<f64>) {
    let n = output.len() as f64;
    let difference: Vec<f64> = output.iter().zip(target).map(|(y, t)| y - t).collect();
    let loss = difference.iter().map(|d| d * d).sum::<f64>() / n;
    (loss, difference.into_iter().map(|d| 2.0 * d / n).collect())
}

/// Mean softmax cross-entropy over the batch and its gradient.
fn cross_entropy(logits: &[f64], labels: &[i64], classes: usize) -> (f64, Vec<f64>) {
    let n = labels.len() as f64;
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, label) in logits.chunks_exact(classes).zip(labels) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        for (class, x) in row.iter().enumerate() {
            let hit = class as i64 == *label;
            if hit {
                loss -= (x - largest - sum.ln()) / n;
            }
            gradient.push(((x - largest).exp() / sum - f64::from(u8::from(hit))) / n);
        }
    }
    (loss, gradient)
}

/// `[rows, columns]` → `[columns, rows]`.
fn transpose(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut out = vec![0.0; a.len()];
    for row in 0..rows {
        for column in 0..columns {
            out[column * rows + row] = a[row * columns + column];
        }
    }
    out
}

/// `[m, k] × [k, n]` → `[m, n]`, split over rows on all cores.
fn matmul(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    if out.is_empty() || k == 0 {
        return out;
    }
    let workers = thread::available_parallelism().map_or(1, usize::from).min(m);
    let rows = m.div_ceil(workers);
    thread::scope(|scope| {
        for (a, out) in a.chunks(rows * k).zip(out.chunks_mut(rows * n)) {
            scope.spawn(move || matmul_rows(a, b, out, k, n));
        }
    });
    out
}

/// Blocks of `b` that stay in a core's L2 cache are swept by every row before the next one is touched.
fn matmul_rows(a: &[f64], b: &[f64], out: &mut [f64], k: usize, n: usize) {
    const INNER_BLOCK: usize = 64;
    for start in (0..k).step_by(INNER_BLOCK) {
        let end = (start + INNER_BLOCK).min(k);
        for (a_row, out_row) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
            for inner in start..end {
                let factor = a_row[inner];
                for (sum, value) in out_row.iter_mut().zip(&b[inner * n..(inner + 1) * n]) {
                    *sum += factor * value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{DType, Loss, Model};

    fn loss_at(case: &Case, data: &CaseData) -> f64 {
        match reference(case, data) {
            Reference::Training { loss, .. } => loss,
            Reference::Inference { .. } => unreachable!("a training case"),
        }
    }

    /// The updates agree with central differences of the loss in every parameter.
    #[test]
    fn updates_are_the_finite_differences_of_the_loss() {
        for loss in [Loss::Mse, Loss::CrossEntropy] {
            let case = Case {
                model: Model::new("tiny", &[5, 7, 3], loss),
                batch: 4,
                mode: Mode::Training,
                dtype: DType::F32,
                threads: 1,
                seed: 3,
            };
            let data = CaseData::generate(&case);
            let Reference::Training { updates, .. } = reference(&case, &data) else {
                panic!("a training case")
            };
            for (index, update) in updates.iter().enumerate() {
                for element in 0..update.len() {
                    // A step that f32 parameters represent exactly enough.
                    let step = |delta: f32| {
                        let mut moved = data.clone();
                        let value = &mut moved.parameters[index].values[element];
                        *value += delta;
                        (f64::from(*value), loss_at(&case, &moved))
                    };
                    let ((up, loss_up), (down, loss_down)) = (step(1e-3), step(-1e-3));
                    let expected = -LEARNING_RATE * (loss_up - loss_down) / (up - down);
                    assert!(
                        (update[element] - expected).abs() <= 1e-7 + 1e-3 * expected.abs(),
                        "{loss:?} parameter {index}[{element}]: {} against {expected}",
                        update[element]
                    );
                }
            }
        }
    }
}
