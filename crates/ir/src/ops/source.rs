//! Values without operands.
//!
//! ```text
//! %0 = constant[value=f32[2]{1.0, 2.5}] : f32[2]
//! %1 = iota[dtype=i64, shape=[B, 4], axis=1] : i64[B, 4]
//! ```

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::eval::lanes::Lanes;
use crate::{AttrError, Attrs, DType, Dim, HostTensor, Shape, TensorType, TypeError, Value};
use smallvec::smallvec;

/// A value without operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// These elements.
    Constant(HostTensor),
    /// 0, 1, 2, … along an axis, the same along the others.
    Iota {
        /// A number dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
        /// The axis counted along.
        axis: usize,
    },
}

impl Family for Source {
    fn name(&self) -> &'static str {
        match self {
            Source::Constant(_) => "constant",
            Source::Iota { .. } => "iota",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Source::Constant(value) => Attrs::none().with("value", value),
            Source::Iota { dtype, shape, axis } => {
                Attrs::none().with("dtype", *dtype).with("shape", shape).with("axis", *axis)
            }
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        match name {
            "constant" => Some(attrs.tensor("value").map(Source::Constant)),
            "iota" => Some((|| {
                let (dtype, shape) = (attrs.dtype("dtype")?, attrs.shape("shape")?);
                Ok(Source::Iota { dtype, shape, axis: attrs.int("axis")? })
            })()),
            _ => None,
        }
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(0)?;
        match self {
            Source::Constant(value) => Ok(smallvec![value.ty()]),
            Source::Iota { dtype, shape, axis } => {
                if *dtype == DType::Bool {
                    return Err(cx.attribute("the dtype must be a number's".into()));
                }
                cx.axes(&[*axis], shape.rank())?;
                Ok(smallvec![TensorType::new(*dtype, shape.clone())])
            }
        }
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        match self {
            Source::Constant(_) => self.clone(),
            Source::Iota { dtype, shape, axis } => {
                Source::Iota { dtype: *dtype, shape: shape.map(f), axis: *axis }
            }
        }
    }
    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let axis = match self {
            Source::Constant(value) => return Ok(vec![value.clone()]),
            Source::Iota { axis, .. } => *axis,
        };
        let (dtype, dims) = (cx.out_dtype(0), cx.out_dims(0));
        let out = HostTensor::zeros(dtype, &dims)?;
        let inner: usize = dims[axis + 1..].iter().product();
        let counts = (0..out.len()).map(|i| (i / inner % dims[axis]) as i64).collect();
        Ok(vec![Lanes::Int(counts).write(dtype, &dims)])
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(Vec::new())
    }

    fn jvp(&self, _cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None])
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        // Without operands nothing is batched: the value serves every lane.
        Ok(vec![(cx.b.push(self.clone(), &[])?, false)])
    }

    fn samples() -> Vec<Sample> {
        let mut out = vec![
            Sample::smooth(Source::Constant(HostTensor::scalar(DType::F64, 2.5)), vec![]),
            Sample::values(Source::Constant(HostTensor::from_f64(DType::F32, &[0, 2], &[])), vec![]),
        ];
        for dtype in DType::ALL {
            let value = HostTensor::from_f64(dtype, &[2, 2], &[1.0, -0.0, f64::NAN, f64::INFINITY]);
            out.push(Sample::values(Source::Constant(value), vec![]));
            if dtype != DType::Bool {
                for axis in 0..3 {
                    out.push(Sample::values(Source::Iota { dtype, shape: [2, 3, 4].into(), axis }, vec![]));
                }
                // Past what u8, f16 and bf16 count exactly.
                out.push(Sample::values(Source::Iota { dtype, shape: [2100].into(), axis: 0 }, vec![]));
            }
        }
        out.push(Sample::values(Source::Iota { dtype: DType::I64, shape: [3, 0].into(), axis: 0 }, vec![]));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, eval};

    fn iota(dtype: DType, dims: &[usize], axis: usize) -> HostTensor {
        let mut b = Builder::new();
        let out = b.iota(dtype, dims, axis).expect("well typed");
        eval::region(&b.finish(&[out]), &[]).expect("evaluates").remove(0)
    }

    #[test]
    fn iota_counts_along_its_axis() {
        assert_eq!(iota(DType::I32, &[2, 3], 0).to_i64(), [0, 0, 0, 1, 1, 1]);
        assert_eq!(iota(DType::F16, &[2, 3], 1).to_f64(), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        assert_eq!(iota(DType::U8, &[300], 0).to_i64()[255..258], [255, 0, 1]);
        assert_eq!(iota(DType::BF16, &[600], 0).to_f64()[257..260], [256.0, 258.0, 260.0]);
        assert!(iota(DType::F32, &[0, 3], 1).is_empty());
    }

    #[test]
    fn a_size_beyond_memory_is_an_error() {
        let mut b = Builder::new();
        let out = b.iota(DType::I64, [1usize << 40, 1 << 40], 0).expect("well typed");
        assert!(matches!(eval::region(&b.finish(&[out]), &[]), Err(EvalError::Tensor(_))));
    }
}
