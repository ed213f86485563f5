//! Initial values of parameters and state.

mod random;

use crate::ModelError;
use std::fmt;
use wootz_ir::{DType, Graph, HostTensor, Role, TensorType};

/// How a parameter or a state gets its first value.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// 0.
    Zeros,
    /// 1.
    Ones,
    /// One value everywhere.
    Constant(f64),
    /// Uniform in [low, high), up to rounding.
    Uniform {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// Normal with this mean and standard deviation.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// U(−b, b) with b = gain · √(3 / fan) (He et al., "Delving deep into rectifiers", ICCV 2015).
    KaimingUniform {
        /// √(2 / (1 + a²)) for a leaky ReLU of slope a.
        gain: f64,
        /// Which fan.
        fan: Fan,
    },
    /// N(0, gain² / fan) (He et al. 2015).
    KaimingNormal {
        /// √(2 / (1 + a²)) for a leaky ReLU of slope a.
        gain: f64,
        /// Which fan.
        fan: Fan,
    },
    /// U(−b, b) with b = gain · √(6 / (fan in + fan out)) (Glorot and Bengio, AISTATS 2010).
    XavierUniform {
        /// 1 for linear layers.
        gain: f64,
    },
    /// N(0, gain² · 2 / (fan in + fan out)) (Glorot and Bengio 2010).
    XavierNormal {
        /// 1 for linear layers.
        gain: f64,
    },
    /// These values.
    Value(HostTensor),
    /// The key of a random number generator, made of the seed: `u32[2]`.
    Key,
}

/// Which of a weight's connections an initializer counts. A weight is `[out, in, ..kernel]`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fan {
    /// in · kernel: keeps the variance of activations.
    In,
    /// out · kernel: keeps the variance of gradients.
    Out,
}

impl Init {
    /// PyTorch's `kaiming_uniform_` for weights before a (leaky) ReLU of slope `a`.
    pub fn kaiming_uniform(a: f64) -> Init {
        Init::KaimingUniform { gain: relu_gain(a), fan: Fan::In }
    }

    /// PyTorch's `kaiming_normal_` for weights before a (leaky) ReLU of slope `a`.
    pub fn kaiming_normal(a: f64) -> Init {
        Init::KaimingNormal { gain: relu_gain(a), fan: Fan::In }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fan_name = |fan: &Fan| if *fan == Fan::In { "fan_in" } else { "fan_out" };
        match self {
            Init::Zeros => f.write_str("zeros"),
            Init::Ones => f.write_str("ones"),
            Init::Constant(c) => write!(f, "constant({c})"),
            Init::Uniform { low, high } => write!(f, "uniform({low}, {high})"),
            Init::Normal { mean, std } => write!(f, "normal({mean}, {std})"),
            Init::KaimingUniform { gain, fan } => write!(f, "kaiming_uniform({gain}, {})", fan_name(fan)),
            Init::KaimingNormal { gain, fan } => write!(f, "kaiming_normal({gain}, {})", fan_name(fan)),
            Init::XavierUniform { gain } => write!(f, "xavier_uniform({gain})"),
            Init::XavierNormal { gain } => write!(f, "xavier_normal({gain})"),
            Init::Value(value) => write!(f, "value({})", value.ty()),
            Init::Key => f.write_str("key"),
        }
    }
}

fn relu_gain(a: f64) -> f64 {
    (2.0 / (1.0 + a * a)).sqrt()
}

