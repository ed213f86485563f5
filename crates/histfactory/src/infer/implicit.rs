//! A fit whose results have derivatives: of −ln L by the envelope theorem, of the best-fit parameters by the implicit function theorem.
//!
//! At the best fit θ̂ the gradient of ln L by the parameters that move, those neither fixed nor held by a bound, is 0 whatever the data and
//! templates x. So ∂θ̂/∂x = H⁻¹ · ∂²ln L/∂θ∂x with H the Hessian of −ln L on these parameters, and a cotangent c of θ̂ becomes ∂/∂x of the
//! directional derivative of ln L along H⁻¹c.

use super::Built;
use super::fit_graph::{Fitted, fitted};
use crate::{Model, Templates};
use std::sync::Arc;
use wootz_ir::ops::{Control, RegionTransforms, RuleError, TriangularSolve};
use wootz_ir::{Builder, DType, Dim, Region, Shape, TensorType, TypeError, Value};
use wootz_transform::Transforms;

/// Inputs of a fit before the templates: init, data, free, lower, upper, tolerance.
pub(super) const ARGS: usize = 6;
/// Those that derivatives are made from: data, free, lower, upper.
const KEPT: std::ops::Range<usize> = 1..5;

/// Fits with the inputs of [`Model::fit_graph`] and derivatives of −ln L and the parameters: by data and templates, and by `init` for fixed
/// parameters. They are one-sided where a bound is just met, and NaN where the Hessian is not positive definite. What computes them is built once,
/// for as many fits as a graph has.
pub(super) struct Fits<'a> {
    templates: &'a Templates,
    /// A fit, with the derivatives of −ln L.
    profile: Control,
    /// The parameters that one ended at, with theirs.
    attach: Control,
}

impl<'a> Fits<'a> {
    pub(super) fn new(
        b: &Builder,
        model: &Model,
        templates: &'a Templates,
        max_evaluations: usize,
    ) -> Result<Fits<'a>, RuleError> {
        let vector = |n: usize| TensorType::new(DType::F64, Shape::from([n]));
        let parameters = vector(model.config().parameters());
        let types = Types {
            data: vector(model.config().data_len()),
            scalar: TensorType::new(DType::F64, Shape::scalar()),
            templates: templates.captured().map(|v| b.ty(v).clone()).collect(),
            parameters,
        };
        Ok(Fits {
            templates,
            profile: profile(b, model, templates, &types, max_evaluations)?,
            attach: attach(b, model, templates, &types)?,
        })
    }

    /// A fit. Its derivatives by the parameters cost a Hessian, those of −ln L do not.
    pub(super) fn fit(&self, b: &mut Builder, args: [Value; ARGS]) -> Result<Fitted, RuleError> {
        let operands: Vec<Value> = args.into_iter().chain(self.templates.captured()).collect();
        let out = b.push_multi(self.profile.clone(), &operands)?;
        let (zero, half) = (b.scalar(DType::F64, 0.0), b.scalar(DType::F64, 0.5));
        // Fixed parameters stay where they start, free ones follow data and templates.
        let end = b.stop_gradient(out[1])?;
        let is_free = b.gt(args[2], zero)?;
        let end = b.select(is_free, end, args[0])?;
        let operands: Vec<Value> =
            [end].into_iter().chain(args[KEPT].iter().copied()).chain(self.templates.captured()).collect();
        Ok(Fitted {
            nll: out[0],
            parameters: b.push_multi(self.attach.clone(), &operands)?[0],
            kkt: out[2],
            converged: b.gt(out[3], half)?,
            evaluations: b.cast(out[4], DType::I64)?,
        })
    }
}

/// The types of a fit's inputs.
struct Types {
    parameters: TensorType,
    data: TensorType,
    scalar: TensorType,
    templates: Vec<TensorType>,
}

impl Types {
    /// Of init, data, free, lower, upper, tolerance.
    fn args(&self) -> [TensorType; ARGS] {
        let [of_parameters, data, scalar] = [&self.parameters, &self.data, &self.scalar].map(Clone::clone);
        let [free, lower, upper] = std::array::from_fn(|_| of_parameters.clone());
        [of_parameters, data, free, lower, upper, scalar]
    }
}

