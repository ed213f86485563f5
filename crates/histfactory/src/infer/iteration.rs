//! One iteration of a fit as a graph: the objective, its derivatives, and the Newton step on the parameters that may move.
//!
//! With rates ν, counts n and J = ∂ν/∂θ, the gradient of −ln L is Jᵀ(1 − n/ν) and its curvature is taken as JᵀWJ, W = (1 − β)/ν + β·n/ν²:
//! Fisher's matrix for β = 0, and for β = 1 the exact second derivative but for the rates' own. Constraint terms depend on one
//! parameter each and contribute their exact second derivatives.

use super::newton::{self, Quadratic, contract};
use super::{Built, jacobian};
use crate::{GraphOptions, Model, Templates};
use std::sync::Arc;
use wootz_ir::ops::{RegionTransforms, RuleError};
use wootz_ir::{Builder, DType, Graph, Shape, TensorType, TypeError, Value};
use wootz_transform::Transforms;

/// Rates below this are taken to be this where nothing was counted: the curvature of such a bin is an invention, by which a Newton
/// step brings its rate to 0.
const SMALLEST_RATE: f64 = 1e-9;

/// The inputs, in order; the templates that are inputs follow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    /// `f64[parameters]`.
    Parameters,
    /// `f64[bins + auxiliary data]`.
    Data,
    /// `f64[parameters]`: 1 for parameters that are fitted, 0 for fixed ones.
    Free,
    /// `f64[parameters]`.
    Lower,
    /// `f64[parameters]`.
    Upper,
    /// A scalar λ: the curvature's diagonal is multiplied by 1 + λ.
    Damping,
    /// The scalar β.
    Blend,
}

impl Arg {
    pub(super) const ALL: [Arg; 7] =
        [Arg::Parameters, Arg::Data, Arg::Free, Arg::Lower, Arg::Upper, Arg::Damping, Arg::Blend];

    const fn name(self) -> &'static str {
        match self {
            Arg::Parameters => "parameters",
            Arg::Data => "data",
            Arg::Free => "free",
            Arg::Lower => "lower",
            Arg::Upper => "upper",
            Arg::Damping => "damping",
            Arg::Blend => "blend",
        }
    }
}

/// The outputs, in order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// −ln L, a scalar.
    Nll,
    /// Its gradient, `f64[parameters]`.
    Gradient,
    /// 1 for parameters that may move: fitted, not held by a bound, and with some effect. `f64[parameters]`.
    Moving,
    /// The curvature's diagonal, `f64[parameters]`.
    Curvature,
    /// The Newton step, 0 for parameters that do not move; NaN where the curvature is not positive definite.
    Step,
}

impl Out {
    pub(super) const ALL: [Out; 5] = [Out::Nll, Out::Gradient, Out::Moving, Out::Curvature, Out::Step];

    const fn name(self) -> &'static str {
        match self {
            Out::Nll => "nll",
            Out::Gradient => "gradient",
            Out::Moving => "moving",
            Out::Curvature => "curvature",
            Out::Step => "step",
        }
    }
}

/// The iteration's graph.
pub(super) fn graph(model: &Model, options: &GraphOptions) -> Result<Graph, RuleError> {
    let shape = |arg| match arg {
        Arg::Data => Shape::from([model.config().data_len()]),
        Arg::Damping | Arg::Blend => Shape::scalar(),
        _ => Shape::from([model.config().parameters()]),
    };
    let inputs = Arg::ALL.map(|arg| (arg.name(), shape(arg)));
    super::graph_of(model, options, &inputs, &Out::ALL.map(Out::name), |b, args, templates| {
        let args = std::array::from_fn(|i| args[i]);
        Ok(build(b, model, &args, templates)?.to_vec())
    })
}

/// Builds an iteration at these arguments: results in the order of [`Out`].
pub(super) fn build(
    b: &mut Builder,
    model: &Model,
    args: &[Value; 7],
    templates: &Templates,
) -> Result<[Value; 5], RuleError> {
    let [parameters, data, free, lower, upper, damping, blend] = *args;
    let jacobian::Rates { rates, jacobian } = jacobian::rates(b, model, parameters, templates)?;
    let main = model.main_logpdf(b, rates, data)?;
    let mut nll = b.neg(main)?;

    let counts = b.slice(data, &[0], &[model.config().bins()], &[1])?;
    let (slopes, weights) = bins(b, counts, rates, blend)?;
    let mut gradient = b.dot(slopes, jacobian, contract(0, 0))?;
    let columns = b.expand_axis(weights, 1)?;
    let squares = b.mul(jacobian, jacobian)?;
    let squares = b.mul(squares, columns)?;
    let mut curvature = b.sum(squares, &[0])?;

    let terms = constraints(b, model, parameters, data, templates)?;
    if let Some(terms) = &terms {
        nll = b.add(nll, terms.nll)?;
        gradient = b.add(gradient, terms.gradient)?;
        curvature = b.add(curvature, terms.curvature)?;
    }

    let moving = moving(b, parameters, gradient, curvature, [free, lower, upper])?;
    let constraints = terms.map(|t| t.curvature);
    let of = Quadratic { jacobian, weights, constraints, gradient, curvature, moving, damping };
    let step = newton::step(b, model, &of)?;
    Ok([nll, gradient, moving, curvature, step])
}