/// The initial value of a parameter or state of this type.
///
/// Random values come from a stream of their own for each (`seed`, `site`): [Threefry](wootz_ir::ops::Random), as
/// everywhere. `name` is used in errors only. Errors if a dim is not a number or the values do not fit the type.
pub fn fill(
    init: &Init,
    name: &str,
    ty: &TensorType,
    seed: u64,
    site: u32,
) -> Result<HostTensor, ModelError> {
    let error = |reason: String| ModelError::Init { name: name.to_owned(), reason };
    let dims =
        ty.shape.concrete().ok_or_else(|| error(format!("its shape {} is not all numbers", ty.shape)))?;
    let mut out = HostTensor::zeros(ty.dtype, &dims)?;
    let key = random::fold_in(random::key(seed), site);
    let fans =
        || fans(&dims).ok_or_else(|| error(format!("{init} needs a weight of rank 2 or more, it is {ty}")));
    let pick = |fan: &Fan| fans().map(|(fan_in, fan_out)| if *fan == Fan::In { fan_in } else { fan_out });
    match init {
        Init::Zeros => return Ok(out),
        Init::Ones => constant(&mut out, 1.0),
        Init::Constant(c) => constant(&mut out, *c),
        Init::Value(value) if value.ty() == *ty => return Ok(value.clone()),
        Init::Value(value) => return Err(error(format!("it is {ty}, its initial value {}", value.ty()))),
        Init::Key if *ty == TensorType::new(DType::U32, [2usize]) => {
            out.as_mut_slice::<u32>().copy_from_slice(&random::key(seed));
        }
        Init::Key => return Err(error(format!("a key is u32[2], it is {ty}"))),
        _ if !ty.dtype.is_float() => return Err(error(format!("{init} gives floats, it is {ty}"))),
        Init::Uniform { low, high } => random::uniform(&mut out, key, *low, *high),
        Init::Normal { mean, std } => random::normal(&mut out, key, *mean, *std),
        Init::KaimingUniform { gain, fan } => {
            let bound = gain * (3.0 / pick(fan)?).sqrt();
            random::uniform(&mut out, key, -bound, bound);
        }
        Init::KaimingNormal { gain, fan } => random::normal(&mut out, key, 0.0, gain / pick(fan)?.sqrt()),
        Init::XavierUniform { gain } => {
            let (fan_in, fan_out) = fans()?;
            let bound = gain * (6.0 / (fan_in + fan_out)).sqrt();
            random::uniform(&mut out, key, -bound, bound);
        }
        Init::XavierNormal { gain } => {
            let (fan_in, fan_out) = fans()?;
            random::normal(&mut out, key, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt());
        }
    }
    Ok(out)
}

/// Initial values of a graph's parameters and state (`None` for inputs), one an input of the graph, as [`Traced::init`](crate::Traced::init).
pub fn fill_graph(
    graph: &Graph,
    inits: &[Option<Init>],
    seed: u64,
) -> Result<Vec<Option<HostTensor>>, ModelError> {
    let (mut params, mut states) = (0u32, 0u32);
    let mut values = Vec::with_capacity(inits.len());
    for (i, (input, init)) in graph.inputs.iter().zip(inits).enumerate() {
        // Parameters and states count apart, so that an optimizer's state leaves the parameters' streams alone.
        let site = match input.role {
            Role::Input => 0,
            Role::Param => next(&mut params),
            Role::State => STATE_SITES | next(&mut states),
        };
        let value =
            init.as_ref().map(|init| fill(init, &input.name, graph.input_type(i), seed, site)).transpose()?;
        values.push(value);
    }
    Ok(values)
}

const STATE_SITES: u32 = 1 << 31;

fn next(counter: &mut u32) -> u32 {
    *counter += 1;
    *counter - 1
}

/// (fan in, fan out) of a weight `[out, in, ..kernel]`, at least 1 each.
fn fans(dims: &[usize]) -> Option<(f64, f64)> {
    let [outputs, inputs, kernel @ ..] = dims else { return None };
    let kernel: f64 = kernel.iter().map(|d| *d as f64).product();
    Some(((*inputs as f64 * kernel).max(1.0), (*outputs as f64 * kernel).max(1.0)))
}

/// Fills by doubling what is filled.
fn constant(out: &mut HostTensor, value: f64) {
    let element = HostTensor::scalar(out.dtype(), value);
    let (element, bytes) = (element.as_bytes(), out.bytes_mut());
    let mut filled = element.len().min(bytes.len());
    bytes[..filled].copy_from_slice(&element[..filled]);
    while filled < bytes.len() {
        let next = filled.min(bytes.len() - filled);
        bytes.copy_within(..next, filled);
        filled += next;
    }
}
