//! Models, losses and optimizers.

use crate::array::to_host;
use crate::error::{Kind, OrRaise, guarded, stash};
use crate::graph::Graph;
use crate::program::Definition;
use crate::trace::{Trace, Value};
use crate::types::{DType, Spec};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString, PyTuple};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use wootz_ir::{Attrs, F64, TensorType};
use wootz_nn::{
    Activation, Adam, Block, ClassLoss, Dropout, Embedding, Flatten, Init, LayerNorm, LearningRate, Linear,
    Mode, ModelError, MseLoss, MultiheadAttention, Reduction, RmsNorm, Scope, Scores, Sequential, Sgd,
    TransformerConfig, TransformerEncoder, TransformerEncoderLayer, WeightDecay,
};

/// A model. Using one object in two places shares its parameters.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Model(pub(crate) wootz_nn::Model);

#[pymethods]
impl Model {
    /// A fully connected layer.
    #[staticmethod]
    fn linear(
        inputs: usize,
        outputs: usize,
        bias: bool,
        weight_init: Option<Bound<'_, PyAny>>,
        bias_init: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Model> {
        let mut layer = Linear { bias, ..Linear::new(inputs, outputs) };
        if let Some(init) = weight_init {
            layer.weight_init = init_from(&init)?;
        }
        if let Some(init) = bias_init {
            layer.bias_init = init_from(&init)?;
        }
        Ok(Model(layer.into()))
    }

    /// The activation of this name; `axis` for (log-)softmax, `slope` for leaky ReLU.
    #[staticmethod]
    fn activation(name: &str, axis: isize, slope: f64) -> PyResult<Model> {
        Ok(Model(activation_from(name, axis, slope)?.into()))
    }

    /// Dropout.
    #[staticmethod]
    fn dropout(rate: f64) -> Model {
        Model(Dropout { rate: F64(rate) }.into())
    }

    /// Makes the axes from `start` to `end` one.
    #[staticmethod]
    fn flatten(start: isize, end: isize) -> Model {
        Model(Flatten { start, end }.into())
    }

    /// Gives its input.
    #[staticmethod]
    fn identity() -> Model {
        Model(wootz_nn::identity())
    }

    /// Blocks one after another; `output` names the output.
    #[staticmethod]
    fn sequential(blocks: Vec<Bound<'_, Model>>, output: Option<&str>) -> Model {
        let chain = Sequential::new(blocks.iter().map(|b| b.get().0.clone()));
        Model(match output {
            Some(name) => chain.output(name).into(),
            None => chain.into(),
        })
    }

    /// A multi-layer perceptron.
    #[staticmethod]
    fn mlp(sizes: Vec<usize>) -> Model {
        Model(wootz_nn::mlp(&sizes))
    }

    /// Normalisation over last axes of these sizes.
    #[staticmethod]
    fn layer_norm(sizes: Vec<usize>, eps: f64, weight: bool, bias: bool) -> Model {
        Model(LayerNorm { sizes, eps, weight, bias }.into())
    }

    /// Division by the root mean square over last axes of these sizes.
    #[staticmethod]
    fn rms_norm(sizes: Vec<usize>, eps: Option<f64>, weight: bool) -> Model {
        Model(RmsNorm { sizes, eps, weight }.into())
    }

    /// A table of vectors, and the linear layer that shares it.
    #[staticmethod]
    fn tied_embedding(
        rows: usize,
        width: usize,
        padding: Option<usize>,
        weight_init: Option<Bound<'_, PyAny>>,
    ) -> PyResult<(Model, Model)> {
        let mut table = Embedding { padding, ..Embedding::new(rows, width) };
        if let Some(init) = weight_init {
            table.weight_init = init_from(&init)?;
        }
        let (embedding, head) = wootz_nn::tied_embedding(table);
        Ok((Model(embedding), Model(head)))
    }

    /// Learnt vectors of positions, added.
    #[staticmethod]
    fn positional_embedding(positions: usize, width: usize) -> Model {
        Model(wootz_nn::positional_embedding(positions, width))
    }

    /// Attention with several heads.
    #[staticmethod]
    fn multihead_attention(
        width: usize,
        heads: usize,
        dropout: f64,
        bias: bool,
        causal: bool,
        cross: bool,
        mask: bool,
    ) -> Model {
        Model(MultiheadAttention { width, heads, dropout, bias, causal, cross, mask }.into())
    }

    /// A loss of class scores: `scores` is `logits`, `log_probabilities` or `probabilities`.
    #[staticmethod]
    fn class_loss(scores: &str, reduction: &str, class_weights: Option<Vec<f64>>) -> PyResult<Model> {
        let scores = match scores {
            "logits" => Scores::Logits,
            "log_probabilities" => Scores::LogProbabilities,
            "probabilities" => Scores::Probabilities,
            _ => {
                return Err(Kind::Model.error(format!(
                    "scores must be logits, log_probabilities or probabilities, not {scores}"
                )));
            }
        };
        Ok(Model(ClassLoss { scores, reduction: reduction_from(reduction)?, class_weights }.into()))
    }

    /// The squared error.
    #[staticmethod]
    fn mse(reduction: &str) -> PyResult<Model> {
        Ok(Model(MseLoss { reduction: reduction_from(reduction)? }.into()))
    }

    /// The share of examples whose highest score is the label's.
    #[staticmethod]
    fn accuracy() -> Model {
        Model(wootz_nn::accuracy())
    }

    /// A block whose ops `forward(trace, values) -> (output names, values)` adds.
    #[staticmethod]
    fn python(kind: String, inputs: Vec<String>, forward: Py<PyAny>) -> Model {
        let outputs = Mutex::new(vec!["output".to_owned()]);
        Model(PythonBlock { kind, inputs, outputs, forward }.into())
    }

    /// The same model with parameters of another dtype.
    fn with_dtype(&self, dtype: DType) -> Model {
        Model(self.0.clone().dtype(dtype.0))
    }

    /// The kind of block: `Linear`.
    #[getter]
    fn kind(&self) -> String {
        self.0.kind().to_owned()
    }

    /// The names of the inputs.
    #[getter]
    fn inputs(&self) -> Vec<String> {
        self.0.inputs()
    }

    /// The names of the outputs.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.0.outputs()
    }

