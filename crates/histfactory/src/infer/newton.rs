//! The Newton step from rates' derivatives, weights and constraints: −H⁻¹g with H = JᵀWJ + C on the parameters that may move.
//!
//! A parameter that acts in one bin only (statistical errors, mostly) meets the others in that bin's row of J alone. One such parameter a bin
//! is eliminated first: the Schur complement is JᵀW′J + C on the others, with W′ = W − (W·j)²/h, where j is the bin's derivative by its own
//! parameter and h that parameter's curvature. What is factored is then as large as the number of parameters that bins share.

use super::Built;
use super::jacobian::gather;
use crate::Model;
use std::collections::BTreeMap;
use wootz_ir::ops::{Dot, TriangularSolve};
use wootz_ir::{Builder, DType, HostTensor, Shape, TypeError, Value};

/// What a step is made from.
pub(super) struct Quadratic {
    /// `f64[bins, parameters]`.
    pub(super) jacobian: Value,
    /// `f64[bins]`.
    pub(super) weights: Value,
    /// The constraints' second derivatives, `f64[parameters]`; `None` without constraints.
    pub(super) constraints: Option<Value>,
    /// `f64[parameters]`.
    pub(super) gradient: Value,
    /// H's diagonal, `f64[parameters]`.
    pub(super) curvature: Value,
    /// 1 for parameters that may move, `f64[parameters]`.
    pub(super) moving: Value,
    /// The scalar λ: H's diagonal is multiplied by 1 + λ.
    pub(super) damping: Value,
}

/// The step, `f64[parameters]`: 0 for parameters that do not move, NaN where H is not positive definite.
pub(super) fn step(b: &mut Builder, model: &Model, of: &Quadratic) -> Built {
    let own = own_parameters(model);
    let count = model.config().parameters();
    let shared: Vec<usize> = (0..count).filter(|p| !own.contains(&Some(*p))).collect();
    if shared.is_empty() || shared.len() == count {
        return shared_step(b, of);
    }
    eliminated(b, &own, &shared, of)
}

/// A parameter for each bin that acts there and nowhere else.
fn own_parameters(model: &Model) -> Vec<Option<usize>> {
    let s = model.structure();
    // The bin that a parameter acts in; `None` if there are several.
    let mut bins: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for (cell, parameter) in &s.cell_factors {
        let bin = Some(s.cell_bin[*cell]);
        let only = bins.entry(*parameter).or_insert(bin);
        if *only != bin {
            *only = None;
        }
    }
    let blocks = s.block_factors.iter().map(|(_, p)| *p);
    let everywhere =
        blocks.chain(s.normsys.iter().map(|e| e.parameter)).chain(s.histosys.iter().map(|e| e.parameter));
    everywhere.for_each(|p| {
        bins.remove(&p);
    });
    let mut own = vec![None; s.bins];
    for (parameter, bin) in bins {
        if let Some(bin) = bin {
            own[bin].get_or_insert(parameter);
        }
    }
    own
}

