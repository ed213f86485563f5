//! Cumulative sums along an axis.
//!
//! ```text
//! %1 = cumsum[axis=1, reverse=false, exclusive=false] %0 : f32[4, 100]
//! ```

#[cfg(test)]
mod tests;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::eval::lanes::{Lanes, groups};
use crate::{AttrError, Attrs, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;

/// x → y of the same type, where yᵢ = Σ xⱼ over j ≤ i along an axis. Integers wrap; sums of f32 and of 16-bit floats are rounded
/// once for each element of the result.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cumsum {
    /// The axis summed along.
    pub axis: usize,
    /// True to sum over j ≥ i instead: from the end.
    pub reverse: bool,
    /// True to leave xᵢ itself out of yᵢ: the first sum is 0.
    pub exclusive: bool,
}

impl Cumsum {
    /// The sum in the other direction: the transpose of this one as a matrix.
    #[must_use]
    pub fn transposed(self) -> Cumsum {
        Cumsum { reverse: !self.reverse, ..self }
    }

    /// Replaces the elements of one line by their sums.
    fn sums<T: Copy>(self, line: &mut [T], zero: T, mut add: impl FnMut(T, T) -> T) {
        let mut sum = zero;
        for i in 0..line.len() {
            let at = if self.reverse { line.len() - 1 - i } else { i };
            let next = add(sum, line[at]);
            line[at] = if self.exclusive { sum } else { next };
            sum = next;
        }
    }
}

impl Family for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axis", self.axis).with("reverse", self.reverse).with("exclusive", self.exclusive)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let mut read = || {
            Ok(Cumsum {
                axis: attrs.int("axis")?,
                reverse: attrs.bool("reverse")?,
                exclusive: attrs.bool("exclusive")?,
            })
        };
        (name == "cumsum").then(&mut read)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        cx.dtype(0, |d| d != DType::Bool, "a number (cast bool first)")?;
        let ty = cx.ty(0);
        cx.axes(&[self.axis], ty.rank())?;
        Ok(smallvec![ty.clone()])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        fn each<T: Copy>(values: &mut [T], lines: &[Vec<usize>], sums: impl Fn(&mut [T])) {
            for line in lines {
                let mut elements: Vec<T> = line.iter().map(|i| values[*i]).collect();
                sums(&mut elements);
                line.iter().zip(elements).for_each(|(i, sum)| values[*i] = sum);
            }
        }
        let lines = groups(cx.inputs[0].dims(), &[self.axis]);
        let mut lanes = Lanes::read(cx.inputs[0]);
        match &mut lanes {
            Lanes::Float(v) => each(v, &lines, |line| self.sums(line, 0.0, |sum, x| sum + x)),
            Lanes::Int(v) => each(v, &lines, |line| self.sums(line, 0, i64::wrapping_add)),
            Lanes::Bool(_) => unreachable!("the type rule rejects bool"),
        }
        Ok(vec![lanes.write(cx.out_dtype(0), &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let float = cx.b.ty(cx.inputs[0]).dtype.is_float();
        match cx.cotangents[0].filter(|_| cx.needs[0] && float) {
            Some(t) => Ok(vec![Some(cx.b.push(self.transposed(), &[t])?)]),
            None => Ok(vec![None]),
        }
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let float = cx.b.ty(cx.inputs[0]).dtype.is_float();
        match cx.tangents[0].filter(|_| float) {
            Some(t) => Ok(vec![Some(cx.b.push(*self, &[t])?)]),
            None => Ok(vec![None]),
        }
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        let op = Cumsum { axis: self.axis + 1, ..*self };
        Ok(vec![(cx.b.push(op, cx.inputs)?, true)])
    }

    fn samples() -> Vec<Sample> {
        let numbers = |dtype: DType, dims: &[usize]| {
            let count: usize = dims.iter().product();
            let values: Vec<f64> = (0..count).map(|i| ((i * 37 + 11) % 101) as f64 / 16.0 - 3.0).collect();
            HostTensor::from_f64(dtype, dims, &values)
        };
        let mut out = Vec::new();
        for (reverse, exclusive) in [(false, false), (false, true), (true, false), (true, true)] {
            let op = |axis| Cumsum { axis, reverse, exclusive };
            for (dims, axis) in [(&[5][..], 0), (&[2, 3], 0), (&[2, 3], 1), (&[2, 3, 2], 1)] {
                out.push(Sample::smooth(op(axis), vec![numbers(DType::F64, dims)]));
            }
            for dtype in [DType::F16, DType::BF16, DType::F32, DType::I32, DType::I64, DType::U8, DType::U32]
            {
                out.push(Sample::values(op(1), vec![numbers(dtype, &[3, 70])]));
                out.push(Sample::values(op(0), vec![numbers(dtype, &[9, 41])]));
            }
            out.push(Sample::values(op(1), vec![numbers(DType::F32, &[2, 0, 3])]));
            out.push(Sample::values(op(0), vec![numbers(DType::F32, &[3, 0])]));
        }
        let special = [1.0, f64::INFINITY, -0.0, f64::NEG_INFINITY, 2.0, f64::NAN, 3.0];
        let op = Cumsum { axis: 0, reverse: false, exclusive: false };
        out.push(Sample::values(op, vec![HostTensor::from_f64(DType::F32, &[7], &special)]));
        out
    }
}
