//! Elementwise ops of three operands.
//!
//! ```text
//! %3 = select %0, %1, %2 : f32[4]     // %0 is bool[4]
//! %4 = clamp %1, %3, %2 : f32[4]      // low, x, high
//! ```

use super::binary::{float_max, float_min};
use super::{
    BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx, elementwise,
};
use crate::eval::lanes::Lanes;
use crate::{AttrError, Attrs, Builder, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;

/// An elementwise op of three operands of the same shape.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ternary {
    /// (condition: bool, x, y): x where the condition is true, y elsewhere.
    Select,
    /// (low, x, high): min(max(x, low), high). A NaN in any operand gives NaN. The derivative is x's on the closed interval
    /// [low, high], low's below it and high's above it; high's everywhere if low > high.
    Clamp,
}

impl Ternary {
    /// Every op of the family.
    pub const ALL: [Ternary; 2] = [Ternary::Select, Ternary::Clamp];
}

impl Family for Ternary {
    fn name(&self) -> &'static str {
        match self {
            Ternary::Select => "select",
            Ternary::Clamp => "clamp",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn parse(name: &str, _attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        Ternary::ALL.into_iter().find(|op| op.name() == name).map(Ok)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(3)?;
        cx.same_shape(0, 1)?;
        cx.same_shape(0, 2)?;
        cx.same_dtype(1, 2)?;
        match self {
            Ternary::Select => cx.dtype(0, |d| d == DType::Bool, "bool")?,
            Ternary::Clamp => {
                cx.dtype(0, |d| d != DType::Bool, "a number")?;
                cx.same_dtype(0, 1)?;
            }
        }
        Ok(smallvec![cx.ty(1).clone()])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let [a, x, y] = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        if *self == Ternary::Select {
            return Ok(vec![select(a, x, y)]);
        }
        let out = match (Lanes::read(a), Lanes::read(x), Lanes::read(y)) {
            (Lanes::Float(low), Lanes::Float(x), Lanes::Float(high)) => {
                Lanes::Float((0..x.len()).map(|i| float_min(float_max(x[i], low[i]), high[i])).collect())
            }
            (Lanes::Int(low), Lanes::Int(x), Lanes::Int(high)) => {
                Lanes::Int((0..x.len()).map(|i| x[i].max(low[i]).min(high[i])).collect())
            }
            _ => unreachable!("the type rule requires equal number dtypes"),
        };
        Ok(vec![out.write(cx.out_dtype(0), &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let inputs = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        elementwise::vjp(cx, &|b, i, t| self.derivative(b, i, inputs, t))
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let inputs = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        if let (Ternary::Select, [_, Some(x), Some(y)]) = (self, cx.tangents)
            && cx.b.ty(inputs[1]).dtype.is_float()
        {
            return Ok(vec![Some(cx.b.select(inputs[0], *x, *y)?)]);
        }
        elementwise::jvp(cx, &|b, i, t| self.derivative(b, i, inputs, t))
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, (*self).into())
    }

    fn samples() -> Vec<Sample> {
        samples()
    }
}

/// Copies bytes, so that a NaN keeps its payload.
fn select(condition: &HostTensor, x: &HostTensor, y: &HostTensor) -> HostTensor {
    let (mut out, size) = (y.clone(), x.dtype().size());
    let chunks = out.bytes_mut().chunks_exact_mut(size).zip(x.as_bytes().chunks_exact(size));
    for (_, (to, from)) in condition.as_bytes().iter().zip(chunks).filter(|(c, _)| **c != 0) {
        to.copy_from_slice(from);
    }
    out
}

impl Ternary {
    /// `t` where operand `i` decides the result, 0 elsewhere.
    fn derivative(
        self,
        b: &mut Builder,
        i: usize,
        [a, x, y]: [Value; 3],
        t: Value,
    ) -> Result<Option<Value>, RuleError> {
        let zero = b.scalar_like(t, 0.0);
        let active = match (self, i) {
            (Ternary::Select, 0) => return Ok(None),
            (Ternary::Select, 1) => a,
            (Ternary::Select, _) => return Ok(Some(b.select(a, zero, t)?)),
            (Ternary::Clamp, 0) => {
                let (below, ordered) = (b.lt(x, a)?, b.le(a, y)?);
                b.and(below, ordered)?
            }
            (Ternary::Clamp, 1) => {
                let (above_low, below_high) = (b.ge(x, a)?, b.le(x, y)?);
                b.and(above_low, below_high)?
            }
            (Ternary::Clamp, _) => {
                let (above, crossed) = (b.gt(x, y)?, b.gt(a, y)?);
                b.or(above, crossed)?
            }
        };
        Ok(Some(b.select(active, t, zero)?))
    }
}

fn samples() -> Vec<Sample> {
    let f64s = |values: &[f64]| HostTensor::from_f64(DType::F64, &[2, 3], values);
    let condition = HostTensor::from_i64(DType::Bool, &[2, 3], &[0, 1, 1, 0, 1, 0]);
    let (x, y) = (f64s(&[0.5, -1.0, 2.0, 3.5, -0.25, 1.0]), f64s(&[1.5, 0.0, -2.0, 0.1, 7.0, -3.0]));
    let mut out = vec![
        Sample::smooth(Ternary::Select, vec![condition.clone(), x.clone(), y]),
        Sample::smooth(
            Ternary::Clamp,
            // Below, inside, above, and two with low > high.
            vec![
                f64s(&[-1.0, -1.0, -1.0, 2.0, 2.0, 0.0]),
                f64s(&[-2.0, 0.5, 3.0, 0.0, 5.0, 0.5]),
                f64s(&[1.0; 6]),
            ],
        ),
        Sample::values(
            Ternary::Select,
            [DType::Bool, DType::F32, DType::F32].map(|d| HostTensor::from_f64(d, &[0, 2], &[])).into(),
        ),
        Sample::values(Ternary::Clamp, [-1.0, 4.0, 2.0].map(|v| HostTensor::scalar(DType::F32, v)).into()),
    ];
    for dtype in DType::ALL {
        let of = |values: &[f64]| HostTensor::from_f64(dtype, &[2, 3], values);
        let (low, high) = (of(&[0.0, -0.0, 1.0, 5.0, -1.0, 0.0]), of(&[1.0, 0.0, 3.0, 2.0, f64::NAN, 1.0]));
        let x = of(&[-0.0, 0.0, f64::NAN, 9.0, 0.5, f64::INFINITY]);
        out.push(Sample::values(Ternary::Select, vec![condition.clone(), x.clone(), high.clone()]));
        if dtype != DType::Bool {
            out.push(Sample::values(Ternary::Clamp, vec![low, x, high]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;

    fn run(op: Ternary, inputs: &[HostTensor]) -> HostTensor {
        let mut b = Builder::new();
        let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
        let out = b.push(op, &params).expect("well typed");
        eval::region(&b.finish(&[out]), inputs).expect("evaluates").remove(0)
    }

    #[test]
    fn clamp_is_min_of_max() {
        let of = |v: &[f64]| HostTensor::from_f64(DType::F32, &[5], v);
        let low = of(&[-1.0, -1.0, -1.0, 2.0, f64::NAN]);
        let out = run(Ternary::Clamp, &[low, of(&[-2.0, 0.5, 3.0, 5.0, 0.0]), of(&[1.0; 5])]).to_f64();
        assert_eq!(out[..4], [-1.0, 0.5, 1.0, 1.0]);
        assert!(out[4].is_nan());
        let int = |v| HostTensor::from_i64(DType::U32, &[1], &[v]);
        assert_eq!(run(Ternary::Clamp, &[int(3), int(4_000_000_000), int(7)]).to_i64(), [7]);
    }

    #[test]
    fn select_keeps_nan_payloads() {
        let nan = HostTensor::from_slice(&[2], &[f32::from_bits(0x7fa1_2345), 1.0]).expect("two elements");
        let condition = HostTensor::from_i64(DType::Bool, &[2], &[1, 0]);
        let out =
            run(Ternary::Select, &[condition, nan, HostTensor::from_f64(DType::F32, &[2], &[2.0, 3.0])]);
        assert_eq!(
            out.as_slice::<f32>().iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            [0x7fa1_2345, 3f32.to_bits()]
        );
    }
}
