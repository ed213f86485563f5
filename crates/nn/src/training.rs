//! The training step: forward, backward and update as one program.

use crate::optim::{LearningRate, Optimizer, Scalars};
use crate::trace::{add_inputs, check_input_names, finish};
use crate::{Init, Mode, Model, ModelError, Scope, Traced};
use std::sync::Arc;
use wootz_ir::{Builder, DType, Graph, Input, Output, Role, Site, TensorType, TypeError, Value};

/// A model, a loss and an optimizer: what one training step is made of.
#[derive(Clone, Debug)]
pub struct Training {
    model: Model,
    loss: Model,
    optimizer: Optimizer,
    metrics: Vec<Model>,
    model_outputs: bool,
    clip_norm: Option<f64>,
}

/// A training step of `model`. The loss is given the model's outputs, in order, and then inputs by its own names for them:
/// `y`, or one of the model's inputs. Its first output must be a scalar.
///
/// ```
/// use wootz_ir::{DType, TensorType};
/// use wootz_nn::{adamw, cross_entropy, mlp, training};
///
/// let step = training(mlp(&[784, 128, 10]), cross_entropy(), adamw(1e-3));
/// let x = TensorType::new(DType::F32, [32usize, 784]);
/// let traced = step.trace(&[("x", x), ("y", TensorType::new(DType::I64, [32usize]))])?;
/// let weight = traced.graph.input("0.weight").unwrap();
/// let updated = traced.graph.output("0.weight").unwrap();
/// assert_eq!(traced.graph.outputs[updated].alias, Some(weight));
/// # Ok::<(), wootz_nn::ModelError>(())
/// ```
pub fn training(
    model: impl Into<Model>,
    loss: impl Into<Model>,
    optimizer: impl Into<Optimizer>,
) -> Training {
    Training {
        model: model.into(),
        loss: loss.into(),
        optimizer: optimizer.into(),
        metrics: Vec::new(),
        model_outputs: false,
        clip_norm: None,
    }
}

impl Training {
    /// Also gives the model's outputs, as they were before the update.
    #[must_use]
    pub fn with_model_outputs(self) -> Training {
        Training { model_outputs: true, ..self }
    }

    /// Also gives a metric, which has the same inputs as the loss.
    #[must_use]
    pub fn metric(mut self, metric: impl Into<Model>) -> Training {
        self.metrics.push(metric.into());
        self
    }

    /// Scales all gradients down together so that their joint L2 norm is at most `norm`, as PyTorch's `clip_grad_norm_`.
    #[must_use]
    pub fn clip_norm(self, norm: f64) -> Training {
        Training { clip_norm: Some(norm), ..self }
    }

    /// Traces the step.
    ///
    /// Inputs: the model's, the loss's own, `lr` if it is an input; parameters; state: `optimizer.step` (i64, the
    /// number of steps done), what the model keeps, `lr` if it is a state, then `optimizer.<moment>.<parameter>`.
    /// Outputs: the loss, metrics and the model's outputs on request, then every parameter and state that the step changes, each named as its input and aliasing it.
    /// State that a step only reads (`rng.key`, `lr`) is no output.
    pub fn trace(&self, inputs: &[(&str, TensorType)]) -> Result<Traced, ModelError> {
        let (forward, params) = self.judged(inputs)?;
        let gradient = wootz_transform::grad(&forward.graph, 0, &params)?;
        let graph = self.with_updates(&forward.graph, &gradient, &params)?;
        Ok(Traced { graph, ..forward })
    }

    /// Traces the step without its derivatives, for whoever takes those: the forward pass, and the update with the gradients
    /// as further inputs.
    pub fn trace_apart(&self, inputs: &[(&str, TensorType)]) -> Result<Apart, ModelError> {
        let (Traced { graph: forward, .. }, params) = self.judged(inputs)?;
        let mut b = Builder::new();
        forward.body.param_types().iter().for_each(|ty| {
            b.param(ty.clone());
        });
        let gradients: Vec<Value> = params.iter().map(|i| b.param(forward.input_type(*i).clone())).collect();
        let inputs =
            params.iter().map(|i| Input { name: gradient_of(&forward, *i).into(), role: Role::Input });
        let all = Graph {
            inputs: forward.inputs.iter().cloned().chain(inputs).collect(),
            outputs: Vec::new(),
            body: Arc::new(b.finish(&gradients)),
        };
        let silent = Graph { outputs: Vec::new(), ..forward.clone() };
        let update = self.with_updates(&silent, &all, &params)?;
        let update = Graph { inputs: all.inputs, ..update };
        let gradients =
            params.iter().map(|i| (forward.inputs[*i].name.to_string(), gradient_of(&forward, *i)));
        Ok(Apart { gradients: gradients.collect(), forward, update })
    }

