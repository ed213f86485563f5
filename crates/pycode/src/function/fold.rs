//! What is known of values while they are written: shapes that broadcast, repeated constants and what ops make of them.

use crate::dialect::Arg;
use crate::py::{Py, atom, index};
use wootz_ir::ops::{Reduce, ReduceKind};
use wootz_ir::{Builder, Dims, HostTensor, Op, Value, eval};

/// The shape of two shapes broadcast together.
pub(super) fn joined(a: &Dims, b: &Dims) -> Dims {
    let rank = a.len().max(b.len());
    let at = |dims: &Dims, i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank).map(|i| if at(a, i) == 1 { at(b, i) } else { at(a, i) }).collect()
}

/// An array of shape `dims`, standing for one of rank `rank` whose axes become `axes` of the `out` axes: the array with axes
/// of size 1 where it has none, so that it broadcasts.
pub(super) fn spread(code: Py, dims: &Dims, rank: usize, axes: &[usize], out: usize) -> (Py, Dims) {
    let missing = rank - dims.len();
    // The axis of `code`, if any, at each axis of the result; leading ones are left out.
    let sources: Vec<Option<usize>> = (0..out)
        .map(|axis| axes.iter().position(|a| *a == axis).and_then(|i| i.checked_sub(missing)))
        .collect();
    let first = sources.iter().position(Option::is_some).unwrap_or(out);
    let sources = &sources[first..];
    let new_dims: Dims = sources.iter().map(|s| s.map_or(1, |i| dims[i])).collect();
    if sources.iter().all(Option::is_some) {
        return (code, new_dims);
    }
    let mut entries: Vec<&str> = sources.iter().map(|s| if s.is_some() { ":" } else { "None" }).collect();
    while entries.last() == Some(&":") {
        entries.pop();
    }
    (index(code, entries.into_iter().map(atom)), new_dims)
}

/// The only element of a constant that repeats it.
pub(crate) fn splat_of(tensor: &HostTensor) -> Option<HostTensor> {
    let size = tensor.dtype().size();
    let mut elements = tensor.as_bytes().chunks_exact(size);
    let first = elements.next()?;
    elements
        .all(|e| e == first)
        .then(|| HostTensor::from_bytes(tensor.dtype(), &[], first).expect("an element is a scalar's bytes"))
}

/// The element of an elementwise op on repeated constants.
pub(super) fn folded(op: &Op, args: &[Arg]) -> Option<HostTensor> {
    let splats: Vec<HostTensor> = args.iter().map(|a| a.splat.clone()).collect::<Option<_>>()?;
    evaluated(op, &splats)
}

fn evaluated(op: &Op, inputs: &[HostTensor]) -> Option<HostTensor> {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let result = b.push(op.clone(), &params).ok()?;
    eval::region(&b.finish(&[result]), inputs).ok()?.pop()
}

/// The element of a reduction of `count` elements at a time, if it is known: of none, or of equal ones.
pub(super) fn reduced_splat(op: &Reduce, arg: &Arg, count: usize) -> Option<HostTensor> {
    let one_axis = Op::from(Reduce { kind: op.kind, axes: [0].as_slice().into() });
    if count == 0 {
        return evaluated(&one_axis, &[HostTensor::from_f64(arg.dtype, &[0], &[])]);
    }
    let splat = arg.splat.as_ref()?;
    match op.kind {
        ReduceKind::Max | ReduceKind::Min | ReduceKind::Any | ReduceKind::All => Some(splat.clone()),
        ReduceKind::Sum if splat.dtype().is_int() => {
            let sum = splat.to_i64()[0].wrapping_mul(count as i64);
            Some(HostTensor::from_i64(splat.dtype(), &[], &[sum]))
        }
        ReduceKind::Sum | ReduceKind::Prod => None,
    }
}

/// Whether an expression is one of the dicts that parameters, state and gradients come in.
pub(super) fn is_container(value: &Py) -> bool {
    matches!(value, Py::Atom(name) if matches!(name.as_str(), "params" | "state" | "gradients"))
}
