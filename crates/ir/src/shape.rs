//! Shapes and tensor types.

use crate::{DType, Dim};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// Axis numbers, permutations and the like.
pub type Axes = SmallVec<[usize; 4]>;
/// Concrete sizes, outermost first.
pub type Dims = SmallVec<[usize; 4]>;

/// The sizes of a tensor's axes, outermost first; rank 0 is a scalar.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[Dim; 4]>);

impl Clone for Shape {
    // Every node that is added clones one: the vector's own `clone` goes through an iterator of unknown length.
    fn clone(&self) -> Shape {
        let mut dims = SmallVec::with_capacity(self.0.len());
        for dim in &self.0 {
            dims.push(dim.clone());
        }
        Shape(dims)
    }
}

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Every size, if all are known.
    pub fn concrete(&self) -> Option<Dims> {
        self.0.iter().map(Dim::as_const).collect()
    }

    /// The number of elements, as an expression.
    pub fn elements(&self) -> Dim {
        self.0.iter().fold(Dim::Const(1), |n, d| &n * d)
    }

    /// The number of elements if every size is known and their product fits.
    pub fn count(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul(d.as_const()?))
    }

    /// The shape without `axes` (sorted or not).
    pub fn without(&self, axes: &[usize]) -> Shape {
        self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone()).collect()
    }

    /// The shape with `dim` put in front.
    pub fn prepend(&self, dim: &Dim) -> Shape {
        std::iter::once(dim).chain(&self.0).cloned().collect()
    }

    /// Applies `f` to every dim.
    pub fn map(&self, f: &dyn Fn(&Dim) -> Dim) -> Shape {
        self.0.iter().map(f).collect()
    }
}

impl Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = Dim>>(iter: I) -> Self {
        Shape(iter.into_iter().collect())
    }
}

impl<'a> FromIterator<&'a Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = &'a Dim>>(iter: I) -> Self {
        iter.into_iter().cloned().collect()
    }
}

impl<D: Clone + Into<Dim>> From<&[D]> for Shape {
    fn from(dims: &[D]) -> Shape {
        dims.iter().cloned().map(Into::into).collect()
    }
}

impl<D: Clone + Into<Dim>, const N: usize> From<[D; N]> for Shape {
    fn from(dims: [D; N]) -> Shape {
        dims.into_iter().map(Into::into).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The dtype and shape of a value. Prints as `f32[B, 784]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> TensorType {
        TensorType { dtype, shape: shape.into() }
    }

    /// A scalar of `dtype`.
    pub fn scalar(dtype: DType) -> TensorType {
        TensorType { dtype, shape: Shape::scalar() }
    }

    /// The same shape with another dtype.
    pub fn with_dtype(&self, dtype: DType) -> TensorType {
        TensorType { dtype, shape: self.shape.clone() }
    }

    /// The same dtype with another shape.
    pub fn with_shape(&self, shape: impl Into<Shape>) -> TensorType {
        TensorType { dtype: self.dtype, shape: shape.into() }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Bytes of a tensor of this type, if every size is known and the product fits.
    pub fn bytes(&self) -> Option<usize> {
        self.shape.count()?.checked_mul(self.dtype.size())
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
