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

/// A fit with these inputs of [`Model::fit_graph`], with derivatives of −ln L and the parameters: by data and templates, and by `init` for fixed
/// parameters. They are one-sided where a bound is just met, and NaN where the Hessian is not positive definite.
pub(super) fn differentiable(
    b: &mut Builder,
    model: &Model,
    args: &[Value],
    templates: &Templates,
    max_evaluations: usize,
) -> Result<Fitted, RuleError> {
    let operands: Vec<Value> = args.iter().copied().chain(templates.captured()).collect();
    let types: Vec<TensorType> = operands.iter().map(|v| b.ty(*v).clone()).collect();
    let fit = |b: &mut Builder, p: &[Value]| -> Result<[Value; 5], RuleError> {
        let found = fitted(b, model, &p[..ARGS], &templates.rebound(&p[ARGS..]), max_evaluations)?;
        // What has no derivative goes through as numbers, too.
        let converged = b.cast(found.converged, DType::F64)?;
        let evaluations = b.cast(found.evaluations, DType::F64)?;
        Ok([found.nll, found.parameters, found.kkt, converged, evaluations])
    };
    let primal = b.subregion::<RuleError>(&types, |b, p| Ok(fit(b, p)?.to_vec()))?;
    let forward = b.subregion::<RuleError>(&types, |b, p| {
        let results = fit(b, p)?;
        let kept = [results[1]].into_iter().chain(p[KEPT].iter().copied()).chain(p[ARGS..].iter().copied());
        Ok(results.into_iter().chain(kept).collect())
    })?;
    let scalar = TensorType::new(DType::F64, Shape::scalar());
    let cotangents = [&scalar, &types[0], &scalar, &scalar, &scalar].map(Clone::clone);
    let saved = [&types[..1], &types[KEPT], &types[ARGS..], &cotangents].concat();
    let backward = b.subregion::<RuleError>(&saved, |b, p| {
        let (known, cotangents) = p.split_at(p.len() - 5);
        let at = End {
            point: [&known[..2], &known[5..]].concat(),
            free: known[2],
            lower: known[3],
            upper: known[4],
        };
        let [init, data, rest @ ..] = &at.pulled_back(b, model, templates, cotangents[0], cotangents[1])?[..]
        else {
            return Ok(Vec::new());
        };
        let none = types[2..ARGS].iter().map(|ty| b.full(ty, 0.0)).collect::<Result<Vec<_>, _>>()?;
        Ok([*init, *data].into_iter().chain(none).chain(rest.iter().copied()).collect())
    })?;
    let out = b.push_multi(Control::CustomVjp { primal, forward, backward }, &operands)?;
    let half = b.scalar(DType::F64, 0.5);
    Ok(Fitted {
        nll: out[0],
        parameters: out[1],
        kkt: out[2],
        converged: b.gt(out[3], half)?,
        evaluations: b.cast(out[4], DType::I64)?,
    })
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
    /// The cotangents of init, data and templates that those of −ln L and of the parameters make.
    fn pulled_back(
        &self,
        b: &mut Builder,
        model: &Model,
        templates: &Templates,
        by_nll: Value,
        by_parameters: Value,
    ) -> Result<Vec<Value>, RuleError> {
        let transforms = Transforms::new();
        let (point, needs) = (&self.point, vec![true; self.point.len()]);
        let density = log_density(b, model, point, templates)?;
        let slope = slope(b, &transforms, &density, point)?;
        let direction = self.solved(b, &transforms, &slope, by_parameters)?;
        let minus = b.neg(by_nll)?;
        let envelope = transforms.vjp_inline(b, &density, point, &[Some(minus)], &needs)?;
        let implicit = transforms.vjp_inline(b, &slope, point, &[Some(direction)], &needs)?;
        let mut out = Vec::with_capacity(point.len());
        for ((envelope, implicit), x) in envelope.into_iter().zip(implicit).zip(point) {
            out.push(match (envelope, implicit) {
                (Some(e), Some(i)) => b.add(e, i)?,
                (Some(d), None) | (None, Some(d)) => d,
                (None, None) => b.full_like(*x, 0.0)?,
            });
        }
        // Fixed parameters stay where they start.
        let zero = b.scalar(DType::F64, 0.0);
        let is_free = b.gt(self.free, zero)?;
        let by_init = b.add(out[0], by_parameters)?;
        out[0] = b.select(is_free, zero, by_init)?;
        Ok(out)
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
pub(super) fn log_density(
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
