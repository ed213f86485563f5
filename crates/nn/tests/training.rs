//! Training steps through the reference interpreter, against hand-written loops in double precision.

// Helpers outside `#[test]` functions fail by panicking too.
#![allow(clippy::unwrap_used)]

use wootz_ir::ops::{Movement, Source};
use wootz_ir::{DType, HostTensor, Op, Role, TensorType, eval, verify};
use wootz_nn::{
    Init, LearningRate, Mode, Model, Optimizer, Reduction, Traced, Training, accuracy, adam, adamw,
    cross_entropy, dropout, function, linear, mlp, mse, nll, sgd, trace, training,
};

/// A traced step with the values of its inputs.
struct Run {
    traced: Traced,
    values: Vec<HostTensor>,
}

impl Run {
    fn new(step: &Training, inputs: &[(&str, HostTensor)]) -> Run {
        let types: Vec<(&str, TensorType)> = inputs.iter().map(|(name, value)| (*name, value.ty())).collect();
        let traced = step.trace(&types).unwrap();
        verify(&traced.graph).unwrap();
        let given = traced.init(7).unwrap().into_iter().zip(&traced.graph.inputs).map(|(value, input)| {
            value.unwrap_or_else(|| inputs.iter().find(|(n, _)| *n == &*input.name).unwrap().1.clone())
        });
        let values = given.collect();
        Run { traced, values }
    }

    /// Runs a step; gives its outputs by name.
    fn step(&mut self) -> Vec<(String, HostTensor)> {
        let graph = &self.traced.graph;
        let results = eval::region(&graph.body, &self.values).unwrap();
        for (output, value) in graph.outputs.iter().zip(&results) {
            if let Some(input) = output.alias {
                self.values[input] = value.clone();
            }
        }
        graph.outputs.iter().map(|o| o.name.to_string()).zip(results).collect()
    }

    fn value(&self, name: &str) -> &HostTensor {
        &self.values[self.traced.graph.input(name).unwrap()]
    }
}

fn f64s(dims: &[usize], values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, dims, values)
}

fn assert_close(got: &[f64], expected: &[f64], relative: f64) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= relative * e.abs().max(1e-3), "{got:?} is not {expected:?}");
    }
}

const START: [f64; 3] = [0.5, -1.0, 2.0];
const X: [f64; 3] = [1.0, -2.0, 0.5];
const Y: [f64; 3] = [0.0, 1.0, -1.0];

/// output = w · x with the parameter w of three elements.
fn scale(dtype: DType) -> Model {
    function("Scale", &["x"], &["output"], move |scope, inputs| {
        let w = scope.param("w", [3usize], Init::Value(HostTensor::from_f64(dtype, &[3], &START)))?;
        Ok(vec![scope.b.mul(w, inputs[0])?])
    })
    .dtype(dtype)
}

/// Runs six steps of an optimizer on a quadratic loss and compares each with `reference(t, w, gradient)`.
fn check_optimizer(optimizer: impl Into<Optimizer>, mut reference: impl FnMut(i32, &mut [f64; 3], [f64; 3])) {
    let optimizer = optimizer.into();
    for (dtype, relative) in [(DType::F64, 1e-13), (DType::F32, 3e-6)] {
        let step = training(scale(dtype), mse(), optimizer.clone());
        let inputs =
            [("x", HostTensor::from_f64(dtype, &[3], &X)), ("y", HostTensor::from_f64(dtype, &[3], &Y))];
        let mut run = Run::new(&step, &inputs);
        let mut w = START;
        for t in 1..=6 {
            let gradient = [0, 1, 2].map(|i| 2.0 * (w[i] * X[i] - Y[i]) * X[i] / 3.0);
            reference(t, &mut w, gradient);
            run.step();
            assert_close(&run.value("w").to_f64(), &w, relative);
        }
        assert_eq!(run.value("optimizer.step").to_i64(), [6]);
    }
}

#[test]
fn sgd_is_pytorchs() {
    check_optimizer(sgd(0.1), |_, w, g| (0..3).for_each(|i| w[i] -= 0.1 * g[i]));
    check_optimizer(sgd(0.1).weight_decay(0.3), |_, w, g| {
        (0..3).for_each(|i| w[i] -= 0.1 * (g[i] + 0.3 * w[i]));
    });
}

