//! Derivatives and batching.
//!
//! The derivative of the Cholesky factor is that of I. Murray, *Differentiation of the Cholesky decomposition* (2016), §3.

use super::{BatchCx, JvpCx, Linalg, RuleError, TriangularSolve, VjpCx};
use crate::ops::spread;
use crate::{Axes, Builder, DType, Dim, Shape, TypeError, Value};

/// Solves with the transposed lower triangle.
const TRANSPOSED: TriangularSolve = TriangularSolve { lower: true, transpose: true, unit_diagonal: false };

/// x with its last two axes exchanged.
fn transpose(b: &mut Builder, x: Value) -> Result<Value, TypeError> {
    let rank = b.ty(x).rank();
    b.move_axis(x, rank - 1, rank - 2)
}

/// Which part of a matrix stays: one triangle, and the diagonal times a number.
#[derive(Clone, Copy)]
struct Part {
    lower: bool,
    diagonal: f64,
}

/// Part of a matrix; the rest becomes 0, whatever it holds.
fn triangle(b: &mut Builder, x: Value, part: Part) -> Result<Value, TypeError> {
    let shape = b.ty(x).shape.clone();
    let square: Shape = shape[shape.rank() - 2..].iter().collect();
    let row = b.iota(DType::I64, square.clone(), 0)?;
    let column = b.iota(DType::I64, square, 1)?;
    let inside = if part.lower { b.gt(row, column)? } else { b.lt(row, column)? };
    let zero = b.scalar_like(x, 0.0);
    let off = b.select(inside, x, zero)?;
    if part.diagonal == 0.0 {
        return Ok(off);
    }
    let on = b.eq(row, column)?;
    let scaled = if part.diagonal == 1.0 { x } else { b.mul_scalar(x, part.diagonal)? };
    b.select(on, scaled, off)
}

/// The lower triangle with half the diagonal: Φ in the source.
fn half_lower(b: &mut Builder, x: Value) -> Result<Value, TypeError> {
    triangle(b, x, Part { lower: true, diagonal: 0.5 })
}

/// The symmetric matrix that has x's lower triangle.
fn symmetric(b: &mut Builder, x: Value) -> Result<Value, TypeError> {
    let half = half_lower(b, x)?;
    let other = transpose(b, half)?;
    b.add(half, other)
}

fn solve(b: &mut Builder, op: TriangularSolve, a: Value, rhs: Value) -> Result<Value, TypeError> {
    b.push(Linalg::TriangularSolve(op), &[a, rhs])
}

pub(super) fn cholesky_jvp(cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(t) = cx.tangents[0] else { return Ok(vec![None]) };
    let (b, l) = (&mut *cx.b, cx.outputs[0]);
    // L·Φ(L⁻¹·ȧ·L⁻ᵀ); ȧ is symmetric, so the second solve may take the transpose of the first.
    let t = symmetric(b, t)?;
    let left = solve(b, TriangularSolve::default(), l, t)?;
    let left = transpose(b, left)?;
    let both = solve(b, TriangularSolve::default(), l, left)?;
    let phi = half_lower(b, both)?;
    Ok(vec![Some(b.matmul(l, phi)?)])
}

pub(super) fn cholesky_vjp(cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(g) = cx.cotangents[0].filter(|_| cx.needs[0]) else { return Ok(vec![None]) };
    let (b, l) = (&mut *cx.b, cx.outputs[0]);
    // ½·L⁻ᵀ·(P + Pᵀ)·L⁻¹ with P = Φ(Lᵀ·ḡ), which reads only the lower triangle of ḡ.
    let lt = transpose(b, l)?;
    let p = b.matmul(lt, g)?;
    let p = symmetric(b, p)?;
    let left = solve(b, TRANSPOSED, l, p)?;
    let left = transpose(b, left)?;
    let s = solve(b, TRANSPOSED, l, left)?;
    // An element below the diagonal stands for two of the symmetric matrix.
    Ok(vec![Some(half_lower(b, s)?)])
}

/// The part of a matrix's tangent or cotangent that a solve depends on.
fn read_part(op: TriangularSolve) -> Part {
    Part { lower: op.lower, diagonal: if op.unit_diagonal { 0.0 } else { 1.0 } }
}

pub(super) fn triangular_solve_jvp(
    op: TriangularSolve,
    cx: &mut JvpCx<'_>,
) -> Result<Vec<Option<Value>>, RuleError> {
    let (b, a, x) = (&mut *cx.b, cx.inputs[0], cx.outputs[0]);
    let moved = match cx.tangents[0] {
        Some(t) => {
            let t = triangle(b, t, read_part(op))?;
            let t = if op.transpose { transpose(b, t)? } else { t };
            Some(b.matmul(t, x)?)
        }
        None => None,
    };
    let rhs = match (cx.tangents[1], moved) {
        (Some(t), Some(moved)) => b.sub(t, moved)?,
        (Some(t), None) => t,
        (None, Some(moved)) => b.neg(moved)?,
        (None, None) => return Ok(vec![None]),
    };
    Ok(vec![Some(solve(b, op, a, rhs)?)])
}

pub(super) fn triangular_solve_vjp(
    op: TriangularSolve,
    cx: &mut VjpCx<'_>,
) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(g) = cx.cotangents[0] else { return Ok(vec![None, None]) };
    let (b, a, x) = (&mut *cx.b, cx.inputs[0], cx.outputs[0]);
    let rhs = solve(b, op.transposed(), a, g)?;
    let mut out = vec![None, Some(rhs)];
    if cx.needs[0] {
        let (left, right) = if op.transpose { (x, rhs) } else { (rhs, x) };
        let right = transpose(b, right)?;
        let product = b.matmul(left, right)?;
        let product = b.neg(product)?;
        out[0] = Some(triangle(b, product, read_part(op))?);
    }
    Ok(out)
}

pub(super) fn triangular_solve_batch(
    op: TriangularSolve,
    cx: &mut BatchCx<'_>,
) -> Result<Vec<(Value, bool)>, RuleError> {
    let [mut a, mut rhs] = [cx.inputs[0], cx.inputs[1]];
    if cx.batched[0] {
        if !cx.batched[1] {
            rhs = spread(cx.b, rhs, cx.size)?;
        }
        return Ok(vec![(solve(cx.b, op, a, rhs)?, true)]);
    }
    // One matrix for the whole batch: its right-hand sides become columns.
    let shape = cx.input_types[1].shape.clone();
    let (rank, columns) = (shape.rank(), &shape[shape.rank() - 1]);
    rhs = cx.b.move_axis(rhs, 0, rank - 1)?;
    let wide: Vec<Dim> = shape[..rank - 1].iter().cloned().chain([cx.size * columns]).collect();
    rhs = cx.b.reshape(rhs, wide.into_iter().collect::<Shape>())?;
    a = solve(cx.b, op, a, rhs)?;
    let split: Axes = (0..rank - 1).collect();
    let long: Shape =
        split.iter().map(|i| shape[*i].clone()).chain([cx.size.clone(), columns.clone()]).collect();
    let x = cx.b.reshape(a, long)?;
    Ok(vec![(cx.b.move_axis(x, rank - 1, 0)?, true)])
}
