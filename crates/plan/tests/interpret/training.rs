//! Training steps, several of them one after another.

use crate::check::{Tolerance, check, optimized};
use wootz_ir::{DType, HostTensor, Role, TensorType};
use wootz_nn::{
    Model, Optimizer, Sequential, Training, adam, adamw, cross_entropy, dropout, linear, mlp, mse, relu, sgd,
    training,
};
use wootz_passes::Optimize;

fn run(step: &Training, inputs: &[(&str, HostTensor)]) {
    let types: Vec<(&str, TensorType)> = inputs.iter().map(|(name, value)| (*name, value.ty())).collect();
    let traced = step.trace(&types).unwrap();
    let given = |name: &str| inputs.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let initial = traced.init(3).unwrap().into_iter().zip(&traced.graph.inputs);
    let args: Vec<HostTensor> = initial.map(|(v, input)| v.unwrap_or_else(|| given(&input.name))).collect();
    for level in [Optimize::None, Optimize::Basic, Optimize::Full] {
        let graph = optimized(&traced.graph, level);
        check(&graph, &args, 3, Tolerance::Order);
        // Inputs that a run does not change, as parameters.
        let mut frozen = graph.clone();
        for (i, input) in frozen.inputs.iter_mut().enumerate() {
            if graph.outputs.iter().all(|o| o.alias != Some(i)) {
                input.role = Role::Param;
            }
        }
        check(&frozen, &args, 3, Tolerance::Order);
    }
}

fn data() -> [(&'static str, HostTensor); 2] {
    let x: Vec<f64> = (0..12).map(|i| (0.7 * f64::from(i)).sin()).collect();
    [
        ("x", HostTensor::from_f64(DType::F64, &[4, 3], &x)),
        ("y", HostTensor::from_i64(DType::I64, &[4], &[0, 2, 1, 2])),
    ]
}

fn optimizers() -> Vec<Optimizer> {
    vec![
        sgd(0.1).into(),
        sgd(0.1).momentum(0.9).into(),
        sgd(0.1).momentum(0.9).nesterov(true).weight_decay(0.01).into(),
        adam(0.01).into(),
        adamw(0.01).weight_decay(0.1).into(),
    ]
}

#[test]
fn classifiers() {
    for optimizer in optimizers() {
        let model = mlp(&[3, 5, 3]).dtype(DType::F64);
        run(&training(model, cross_entropy(), optimizer), &data());
    }
}

#[test]
fn clipped_classifiers_with_dropout() {
    let parts: [Model; 4] = [linear(3, 6), relu(), dropout(0.5), linear(6, 3)];
    for optimizer in optimizers() {
        let model = Model::from(Sequential::new(parts.clone())).dtype(DType::F64);
        run(&training(model, cross_entropy(), optimizer).clip_norm(1.0), &data());
    }
}

#[test]
fn regressions() {
    let [x, _] = data();
    let y = ("y", HostTensor::from_f64(DType::F64, &[4, 1], &[0.5, -1.0, 2.0, 0.0]));
    for optimizer in optimizers() {
        let model = mlp(&[3, 4, 1]).dtype(DType::F64);
        run(&training(model, mse(), optimizer), &[x.clone(), y.clone()]);
    }
}
