//! A whole fit as one graph: the iteration inside a `while`, so that it batches and goes to every backend.

use super::fit::{DAMPING, NEAR, PRECISION, RESCUES, SHORTEST, SUFFICIENT};
use super::implicit::{ARGS, Fits};
use super::iteration;
use crate::{GraphOptions, Model};
use wootz_ir::ops::{Control, RuleError};
use wootz_ir::{Builder, DType, Graph, Shape, TensorType, TypeError, Value};

/// The state of a fit, in the order of [`State::list`].
#[derive(Clone, Copy)]
struct State {
    /// The point to be evaluated next, `f64[parameters]`.
    candidate: Value,
    /// The last point that was accepted, and what is known there.
    parameters: Value,
    nll: Value,
    gradient: Value,
    moving: Value,
    step: Value,
    kkt: Value,
    /// The share of the step that leads to the candidate; 0 where the last point is evaluated again for another step.
    share: Value,
    damping: Value,
    blend: Value,
    /// Evaluations so far, i64.
    evaluations: Value,
}

const CARRIES: usize = 11;

impl State {
    fn list(self) -> [Value; CARRIES] {
        [
            self.candidate,
            self.parameters,
            self.nll,
            self.gradient,
            self.moving,
            self.step,
            self.kkt,
            self.share,
            self.damping,
            self.blend,
            self.evaluations,
        ]
    }

    fn of(v: &[Value]) -> State {
        State {
            candidate: v[0],
            parameters: v[1],
            nll: v[2],
            gradient: v[3],
            moving: v[4],
            step: v[5],
            kkt: v[6],
            share: v[7],
            damping: v[8],
            blend: v[9],
            evaluations: v[10],
        }
    }
}

/// What stays the same: data, free, lower, upper (as in the iteration), tolerance and noise (scalars).
const FIXED: usize = 6;

impl Model {
    /// A fit as a graph: `init`, `free` (1 for fitted parameters, 0 for fixed ones), `lower`, `upper` `f64[parameters]`, `data`, `tolerance`, then
    /// the chosen templates → `parameters`, `nll` (−ln L), `kkt` (the largest scaled gradient component), `converged` (bool), `evaluations` (i64).
    ///
    /// It takes the steps of [`Inference::fit`](crate::Inference::fit) from one start, but for those of the exact Hessian. A fit without convergence says
    /// so in `converged`: the other results are no result then. Under `vmap` finished fits wait for the others.
    ///
    /// `parameters` and `nll` are differentiable in reverse mode by data and templates, and by `init` for fixed parameters; bounds count as constants.
    /// Their derivatives are as precise as the fit: ask for a `tolerance` of [`FitOptions::TOLERANCE_FOR_GRADIENTS`](crate::FitOptions).
    ///
    /// # Errors
    /// If a transformation fails, which is an error in wootz.
    pub fn fit_graph(&self, options: &GraphOptions, max_evaluations: usize) -> Result<Graph, RuleError> {
        let n = Shape::from([self.config().parameters()]);
        let data = Shape::from([self.config().data_len()]);
        let inputs = [
            ("init", n.clone()),
            ("data", data),
            ("free", n.clone()),
            ("lower", n.clone()),
            ("upper", n),
            ("tolerance", Shape::scalar()),
        ];
        let outputs = ["parameters", "nll", "kkt", "converged", "evaluations"];
        super::graph_of(self, options, &inputs, &outputs, |b, args, templates| {
            let args: [Value; ARGS] = std::array::from_fn(|i| args[i]);
            let found = Fits::new(b, self, templates, max_evaluations)?.fit(b, args)?;
            Ok(vec![found.parameters, found.nll, found.kkt, found.converged, found.evaluations])
        })
    }
}

/// Where a fit ended.
pub(super) struct Fitted {
    pub(super) parameters: Value,
    pub(super) nll: Value,
    pub(super) kkt: Value,
    pub(super) converged: Value,
    pub(super) evaluations: Value,
}

