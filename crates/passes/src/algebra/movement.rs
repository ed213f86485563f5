//! Movement of elements: what changes nothing goes away, chains of one kind become one.

use crate::emit::{Emit, Values};
use smallvec::{SmallVec, smallvec};
use wootz_ir::ops::{Movement, Op};
use wootz_ir::{Axes, Dim, Shape, TypeError, Value};

/// Rules of movement.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Movement(op) = op else { return Ok(None) };
    let value = if let Movement::Concat { axis } = op { concat(e, *axis, x)? } else { single(e, op, x[0])? };
    Ok(value.map(|v| smallvec![v]))
}

fn single(e: &mut Emit<'_, '_>, op: &Movement, x: Value) -> Result<Option<Value>, TypeError> {
    let shape = &e.ty(x).shape;
    if is_identity(op, shape) {
        return Ok(Some(x));
    }
    let inner = match e.def(x) {
        Some((Op::Movement(inner), operands)) if operands.len() == 1 => (inner.clone(), operands[0]),
        _ => return Ok(None),
    };
    let composed = match (op, inner.0) {
        (Movement::Reshape { shape }, Movement::Reshape { .. }) => Movement::Reshape { shape: shape.clone() },
        // A repeated scalar has no axes to keep track of.
        (Movement::Reshape { shape }, Movement::Broadcast { axes, .. }) if axes.is_empty() => {
            Movement::Broadcast { shape: shape.clone(), axes }
        }
        (Movement::Transpose { perm }, Movement::Transpose { perm: first }) => {
            Movement::Transpose { perm: perm.iter().map(|i| first[*i]).collect() }
        }
        (Movement::Transpose { perm }, Movement::Broadcast { shape, axes }) => {
            let to: Axes = axes
                .iter()
                .map(|a| perm.iter().position(|p| p == a).expect("a permutation names every axis"))
                .collect();
            if !to.is_sorted() {
                return Ok(None);
            }
            Movement::Broadcast { shape: perm.iter().map(|i| &shape[*i]).collect(), axes: to }
        }
        (Movement::Broadcast { shape, axes }, Movement::Broadcast { axes: first, .. }) => {
            Movement::Broadcast { shape: shape.clone(), axes: first.iter().map(|i| axes[*i]).collect() }
        }
        (Movement::Reverse { axes }, Movement::Reverse { axes: first }) => {
            let once = |a: &usize| axes.contains(a) != first.contains(a);
            Movement::Reverse { axes: (0..shape.rank()).filter(once).collect() }
        }
        _ => return Ok(None),
    };
    e.emit(composed, &[inner.1]).map(Some)
}

/// True if the op gives back an operand of this shape.
fn is_identity(op: &Movement, own: &Shape) -> bool {
    let zero = |d: &Dim| d.is(0);
    match op {
        Movement::Reshape { shape } | Movement::Broadcast { shape, .. } => shape == own,
        Movement::Transpose { perm } => perm.iter().enumerate().all(|(i, p)| i == *p),
        Movement::Slice { start, stop, step } => {
            start.iter().all(zero) && stop == own && step.iter().all(|s| *s == 1)
        }
        Movement::Pad { low, high, interior } => {
            low.iter().chain(high).all(|n| *n == 0) && interior.iter().all(|n| *n == 0)
        }
        Movement::Reverse { axes } => axes.iter().all(|a| own[*a].is(1)),
        Movement::Concat { .. } => false,
    }
}

fn concat(e: &mut Emit<'_, '_>, axis: usize, x: &[Value]) -> Result<Option<Value>, TypeError> {
    let kept: SmallVec<[Value; 4]> = x.iter().copied().filter(|v| !e.ty(*v).shape[axis].is(0)).collect();
    match kept[..] {
        _ if x.len() == 1 => Ok(Some(x[0])),
        [] => Ok(Some(x[0])),
        [one] => Ok(Some(one)),
        _ if kept.len() < x.len() => e.emit(Movement::Concat { axis }, &kept).map(Some),
        _ => Ok(None),
    }
}
