//! Type rules: operands against region parameters, region results against results.

use super::Control;
use crate::ops::{InferCx, Types};
use crate::{DType, Shape, TensorType, TypeError};

pub(super) fn infer(op: &Control, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
    let operands: Vec<TensorType> = cx.inputs.iter().map(|t| (*t).clone()).collect();
    match op {
        Control::Call { body } => {
            matches(cx, "the body's parameters", &operands, body.param_types())?;
            Ok(body.result_types().into())
        }
        Control::Cond { then, otherwise } => {
            let Some((predicate, captures)) = operands.split_first() else {
                return Err(cx.attribute("needs a predicate".into()));
            };
            if *predicate != TensorType::scalar(DType::Bool) {
                return Err(cx.attribute("the predicate must be a bool scalar".into()));
            }
            matches(cx, "the parameters of `then`", captures, then.param_types())?;
            matches(cx, "the parameters of `else`", captures, otherwise.param_types())?;
            matches(cx, "the results of `else`", &then.result_types(), &otherwise.result_types())?;
            Ok(then.result_types().into())
        }
        Control::While { cond, body, carries } => {
            let carry = carried(cx, &operands, *carries)?;
            matches(cx, "the parameters of `cond`", &operands, cond.param_types())?;
            matches(cx, "the result of `cond`", &[TensorType::scalar(DType::Bool)], &cond.result_types())?;
            matches(cx, "the parameters of `body`", &operands, body.param_types())?;
            matches(cx, "the results of `body`", carry, &body.result_types())?;
            Ok(carry.into())
        }
        Control::Scan { body, carries, xs, length, .. } => {
            let carry = carried(cx, &operands, *carries)?;
            let scanned = carried(cx, &operands[*carries..], *xs)?;
            let mut params = carry.to_vec();
            for x in scanned {
                let Some((first, rest)) = x.shape.split_first() else {
                    return Err(cx.attribute("a scanned operand needs a leading axis".into()));
                };
                cx.same("scanned operands have `length` rows", first, length)?;
                params.push(x.with_shape(rest.iter().collect::<Shape>()));
            }
            params.extend_from_slice(&operands[carries + xs..]);
            matches(cx, "the body's parameters", &params, body.param_types())?;
            let results = body.result_types();
            let next = carried(cx, &results, *carries)?;
            matches(cx, "the body's carried results", carry, next)?;
            let ys = results[*carries..].iter().map(|t| t.with_shape(t.shape.prepend(length)));
            Ok(carry.iter().cloned().chain(ys).collect())
        }
        Control::CustomVjp { primal, forward, backward } => {
            let results = primal.result_types();
            matches(cx, "the parameters of `primal`", &operands, primal.param_types())?;
            matches(cx, "the parameters of `forward`", &operands, forward.param_types())?;
            let produced = forward.result_types();
            let head = carried(cx, &produced, results.len())?;
            matches(cx, "the results of `forward`", &results, head)?;
            let taken = [&produced[results.len()..], &results].concat();
            matches(cx, "the parameters of `backward`", &taken, backward.param_types())?;
            matches(cx, "the results of `backward`", &operands, &backward.result_types())?;
            Ok(results.into())
        }
    }
}

fn carried<'t>(cx: &InferCx<'_>, types: &'t [TensorType], n: usize) -> Result<&'t [TensorType], TypeError> {
    types.get(..n).ok_or_else(|| cx.attribute(format!("expected at least {n} values, found {}", types.len())))
}

fn matches(
    cx: &mut InferCx<'_>,
    what: &str,
    expected: &[TensorType],
    got: &[TensorType],
) -> Result<(), TypeError> {
    let same_rank = |(e, g): (&TensorType, &TensorType)| e.dtype == g.dtype && e.rank() == g.rank();
    if expected.len() != got.len() || !expected.iter().zip(got).all(same_rank) {
        return Err(cx.attribute(format!("{what} must be {expected:?}, found {got:?}")));
    }
    for (e, g) in expected.iter().zip(got) {
        for (x, y) in e.shape.iter().zip(g.shape.iter()) {
            cx.same("sizes at a region's border must agree", x, y)?;
        }
    }
    Ok(())
}