/// A fit with these inputs of [`Model::fit_graph`].
pub(super) fn fitted(
    b: &mut Builder,
    model: &Model,
    args: &[Value],
    templates: &crate::Templates,
    max_evaluations: usize,
) -> Result<Fitted, RuleError> {
    let start = start(b, args)?;
    let noise = noise(b, model, args[1])?;
    let captures: Vec<Value> = args[1..].iter().copied().chain([noise]).chain(templates.captured()).collect();
    let operands: Vec<Value> = start.list().into_iter().chain(captures).collect();
    let types: Vec<TensorType> = operands.iter().map(|v| b.ty(*v).clone()).collect();
    let cond = b.subregion::<TypeError>(&types, |b, p| {
        let go_on = unfinished(b, State::of(p), p[CARRIES + 4], max_evaluations)?;
        Ok(vec![go_on])
    })?;
    let body = b.subregion::<RuleError>(&types, |b, p| {
        let templates = templates.rebound(&p[CARRIES + FIXED..]);
        let next = advance(b, model, State::of(p), &p[CARRIES..CARRIES + FIXED], &templates)?;
        Ok(next.list().to_vec())
    })?;
    let end = State::of(&b.push_multi(Control::While { cond, body, carries: CARRIES }, &operands)?);
    let converged = converged(b, end, args[5])?;
    let State { parameters, nll, kkt, evaluations, .. } = end;
    Ok(Fitted { parameters, nll, kkt, converged, evaluations })
}

fn start(b: &mut Builder, args: &[Value]) -> Result<State, TypeError> {
    let [init, _, free, lower, upper] = std::array::from_fn(|i| args[i]);
    let inside = b.clamp(lower, init, upper)?;
    let fixed = b.scalar(DType::F64, 0.0);
    let is_free = b.gt(free, fixed)?;
    let init = b.select(is_free, inside, init)?;
    let zeros = b.full_like(init, 0.0)?;
    let [infinity, one, zero, damping] = [f64::INFINITY, 1.0, 0.0, DAMPING].map(|x| b.scalar(DType::F64, x));
    Ok(State {
        candidate: init,
        parameters: init,
        nll: infinity,
        gradient: zeros,
        moving: zeros,
        step: zeros,
        kkt: infinity,
        share: one,
        damping,
        blend: zero,
        evaluations: b.scalar(DType::I64, 0.0),
    })
}

/// How far rounding can move −ln L.
fn noise(b: &mut Builder, model: &Model, data: Value) -> Result<Value, TypeError> {
    let one = b.scalar(DType::F64, 1.0);
    let size = b.maximum(data, one)?;
    let logs = b.log(size)?;
    let logs = b.add(logs, one)?;
    let magnitudes = b.abs(data)?;
    let terms = b.mul(magnitudes, logs)?;
    let sum = b.sum(terms, &[0])?;
    let sum = b.add_scalar(sum, model.config().data_len() as f64)?;
    b.mul_scalar(sum, 4.0 * f64::EPSILON)
}

fn unfinished(
    b: &mut Builder,
    state: State,
    tolerance: Value,
    max_evaluations: usize,
) -> Result<Value, TypeError> {
    let most = b.scalar(DType::I64, max_evaluations as f64);
    let may = b.lt(state.evaluations, most)?;
    let done = b.le(state.kkt, tolerance)?;
    let open = b.not(done)?;
    let given_up = given_up(b, state)?;
    let goes_on = b.not(given_up)?;
    let a = b.and(may, open)?;
    b.and(a, goes_on)
}

/// Whether no step lowers the objective, however damped.
fn given_up(b: &mut Builder, state: State) -> Result<Value, TypeError> {
    let most = b.scalar(DType::F64, RESCUES[RESCUES.len() - 1]);
    b.gt(state.damping, most)
}

/// The damping after this one, of [`RESCUES`]; infinite after the last.
fn more_damping(b: &mut Builder, damping: Value) -> Result<Value, TypeError> {
    let mut more = b.scalar(DType::F64, f64::INFINITY);
    for rescue in RESCUES.into_iter().rev() {
        let rescue = b.scalar(DType::F64, rescue);
        let is_less = b.lt(damping, rescue)?;
        more = b.select(is_less, rescue, more)?;
    }
    Ok(more)
}

fn converged(b: &mut Builder, state: State, tolerance: Value) -> Result<Value, TypeError> {
    let exact = b.le(state.kkt, tolerance)?;
    let stalled = given_up(b, state)?;
    let precision = b.scalar(DType::F64, PRECISION);
    let close = b.le(state.kkt, precision)?;
    let close = b.and(stalled, close)?;
    b.or(exact, close)
}

