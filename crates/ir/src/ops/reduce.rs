//! Reductions over axes.
//!
//! ```text
//! %1 = reduce_sum[axes=[1]] %0 : f32[4]
//! %2 = argmax[axis=1] %0 : i64[4]
//! ```

mod prod;
mod samples;
#[cfg(test)]
mod tests;

use super::binary::{float_max, float_min};
use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::eval::lanes::{Lanes, groups};
use crate::{AttrError, Attrs, Axes, Builder, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;

/// How elements are combined.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Σ x; 0 of nothing. Integers wrap; 16-bit floats are summed in f32.
    Sum,
    /// Π x; 1 of nothing.
    Prod,
    /// The largest; −∞ (or the smallest integer, or false) of nothing. NaN if any element is NaN.
    Max,
    /// The smallest; +∞ (or the largest integer, or true) of nothing. NaN if any element is NaN.
    Min,
    /// Logical or; false of nothing.
    Any,
    /// Logical and; true of nothing.
    All,
}

/// A reduction; the reduced axes disappear from the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How elements are combined.
    pub kind: ReduceKind,
    /// The axes reduced, ascending.
    pub axes: Axes,
}

impl ReduceKind {
    /// Every kind.
    pub const ALL: [ReduceKind; 6] = [
        ReduceKind::Sum,
        ReduceKind::Prod,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::Any,
        ReduceKind::All,
    ];

    /// The op's name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "reduce_sum",
            ReduceKind::Prod => "reduce_prod",
            ReduceKind::Max => "reduce_max",
            ReduceKind::Min => "reduce_min",
            ReduceKind::Any => "reduce_any",
            ReduceKind::All => "reduce_all",
        }
    }
}