/// The results of a fit as numbers, with the derivatives of −ln L by the envelope theorem.
fn profile(
    b: &Builder,
    model: &Model,
    templates: &Templates,
    types: &Types,
    max_evaluations: usize,
) -> Result<Control, RuleError> {
    let args = types.args();
    let operands = [&args[..], &types.templates].concat();
    let fit = |b: &mut Builder, p: &[Value]| -> Result<[Value; 5], RuleError> {
        let found = fitted(b, model, &p[..ARGS], &templates.rebound(&p[ARGS..]), max_evaluations)?;
        // What has no derivative goes through as numbers, too.
        let converged = b.cast(found.converged, DType::F64)?;
        let evaluations = b.cast(found.evaluations, DType::F64)?;
        Ok([found.nll, found.parameters, found.kkt, converged, evaluations])
    };
    let primal = b.subregion::<RuleError>(&operands, |b, p| Ok(fit(b, p)?.to_vec()))?;
    let forward = b.subregion::<RuleError>(&operands, |b, p| {
        let results = fit(b, p)?;
        let kept = [results[1], p[1], p[2]].into_iter().chain(p[ARGS..].iter().copied());
        Ok(results.into_iter().chain(kept).collect())
    })?;
    let scalar = &types.scalar;
    let cotangents = [scalar, &types.parameters, scalar, scalar, scalar].map(Clone::clone);
    let saved = [&args[..3], &types.templates, &cotangents].concat();
    let backward = b.subregion::<RuleError>(&saved, |b, p| {
        let (known, cotangents) = p.split_at(p.len() - cotangents.len());
        let (point, free) = ([&known[..2], &known[3..]].concat(), known[2]);
        let density = log_density(b, model, &point, templates)?;
        let minus = b.neg(cotangents[0])?;
        let needs = vec![true; point.len()];
        let found = Transforms::new().vjp_inline(b, &density, &point, &[Some(minus)], &needs)?;
        let mut found = or_zeros(b, found, &point)?;
        found[0] = of_fixed(b, free, found[0])?;
        let none = args[2..].iter().map(|ty| b.full(ty, 0.0)).collect::<Result<Vec<_>, _>>()?;
        Ok([&found[..2], &none, &found[2..]].concat())
    })?;
    Ok(Control::CustomVjp { primal, forward, backward })
}

/// The parameters at the end of a fit (fixed ones as they are given), data, free, lower, upper, templates → the parameters, with their derivatives by
/// the implicit function theorem.
fn attach(b: &Builder, model: &Model, templates: &Templates, types: &Types) -> Result<Control, RuleError> {
    let args = types.args();
    let operands = [&args[..1], &args[KEPT], &types.templates].concat();
    let primal = b.subregion::<RuleError>(&operands, |_, p| Ok(vec![p[0]]))?;
    let forward = b.subregion::<RuleError>(&operands, |_, p| Ok([&p[..1], p].concat()))?;
    let saved = [&operands[..], &args[..1]].concat();
    let backward = b.subregion::<RuleError>(&saved, |b, p| {
        let (known, cotangent) = (&p[..p.len() - 1], p[p.len() - 1]);
        let at = End {
            point: [&known[..2], &known[5..]].concat(),
            free: known[2],
            lower: known[3],
            upper: known[4],
        };
        let found = at.pulled_back(b, model, templates, cotangent)?;
        let none = args[2..5].iter().map(|ty| b.full(ty, 0.0)).collect::<Result<Vec<_>, _>>()?;
        Ok([&found[..2], &none, &found[2..]].concat())
    })?;
    Ok(Control::CustomVjp { primal, forward, backward })
}

fn or_zeros(b: &mut Builder, found: Vec<Option<Value>>, like: &[Value]) -> Result<Vec<Value>, TypeError> {
    let found = found.into_iter().zip(like);
    found.map(|(value, x)| value.map_or_else(|| b.full_like(*x, 0.0), Ok)).collect()
}

/// 0 for free parameters.
fn of_fixed(b: &mut Builder, free: Value, cotangent: Value) -> Built {
    let zero = b.scalar(DType::F64, 0.0);
    let is_free = b.gt(free, zero)?;
    b.select(is_free, zero, cotangent)
}

/// Where a fit ended.
struct End {
    /// Parameters, data, templates.
    point: Vec<Value>,
    free: Value,
    lower: Value,
    upper: Value,
}

impl End {
    /// The cotangents of the fixed parameters, data and templates that those of the parameters make.
    fn pulled_back(
        &self,
        b: &mut Builder,
        model: &Model,
        templates: &Templates,
        cotangent: Value,
    ) -> Result<Vec<Value>, RuleError> {
        let transforms = Transforms::new();
        let (point, needs) = (&self.point, vec![true; self.point.len()]);
        let density = log_density(b, model, point, templates)?;
        let slope = slope(b, &transforms, &density, point)?;
        let direction = self.solved(b, &transforms, &slope, cotangent)?;
        let found = transforms.vjp_inline(b, &slope, point, &[Some(direction)], &needs)?;
        let mut found = or_zeros(b, found, point)?;
        let by_fixed = b.add(found[0], cotangent)?;
        found[0] = of_fixed(b, self.free, by_fixed)?;
        Ok(found)
    }

