//! Reference evaluation: regions run through the interpreter.

use super::{Control, EvalRegion};
use crate::ops::{EvalCx, EvalError};
use crate::{HostTensor, Region, Site};

/// Evaluates `op`, its regions by `region`.
pub(super) fn eval<E: From<EvalError>>(
    op: &Control,
    cx: &EvalCx<'_>,
    region: &mut EvalRegion<'_, E>,
) -> Result<Vec<HostTensor>, E> {
    let inputs: Vec<HostTensor> = cx.inputs.iter().map(|t| (*t).clone()).collect();
    match op {
        Control::Call { body } => region(body, &inputs),
        Control::Cond { then, otherwise } => {
            region(if is_true(&inputs[0]) { then } else { otherwise }, &inputs[1..])
        }
        Control::While { cond, body, carries } => {
            let mut state = inputs;
            while is_true(&region(cond, &state)?[0]) {
                let next = region(body, &state)?;
                state.splice(..*carries, next);
            }
            state.truncate(*carries);
            Ok(state)
        }
        Control::Scan { body, carries, xs, length, reverse } => {
            let Some(steps) = length.as_const() else {
                let (op, dim) = ("scan", length.clone());
                return Err(EvalError::Symbolic { op, dim, site: Site::default() }.into());
            };
            scan(cx, body, region, &inputs, [*carries, *xs, steps], *reverse)
        }
        Control::CustomVjp { primal, .. } => region(primal, &inputs),
    }
}

fn scan<E: From<EvalError>>(
    cx: &EvalCx<'_>,
    body: &Region,
    region: &mut EvalRegion<'_, E>,
    inputs: &[HostTensor],
    [carries, xs, steps]: [usize; 3],
    reverse: bool,
) -> Result<Vec<HostTensor>, E> {
    let (carry, rest) = inputs.split_at(carries);
    let (scanned, captures) = rest.split_at(xs);
    let mut carry = carry.to_vec();
    let mut ys = Vec::with_capacity(cx.outputs.len() - carries);
    for i in carries..cx.outputs.len() {
        ys.push(HostTensor::zeros(cx.out_dtype(i), &cx.out_dims(i)).map_err(EvalError::from)?);
    }
    for step in 0..steps {
        let t = if reverse { steps - 1 - step } else { step };
        let mut args = std::mem::take(&mut carry);
        for x in scanned {
            args.push(row(x, t)?);
        }
        args.extend_from_slice(captures);
        carry = region(body, &args)?;
        for (y, value) in ys.iter_mut().zip(carry.drain(carries..)) {
            let bytes = value.as_bytes();
            y.bytes_mut()[t * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    carry.extend(ys);
    Ok(carry)
}

/// `x[t]`.
fn row(x: &HostTensor, t: usize) -> Result<HostTensor, EvalError> {
    let dims = &x.dims()[1..];
    let bytes = dims.iter().product::<usize>() * x.dtype().size();
    Ok(HostTensor::from_bytes(x.dtype(), dims, &x.as_bytes()[t * bytes..][..bytes])?)
}

fn is_true(predicate: &HostTensor) -> bool {
    predicate.as_bytes()[0] != 0
}