impl Family for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axes", &self.axes)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let kind = ReduceKind::ALL.into_iter().find(|k| k.name() == name)?;
        Some(attrs.ints("axes").map(|axes| Reduce { kind, axes }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        let ty = cx.ty(0);
        match self.kind {
            ReduceKind::Any | ReduceKind::All => cx.dtype(0, |d| d == DType::Bool, "bool")?,
            ReduceKind::Sum | ReduceKind::Prod => {
                cx.dtype(0, |d| d != DType::Bool, "a number (cast bool first)")?
            }
            ReduceKind::Max | ReduceKind::Min => {}
        }
        cx.axes(&self.axes, ty.rank())?;
        if !self.axes.is_sorted() {
            return Err(cx.attribute("axes must be in ascending order".into()));
        }
        Ok(smallvec![ty.with_shape(ty.shape.without(&self.axes))])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let dtype = cx.out_dtype(0);
        let groups = groups(cx.inputs[0].dims(), &self.axes);
        let out = match Lanes::read(cx.inputs[0]) {
            Lanes::Float(v) => Lanes::Float(each(&groups, &v, |v| self.kind.floats(v))),
            Lanes::Int(v) => Lanes::Int(each(&groups, &v, |v| self.kind.ints(v, dtype))),
            Lanes::Bool(v) => Lanes::Bool(each(&groups, &v, |v| match self.kind {
                ReduceKind::All | ReduceKind::Min => v.iter().all(|v| *v),
                _ => v.iter().any(|v| *v),
            })),
        };
        Ok(vec![out.write(dtype, &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, out) = (cx.inputs[0], cx.outputs[0]);
        let Some(t) = cx.cotangents[0].filter(|_| cx.needs[0] && cx.b.ty(x).dtype.is_float()) else {
            return Ok(vec![None]);
        };
        Ok(vec![Some(match self.kind {
            ReduceKind::Sum => self.spread(cx.b, t, x)?,
            ReduceKind::Prod => {
                let t = self.spread(cx.b, t, x)?;
                match prod::exclusive(cx.b, x, &self.axes, "reverse")? {
                    Some(others) => cx.b.mul(t, others)?,
                    None => t,
                }
            }
            ReduceKind::Max | ReduceKind::Min => {
                let (chosen, count) = self.chosen(cx.b, x, out)?;
                let share = shared(cx.b, t, count)?;
                let share = self.spread(cx.b, share, x)?;
                let zero = cx.b.scalar_like(t, 0.0);
                cx.b.select(chosen, share, zero)?
            }
            ReduceKind::Any | ReduceKind::All => return Ok(vec![None]),
        })])
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, out) = (cx.inputs[0], cx.outputs[0]);
        let Some(t) = cx.tangents[0].filter(|_| cx.b.ty(x).dtype.is_float()) else { return Ok(vec![None]) };
        Ok(vec![Some(match self.kind {
            ReduceKind::Sum => cx.b.sum(t, &self.axes)?,
            ReduceKind::Prod => {
                let terms = match prod::exclusive(cx.b, x, &self.axes, "forward")? {
                    Some(others) => cx.b.mul(t, others)?,
                    None => t,
                };
                cx.b.sum(terms, &self.axes)?
            }
            ReduceKind::Max | ReduceKind::Min => {
                let (chosen, count) = self.chosen(cx.b, x, out)?;
                let zero = cx.b.scalar_like(t, 0.0);
                let terms = cx.b.select(chosen, t, zero)?;
                let sum = cx.b.sum(terms, &self.axes)?;
                shared(cx.b, sum, count)?
            }
            ReduceKind::Any | ReduceKind::All => return Ok(vec![None]),
        })])
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        let axes = self.axes.iter().map(|a| a + 1).collect();
        Ok(vec![(cx.b.push(Reduce { kind: self.kind, axes }, cx.inputs)?, true)])
    }

    fn samples() -> Vec<Sample> {
        samples::reduce()
    }
}

impl Reduce {
    /// Repeats a value of the result's shape along the axes that were reduced.
    fn spread(&self, b: &mut Builder, t: Value, x: Value) -> Result<Value, TypeError> {
        let shape = b.ty(x).shape.clone();
        let kept: Axes = (0..shape.rank()).filter(|a| !self.axes.contains(a)).collect();
        b.broadcast(t, &shape, &kept)
    }

    /// Which elements equal the result, and how many they are for each result. Ties share the derivative equally.
    fn chosen(&self, b: &mut Builder, x: Value, out: Value) -> Result<(Value, Value), TypeError> {
        // Counts beyond what a 16-bit float holds are common, so they are kept in its compute dtype.
        let dtype = b.ty(x).dtype.compute();
        let best = self.spread(b, out, x)?;
        let chosen = b.eq(x, best)?;
        let ones = b.cast(chosen, dtype)?;
        let count = b.sum(ones, &self.axes)?;
        // Nothing equals NaN, and nothing is there if an axis is empty: then the derivative is 0 and not 0 / 0.
        let one = b.scalar(dtype, 1.0);
        Ok((chosen, b.maximum(count, one)?))
    }
}

/// t / count, computed in the dtype of the count.
fn shared(b: &mut Builder, t: Value, count: Value) -> Result<Value, TypeError> {
    let (narrow, wide) = (b.ty(t).dtype, b.ty(count).dtype);
    let t = b.cast(t, wide)?;
    let share = b.div(t, count)?;
    b.cast(share, narrow)
}

fn each<T: Copy>(groups: &[Vec<usize>], values: &[T], f: impl Fn(&[T]) -> T) -> Vec<T> {
    groups.iter().map(|g| f(&g.iter().map(|i| values[*i]).collect::<Vec<_>>())).collect()
}

impl ReduceKind {
    fn floats(self, v: &[f64]) -> f64 {
        match self {
            ReduceKind::Sum => compensated_sum(v),
            ReduceKind::Prod => v.iter().product(),
            ReduceKind::Max => v.iter().copied().fold(f64::NEG_INFINITY, float_max),
            ReduceKind::Min => v.iter().copied().fold(f64::INFINITY, float_min),
            ReduceKind::Any | ReduceKind::All => unreachable!("the type rule rejects floats"),
        }
    }

    fn ints(self, v: &[i64], dtype: DType) -> i64 {
        let (smallest, largest) = match dtype {
            DType::U8 => (0, i64::from(u8::MAX)),
            DType::U32 => (0, i64::from(u32::MAX)),
            DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        match self {
            ReduceKind::Sum => v.iter().fold(0, |a, b| a.wrapping_add(*b)),
            ReduceKind::Prod => v.iter().fold(1, |a, b| a.wrapping_mul(*b)),
            ReduceKind::Max => v.iter().copied().fold(smallest, i64::max),
            ReduceKind::Min => v.iter().copied().fold(largest, i64::min),
            ReduceKind::Any | ReduceKind::All => unreachable!("the type rule rejects integers"),
        }
    }
}

/// Neumaier's sum, so that the interpreter's rounding error is below that of any order of summation.
fn compensated_sum(v: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for x in v {
        let next = sum + x;
        lost += if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
        sum = next;
    }
    // Infinities make the compensation NaN; the plain sum is right then.
    if lost.is_finite() { sum + lost } else { sum }
}

/// The position (i64) of the largest or smallest element along an axis, which disappears. The first of equals wins;
/// NaN counts as both largest and smallest, the first NaN wins. The axis must not be empty.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// True for argmax, false for argmin.
    pub max: bool,
    /// The axis searched.
    pub axis: usize,
}

impl Family for ArgReduce {
    fn name(&self) -> &'static str {
        if self.max { "argmax" } else { "argmin" }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axis", self.axis)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let max = match name {
            "argmax" => true,
            "argmin" => false,
            _ => return None,
        };
        Some(attrs.int("axis").map(|axis| ArgReduce { max, axis }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        let ty = cx.ty(0);
        cx.axes(&[self.axis], ty.rank())?;
        if ty.shape[self.axis].is(0) {
            return Err(cx.attribute(format!("axis {} is empty: there is no element to point at", self.axis)));
        }
        Ok(smallvec![ty.with_dtype(DType::I64).with_shape(ty.shape.without(&[self.axis]))])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let groups = groups(cx.inputs[0].dims(), &[self.axis]);
        let positions: Vec<i64> = match Lanes::read(cx.inputs[0]) {
            Lanes::Float(v) => groups
                .iter()
                .map(|g| {
                    // NaN beats every number and loses to no earlier NaN.
                    first_best(g, |best, new| {
                        let (best, new) = (v[best], v[new]);
                        !best.is_nan() && (new.is_nan() || if self.max { new > best } else { new < best })
                    })
                })
                .collect(),
            Lanes::Int(v) => groups.iter().map(|g| first_best(g, |b, n| self.beats(&v[b], &v[n]))).collect(),
            Lanes::Bool(v) => groups.iter().map(|g| first_best(g, |b, n| self.beats(&v[b], &v[n]))).collect(),
        };
        Ok(vec![HostTensor::from_i64(DType::I64, &cx.out_dims(0), &positions)])
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None])
    }

    fn jvp(&self, _cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None])
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        let op = ArgReduce { max: self.max, axis: self.axis + 1 };
        Ok(vec![(cx.b.push(op, cx.inputs)?, true)])
    }

    fn samples() -> Vec<Sample> {
        samples::arg_reduce()
    }
}

impl ArgReduce {
    fn beats<T: Ord>(&self, best: &T, new: &T) -> bool {
        if self.max { new > best } else { new < best }
    }
}

/// The place within `group` of the first element that no other beats.
fn first_best(group: &[usize], beats: impl Fn(usize, usize) -> bool) -> i64 {
    let mut best = 0;
    for i in 1..group.len() {
        if beats(group[best], group[i]) {
            best = i;
        }
    }
    best as i64
}