    /// H⁻¹c on the parameters that move, 0 for the others; in the scale of H's diagonal.
    fn solved(
        &self,
        b: &mut Builder,
        transforms: &Transforms,
        slope: &Arc<Region>,
        cotangent: Value,
    ) -> Result<Value, RuleError> {
        let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
        let n = b.ty(cotangent).shape[0].clone();
        let unit = unit(b, &n)?;
        let args: Vec<Value> = self.point.iter().copied().chain([unit]).collect();
        let mut types: Vec<TensorType> = self.point.iter().map(|v| b.ty(*v).clone()).collect();
        types.push(types[0].clone());
        let along = b.subregion::<RuleError>(&types, |b, p| {
            let (direction, point) = (p[p.len() - 1], &p[..p.len() - 1]);
            let tangents: Vec<Option<Value>> =
                (0..point.len()).map(|i| (i == 0).then_some(direction)).collect();
            Ok(vec![match transforms.jvp_inline(b, slope, point, &tangents)?[0] {
                Some(found) => found,
                None => b.full_like(direction, 0.0)?,
            }])
        })?;
        let batched: Vec<bool> = (0..args.len()).map(|i| i + 1 == args.len()).collect();
        let (rows, has_axis) = transforms.batch_inline(b, &along, &args, &batched, &n)?[0];
        let curvature = if has_axis { b.neg(rows)? } else { b.full_like(unit, 0.0)? };

        let diagonal = b.mul(curvature, unit)?;
        let diagonal = b.sum(diagonal, &[1])?;
        let slope = b.inline(slope, &self.point)?[0];
        let moves = self.moves(b, slope, diagonal)?;
        let read = b.select(moves, diagonal, one)?;
        let scale = b.rsqrt(read)?;
        let scale = b.select(moves, scale, zero)?;
        let columns = b.expand_axis(scale, 1)?;
        let scaled = b.mul(curvature, columns)?;
        let scaled = b.mul(scaled, scale)?;
        let still = b.select(moves, zero, one)?;
        let still = b.mul(unit, still)?;
        let scaled = b.add(scaled, still)?;
        let factor = b.cholesky(scaled)?;
        let rhs = b.mul(cotangent, scale)?;
        let rhs = b.expand_axis(rhs, 1)?;
        let half = b.triangular_solve(factor, rhs, TriangularSolve::default())?;
        let full = b.triangular_solve(factor, half, TriangularSolve::default().transposed())?;
        let flat = b.sum(full, &[1])?;
        Ok(b.mul(flat, scale)?)
    }

    /// Which parameters move: free ones that act, unless ln L rises beyond a bound that they are at.
    fn moves(&self, b: &mut Builder, slope: Value, diagonal: Value) -> Built {
        let zero = b.scalar(DType::F64, 0.0);
        let parameters = self.point[0];
        let (at_lower, at_upper) = (b.le(parameters, self.lower)?, b.ge(parameters, self.upper)?);
        let (falls, rises) = (b.le(slope, zero)?, b.ge(slope, zero)?);
        let (below, above) = (b.and(at_lower, falls)?, b.and(at_upper, rises)?);
        let held = b.or(below, above)?;
        let moves = b.not(held)?;
        let is_free = b.gt(self.free, zero)?;
        let moves = b.and(moves, is_free)?;
        let acts = b.gt(diagonal, zero)?;
        b.and(moves, acts)
    }
}

fn unit(b: &mut Builder, n: &Dim) -> Result<Value, TypeError> {
    let square: Shape = [n.clone(), n.clone()].into_iter().collect();
    let (row, column) = (b.iota(DType::I64, square.clone(), 0)?, b.iota(DType::I64, square, 1)?);
    let on = b.eq(row, column)?;
    b.cast(on, DType::F64)
}

/// ln L as a region over parameters, data and the templates that are values.
fn log_density(
    b: &Builder,
    model: &Model,
    args: &[Value],
    templates: &Templates,
) -> Result<Arc<Region>, RuleError> {
    let types: Vec<TensorType> = args.iter().map(|v| b.ty(*v).clone()).collect();
    b.subregion::<RuleError>(&types, |b, p| {
        let built: Built = model.logpdf(b, p[0], p[1], &templates.rebound(&p[2..]));
        Ok(vec![built?])
    })
}

/// The gradient of ln L by the parameters as a region like that of ln L.
fn slope(
    b: &Builder,
    transforms: &Transforms,
    density: &Arc<Region>,
    args: &[Value],
) -> Result<Arc<Region>, RuleError> {
    let types: Vec<TensorType> = args.iter().map(|v| b.ty(*v).clone()).collect();
    let only_first: Vec<bool> = (0..args.len()).map(|i| i == 0).collect();
    b.subregion::<RuleError>(&types, |b, p| {
        let seed = b.scalar(DType::F64, 1.0);
        let out = transforms.vjp_inline(b, density, p, &[Some(seed)], &only_first)?;
        Ok(vec![match out[0] {
            Some(slope) => slope,
            None => b.full(&types[0], 0.0)?,
        }])
    })
}