/// Evaluates the candidate, accepts it or not, and chooses the next one.
fn advance(
    b: &mut Builder,
    model: &Model,
    state: State,
    fixed: &[Value],
    templates: &crate::Templates,
) -> Result<State, RuleError> {
    let [data, free, lower, upper, _, noise] = std::array::from_fn(|i| fixed[i]);
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
    let args = [state.candidate, data, free, lower, upper, state.damping, state.blend];
    let [nll, gradient, moving, curvature, step] = iteration::build(b, model, &args, templates)?;
    let kkt = scaled_gradient(b, gradient, moving, curvature)?;

    let is_number = b.is_finite(nll)?;
    let has_step = {
        let finite = b.is_finite(step)?;
        b.reduce(wootz_ir::ops::ReduceKind::All, finite, &[0])?
    };
    let moved = b.sub(state.candidate, state.parameters)?;
    let predicted = b.mul(state.gradient, moved)?;
    let predicted = b.sum(predicted, &[0])?;
    let change = b.sub(nll, state.nll)?;
    let wanted = b.mul_scalar(predicted, SUFFICIENT)?;
    let enough = b.le(change, wanted)?;
    let falls = b.lt(predicted, zero)?;
    let enough = b.and(enough, falls)?;
    let size = b.abs(change)?;
    let rounding = b.le(size, noise)?;
    let nearer = b.lt(kkt, state.kkt)?;
    let closer = b.and(rounding, nearer)?;
    let known = b.is_finite(state.nll)?;
    let first = b.not(known)?;
    let better = b.or(enough, closer)?;
    let better = b.or(better, first)?;
    let again = b.eq(state.share, zero)?;
    let better = b.or(better, again)?;
    let better = b.and(better, is_number)?;
    let accepted = b.and(better, has_step)?;
    // A curvature that is not positive definite is damped at the same point.
    let singular = {
        let no_step = b.not(has_step)?;
        b.and(better, no_step)?
    };

    let parameters = b.select(accepted, state.candidate, state.parameters)?;
    let gradient = b.select(accepted, gradient, state.gradient)?;
    let moving = b.select(accepted, moving, state.moving)?;
    let step = b.select(accepted, step, state.step)?;
    let half = b.mul_scalar(state.share, 0.5)?;
    let shortest = b.scalar(DType::F64, SHORTEST);
    let is_short = b.lt(half, shortest)?;
    let rejected = b.or(accepted, singular)?;
    let rejected = b.not(rejected)?;
    let fails = b.and(rejected, is_short)?;
    let share = b.select(singular, state.share, half)?;
    let share = b.select(fails, zero, share)?;
    let share = b.select(accepted, one, share)?;
    // Another step at the same point; near the minimum nothing but rounding is left.
    let more = more_damping(b, state.damping)?;
    let (least, never) = (b.scalar(DType::F64, DAMPING), b.scalar(DType::F64, f64::INFINITY));
    let precision = b.scalar(DType::F64, PRECISION);
    let is_close = b.le(state.kkt, precision)?;
    let ends = b.and(fails, is_close)?;
    let raises = b.or(singular, fails)?;
    let stays = b.or(again, rejected)?;
    let damping = b.select(stays, state.damping, least)?;
    let damping = b.select(raises, more, damping)?;
    let damping = b.select(ends, never, damping)?;

    let slope = b.mul(gradient, step)?;
    let slope = b.sum(slope, &[0])?;
    let decrease = b.mul_scalar(slope, -0.5)?;
    let near = b.scalar(DType::F64, NEAR);
    let near = b.lt(decrease, near)?;
    let near = b.and(near, accepted)?;
    let is_newton = b.le(state.damping, least)?;
    let near = b.and(near, is_newton)?;
    let blend = b.select(near, one, state.blend)?;
    let blend = b.select(fails, zero, blend)?;

    let part = b.mul(step, share)?;
    let next = b.add(parameters, part)?;
    let next = b.clamp(lower, next, upper)?;
    let moves = b.gt(moving, zero)?;
    let next = b.select(moves, next, parameters)?;
    let one_more = b.scalar(DType::I64, 1.0);
    Ok(State {
        candidate: b.select(singular, state.candidate, next)?,
        parameters,
        nll: b.select(accepted, nll, state.nll)?,
        gradient,
        moving,
        step,
        kkt: b.select(accepted, kkt, state.kkt)?,
        share,
        damping,
        blend,
        evaluations: b.add(state.evaluations, one_more)?,
    })
}

/// The largest gradient component of parameters that move, in units of the square root of their curvature.
fn scaled_gradient(
    b: &mut Builder,
    gradient: Value,
    moving: Value,
    curvature: Value,
) -> Result<Value, TypeError> {
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
    let moves = b.gt(moving, zero)?;
    let read = b.select(moves, curvature, one)?;
    let root = b.sqrt(read)?;
    let scaled = b.div(gradient, root)?;
    let scaled = b.abs(scaled)?;
    let scaled = b.select(moves, scaled, zero)?;
    b.max(scaled, &[0])
}
