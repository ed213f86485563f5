//! Batching: regions get the new axis where their parameters have it; carries that become batched are batched from the start.

use super::Control;
use crate::ops::{BatchCx, Reduce, ReduceKind, RuleError, spread};
use crate::{Region, TensorType, TypeError, Value};
use smallvec::smallvec;
use std::sync::Arc;

type Outputs = Result<Vec<(Value, bool)>, RuleError>;

pub(super) fn batch(op: &Control, cx: &mut BatchCx<'_>) -> Outputs {
    match op {
        Control::Call { body } => {
            let free = vec![false; body.results().len()];
            let (body, batched) = cx.regions.batch(body, cx.batched, &free, cx.size)?;
            push(cx, Control::Call { body }, cx.inputs, &batched)
        }
        Control::Cond { then, otherwise } if cx.batched[0] => select(cx, then, otherwise),
        Control::Cond { then, otherwise } => {
            let captures = &cx.batched[1..];
            let force = union(cx, [then, otherwise], captures)?;
            let (then, _) = cx.regions.batch(then, captures, &force, cx.size)?;
            let (otherwise, _) = cx.regions.batch(otherwise, captures, &force, cx.size)?;
            push(cx, Control::Cond { then, otherwise }, cx.inputs, &force)
        }
        Control::While { cond, body, carries } => while_(cx, cond, body, *carries),
        Control::Scan { .. } => scan(cx, op),
        Control::CustomVjp { primal, forward, backward } => custom_vjp(cx, primal, forward, backward),
    }
}

fn push(cx: &mut BatchCx<'_>, op: Control, operands: &[Value], batched: &[bool]) -> Outputs {
    let outputs = cx.b.push_multi(op, operands)?;
    Ok(outputs.into_iter().zip(batched.iter().copied()).collect())
}

/// The results that are batched in either region.
fn union(cx: &BatchCx<'_>, regions: [&Arc<Region>; 2], batched: &[bool]) -> Result<Vec<bool>, RuleError> {
    let mut force = vec![false; regions[0].results().len()];
    for region in regions {
        force = cx.regions.batch(region, batched, &force, cx.size)?.1;
    }
    Ok(force)
}

/// A cond whose lanes disagree: both branches, and a choice lane by lane.
/// Every lane runs both, so each branch must come to an end (and not divide by zero, if it is differentiated) on all of them.
fn select(cx: &mut BatchCx<'_>, then: &Arc<Region>, otherwise: &Arc<Region>) -> Outputs {
    let force = vec![true; then.results().len()];
    let mut results = Vec::with_capacity(2);
    for branch in [then, otherwise] {
        let (region, _) = cx.regions.batch(branch, &cx.batched[1..], &force, cx.size)?;
        results.push(cx.b.inline(&region, &cx.inputs[1..])?);
    }
    let mut out = Vec::with_capacity(force.len());
    for (x, y) in results[0].iter().zip(&results[1]) {
        out.push((choose(cx.b, cx.inputs[0], *x, *y)?, true));
    }
    Ok(out)
}

/// x in the lanes where the condition (one bool a lane) is true, y in the others.
fn choose(b: &mut crate::Builder, lanes: Value, x: Value, y: Value) -> Result<Value, TypeError> {
    let shape = b.ty(x).shape.clone();
    let mask = b.broadcast(lanes, &shape, &[0])?;
    b.select(mask, x, y)
}

/// Operands, those that must be batched and are not made so.
fn spread_where(cx: &mut BatchCx<'_>, batched: &[bool]) -> Result<Vec<Value>, RuleError> {
    let mut out = cx.inputs.to_vec();
    for i in 0..out.len() {
        if batched[i] && !cx.batched[i] {
            out[i] = spread(cx.b, out[i], cx.size)?;
        }
    }
    Ok(out)
}

