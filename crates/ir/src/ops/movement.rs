//! Ops that rearrange elements.
//!
//! ```text
//! %1 = broadcast[shape=[B, 4], axes=[1]] %0 : f32[B, 4]
//! %2 = slice[start=[0, 1], stop=[B, 3], step=[1, 1]] %1 : f32[B, 2]
//! %3 = pad[low=[0, -1], high=[1, 0], interior=[0, 0]] %2, %zero : f32[B + 1, 1]
//! ```

mod eval;
pub(in crate::ops) mod layout;
pub(in crate::ops) mod rules;
pub(in crate::ops) mod samples;
#[cfg(test)]
mod tests;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::{AttrError, Attrs, Axes, Dim, HostTensor, Shape, TypeError, Value};
use smallvec::smallvec;

/// An op that moves elements without computing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Movement {
    /// The same elements in row-major order under another shape of as many elements.
    Reshape {
        /// The result's shape.
        shape: Shape,
    },
    /// Result axis i is operand axis `perm[i]`.
    Transpose {
        /// A permutation of the operand's axes.
        perm: Axes,
    },
    /// Repeats the operand: its axis i is axis `axes[i]` of the result and of equal size (a size of 1 is not stretched).
    Broadcast {
        /// The result's shape.
        shape: Shape,
        /// Where the operand's axes go, ascending.
        axes: Axes,
    },
    /// Elements start, start + step, … below stop, along every axis.
    Slice {
        /// First index, an axis each.
        start: Shape,
        /// One past the last index, an axis each; at most the operand's size.
        stop: Shape,
        /// Positive steps.
        step: Axes,
    },
    /// (x, value): puts `low`/`high` copies of the scalar `value` before and after, and `interior` between elements.
    /// Negative `low`/`high` remove elements instead (after interior padding).
    Pad {
        /// Copies before, an axis each.
        low: Vec<i64>,
        /// Copies after, an axis each.
        high: Vec<i64>,
        /// Copies between neighbours, an axis each.
        interior: Axes,
    },
    /// Operands one after another along an axis.
    Concat {
        /// The axis joined.
        axis: usize,
    },
    /// Elements in the opposite order along some axes.
    Reverse {
        /// The axes reversed, ascending.
        axes: Axes,
    },
}

impl Movement {
    /// The result size of one axis of a pad, or `None` if it would be negative.
    pub fn padded(size: &Dim, low: i64, high: i64, interior: usize) -> Option<Dim> {
        let gaps = match size {
            Dim::Const(0) => Dim::Const(0),
            n => &(n - &Dim::Const(1)) * &Dim::from(interior),
        };
        let out = &(size + &gaps) + &Dim::Const(low.checked_add(high)?);
        (!matches!(out, Dim::Const(n) if n < 0)).then_some(out)
    }

    /// The result size of one axis of a slice.
    pub fn sliced(start: &Dim, stop: &Dim, step: usize) -> Option<Dim> {
        let span = &(stop - start) + &Dim::Const(i64::try_from(step).ok()? - 1);
        span.floor_div(&Dim::from(step))
    }
}