    /// The forward pass, whose first output is a loss, and the positions of the parameters.
    fn judged(&self, inputs: &[(&str, TensorType)]) -> Result<(Traced, Vec<usize>), ModelError> {
        let forward = self.forward(inputs)?;
        let params: Vec<usize> = (0..forward.graph.inputs.len())
            .filter(|i| forward.graph.inputs[*i].role == Role::Param)
            .collect();
        let loss = forward.graph.output_type(0);
        if loss.rank() != 0 || !loss.dtype.is_float() {
            return Err(ModelError::Loss { name: self.loss.kind().to_owned(), ty: loss.clone().into() });
        }
        Ok((forward, params))
    }

    /// The forward pass, with every input that the whole step has.
    fn forward(&self, types: &[(&str, TensorType)]) -> Result<Traced, ModelError> {
        let mut scope = Scope::new(Mode::Training);
        let own = self.model.inputs();
        let targets: Vec<String> = self.loss.inputs().into_iter().skip(self.model.outputs().len()).collect();
        let mut names = own.clone();
        names.extend(targets.iter().filter(|t| !own.contains(t)).cloned());
        if self.optimizer.lr() == LearningRate::Input {
            names.push(LR.to_owned());
        }
        check_input_names(&names, types)?;
        let inputs = add_inputs(&mut scope, &names, types)?;
        let counter = TensorType::scalar(DType::I64);
        let step = scope.slot(STEP, Role::State, &counter, Some(Init::Zeros))?;
        let step = scope.slots[step].value;
        scope.count_steps_with(step);

        let targets = targets.iter().filter_map(|t| names.iter().position(|n| n == t)).map(|i| inputs[i]);
        let targets: Vec<Value> = targets.collect();
        let outputs = scope.call_root(&self.model, &inputs[..own.len()])?;
        let judged = |judge: &Model| {
            let wanted = judge.inputs().len();
            outputs.iter().chain(&targets).copied().take(wanted).collect::<Vec<Value>>()
        };
        let mut results = vec![("loss".to_owned(), scope.call("loss", &self.loss, &judged(&self.loss))?[0])];
        for metric in &self.metrics {
            let values = scope.call("metric", metric, &judged(metric))?;
            results.extend(metric.outputs().into_iter().zip(values));
        }
        if self.model_outputs {
            results.extend(self.model.outputs().into_iter().zip(outputs.iter().copied()));
        }
        self.add_optimizer_state(&mut scope)?;
        finish(scope, results)
    }

    fn add_optimizer_state(&self, scope: &mut Scope) -> Result<(), ModelError> {
        let params: Vec<_> = scope.slots.iter().filter(|s| s.role == Role::Param).cloned().collect();
        if let LearningRate::State(lr) = self.optimizer.lr() {
            let wide = params.iter().any(|p| scope.ty(p.value).dtype == DType::F64);
            let ty = TensorType::scalar(if wide { DType::F64 } else { DType::F32 });
            scope.slot(LR, Role::State, &ty, Some(Init::Constant(lr)))?;
        }
        for state in self.optimizer.states() {
            for param in &params {
                let ty = scope.ty(param.value);
                scope.slot(&moment(state, &param.name), Role::State, &ty, Some(Init::Zeros))?;
            }
        }
        Ok(())
    }

