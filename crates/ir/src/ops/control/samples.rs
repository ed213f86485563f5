//! Sample applications: every op, nested, with and without captures, forwards and in reverse, no steps at all.

use super::Control;
use crate::ops::{Dot, Sample};
use crate::{Builder, DType, Dim, HostTensor, Region, TensorType, TypeError, Value};
use std::sync::Arc;

pub(super) fn samples() -> Vec<Sample> {
    let build = || -> Result<Vec<Sample>, TypeError> {
        Ok([calls()?, conds()?, whiles()?, scans()?, custom_vjps()?, nested()?].concat())
    };
    build().expect("the sample regions are well typed")
}

type Samples = Result<Vec<Sample>, TypeError>;

const F: DType = DType::F64;

fn region(
    params: &[TensorType],
    f: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, TypeError>,
) -> Result<Arc<Region>, TypeError> {
    Builder::new().subregion(params, f)
}

fn vector(n: usize) -> TensorType {
    TensorType::new(F, [n])
}

fn matrix(m: usize, n: usize) -> TensorType {
    TensorType::new(F, [m, n])
}

fn index() -> TensorType {
    TensorType::scalar(DType::I64)
}

/// Irregular numbers of size about one half.
fn data(dims: &[usize], seed: f64) -> HostTensor {
    let values: Vec<f64> =
        (0..dims.iter().product()).map(|i: usize| (1.7 * i as f64 + seed).sin() * 0.6 + 0.1).collect();
    HostTensor::from_f64(F, dims, &values)
}

fn flag(value: bool) -> HostTensor {
    HostTensor::scalar(DType::Bool, f64::from(u8::from(value)))
}

/// tanh(W h + x).
fn cell(b: &mut Builder, w: Value, h: Value, x: Value) -> Result<Value, TypeError> {
    let dims = Dot {
        lhs_contract: [1].into_iter().collect(),
        rhs_contract: [0].into_iter().collect(),
        ..Dot::default()
    };
    let product = b.dot(w, h, dims)?;
    let sum = b.add(product, x)?;
    b.tanh(sum)
}

fn calls() -> Samples {
    let body = region(&[vector(3), vector(3), index()], |b, p| {
        let product = b.mul(p[0], p[1])?;
        let sine = b.sin(product)?;
        let scale = b.cast(p[2], F)?;
        Ok(vec![b.mul(sine, scale)?, p[0], p[2]])
    })?;
    let inputs = vec![data(&[3], 0.3), data(&[3], 1.1), HostTensor::scalar(DType::I64, 3.0)];
    // A result that is a parameter, and one that depends on nothing.
    let trivial = region(&[vector(2)], |b, p| Ok(vec![p[0], b.full(&vector(2), 2.0)?]))?;
    Ok(vec![
        Sample::smooth(Control::Call { body }, inputs),
        Sample::smooth(Control::Call { body: trivial }, vec![data(&[2], 0.0)]),
    ])
}

fn conds() -> Samples {
    let params = [vector(3), vector(3)];
    let then = region(&params, |b, p| {
        let e = b.exp(p[0])?;
        Ok(vec![b.mul(e, p[1])?, p[0]])
    })?;
    let otherwise = region(&params, |b, p| {
        let sine = b.sin(p[0])?;
        let square = b.mul(sine, sine)?;
        Ok(vec![square, b.full(&vector(3), 1.0)?])
    })?;
    let op = Control::Cond { then, otherwise };
    let sample = |taken| Sample::smooth(op.clone(), vec![flag(taken), data(&[3], 0.3), data(&[3], 1.1)]);
    Ok(vec![sample(true), sample(false)])
}

/// x ← x · a + 0.1 until i = limit.
fn repeat() -> Result<Control, TypeError> {
    let params = [index(), vector(3), index(), vector(3)];
    let cond = region(&params, |b, p| Ok(vec![b.lt(p[0], p[2])?]))?;
    let body = region(&params, |b, p| {
        let product = b.mul(p[1], p[3])?;
        Ok(vec![b.add_scalar(p[0], 1.0)?, b.add_scalar(product, 0.1)?])
    })?;
    Ok(Control::While { cond, body, carries: 2 })
}

fn whiles() -> Samples {
    let op = repeat()?;
    let sample = |steps: f64| {
        let (start, limit) = (HostTensor::scalar(DType::I64, 0.0), HostTensor::scalar(DType::I64, steps));
        Sample::values(op.clone(), vec![start, data(&[3], 0.4), limit, data(&[3], 2.2)])
    };
    Ok(vec![sample(4.0), sample(0.0)])
}