#[test]
fn sgd_with_momentum_is_pytorchs() {
    for (dampening, nesterov) in [(0.0, false), (0.0, true), (0.4, false)] {
        let mut v = [0.0; 3];
        check_optimizer(
            sgd(0.1).momentum(0.9).dampening(dampening).nesterov(nesterov).weight_decay(0.01),
            |t, w, g| {
                for i in 0..3 {
                    let g = g[i] + 0.01 * w[i];
                    v[i] = if t == 1 { g } else { 0.9 * v[i] + (1.0 - dampening) * g };
                    w[i] -= 0.1 * if nesterov { g + 0.9 * v[i] } else { v[i] };
                }
            },
        );
    }
}

#[test]
fn adam_and_adamw_are_pytorchs() {
    for decoupled in [false, true] {
        let decay = 0.02;
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        let optimizer = if decoupled { adamw(0.05) } else { adam(0.05) };
        check_optimizer(optimizer.betas(0.8, 0.99).weight_decay(decay), |t, w, g| {
            if t == 1 {
                (m, v) = ([0.0; 3], [0.0; 3]);
            }
            for i in 0..3 {
                let mut g = g[i];
                if decoupled {
                    w[i] *= 1.0 - 0.05 * decay;
                } else {
                    g += decay * w[i];
                }
                m[i] = 0.8 * m[i] + 0.2 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let (m_hat, v_hat) = (m[i] / (1.0 - 0.8f64.powi(t)), v[i] / (1.0 - 0.99f64.powi(t)));
                w[i] -= 0.05 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        });
    }
}

#[test]
fn defaults_are_pytorchs() {
    let (adam, adamw) = (adam(1e-3), adamw(1e-3));
    assert_eq!((adam.betas, adam.eps, adam.weight_decay), ((0.9, 0.999), 1e-8, 0.0));
    assert_eq!((adamw.betas, adamw.eps, adamw.weight_decay), ((0.9, 0.999), 1e-8, 0.01));
    let sgd = sgd(1e-3);
    assert_eq!((sgd.momentum, sgd.dampening, sgd.nesterov, sgd.weight_decay), (0.0, 0.0, false, 0.0));
}

#[test]
fn the_learning_rate_may_be_a_state_or_an_input() {
    let (x, y) = (("x", f64s(&[3], &X)), ("y", f64s(&[3], &Y)));
    let mut constant = Run::new(&training(scale(DType::F64), mse(), adamw(0.25)), &[x.clone(), y.clone()]);
    let state = adamw(LearningRate::State(0.25));
    let mut state = Run::new(&training(scale(DType::F64), mse(), state), &[x.clone(), y.clone()]);
    let input = training(scale(DType::F64), mse(), adamw(LearningRate::Input));
    let mut input = Run::new(&input, &[x, y, ("lr", f64s(&[], &[0.25]))]);
    for _ in 0..3 {
        for run in [&mut constant, &mut state, &mut input] {
            run.step();
        }
    }
    assert_eq!(state.value("w"), constant.value("w"));
    assert_eq!(input.value("w"), constant.value("w"));
    let graph = &state.traced.graph;
    assert_eq!(graph.inputs[graph.input("lr").unwrap()].role, Role::State);
    assert_eq!(graph.output("lr"), None, "a step does not change the learning rate");
}

#[test]
fn gradients_are_clipped_by_their_joint_norm() {
    let gradient: Vec<f64> = (0..3).map(|i| 2.0 * (START[i] * X[i] - Y[i]) * X[i] / 3.0).collect();
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    for limit in [norm / 2.0, norm * 2.0] {
        let step = training(scale(DType::F64), mse(), sgd(1.0)).clip_norm(limit);
        let mut run = Run::new(&step, &[("x", f64s(&[3], &X)), ("y", f64s(&[3], &Y))]);
        run.step();
        let factor = (limit / (norm + 1e-6)).min(1.0);
        let expected: Vec<f64> = (0..3).map(|i| START[i] - factor * gradient[i]).collect();
        assert_close(&run.value("w").to_f64(), &expected, 1e-12);
    }
}

/// Mean cross-entropy of logits and its gradient.
fn naive_cross_entropy(logits: &[[f64; 3]], labels: &[usize], weights: [f64; 3]) -> (f64, Vec<[f64; 3]>) {
    let total: f64 = labels.iter().map(|l| weights[*l]).sum();
    let mut loss = 0.0;
    let gradient = logits.iter().zip(labels).map(|(row, label)| {
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        loss -= weights[*label] * (row[*label].exp() / sum).ln() / total;
        let one = |j| if j == *label { 1.0 } else { 0.0 };
        [0, 1, 2].map(|j| weights[*label] * (row[j].exp() / sum - one(j)) / total)
    });
    let gradient = gradient.collect();
    (loss, gradient)
}

#[test]
fn an_mlp_step_is_backpropagation() {
    let (inputs, hidden, classes, batch) = (4, 5, 3, 6);
    let weights = [1.0, 2.5, 0.5];
    let x: Vec<f64> = (0..batch * inputs).map(|i| ((i * 37 % 23) as f64 - 11.0) / 7.0).collect();
    let labels = [0usize, 2, 1, 1, 0, 2];
    let y = HostTensor::from_i64(DType::I64, &[batch], &labels.map(|l| l as i64));
    let model = mlp(&[inputs, hidden, classes]).dtype(DType::F64);
    let step = training(model, cross_entropy().class_weights(&weights), sgd(0.5))
        .metric(accuracy())
        .with_model_outputs();
    let mut run = Run::new(&step, &[("x", f64s(&[batch, inputs], &x)), ("y", y)]);
    let get = |run: &Run, name: &str| run.value(name).to_f64();
    let (mut w1, mut b1) = (get(&run, "0.weight"), get(&run, "0.bias"));
    let (mut w2, mut b2) = (get(&run, "2.weight"), get(&run, "2.bias"));
    for _ in 0..4 {
        let mut z1 = vec![0.0; batch * hidden];
        let mut logits = vec![[0.0; 3]; batch];
        for n in 0..batch {
            for h in 0..hidden {
                let dot: f64 = (0..inputs).map(|i| x[n * inputs + i] * w1[h * inputs + i]).sum();
                z1[n * hidden + h] = dot + b1[h];
            }
            for c in 0..classes {
                let dot: f64 = (0..hidden).map(|h| z1[n * hidden + h].max(0.0) * w2[c * hidden + h]).sum();
                logits[n][c] = dot + b2[c];
            }
        }
        let (loss, gradient) = naive_cross_entropy(&logits, &labels, weights);
        let best = |row: &[f64; 3]| (0..3).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        let right = logits.iter().zip(&labels).filter(|(row, label)| best(row) == **label).count();
        let old_w2 = w2.clone();
        for n in 0..batch {
            for c in 0..classes {
                b2[c] -= 0.5 * gradient[n][c];
                for h in 0..hidden {
                    w2[c * hidden + h] -= 0.5 * gradient[n][c] * z1[n * hidden + h].max(0.0);
                }
            }
            for h in (0..hidden).filter(|h| z1[n * hidden + h] > 0.0) {
                let g: f64 = (0..classes).map(|c| gradient[n][c] * old_w2[c * hidden + h]).sum();
                b1[h] -= 0.5 * g;
                (0..inputs).for_each(|i| w1[h * inputs + i] -= 0.5 * g * x[n * inputs + i]);
            }
        }
        let outputs = run.step();
        let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["loss", "accuracy", "logits"]);
        assert_close(&outputs[0].1.to_f64(), &[loss], 1e-12);
        assert_close(&outputs[1].1.to_f64(), &[right as f64 / batch as f64], 1e-7);
        assert_close(&outputs[2].1.to_f64(), &logits.concat(), 1e-12);
        for (name, expected) in [("0.weight", &w1), ("0.bias", &b1), ("2.weight", &w2), ("2.bias", &b2)] {
            assert_close(&get(&run, name), expected, 1e-11);
        }
    }
}

