//! Values without operands.
//!
//! ```text
//! %0 = constant[value=f32[2]{1.0, 2.5}] : f32[2]
//! %1 = iota[dtype=i64, shape=[B, 4], axis=1] : i64[B, 4]
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, DType, Dim, HostTensor, Shape, TensorType, TypeError};
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
}