fn while_(cx: &mut BatchCx<'_>, cond: &Arc<Region>, body: &Arc<Region>, carries: usize) -> Outputs {
    let mut batched = cx.batched.to_vec();
    let (cond, lanes_disagree) = loop {
        let (batched_cond, found) = cx.regions.batch(cond, &batched, &[false], cx.size)?;
        let before = batched.clone();
        if found[0] {
            // A lane that has finished keeps its values, so every carried value is a lane's own.
            batched[..carries].fill(true);
        }
        let next = cx.regions.batch(body, &batched, &batched[..carries], cx.size)?.1;
        batched[..carries].copy_from_slice(&next);
        if batched == before {
            break (batched_cond, found[0]);
        }
    };
    let (body, _) = cx.regions.batch(body, &batched, &batched[..carries], cx.size)?;
    let mut operands = spread_where(cx, &batched)?;
    if !lanes_disagree {
        return push(cx, Control::While { cond, body, carries }, &operands, &batched[..carries]);
    }
    // One more carry says which lanes are live.
    let live = cx.b.inline(&cond, &operands)?[0];
    operands.insert(carries, live);
    let types: Vec<TensorType> = operands.iter().map(|v| cx.b.ty(*v).clone()).collect();
    let any_live = cx.b.subregion(&types, |b, params| {
        let any = Reduce { kind: ReduceKind::Any, axes: smallvec![0] };
        Ok::<_, TypeError>(vec![b.push(any, &params[carries..=carries])?])
    })?;
    let masked = cx.b.subregion(&types, |b, params| {
        let (carry, rest) = params.split_at(carries);
        let (live, captures) = (rest[0], &rest[1..]);
        let stepped = b.inline(&body, &[carry, captures].concat())?;
        let mut next = Vec::with_capacity(carries + 1);
        for (new, old) in stepped.iter().zip(carry) {
            next.push(choose(b, live, *new, *old)?);
        }
        let live = b.inline(&cond, &[&next[..], captures].concat())?;
        next.extend(live);
        Ok::<_, TypeError>(next)
    })?;
    let op = Control::While { cond: any_live, body: masked, carries: carries + 1 };
    let mut outputs = cx.b.push_multi(op, &operands)?;
    outputs.truncate(carries);
    Ok(outputs.into_iter().map(|v| (v, true)).collect())
}

fn scan(cx: &mut BatchCx<'_>, op: &Control) -> Outputs {
    let Control::Scan { body, carries, xs, length, reverse } = op else {
        unreachable!("called for scans only")
    };
    let n = *carries;
    let mut batched = cx.batched.to_vec();
    let mut force = vec![false; body.results().len()];
    let (body, found) = loop {
        force[..n].copy_from_slice(&batched[..n]);
        let (region, found) = cx.regions.batch(body, &batched, &force, cx.size)?;
        if found[..n] == batched[..n] {
            break (region, found);
        }
        batched[..n].copy_from_slice(&found[..n]);
    };
    let mut operands = spread_where(cx, &batched)?;
    // The scanned axis stays in front of the new one.
    for i in (n..n + xs).filter(|i| batched[*i]) {
        operands[i] = cx.b.move_axis(operands[i], 0, 1)?;
    }
    let op = Control::Scan { body, carries: n, xs: *xs, length: length.clone(), reverse: *reverse };
    let mut outputs = push(cx, op, &operands, &found)?;
    for (value, _) in outputs[n..].iter_mut().filter(|(_, batched)| *batched) {
        *value = cx.b.move_axis(*value, 1, 0)?;
    }
    Ok(outputs)
}

fn custom_vjp(
    cx: &mut BatchCx<'_>,
    primal: &Arc<Region>,
    forward: &Arc<Region>,
    backward: &Arc<Region>,
) -> Outputs {
    let results = primal.results().len();
    let mut force = vec![false; forward.results().len()];
    let found = cx.regions.batch(primal, cx.batched, &force[..results], cx.size)?.1;
    force[..results].copy_from_slice(&found);
    let (forward, found) = cx.regions.batch(forward, cx.batched, &force, cx.size)?;
    let (primal, _) = cx.regions.batch(primal, cx.batched, &found[..results], cx.size)?;
    // The backward region's parameters: residuals, then cotangents.
    let given: Vec<bool> = found[results..].iter().chain(&found[..results]).copied().collect();
    let (region, has_axis) = cx.regions.batch(backward, &given, cx.batched, cx.size)?;
    let backward = if has_axis == cx.batched { region } else { sum_shared(cx, &region, &has_axis)? };
    push(cx, Control::CustomVjp { primal, forward, backward }, cx.inputs, &found[..results])
}

/// A backward region for which arguments that all lanes share get the sum of the lanes' cotangents.
fn sum_shared(cx: &BatchCx<'_>, backward: &Region, has_axis: &[bool]) -> Result<Arc<Region>, RuleError> {
    Ok(cx.b.subregion(backward.param_types(), |b, params| {
        let mut results = b.inline(backward, params)?;
        for (i, result) in results.iter_mut().enumerate() {
            if has_axis[i] && !cx.batched[i] {
                let ty = &cx.input_types[i];
                *result = if ty.dtype.is_float() { b.sum(*result, &[0])? } else { b.full(ty, 0.0)? };
            }
        }
        Ok::<_, TypeError>(results)
    })?)
}