#[test]
fn losses_are_their_formulas() {
    let logits = [[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]];
    let labels = [2usize, 1];
    let probabilities = logits.map(|row| {
        let sum: f64 = row.iter().map(|z: &f64| z.exp()).sum();
        row.map(|z| z.exp() / sum)
    });
    let each: Vec<f64> = (0..2).map(|n| -probabilities[n][labels[n]].ln()).collect();
    let check = |loss: Model, scores: &[[f64; 3]], expected: &[f64]| {
        let (x, y) = (
            f64s(&[2, 3], &scores.concat()),
            HostTensor::from_i64(DType::I64, &[2], &labels.map(|l| l as i64)),
        );
        let traced = trace(&loss, &[("output", x.ty()), ("y", y.ty())], Mode::Inference).unwrap();
        assert_close(&eval::region(&traced.graph.body, &[x, y]).unwrap()[0].to_f64(), expected, 1e-14);
    };
    let logs = probabilities.map(|row| row.map(f64::ln));
    let sum = each[0] + each[1];
    check(cross_entropy().into(), &logits, &[sum / 2.0]);
    check(cross_entropy().reduction(Reduction::Sum).into(), &logits, &[sum]);
    check(cross_entropy().reduction(Reduction::None).into(), &logits, &each);
    check(nll().into(), &logs, &[sum / 2.0]);
    let weights = [1.0, 3.0, 0.5];
    let weighted = (0.5 * each[0] + 3.0 * each[1]) / 3.5;
    check(cross_entropy().class_weights(&weights).into(), &logits, &[weighted]);
    check(nll().class_weights(&weights).into(), &logs, &[weighted]);
    let probability = wootz_nn::ClassLoss::new(wootz_nn::Scores::Probabilities);
    check(probability.into(), &probabilities, &[sum / 2.0]);
}