/// A recurrent cell with captures W and a constant gain; ys are the squares of the carry, and the steps are counted.
fn recurrence(length: usize, reverse: bool) -> Result<Sample, TypeError> {
    let params = [vector(2), index(), vector(2), matrix(2, 2), vector(2)];
    let body = region(&params, |b, p| {
        let wide = b.exp(p[3])?;
        let h = cell(b, wide, p[0], p[2])?;
        let gained = b.mul(h, p[4])?;
        Ok(vec![gained, b.add_scalar(p[1], 1.0)?, b.mul(h, h)?])
    })?;
    let op = Control::Scan { body, carries: 2, xs: 1, length: Dim::from(length), reverse };
    let count = HostTensor::scalar(DType::I64, 0.0);
    let captures = [data(&[2, 2], 0.9), data(&[2], 1.9)];
    Ok(Sample::smooth(op, [&[data(&[2], 0.2), count, data(&[length, 2], 0.5)][..], &captures].concat()))
}

fn scans() -> Samples {
    // A carry that gets its dependence on the capture only after the first step, and no xs.
    let body = region(&[vector(2), vector(2), vector(2)], |b, p| {
        let product = b.mul(p[1], p[2])?;
        Ok(vec![p[1], b.cos(product)?])
    })?;
    let delayed = Control::Scan { body, carries: 2, xs: 0, length: Dim::from(3), reverse: false };
    let inputs = vec![data(&[2], 0.1), data(&[2], 0.8), data(&[2], 1.5)];
    Ok(vec![
        recurrence(4, false)?,
        recurrence(3, true)?,
        recurrence(0, false)?,
        Sample::smooth(delayed, inputs),
    ])
}

/// x² y with a hand-written (and true) derivative.
fn square_times() -> Result<Control, TypeError> {
    let params = [vector(3), vector(3), index()];
    let primal = region(&params, |b, p| {
        let square = b.mul(p[0], p[0])?;
        Ok(vec![b.mul(square, p[1])?])
    })?;
    let forward = region(&params, |b, p| {
        let square = b.mul(p[0], p[0])?;
        Ok(vec![b.mul(square, p[1])?, p[0], p[1], p[2]])
    })?;
    let residuals = [vector(3), vector(3), index(), vector(3)];
    let backward = region(&residuals, |b, p| {
        let double = b.mul_scalar(p[0], 2.0)?;
        let slope = b.mul(double, p[1])?;
        let square = b.mul(p[0], p[0])?;
        Ok(vec![b.mul(slope, p[3])?, b.mul(square, p[3])?, b.full(&index(), 0.0)?])
    })?;
    Ok(Control::CustomVjp { primal, forward, backward })
}

fn custom_vjps() -> Samples {
    let inputs = vec![data(&[3], 0.3), data(&[3], 1.1), HostTensor::scalar(DType::I64, 2.0)];
    Ok(vec![Sample::smooth(square_times()?, inputs)])
}

/// scan { cond { scan { call { custom_vjp } } } }.
fn nested() -> Samples {
    let (state, gain) = (vector(3), vector(3));
    let custom = square_times()?;
    let called = region(&[state.clone(), gain.clone()], |b, p| {
        let unused = b.scalar(DType::I64, 0.0);
        let value = b.push(custom, &[p[0], p[1], unused])?;
        Ok(vec![b.sin(value)?])
    })?;
    let inner_body = region(&[state.clone(), gain.clone()], |b, p| {
        let once = b.push(Control::Call { body: called.clone() }, &[p[0], p[1]])?;
        let twice = b.push(Control::Call { body: called.clone() }, &[once, p[1]])?;
        Ok(vec![b.add(twice, p[0])?])
    })?;
    let inner = Control::Scan { body: inner_body, carries: 1, xs: 0, length: Dim::from(2), reverse: false };
    let captures = [state.clone(), gain.clone()];
    let then = region(&captures, |b, p| Ok(vec![b.push(inner, p)?]))?;
    let otherwise = region(&captures, |b, p| Ok(vec![b.mul(p[0], p[1])?]))?;
    let outer_body = region(&[index(), state, gain.clone(), gain], |b, p| {
        let (one, two) = (b.scalar(DType::I64, 1.0), b.scalar(DType::I64, 2.0));
        let next = b.add(p[0], one)?;
        let parity = b.rem(p[0], two)?;
        let is_odd = b.eq(parity, one)?;
        let scaled = b.mul(p[2], p[3])?;
        let op = Control::Cond { then, otherwise };
        let chosen = b.push(op, &[is_odd, p[1], scaled])?;
        Ok(vec![next, chosen, chosen])
    })?;
    let op = Control::Scan { body: outer_body, carries: 2, xs: 1, length: Dim::from(3), reverse: false };
    let inputs =
        vec![HostTensor::scalar(DType::I64, 0.0), data(&[3], 0.7), data(&[3, 3], 1.3), data(&[3], 2.6)];
    Ok(vec![Sample::smooth(op, inputs)])
}