    /// Traces the model on inputs of these types.
    fn trace(&self, inputs: Vec<(String, Spec)>, training: bool) -> PyResult<Definition> {
        let mode = if training { Mode::Training } else { Mode::Inference };
        guarded(|| Ok(Definition::traced(wootz_nn::trace(&self.0, &named(&inputs), mode).or_raise()?)))
    }
}

fn activation_from(name: &str, axis: isize, slope: f64) -> PyResult<Activation> {
    Ok(match name {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { slope: F64(slope) },
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "softplus" => Activation::Softplus,
        "tanh" => Activation::Tanh,
        "softmax" => Activation::Softmax { axis },
        "log_softmax" => Activation::LogSoftmax { axis },
        _ => return Err(Kind::Model.error(format!("there is no activation `{name}`"))),
    })
}

/// The configuration of a transformer's layer.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct TransformerLayer(TransformerEncoderLayer);

#[pymethods]
impl TransformerLayer {
    #[new]
    fn new(
        width: usize,
        heads: usize,
        feedforward: usize,
        dropout: f64,
        activation: &str,
        eps: f64,
        norm_first: bool,
        bias: bool,
        causal: bool,
    ) -> PyResult<TransformerLayer> {
        let activation = activation_from(activation, 0, 0.0)?;
        let sizes = TransformerEncoderLayer::new(width, heads);
        let layer = TransformerEncoderLayer {
            feedforward,
            dropout,
            activation,
            eps,
            norm_first,
            bias,
            causal,
            ..sizes
        };
        Ok(TransformerLayer(layer))
    }

    /// One layer.
    fn model(&self) -> Model {
        Model(self.0.clone().into())
    }

    /// Layers one after another, then a normalisation (by default where they normalise first).
    fn stack(&self, count: usize, norm: Option<bool>) -> Model {
        Model(TransformerEncoder::new(&self.0, count, norm.unwrap_or(self.0.norm_first)).into())
    }

    /// A decoder-only transformer.
    fn transformer(&self, vocabulary: usize, context: usize, layers: usize, tied: bool) -> Model {
        let config = TransformerConfig { vocabulary, context, layer: self.0.clone(), layers, tied };
        Model(wootz_nn::transformer(&config))
    }
}

fn named(inputs: &[(String, Spec)]) -> Vec<(&str, TensorType)> {
    inputs.iter().map(|(name, spec)| (name.as_str(), spec.0.clone())).collect()
}

fn reduction_from(name: &str) -> PyResult<Reduction> {
    let unknown = || Kind::Model.error(format!("reduction must be none, mean or sum, not {name}"));
    Reduction::from_name(name).ok_or_else(unknown)
}

/// A block written in Python.
struct PythonBlock {
    kind: String,
    inputs: Vec<String>,
    /// What the last call gave: a Python function says so only by returning.
    outputs: Mutex<Vec<String>>,
    forward: Py<PyAny>,
}

impl fmt::Debug for PythonBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.kind)
    }
}