#[test]
fn dropout_keeps_the_mean_and_changes_with_site_and_step() {
    let n = 4096;
    let model = function("Two", &["x"], &["a", "b"], |scope, inputs| {
        Ok(vec![scope.apply("a", dropout(0.25), inputs[0])?, scope.apply("b", dropout(0.25), inputs[0])?])
    });
    let ones = HostTensor::from_f64(DType::F32, &[n], &vec![1.0; n]);
    let traced = trace(&model, &[("x", ones.ty())], Mode::Training).unwrap();
    let mut values: Vec<HostTensor> =
        traced.init(3).unwrap().into_iter().map(|v| v.unwrap_or_else(|| ones.clone())).collect();
    let first = eval::region(&traced.graph.body, &values).unwrap();
    let again = eval::region(&traced.graph.body, &values).unwrap();
    assert_eq!(first, again, "the same state gives the same masks");
    values[traced.graph.input("rng.step").unwrap()] = first[traced.graph.output("rng.step").unwrap()].clone();
    let second = eval::region(&traced.graph.body, &values).unwrap();
    let masks = [&first[0], &first[1], &second[0], &second[1]].map(HostTensor::to_f64);
    for (i, mask) in masks.iter().enumerate() {
        assert!(mask.iter().all(|v| *v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        // The mean of n draws has standard deviation √(rate / (1 − rate) / n); five of them.
        let mean = mask.iter().sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 5.0 * (1.0 / 3.0 / n as f64).sqrt(), "{mean}");
        for other in &masks[..i] {
            let equal = mask.iter().zip(other).filter(|(a, b)| a == b).count() as f64 / n as f64;
            // Independent masks agree with probability 0.75² + 0.25².
            assert!((equal - 0.625).abs() < 5.0 * (0.625 * 0.375 / n as f64).sqrt(), "{equal}");
        }
    }
}

#[test]
fn a_step_with_dropout_counts_with_the_optimizer() {
    let model: Model = linear(4, 8).then(dropout(0.5)).then(linear(8, 2)).into();
    let x = HostTensor::from_f64(DType::F32, &[2, 4], &[1.0; 8]);
    let y = HostTensor::from_i64(DType::I64, &[2], &[0, 1]);
    let mut run = Run::new(&training(model, cross_entropy(), sgd(0.0)), &[("x", x), ("y", y)]);
    assert_eq!(run.traced.graph.input("rng.step"), None);
    assert_eq!(run.traced.graph.output("rng.key"), None, "a step does not change the key");
    let losses = [run.step(), run.step()].map(|outputs| outputs[0].1.to_f64()[0]);
    assert_ne!(losses[0], losses[1], "with a learning rate of 0 only the mask changes");
}

#[test]
fn a_loss_may_compare_with_the_models_input() {
    let reconstruction = function("Reconstruction", &["output", "x"], &["loss"], |scope, inputs| {
        let difference = scope.b.sub(inputs[0], inputs[1])?;
        let square = scope.b.mul(difference, difference)?;
        Ok(vec![scope.b.sum_all(square)?])
    });
    let mut run = Run::new(&training(scale(DType::F64), reconstruction, sgd(0.1)), &[("x", f64s(&[3], &X))]);
    let expected: f64 = (0..3).map(|i| ((START[i] - 1.0) * X[i]).powi(2)).sum();
    assert_close(&run.step()[0].1.to_f64(), &[expected], 1e-14);
}

#[test]
fn the_signature_is_in_order() {
    let step = training(mlp(&[2, 3, 2]), cross_entropy(), adamw(LearningRate::State(0.1)));
    let x = TensorType::new(DType::F32, ["B".into(), wootz_ir::Dim::from(2)]);
    let traced = step.trace(&[("x", x), ("y", TensorType::new(DType::I64, ["B"]))]).unwrap();
    verify(&traced.graph).unwrap();
    let graph = &traced.graph;
    let params = ["0.weight", "0.bias", "2.weight", "2.bias"];
    let moments = ["exp_avg", "exp_avg_sq"].map(|m| params.map(|p| format!("optimizer.{m}.{p}"))).concat();
    let moments = moments.iter().map(String::as_str);
    let names: Vec<&str> = graph.inputs.iter().map(|i| &*i.name).collect();
    let expected =
        ["x", "y"].into_iter().chain(params).chain(["optimizer.step", "lr"]).chain(moments.clone());
    assert_eq!(names, expected.collect::<Vec<_>>());
    let outputs: Vec<&str> = graph.outputs.iter().map(|o| &*o.name).collect();
    let expected = ["loss"].into_iter().chain(params).chain(["optimizer.step"]).chain(moments);
    assert_eq!(outputs, expected.collect::<Vec<_>>());
    for output in &graph.outputs[1..] {
        assert_eq!(graph.inputs[output.alias.unwrap()].name, output.name);
    }
    assert_eq!(graph.input_type(0).to_string(), "f32[B, 2]");
}

#[test]
fn updates_are_elementwise() {
    let types = [
        ("x", TensorType::new(DType::F32, ["B".into(), wootz_ir::Dim::from(2)])),
        ("y", TensorType::new(DType::I64, ["B"])),
    ];
    let optimizers: [Optimizer; 3] =
        [sgd(0.1).momentum(0.9).nesterov(true).into(), adam(0.1).weight_decay(0.1).into(), adamw(0.1).into()];
    for optimizer in optimizers {
        let traced = training(mlp(&[2, 3, 2]), cross_entropy(), optimizer).trace(&types).unwrap();
        let nodes = traced.graph.body.nodes().iter();
        let updates: Vec<_> = nodes.filter(|n| n.site.path().starts_with("optimizer.")).collect();
        assert!(!updates.is_empty());
        for node in updates {
            let broadcast_scalar = match &node.op {
                Op::Movement(Movement::Broadcast { axes, .. }) => axes.is_empty(),
                Op::Source(Source::Constant(value)) => value.dims().is_empty(),
                _ => false,
            };
            let elementwise = matches!(node.op, Op::Unary(_) | Op::Binary(_));
            assert!(elementwise || broadcast_scalar, "{:?}", node.op);
        }
    }
}

#[test]
fn inference_and_training_start_from_the_same_parameters() {
    let x = TensorType::new(DType::F32, [1usize, 5]);
    let y = TensorType::new(DType::I64, [1usize]);
    let model = mlp(&[5, 4, 3]);
    let inference = trace(&model, &[("x", x.clone())], Mode::Inference).unwrap();
    let step = training(&model, cross_entropy(), adamw(0.1)).trace(&[("x", x), ("y", y)]).unwrap();
    let (a, b) = (inference.init(11).unwrap(), step.init(11).unwrap());
    for name in ["0.weight", "0.bias", "2.weight", "2.bias"] {
        assert_eq!(a[inference.graph.input(name).unwrap()], b[step.graph.input(name).unwrap()]);
    }
}

#[test]
fn errors_say_what_to_do() {
    let x = TensorType::new(DType::F32, [2usize, 5]);
    let y = TensorType::new(DType::I64, [2usize]);
    let none = training(mlp(&[5, 3]), cross_entropy().reduction(Reduction::None), sgd(0.1));
    assert_eq!(
        none.trace(&[("x", x.clone()), ("y", y.clone())]).unwrap_err().to_string(),
        "CrossEntropyLoss gives f32[2], but a loss to train on must be a floating-point scalar; reduce it by its mean or sum"
    );
    let step = training(mlp(&[5, 3]), cross_entropy(), sgd(0.1));
    assert_eq!(step.trace(&[("x", x.clone())]).unwrap_err().to_string(), "input `y` was given no type");
    let float = TensorType::new(DType::F32, [2usize]);
    assert_eq!(
        step.trace(&[("x", x), ("y", float)]).unwrap_err().to_string(),
        "cross_entropy(f32[2, 3], f32[2]): operand 1 must be i64, i32 or u32 (class labels) (at loss)"
    );
}
