//! How ops are written: one table a framework.
//!
//! Elementwise rows are given operands that broadcast by NumPy's rules and Python numbers where a value is a repeated
//! constant; all others are given arrays of exactly the shape the graph says.

mod jax;
mod mlx;
mod numpy;
mod shared;
mod torch;

use crate::function::Places;
use crate::module::Module;
use crate::py::{Py, atom, call};
use crate::{Framework, literal};
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    Scatter, Segment, Ternary, Unary,
};
use wootz_ir::{DType, Dims, HostTensor};

/// An operand as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    /// The expression.
    pub(crate) code: Py,
    /// The shape of what the expression gives.
    pub(crate) dims: Dims,
    /// The element type.
    pub(crate) dtype: DType,
    /// The element of a repeated constant, which the expression then is as a Python number.
    pub(crate) splat: Option<HostTensor>,
    /// The elements of a constant array.
    pub(crate) constant: Option<HostTensor>,
}

impl Arg {
    pub(crate) fn is_number(&self) -> bool {
        self.splat.is_some()
    }

    /// The element of a repeated integer constant.
    pub(crate) fn int(&self) -> Option<i64> {
        self.splat.as_ref().filter(|_| self.dtype.is_int()).map(|t| t.to_i64()[0])
    }
}

/// The type of what an op gives.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) dtype: DType,
    pub(crate) dims: Dims,
}

/// Index vectors of a gather.
pub(crate) struct Indices {
    /// One expression an indexed axis: a whole-number array over the batch and free axes.
    pub(crate) parts: Vec<Arg>,
    /// The shape of each.
    pub(crate) dims: Dims,
}

/// One framework's table. Every family is matched exhaustively: an op without its row does not compile.
pub(crate) trait Dialect {
    /// The module that has `inf` and `nan`.
    fn namespace(&self) -> &'static str;
    /// The dtype's name.
    fn dtype(&self, dtype: DType) -> String;
    /// Lines that import modules, by what is written before the dot.
    fn imports(&self) -> &'static [(&'static str, &'static str)];
    /// The source of the helper functions.
    fn helpers(&self) -> &'static [&'static str];
    /// A scalar array of a Python number.
    fn scalar(&self, cx: &Module, dtype: DType, number: Py) -> Py;
    /// An array that repeats a Python number.
    fn full(&self, cx: &Module, dtype: DType, dims: &[usize], number: Py) -> Py;
    /// An array of these bytes, as an expression of the module's outermost level.
    fn constant(&self, cx: &Module, value: &HostTensor) -> Py;
    /// Repeats an array by NumPy's rules.
    fn broadcast_to(&self, value: Py, dims: &[usize]) -> Py;
    /// Converts an array of an unsigned dtype between what the caller has and what the function computes in.
    fn enter(&self, value: Py, _dtype: DType) -> Py {
        value
    }
    /// The opposite of [`enter`](Self::enter).
    fn leave(&self, value: Py, _dtype: DType) -> Py {
        value
    }

    /// The type in which index arrays of this type are held.
    fn index_dtype(&self, dtype: DType) -> DType {
        dtype
    }

    fn unary(&self, cx: &Module, op: Unary, x: Arg) -> Py;
    fn binary(&self, cx: &Module, op: Binary, x: Arg, y: Arg) -> Py;
    fn compare(&self, cx: &Module, op: Compare, x: Arg, y: Arg) -> Py;
    fn ternary(&self, cx: &Module, op: Ternary, args: [Arg; 3], out: &Out) -> Py;
    fn cast(&self, cx: &Module, op: Cast, x: Arg) -> Py;
    fn reduce(&self, cx: &Module, op: &Reduce, x: Arg) -> Py;
    fn arg_reduce(&self, cx: &Module, op: ArgReduce, x: Arg) -> Py;
    fn movement(&self, cx: &Module, op: &Movement, args: Vec<Arg>, out: &Out) -> Py;
    fn dot(&self, cx: &Module, op: &Dot, x: Arg, y: Arg) -> Py;
    fn cumsum(&self, cx: &Module, op: Cumsum, x: Arg) -> Py;
    fn linalg(&self, cx: &Module, op: Linalg, args: Vec<Arg>) -> Py;
    fn gather(&self, cx: &Module, op: Gather, x: Arg, indices: Indices) -> Py;
    fn scatter(&self, cx: &Module, op: Scatter, args: [Arg; 3]) -> Py;
    /// How updates are added to `x` at this many arrays of known indices; `None` where a helper does it.
    fn add_at(&self, _x: &Arg, _indexed: usize, _updates: &Arg, _places: Places) -> Option<AddAt> {
        None
    }
    fn segment(&self, cx: &Module, op: &Segment, data: Arg, ids: Arg, out: &Out) -> Py;
    /// 0, 1, 2, … in one axis.
    fn iota(&self, cx: &Module, dtype: DType, length: usize) -> Py;
    fn random(&self, cx: &Module, op: &Random, args: Vec<Arg>) -> Py;
    fn composite(&self, cx: &Module, op: &Composite, args: Vec<Arg>) -> Py;
    /// Whether attention takes and gives `[.., positions, heads, features]`.
    fn heads_last(&self) -> bool {
        false
    }
    /// How loops and branches are written.
    fn control(&self) -> ControlStyle;
    /// The definition of a function with a derivative of its own; `None` where nothing is differentiated.
    fn custom_vjp(&self, _functions: &CustomVjp<'_>) -> Option<String> {
        None
    }
}

/// Writes (x, the arrays of indices, updates) as an indexed addition.
pub(crate) type AddAt = fn(Py, Vec<Py>, Py) -> Py;

/// The functions that a function with a derivative of its own is made of.
pub(crate) struct CustomVjp<'a> {
    /// What it is to be called.
    pub(crate) name: &'a str,
    /// Arguments → results.
    pub(crate) primal: &'a str,
    /// Arguments → (results, residuals).
    pub(crate) forward: &'a str,
    /// (residuals, cotangents) → a tuple with one cotangent an argument.
    pub(crate) backward: &'a str,
    /// How many arguments there are.
    pub(crate) arguments: usize,
    /// How many results there are.
    pub(crate) results: usize,
}

/// How ops that own regions are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlStyle {
    /// `for`, `while` and `if`.
    Python,
    /// `lax.scan`, `lax.while_loop`, `lax.cond`.
    Lax,
}

/// The table of a framework.
pub(crate) fn of(framework: Framework) -> &'static dyn Dialect {
    match framework {
        Framework::Numpy => &numpy::Numpy,
        Framework::Jax => &jax::Jax,
        Framework::Torch => &torch::Torch,
        Framework::Mlx => &mlx::Mlx,
    }
}

/// An operand as an array: Python numbers become scalar arrays.
pub(crate) fn array(d: &dyn Dialect, cx: &Module, x: Arg) -> Py {
    if x.is_number() { d.scalar(cx, x.dtype, x.code) } else { x.code }
}

/// A Python number of a dtype.
pub(crate) fn number(d: &dyn Dialect, dtype: DType, value: f64) -> Py {
    literal::number(d.namespace(), &HostTensor::scalar(dtype, value))
}

/// A call of a helper function of the module.
pub(crate) fn helper(cx: &Module, name: &'static str, args: impl IntoIterator<Item = Py>) -> Py {
    cx.use_helper(name);
    call(name, args)
}

/// The dtype as an argument.
pub(crate) fn dtype_py(d: &dyn Dialect, dtype: DType) -> Py {
    atom(d.dtype(dtype))
}