    /// The gradient's graph, its gradients replaced by updated parameters and states.
    fn with_updates(&self, forward: &Graph, gradient: &Graph, params: &[usize]) -> Result<Graph, ModelError> {
        let mut b = Builder::new();
        let args: Vec<Value> = gradient.body.param_types().iter().map(|t| b.param(t.clone())).collect();
        let results = b.inline(&gradient.body, &args)?;
        let (kept, gradients) = results.split_at(forward.outputs.len());
        let (mut results, mut outputs) = (kept.to_vec(), forward.outputs.clone());
        let mut update = |input: usize, value: Value| {
            results.push(value);
            outputs.push(Output { name: forward.inputs[input].name.clone(), alias: Some(input) });
        };
        let input = |name: &str| forward.input(name).expect("`forward` added every input the step has");

        b.set_site(Site::new("optimizer"));
        let gradients = match self.clip_norm {
            Some(norm) => clip(&mut b, gradients, norm)?,
            None => gradients.to_vec(),
        };
        let step = args[input(STEP)];
        let given_lr = forward.input(LR).map(|i| args[i]);
        let mut by_dtype: Vec<(DType, Scalars)> = Vec::new();
        let mut moments: Vec<(usize, Value)> = Vec::new();
        for (param, gradient) in params.iter().zip(gradients) {
            let dtype = forward.input_type(*param).dtype;
            let scalars = match by_dtype.iter().find(|(d, _)| *d == dtype) {
                Some((_, scalars)) => scalars.clone(),
                None => {
                    let lr = match (self.optimizer.lr(), given_lr) {
                        (LearningRate::Constant(lr), _) => b.scalar(dtype.compute(), lr),
                        (_, lr) => lr.expect("`forward` added the learning rate"),
                    };
                    by_dtype.push((dtype, self.optimizer.scalars(&mut b, lr, step, dtype)?));
                    by_dtype[by_dtype.len() - 1].1.clone()
                }
            };
            let name = &forward.inputs[*param].name;
            b.set_site(Site::new(&format!("optimizer.{name}")));
            let states: Vec<usize> =
                self.optimizer.states().iter().map(|state| input(&moment(state, name))).collect();
            let values: Vec<Value> = states.iter().map(|s| args[*s]).collect();
            let (new, new_states) =
                self.optimizer.update(&mut b, &scalars, args[*param], gradient, &values)?;
            update(*param, new);
            moments.extend(states.into_iter().zip(new_states));
        }
        b.set_site(Site::new("optimizer"));
        update(input(STEP), b.add_scalar(step, 1.0)?);
        moments.sort_by_key(|(state, _)| *state);
        moments.into_iter().for_each(|(state, value)| update(state, value));
        let body = Arc::new(b.finish(&results));
        Ok(Graph { inputs: forward.inputs.clone(), outputs, body })
    }
}

/// A training step in two graphs, between which whoever runs them takes derivatives.
#[derive(Clone, Debug)]
pub struct Apart {
    /// Inputs as the step's; outputs: the loss, metrics, the model's outputs on request, state that the model changes.
    pub forward: Graph,
    /// Inputs as the step's and then the gradients; outputs: every parameter and state that the optimizer changes.
    pub update: Graph,
    /// (parameter, name of the input of `update` that is its gradient).
    pub gradients: Vec<(String, String)>,
}

fn gradient_of(forward: &Graph, input: usize) -> String {
    format!("grad.{}", forward.inputs[input].name)
}

/// The state that counts steps, and from which random numbers of a step are derived.
const STEP: &str = "optimizer.step";
const LR: &str = "lr";

fn moment(state: &str, param: &str) -> String {
    format!("optimizer.{state}.{param}")
}

/// Gradients scaled by min(1, norm / (their joint norm + 1e-6)).
fn clip(b: &mut Builder, gradients: &[Value], norm: f64) -> Result<Vec<Value>, TypeError> {
    let wide = gradients.iter().any(|g| b.ty(*g).dtype == DType::F64);
    let dtype = if wide { DType::F64 } else { DType::F32 };
    let mut total = None;
    for gradient in gradients {
        let gradient = b.cast(*gradient, dtype)?;
        let square = b.mul(gradient, gradient)?;
        let sum = b.sum_all(square)?;
        total = Some(match total {
            Some(total) => b.add(total, sum)?,
            None => sum,
        });
    }
    let Some(total) = total else { return Ok(Vec::new()) };
    let joint = b.sqrt(total)?;
    let joint = b.add_scalar(joint, 1e-6)?;
    let (norm, one) = (b.scalar(dtype, norm), b.scalar(dtype, 1.0));
    let ratio = b.div(norm, joint)?;
    let scale = b.minimum(ratio, one)?;
    let scaled = gradients.iter().map(|gradient| {
        let scale = b.cast(scale, b.ty(*gradient).dtype)?;
        b.mul(*gradient, scale)
    });
    scaled.collect()
}
