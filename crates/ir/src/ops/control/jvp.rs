//! Forward mode: each op runs once, its regions made to compute tangents as well.

use super::Control;
use crate::ops::{Joint, JvpCx, JvpRegion, RuleError};
use crate::{Region, TensorType, Value};
use std::sync::Arc;

pub(super) fn jvp(op: &Control, cx: &mut JvpCx<'_>) -> Result<Joint, RuleError> {
    match op {
        // A custom derivative is one of reverse mode; forwards, the function itself is differentiated.
        Control::Call { body } | Control::CustomVjp { primal: body, .. } => call(body, cx),
        Control::Cond { then, otherwise } => cond(then, otherwise, cx),
        Control::While { cond, body, carries } => while_(cond, body, *carries, cx),
        Control::Scan { .. } => scan(op, cx),
    }
}

fn call(body: &Arc<Region>, cx: &mut JvpCx<'_>) -> Result<Joint, RuleError> {
    let given = marks(cx.tangents);
    let made = cx.regions.jvp(body, &given, &vec![false; body.results().len()])?;
    let operands: Vec<Value> = cx.inputs.iter().copied().chain(some(cx.tangents)).collect();
    let outputs = cx.b.push_multi(Control::Call { body: made.region.clone() }, &operands)?;
    Ok(joint(outputs, &made.has_tangent))
}

fn cond(then: &Arc<Region>, otherwise: &Arc<Region>, cx: &mut JvpCx<'_>) -> Result<Joint, RuleError> {
    let given = marks(&cx.tangents[1..]);
    let mut force = vec![false; then.results().len()];
    for branch in [then, otherwise] {
        let found = cx.regions.jvp(branch, &given, &force)?;
        force.clone_from(&found.has_tangent);
    }
    let then = cx.regions.jvp(then, &given, &force)?.region.clone();
    let otherwise = cx.regions.jvp(otherwise, &given, &force)?.region.clone();
    let operands: Vec<Value> = cx.inputs.iter().copied().chain(some(cx.tangents)).collect();
    let outputs = cx.b.push_multi(Control::Cond { then, otherwise }, &operands)?;
    Ok(joint(outputs, &force))
}

/// The carries that have a tangent after any number of steps, and the body with those tangents.
fn carried_tangents(
    body: &Arc<Region>,
    carries: usize,
    cx: &JvpCx<'_>,
) -> Result<(Vec<bool>, Arc<JvpRegion>), RuleError> {
    let mut given = marks(cx.tangents);
    let mut force = vec![false; body.results().len()];
    loop {
        force[..carries].copy_from_slice(&given[..carries]);
        let made = cx.regions.jvp(body, &given, &force)?;
        if made.has_tangent[..carries] == given[..carries] {
            return Ok((given, made));
        }
        given[..carries].copy_from_slice(&made.has_tangent[..carries]);
    }
}

/// Operands of a range, then their tangents (zeros where a carry gets one later only).
fn doubled(
    cx: &mut JvpCx<'_>,
    range: std::ops::Range<usize>,
    given: &[bool],
) -> Result<Vec<Value>, RuleError> {
    let mut out = cx.inputs[range.clone()].to_vec();
    for i in range.filter(|i| given[*i]) {
        out.push(match cx.tangents[i] {
            Some(tangent) => tangent,
            None => cx.b.full_like(cx.inputs[i], 0.0)?,
        });
    }
    Ok(out)
}

/// Parameters in groups, each followed by its tangents: [carry, d carry, xs, d xs, …].
struct Groups<'a> {
    ranges: Vec<std::ops::Range<usize>>,
    given: &'a [bool],
}

impl Groups<'_> {
    fn types(&self, params: &[TensorType]) -> Vec<TensorType> {
        let tangents = |r: &std::ops::Range<usize>| r.clone().filter(|i| self.given[*i]);
        self.ranges.iter().flat_map(|r| r.clone().chain(tangents(r))).map(|i| params[i].clone()).collect()
    }

    /// From the grouped order to: all values, then all tangents.
    fn ungroup(&self, grouped: &[Value]) -> Vec<Value> {
        let (mut values, mut tangents) = (Vec::new(), Vec::new());
        let mut rest = grouped.iter().copied();
        for range in &self.ranges {
            values.extend(rest.by_ref().take(range.len()));
            tangents.extend(rest.by_ref().take(range.clone().filter(|i| self.given[*i]).count()));
        }
        values.extend(tangents);
        values
    }
}

fn while_(
    cond: &Arc<Region>,
    body: &Arc<Region>,
    carries: usize,
    cx: &mut JvpCx<'_>,
) -> Result<Joint, RuleError> {
    let (given, made) = carried_tangents(body, carries, cx)?;
    let all = cx.inputs.len();
    let groups = Groups { ranges: vec![0..carries, carries..all], given: &given };
    let types = groups.types(body.param_types());
    let new_cond = cx.b.subregion(&types, |b, p| b.inline(cond, &groups.ungroup(p)[..all]))?;
    let new_body = cx.b.subregion(&types, |b, p| b.inline(&made.region, &groups.ungroup(p)))?;
    let mut operands = doubled(cx, 0..carries, &given)?;
    let doubled_carries = operands.len();
    operands.extend(doubled(cx, carries..all, &given)?);
    let op = Control::While { cond: new_cond, body: new_body, carries: doubled_carries };
    let outputs = cx.b.push_multi(op, &operands)?;
    Ok(joint(outputs, &given[..carries]))
}

fn scan(op: &Control, cx: &mut JvpCx<'_>) -> Result<Joint, RuleError> {
    let Control::Scan { body, carries, xs, length, reverse } = op else {
        unreachable!("called for scans only")
    };
    let (n, all) = (*carries, cx.inputs.len());
    let (given, made) = carried_tangents(body, n, cx)?;
    let groups = Groups { ranges: vec![0..n, n..n + xs, n + xs..all], given: &given };
    let results = body.results().len();
    let new_body = cx.b.subregion(&groups.types(body.param_types()), |b, p| {
        let mut out = b.inline(&made.region, &groups.ungroup(p))?;
        // From [carry, ys, d carry, d ys] to [carry, d carry, ys, d ys].
        let moved = given[..n].iter().filter(|g| **g).count();
        out[n..results + moved].rotate_right(moved);
        Ok::<_, crate::TypeError>(out)
    })?;
    let mut operands = doubled(cx, 0..n, &given)?;
    let new_carries = operands.len();
    operands.extend(doubled(cx, n..n + xs, &given)?);
    let new_xs = operands.len() - new_carries;
    operands.extend(doubled(cx, n + xs..all, &given)?);
    let op = Control::Scan {
        body: new_body,
        carries: new_carries,
        xs: new_xs,
        length: length.clone(),
        reverse: *reverse,
    };
    let mut outputs = cx.b.push_multi(op, &operands)?;
    outputs[n..new_carries + results - n].rotate_left(new_carries - n);
    Ok(joint(outputs, &made.has_tangent))
}

/// Splits results followed by the tangents marked.
fn joint(mut outputs: Vec<Value>, has_tangent: &[bool]) -> Joint {
    let mut tangents = outputs.split_off(has_tangent.len()).into_iter();
    let tangents = has_tangent.iter().map(|has| if *has { tangents.next() } else { None }).collect();
    Joint { outputs, tangents }
}

fn marks(values: &[Option<Value>]) -> Vec<bool> {
    values.iter().map(Option::is_some).collect()
}

fn some(values: &[Option<Value>]) -> impl Iterator<Item = Value> + '_ {
    values.iter().copied().flatten()
}