fn eliminated(b: &mut Builder, own: &[Option<usize>], shared: &[usize], of: &Quadratic) -> Built {
    let (bins, count) = (own.len(), shared.len() + own.iter().flatten().count());
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
    let of_own: Vec<i64> = own.iter().map(|p| p.unwrap_or(0) as i64).collect();
    let has_own: Vec<i64> = own.iter().map(|p| i64::from(p.is_some())).collect();
    let has_own = b.constant(HostTensor::from_i64(DType::Bool, &[bins], &has_own));
    let moves = gather(b, of.moving, &of_own, &[bins])?;
    let moves = b.gt(moves, zero)?;
    let moves = b.and(moves, has_own)?;

    // Each bin's own parameter: W·j, h and its gradient; 0, 1 and 0 where there is none that moves.
    let flat = b.reshape(of.jacobian, Shape::from([bins * count]))?;
    let at: Vec<i64> = of_own.iter().enumerate().map(|(bin, p)| (bin * count) as i64 + p).collect();
    let slope = gather(b, flat, &at, &[bins])?;
    let slope = b.mul(slope, of.weights)?;
    let slope = b.select(moves, slope, zero)?;
    let height = gather(b, of.curvature, &of_own, &[bins])?;
    let damped = b.add(one, of.damping)?;
    let height = b.mul(height, damped)?;
    let height = b.select(moves, height, one)?;
    let gradient = gather(b, of.gradient, &of_own, &[bins])?;
    let gradient = b.select(moves, gradient, zero)?;
    let ratio = b.div(slope, height)?;

    let indices: Vec<i64> = shared.iter().map(|p| *p as i64).collect();
    let columns: Vec<i64> =
        (0..bins).flat_map(|bin| indices.iter().map(move |p| (bin * count) as i64 + p)).collect();
    let jacobian = gather(b, flat, &columns, &[bins, shared.len()])?;
    let part = |b: &mut Builder, of: Value| gather(b, of, &indices, &[shared.len()]);
    let less = b.mul(slope, ratio)?;
    let weights = b.sub(of.weights, less)?;
    let passed_on = b.mul(ratio, gradient)?;
    let passed_on = b.dot(passed_on, jacobian, contract(0, 0))?;
    let rest = part(b, of.gradient)?;
    let rest = b.sub(rest, passed_on)?;
    let constraints = of.constraints.map(|c| part(b, c)).transpose()?;
    let (curvature, moving) = (part(b, of.curvature)?, part(b, of.moving)?);
    let damping = of.damping;
    let others = shared_step(
        b,
        &Quadratic { jacobian, weights, constraints, gradient: rest, curvature, moving, damping },
    )?;

    // Each bin's own step follows from the others'.
    let moved = b.dot(jacobian, others, contract(1, 0))?;
    let moved = b.mul(moved, ratio)?;
    let alone = b.div(gradient, height)?;
    let own_step = b.add(alone, moved)?;
    let own_step = b.neg(own_step)?;
    let both = b.concat(&[others, own_step], 0)?;
    let mut place = vec![0i64; count];
    shared.iter().enumerate().for_each(|(i, p)| place[*p] = i as i64);
    let own_places = own.iter().enumerate().filter_map(|(bin, p)| Some((bin, (*p)?)));
    own_places.for_each(|(bin, p)| place[p] = (shared.len() + bin) as i64);
    gather(b, both, &place, &[count])
}

/// −(S·H·S + λ)⁻¹ in the scale S of H's diagonal; rows of parameters that do not move are those of the unit matrix.
fn shared_step(b: &mut Builder, of: &Quadratic) -> Built {
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar(DType::F64, x));
    let columns = b.expand_axis(of.weights, 1)?;
    let weighted = b.mul(of.jacobian, columns)?;
    let mut matrix = b.dot(weighted, of.jacobian, contract(0, 0))?;
    if let Some(constraints) = of.constraints {
        let diagonal = diagonal(b, constraints)?;
        matrix = b.add(matrix, diagonal)?;
    }
    let moves = b.gt(of.moving, zero)?;
    let read = b.select(moves, of.curvature, one)?;
    let scale = b.rsqrt(read)?;
    let scale = b.select(moves, scale, zero)?;
    let rows = b.expand_axis(scale, 1)?;
    let scaled = b.mul(matrix, rows)?;
    let scaled = b.mul(scaled, scale)?;
    let rest = b.sub(one, of.moving)?;
    let rest = b.add(rest, of.damping)?;
    let rest = diagonal(b, rest)?;
    let scaled = b.add(scaled, rest)?;
    let factor = b.cholesky(scaled)?;
    let rhs = b.mul(of.gradient, scale)?;
    let rhs = b.neg(rhs)?;
    let rhs = b.expand_axis(rhs, 1)?;
    let half = b.triangular_solve(factor, rhs, TriangularSolve::default())?;
    let full = b.triangular_solve(factor, half, TriangularSolve::default().transposed())?;
    let flat = b.sum(full, &[1])?;
    b.mul(flat, scale)
}

pub(super) fn contract(lhs: usize, rhs: usize) -> Dot {
    Dot { lhs_contract: [lhs].as_slice().into(), rhs_contract: [rhs].as_slice().into(), ..Dot::default() }
}

/// A vector as a diagonal matrix.
fn diagonal(b: &mut Builder, vector: Value) -> Result<Value, TypeError> {
    let n = b.ty(vector).shape[0].clone();
    let square: Shape = [n.clone(), n].into_iter().collect();
    let (row, column) = (b.iota(DType::I64, square.clone(), 0)?, b.iota(DType::I64, square, 1)?);
    let on = b.eq(row, column)?;
    let zero = b.scalar_like(vector, 0.0);
    b.select(on, vector, zero)
}