impl Block for PythonBlock {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn inputs(&self) -> Vec<String> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<String> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn call(
        &self,
        scope: &mut Scope,
        inputs: &[wootz_ir::Value],
    ) -> Result<Vec<wootz_ir::Value>, ModelError> {
        Python::attach(|py| {
            Trace::lend(py, scope, |trace| {
                let values = inputs.iter().map(|v| Trace::value(trace, *v)).collect::<PyResult<Vec<_>>>()?;
                let result = self.forward.bind(py).call1((trace, values))?;
                let (names, outputs): (Vec<String>, Vec<Bound<'_, Value>>) = result.extract()?;
                *self.outputs.lock().unwrap_or_else(PoisonError::into_inner) = names;
                Trace::positions(trace, &outputs)
            })
        })
        .map_err(stash)
    }

    fn config(&self) -> Option<Attrs> {
        None
    }
}

/// How parameters are changed by their gradients. `lr` is a number, `"input"`, or `("state", number)`.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Optimizer(wootz_nn::Optimizer);

#[pymethods]
impl Optimizer {
    /// Stochastic gradient descent.
    #[staticmethod]
    fn sgd(
        lr: &Bound<'_, PyAny>,
        momentum: f64,
        dampening: f64,
        nesterov: bool,
        weight_decay: f64,
    ) -> PyResult<Optimizer> {
        Ok(Optimizer(Sgd { lr: learning_rate(lr)?, momentum, dampening, nesterov, weight_decay }.into()))
    }

    /// Adam; AdamW if the weight decay is decoupled.
    #[staticmethod]
    fn adam(
        lr: &Bound<'_, PyAny>,
        betas: (f64, f64),
        eps: f64,
        weight_decay: f64,
        decoupled: bool,
    ) -> PyResult<Optimizer> {
        let decay = if decoupled { WeightDecay::Decoupled } else { WeightDecay::Coupled };
        Ok(Optimizer(Adam { lr: learning_rate(lr)?, betas, eps, weight_decay, decay }.into()))
    }
}

fn learning_rate(lr: &Bound<'_, PyAny>) -> PyResult<LearningRate> {
    if let Ok(number) = lr.extract::<f64>() {
        return Ok(LearningRate::Constant(number));
    }
    if lr.extract::<&str>().is_ok_and(|word| word == "input") {
        return Ok(LearningRate::Input);
    }
    match lr.extract::<(String, f64)>() {
        Ok((word, number)) if word == "state" => Ok(LearningRate::State(number)),
        _ => {
            Err(Kind::Model.error(format!("lr must be a number, \"input\" or (\"state\", number), not {lr}")))
        }
    }
}

/// A training step: model, loss, optimizer.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Training(wootz_nn::Training);

#[pymethods]
impl Training {
    #[new]
    fn new(
        model: &Model,
        loss: &Model,
        optimizer: &Optimizer,
        metrics: Vec<Bound<'_, Model>>,
        outputs: bool,
        clip_norm: Option<f64>,
    ) -> Training {
        let mut training = wootz_nn::training(model.0.clone(), loss.0.clone(), optimizer.0.clone());
        for metric in metrics {
            training = training.metric(metric.get().0.clone());
        }
        if outputs {
            training = training.with_model_outputs();
        }
        Training(match clip_norm {
            Some(norm) => training.clip_norm(norm),
            None => training,
        })
    }

    /// Traces the step on inputs of these types.
    fn trace(&self, inputs: Vec<(String, Spec)>) -> PyResult<Definition> {
        guarded(|| {
            let definition = Definition::traced(self.0.trace(&named(&inputs)).or_raise()?);
            let types = inputs.iter().map(|(name, spec)| (name.clone(), spec.0.clone())).collect();
            Ok(Definition { training: Some((self.0.clone(), types)), ..definition })
        })
    }
}

/// An initializer from Python: a number, an array, a name, or a name with numbers.
pub(crate) fn init_from(init: &Bound<'_, PyAny>) -> PyResult<Init> {
    if init.is_instance_of::<PyFloat>() || init.is_instance_of::<PyInt>() {
        return Ok(Init::Constant(init.extract()?));
    }
    let (name, numbers): (String, Vec<f64>) = if let Ok(name) = init.cast::<PyString>() {
        (name.extract()?, Vec::new())
    } else if let Ok(tuple) = init.cast::<PyTuple>() {
        let numbers = tuple.iter().skip(1).map(|n| n.extract()).collect::<PyResult<_>>()?;
        (tuple.get_item(0)?.extract()?, numbers)
    } else {
        return Ok(Init::Value(to_host(init, "an initial value")?));
    };
    Ok(match (name.as_str(), &numbers[..]) {
        ("zeros", []) => Init::Zeros,
        ("ones", []) => Init::Ones,
        ("key", []) => Init::Key,
        ("uniform", [low, high]) => Init::Uniform { low: *low, high: *high },
        ("normal", [mean, std]) => Init::Normal { mean: *mean, std: *std },
        ("kaiming_uniform", [slope]) => Init::kaiming_uniform(*slope),
        ("kaiming_normal", [slope]) => Init::kaiming_normal(*slope),
        ("xavier_uniform", [gain]) => Init::XavierUniform { gain: *gain },
        ("xavier_normal", [gain]) => Init::XavierNormal { gain: *gain },
        _ => return Err(Kind::Model.error(format!("{init} is not an initializer; see wootz.nn.init"))),
    })
}

impl Definition {
    fn traced(traced: wootz_nn::Traced) -> Definition {
        let summary = Some(traced.summary.to_string());
        let graph = Graph::new(traced.graph.clone());
        Definition { inner: traced.into(), graph, summary, training: None }
    }
}