/// ∂(−ln L)/∂ν and the weights W of each bin.
fn bins(b: &mut Builder, counts: Value, rates: Value, blend: Value) -> Result<(Value, Value), TypeError> {
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
    let smallest = b.scalar(DType::F64, SMALLEST_RATE);
    let is_empty = b.eq(counts, zero)?;
    let ratio = b.div(counts, rates)?;
    let slope = b.sub(one, ratio)?;
    let slope = b.select(is_empty, one, slope)?;
    // 1/ν · (1 + β(n/ν − 1)).
    let excess = b.sub(ratio, one)?;
    let excess = b.mul(excess, blend)?;
    let blended = b.add(excess, one)?;
    let weight = b.div(blended, rates)?;
    let guarded = b.maximum(rates, smallest)?;
    let invented = b.div(one, guarded)?;
    let weight = b.select(is_empty, invented, weight)?;
    Ok((slope, weight))
}

/// The constraint terms and their derivatives by the parameters; the second derivatives are a diagonal.
pub(super) struct Terms {
    nll: Value,
    gradient: Value,
    pub(super) curvature: Value,
}

/// The constraint terms. Their Hessian is diagonal, so that its product with a vector of ones is its diagonal.
pub(super) fn constraints(
    b: &mut Builder,
    model: &Model,
    parameters: Value,
    data: Value,
    templates: &Templates,
) -> Result<Option<Terms>, RuleError> {
    let values: Vec<Value> = [parameters, data].into_iter().chain(templates.captured()).collect();
    let types: Vec<TensorType> = values.iter().map(|v| b.ty(*v).clone()).collect();
    if model.config().auxdata.is_empty() {
        return Ok(None);
    }
    let nll = b.subregion::<TypeError>(&types, |b, p| {
        let templates = templates.rebound(&p[2..]);
        let logpdf = model.constraint_logpdf(b, p[0], p[1], &templates)?;
        let logpdf = match logpdf {
            Some(logpdf) => logpdf,
            None => b.scalar(DType::F64, 0.0),
        };
        Ok(vec![b.neg(logpdf)?])
    })?;
    let zeros = |b: &mut Builder, value: Option<Value>| match value {
        Some(value) => Ok(value),
        None => b.full(&types[0], 0.0),
    };
    let only_first: Vec<bool> = (0..values.len()).map(|i| i == 0).collect();
    let gradient: Arc<_> = b.subregion::<RuleError>(&types, |b, p| {
        let seed = b.scalar(DType::F64, 1.0);
        let out = Transforms::new().vjp_inline(b, &nll, p, &[Some(seed)], &only_first)?;
        Ok(vec![zeros(b, out[0])?])
    })?;
    let ones = b.full(&types[0], 1.0)?;
    let tangents: Vec<Option<Value>> = only_first.iter().map(|first| first.then_some(ones)).collect();
    let curvature = Transforms::new().jvp_inline(b, &gradient, &values, &tangents)?[0];
    Ok(Some(Terms {
        nll: b.inline(&nll, &values)?[0],
        gradient: b.inline(&gradient, &values)?[0],
        curvature: zeros(b, curvature)?,
    }))
}

/// Which parameters may move: fitted ones with some curvature, unless they are at a bound that the gradient presses them against.
fn moving(
    b: &mut Builder,
    parameters: Value,
    gradient: Value,
    curvature: Value,
    [free, lower, upper]: [Value; 3],
) -> Built {
    let zero = b.scalar(DType::F64, 0.0);
    let (at_lower, at_upper) = (b.le(parameters, lower)?, b.ge(parameters, upper)?);
    let (rises, falls) = (b.ge(gradient, zero)?, b.le(gradient, zero)?);
    let (below, above) = (b.and(at_lower, rises)?, b.and(at_upper, falls)?);
    let held = b.or(below, above)?;
    let moves = b.not(held)?;
    let has_effect = b.gt(curvature, zero)?;
    let moves = b.and(moves, has_effect)?;
    b.select(moves, free, zero)
}