impl Family for Movement {
    fn name(&self) -> &'static str {
        match self {
            Movement::Reshape { .. } => "reshape",
            Movement::Transpose { .. } => "transpose",
            Movement::Broadcast { .. } => "broadcast",
            Movement::Slice { .. } => "slice",
            Movement::Pad { .. } => "pad",
            Movement::Concat { .. } => "concat",
            Movement::Reverse { .. } => "reverse",
        }
    }

    fn attrs(&self) -> Attrs {
        let none = Attrs::none();
        match self {
            Movement::Reshape { shape } => none.with("shape", shape),
            Movement::Transpose { perm } => none.with("perm", perm),
            Movement::Broadcast { shape, axes } => none.with("shape", shape).with("axes", axes),
            Movement::Slice { start, stop, step } => {
                none.with("start", start).with("stop", stop).with("step", step)
            }
            Movement::Pad { low, high, interior } => {
                none.with("low", &low[..]).with("high", &high[..]).with("interior", interior)
            }
            Movement::Concat { axis } => none.with("axis", *axis),
            Movement::Reverse { axes } => none.with("axes", axes),
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let mut read = || {
            Ok(Some(match name {
                "reshape" => Movement::Reshape { shape: attrs.shape("shape")? },
                "transpose" => Movement::Transpose { perm: attrs.ints("perm")? },
                "broadcast" => {
                    Movement::Broadcast { shape: attrs.shape("shape")?, axes: attrs.ints("axes")? }
                }
                "slice" => Movement::Slice {
                    start: attrs.shape("start")?,
                    stop: attrs.shape("stop")?,
                    step: attrs.ints("step")?,
                },
                "pad" => Movement::Pad {
                    low: attrs.signed("low")?,
                    high: attrs.signed("high")?,
                    interior: attrs.ints("interior")?,
                },
                "concat" => Movement::Concat { axis: attrs.int("axis")? },
                "reverse" => Movement::Reverse { axes: attrs.ints("axes")? },
                _ => return Ok(None),
            }))
        };
        read().transpose()
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        match self {
            Movement::Pad { .. } => cx.arity(2)?,
            Movement::Concat { .. } if cx.inputs.is_empty() => cx.arity(1)?,
            Movement::Concat { .. } => {}
            _ => cx.arity(1)?,
        }
        let ty = cx.ty(0);
        let rank = ty.rank();
        let lengths = |cx: &InferCx<'_>, list: &[usize]| match list.iter().all(|n| *n == rank) {
            true => Ok(()),
            false => Err(cx.attribute(format!("needs one entry for each of the {rank} axes"))),
        };
        let shape = match self {
            Movement::Reshape { shape } => {
                check_sizes(cx, shape)?;
                cx.same("a reshape keeps the number of elements", &ty.shape.elements(), &shape.elements())?;
                shape.clone()
            }
            Movement::Transpose { perm } => {
                lengths(cx, &[perm.len()])?;
                cx.axes(perm, rank)?;
                perm.iter().map(|i| &ty.shape[*i]).collect()
            }
            Movement::Broadcast { shape, axes } => {
                check_sizes(cx, shape)?;
                lengths(cx, &[axes.len()])?;
                cx.axes(axes, shape.rank())?;
                if !axes.is_sorted() {
                    return Err(cx.attribute("axes must be in ascending order".into()));
                }
                for (size, axis) in ty.shape.iter().zip(axes) {
                    cx.same("a broadcast keeps the sizes of the operand's axes", size, &shape[*axis])?;
                }
                shape.clone()
            }
            Movement::Slice { start, stop, step } => {
                lengths(cx, &[start.rank(), stop.rank(), step.len()])?;
                let mut out = Vec::with_capacity(rank);
                for i in 0..rank {
                    if let (Dim::Const(a), Dim::Const(b)) = (&start[i], &stop[i]) {
                        let beyond = matches!(ty.shape[i], Dim::Const(n) if *b > n);
                        if *a < 0 || b < a || beyond || step[i] == 0 {
                            let size = &ty.shape[i];
                            return Err(cx.attribute(format!(
                                "[{a}:{b}:{}] is not a range of axis {i} of size {size}",
                                step[i]
                            )));
                        }
                    }
                    let size = Movement::sliced(&start[i], &stop[i], step[i]);
                    out.push(
                        size.ok_or_else(|| cx.attribute(format!("the step of axis {i} must be positive")))?,
                    );
                }
                out.into_iter().collect()
            }
            Movement::Pad { low, high, interior } => {
                lengths(cx, &[low.len(), high.len(), interior.len()])?;
                cx.same_dtype(0, 1)?;
                if cx.ty(1).rank() != 0 {
                    return Err(cx.attribute("the padding value must be a scalar".into()));
                }
                (0..rank)
                    .map(|i| {
                        let size = Movement::padded(&ty.shape[i], low[i], high[i], interior[i]);
                        size.ok_or_else(|| {
                            cx.attribute(match low[i] < 0 || high[i] < 0 {
                                true => format!("removes more of axis {i} than there is"),
                                false => format!("makes axis {i} longer than this machine can count"),
                            })
                        })
                    })
                    .collect::<Result<Shape, _>>()?
            }
            Movement::Concat { axis } => {
                cx.axes(&[*axis], rank)?;
                let mut joined = ty.shape[*axis].clone();
                for i in 1..cx.inputs.len() {
                    cx.same_dtype(0, i)?;
                    let other = cx.ty(i);
                    if other.rank() != rank {
                        return Err(cx.attribute(format!("operand {i} must have rank {rank}")));
                    }
                    for a in (0..rank).filter(|a| a != axis) {
                        cx.same("the axes that are not joined must agree", &ty.shape[a], &other.shape[a])?;
                    }
                    joined = &joined + &other.shape[*axis];
                }
                ty.shape
                    .iter()
                    .enumerate()
                    .map(|(i, d)| if i == *axis { joined.clone() } else { d.clone() })
                    .collect()
            }
            Movement::Reverse { axes } => {
                cx.axes(axes, rank)?;
                ty.shape.clone()
            }
        };
        Ok(smallvec![ty.with_shape(shape)])
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        match self {
            Movement::Reshape { shape } => Movement::Reshape { shape: shape.map(f) },
            Movement::Broadcast { shape, axes } => {
                Movement::Broadcast { shape: shape.map(f), axes: axes.clone() }
            }
            Movement::Slice { start, stop, step } => {
                Movement::Slice { start: start.map(f), stop: stop.map(f), step: step.clone() }
            }
            other => other.clone(),
        }
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        Ok(vec![eval::eval(self, cx)?])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::samples()
    }
}

/// Requires every size of an attribute shape to be possible.
fn check_sizes(cx: &InferCx<'_>, shape: &Shape) -> Result<(), TypeError> {
    match shape.iter().find(|d| matches!(d, Dim::Const(n) if *n < 0)) {
        Some(d) => Err(cx.attribute(format!("{d} is not a size"))),
        None => Ok(()),
    }
}
