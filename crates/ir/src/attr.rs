//! Op attributes as data, for the text form: an op writes its attributes and is rebuilt from them.

use crate::{Axes, DType, Dim, F64, HostTensor, Region, Shape};
use std::sync::Arc;

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attr {
    /// An integer or a symbolic size: `3`, `2*B`.
    Dim(Dim),
    /// A list of integers or sizes: `[0, 2]`, `[B, 784]`.
    Dims(Shape),
    /// A floating-point number: `0.01`, `inf`.
    Float(F64),
    /// A bare word: a dtype, `true`, `sum`.
    Word(String),
    /// A constant's contents.
    Tensor(HostTensor),
    /// A region the op owns, printed as `@name`.
    Region(Arc<Region>),
}

/// An attribute list, in printing order. Reading removes: what is left over at the end is an unknown attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attrs(pub Vec<(String, Attr)>);

/// An attribute is missing, unknown or of the wrong kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttrError {
    /// Not there.
    #[error("attribute `{0}` is missing")]
    Missing(String),
    /// There, but not of the kind the op takes.
    #[error("attribute `{name}` must be {expected}")]
    Kind {
        /// Which attribute.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Not an attribute of the op.
    #[error("unknown attribute `{0}`")]
    Unknown(String),
}

impl Attrs {
    /// No attributes.
    pub fn none() -> Attrs {
        Attrs::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Attr>) -> Attrs {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    fn take(&mut self, name: &str) -> Result<Attr, AttrError> {
        let at =
            self.0.iter().position(|(n, _)| n == name).ok_or_else(|| AttrError::Missing(name.to_owned()))?;
        Ok(self.0.remove(at).1)
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        f: impl FnOnce(Attr) -> Option<T>,
    ) -> Result<T, AttrError> {
        f(self.take(name)?).ok_or_else(|| AttrError::Kind { name: name.to_owned(), expected })
    }

    /// Removes and returns a size (a bare word is a symbol).
    pub fn dim(&mut self, name: &str) -> Result<Dim, AttrError> {
        self.read(name, "a size", |a| match a {
            Attr::Dim(d) => Some(d),
            Attr::Word(w) => Some(Dim::symbol(&w)),
            _ => None,
        })
    }

    /// Removes and returns a non-negative integer.
    pub fn int(&mut self, name: &str) -> Result<usize, AttrError> {
        self.read(name, "a non-negative integer", |a| if let Attr::Dim(d) = a { d.as_const() } else { None })
    }

    /// Removes and returns a list of non-negative integers.
    pub fn ints(&mut self, name: &str) -> Result<Axes, AttrError> {
        self.read(name, "a list of non-negative integers", |a| match a {
            Attr::Dims(s) => s.concrete(),
            _ => None,
        })
    }

    /// Removes and returns a list of integers of either sign.
    pub fn signed(&mut self, name: &str) -> Result<Vec<i64>, AttrError> {
        self.read(name, "a list of integers", |a| match a {
            Attr::Dims(s) => s.iter().map(|d| if let Dim::Const(n) = d { Some(*n) } else { None }).collect(),
            _ => None,
        })
    }

    /// Removes and returns a list of sizes.
    pub fn shape(&mut self, name: &str) -> Result<Shape, AttrError> {
        self.read(name, "a list of sizes", |a| if let Attr::Dims(s) = a { Some(s) } else { None })
    }

    /// Removes and returns a number (an integer is accepted).
    pub fn float(&mut self, name: &str) -> Result<F64, AttrError> {
        self.read(name, "a number", |a| match a {
            Attr::Float(x) => Some(x),
            Attr::Dim(Dim::Const(n)) => Some(F64(n as f64)),
            _ => None,
        })
    }

    /// Removes and returns a word.
    pub fn word(&mut self, name: &str) -> Result<String, AttrError> {
        self.read(name, "a word", |a| if let Attr::Word(w) = a { Some(w) } else { None })
    }

    /// Removes and returns `true` or `false`.
    pub fn bool(&mut self, name: &str) -> Result<bool, AttrError> {
        self.read(name, "true or false", |a| if let Attr::Word(w) = a { w.parse().ok() } else { None })
    }

    /// Removes and returns a dtype.
    pub fn dtype(&mut self, name: &str) -> Result<DType, AttrError> {
        self.read(name, "a dtype", |a| if let Attr::Word(w) = a { w.parse().ok() } else { None })
    }

    /// Removes and returns a constant's contents.
    pub fn tensor(&mut self, name: &str) -> Result<HostTensor, AttrError> {
        self.read(name, "a tensor", |a| if let Attr::Tensor(t) = a { Some(t) } else { None })
    }

    /// Removes and returns a region.
    pub fn region(&mut self, name: &str) -> Result<Arc<Region>, AttrError> {
        self.read(name, "a region", |a| if let Attr::Region(r) = a { Some(r) } else { None })
    }

    /// An error if anything was not read.
    pub fn finish(self) -> Result<(), AttrError> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(AttrError::Unknown(name)),
            None => Ok(()),
        }
    }
}

impl From<usize> for Attr {
    fn from(n: usize) -> Attr {
        Attr::Dim(n.into())
    }
}
impl From<&Dim> for Attr {
    fn from(d: &Dim) -> Attr {
        Attr::Dim(d.clone())
    }
}
impl From<&Shape> for Attr {
    fn from(s: &Shape) -> Attr {
        Attr::Dims(s.clone())
    }
}
impl From<&[usize]> for Attr {
    fn from(axes: &[usize]) -> Attr {
        Attr::Dims(axes.into())
    }
}
impl From<&Axes> for Attr {
    fn from(axes: &Axes) -> Attr {
        axes.as_slice().into()
    }
}
impl From<&[i64]> for Attr {
    fn from(list: &[i64]) -> Attr {
        Attr::Dims(list.iter().map(|n| Dim::Const(*n)).collect())
    }
}
impl From<F64> for Attr {
    fn from(x: F64) -> Attr {
        Attr::Float(x)
    }
}
impl From<&str> for Attr {
    fn from(word: &str) -> Attr {
        Attr::Word(word.to_owned())
    }
}
impl From<bool> for Attr {
    fn from(b: bool) -> Attr {
        Attr::Word(b.to_string())
    }
}
impl From<DType> for Attr {
    fn from(d: DType) -> Attr {
        Attr::Word(d.name().to_owned())
    }
}
impl From<&HostTensor> for Attr {
    fn from(t: &HostTensor) -> Attr {
        Attr::Tensor(t.clone())
    }
}
impl From<&Arc<Region>> for Attr {
    fn from(r: &Arc<Region>) -> Attr {
        Attr::Region(r.clone())
    }
}
