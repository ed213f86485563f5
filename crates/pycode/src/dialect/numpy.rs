//! NumPy 2.

use super::shared::{self, Gathers, Products};
use super::{Arg, ControlStyle, Dialect, Indices, Out, array, dtype_py, helper, number};
use crate::literal;
use crate::module::Module;
use crate::py::{Py, atom, attribute, axes, call, infix, int, keyword, method, prefix, size, sizes};
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    ReduceKind, Scatter, ScatterKind, Segment, SegmentKind, Ternary, Unary,
};
use wootz_ir::{DType, HostTensor};

pub(super) struct Numpy;

const PRODUCTS: Products = Products {
    swap: |x| attribute(x, "mT"),
    einsum: "np.einsum",
    einsum_args: || vec![keyword("optimize", atom("True"))],
};

const GATHERS: Gathers<'static> = Gathers {
    clip: |part, size| call("np.clip", [part.code, int(0), int(size as i64 - 1)]),
    arange: &|n| call("np.arange", [size(n)]),
    along: |x, part, axis| call("np.take_along_axis", [x, part, keyword("axis", size(axis))]),
};

impl Dialect for Numpy {
    fn namespace(&self) -> &'static str {
        "np"
    }

    fn dtype(&self, dtype: DType) -> String {
        match dtype {
            DType::Bool => "np.bool",
            DType::U8 => "np.uint8",
            DType::U32 => "np.uint32",
            DType::I32 => "np.int32",
            DType::I64 => "np.int64",
            DType::F16 => "np.float16",
            // Refused before anything is written.
            DType::BF16 => "np.bfloat16",
            DType::F32 => "np.float32",
            DType::F64 => "np.float64",
        }
        .to_owned()
    }

    fn imports(&self) -> &'static [(&'static str, &'static str)] {
        &[("base64.", "import base64"), ("math.", "import math"), ("np.", "import numpy as np")]
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[
            include_str!("../helpers/numpy.py"),
            include_str!("../helpers/linalg.py"),
            include_str!("../helpers/cumulative.py"),
            include_str!("../helpers/random.py"),
            include_str!("../helpers/special.py"),
            include_str!("../helpers/polygamma.py"),
        ]
    }

    fn scalar(&self, _: &Module, dtype: DType, number: Py) -> Py {
        call(&self.dtype(dtype), [number])
    }

    fn full(&self, _: &Module, dtype: DType, dims: &[usize], number: Py) -> Py {
        full("np", self, dtype, dims, number)
    }

    fn constant(&self, _: &Module, value: &HostTensor) -> Py {
        let dtype = keyword("dtype", dtype_py(self, value.dtype()));
        constant("np", value, dtype)
    }

    fn broadcast_to(&self, value: Py, dims: &[usize]) -> Py {
        call("np.broadcast_to", [value, sizes(dims)])
    }

    fn unary(&self, cx: &Module, op: Unary, x: Arg) -> Py {
        let one = |name: &str, x: Arg| call(name, [x.code]);
        match op {
            Unary::Neg => prefix("-", x.code),
            Unary::Abs => one("np.abs", x),
            Unary::Sign => one("np.sign", x),
            Unary::Exp => one("np.exp", x),
            Unary::Expm1 => one("np.expm1", x),
            Unary::Log => one("np.log", x),
            Unary::Log1p => one("np.log1p", x),
            Unary::Sqrt => one("np.sqrt", x),
            Unary::Rsqrt => infix(atom("1.0"), "/", one("np.sqrt", x)),
            Unary::Sin => one("np.sin", x),
            Unary::Cos => one("np.cos", x),
            Unary::Tan => one("np.tan", x),
            Unary::Tanh => one("np.tanh", x),
            Unary::Erf => helper(cx, "erf", [x.code]),
            Unary::Erfc => helper(cx, "erfc", [x.code]),
            Unary::Erfinv => helper(cx, "erfinv", [x.code]),
            Unary::Lgamma => helper(cx, "lgamma", [x.code]),
            Unary::Digamma => helper(cx, "digamma", [x.code]),
            Unary::Polygamma(n) => helper(cx, "polygamma", [int(n), x.code]),
            Unary::Floor => one("np.floor", x),
            Unary::Ceil => one("np.ceil", x),
            Unary::Round => one("np.round", x),
            Unary::Not => prefix("~", x.code),
            Unary::IsNan => one("np.isnan", x),
            Unary::IsFinite => one("np.isfinite", x),
            Unary::StopGradient => x.code,
        }
    }

    fn binary(&self, cx: &Module, op: Binary, x: Arg, y: Arg) -> Py {
        let two = |name: &str, x: Arg, y: Arg| call(name, [x.code, y.code]);
        let operator = |x: Arg, operator, y: Arg| infix(x.code, operator, y.code);
        let (float, boolean) = (x.dtype.is_float(), x.dtype == DType::Bool);
        match op {
            Binary::Add => operator(x, "+", y),
            Binary::Sub => operator(x, "-", y),
            Binary::Mul => operator(x, "*", y),
            Binary::Div if float => operator(x, "/", y),
            Binary::Div => helper(cx, "int_div", [x.code, y.code]),
            Binary::Rem if float => two("np.fmod", x, y),
            Binary::Rem => helper(cx, "int_rem", [x.code, y.code]),
            Binary::FloorDiv if x.dtype == DType::F16 => {
                let wide = |x: Arg| if x.is_number() { x.code } else { wide(x.code) };
                let divisor_is_number = y.is_number();
                let (x, y) = (if divisor_is_number { wide_array(self, cx, x) } else { wide(x) }, wide(y));
                narrow(call("np.floor", [infix(x, "/", y)]))
            }
            Binary::FloorDiv if float => call("np.floor", [operator(x, "/", y)]),
            Binary::FloorDiv => helper(cx, "int_floor_div", [x.code, y.code]),
            Binary::Pow if float => operator(x, "**", y),
            Binary::Pow => helper(cx, "int_pow", [array(self, cx, x), y.code]),
            Binary::Min if boolean => operator(x, "&", y),
            Binary::Max if boolean => operator(x, "|", y),
            Binary::Min => two("np.minimum", x, y),
            Binary::Max => two("np.maximum", x, y),
            Binary::And => operator(x, "&", y),
            Binary::Or => operator(x, "|", y),
            Binary::Xor => operator(x, "^", y),
            Binary::Shl if in_width(&y) => operator(x, "<<", y),
            Binary::Shr if in_width(&y) => operator(x, ">>", y),
            Binary::Shl => helper(cx, "shift_left", [array(self, cx, x), array(self, cx, y)]),
            Binary::Shr => helper(cx, "shift_right", [array(self, cx, x), array(self, cx, y)]),
            Binary::Atan2 => two("np.arctan2", x, y),
        }
    }

    fn compare(&self, _: &Module, op: Compare, x: Arg, y: Arg) -> Py {
        infix(x.code, comparison(op), y.code)
    }

    fn ternary(&self, cx: &Module, op: Ternary, [a, x, y]: [Arg; 3], _: &Out) -> Py {
        match op {
            Ternary::Select => {
                let x = if y.is_number() { array(self, cx, x) } else { x.code };
                call("np.where", [a.code, x, y.code])
            }
            Ternary::Clamp => call("np.clip", [array(self, cx, x), a.code, y.code]),
        }
    }

    fn cast(&self, cx: &Module, op: Cast, x: Arg) -> Py {
        let to = dtype_py(self, op.dtype);
        match (x.dtype, op.dtype) {
            (_, DType::Bool) => infix(x.code, "!=", int(0)),
            (from, to_dtype) if from.is_float() && to_dtype.is_int() => helper(cx, "to_int", [x.code, to]),
            _ => method(x.code, "astype", [to]),
        }
    }

    fn reduce(&self, _: &Module, op: &Reduce, x: Arg) -> Py {
        let axis = keyword("axis", axes(&op.axes));
        let boolean = x.dtype == DType::Bool;
        // NumPy would sum small integers in 64 bits, and halves in halves.
        let accumulated = |x: Arg, name: &str, axis: Py| match x.dtype {
            DType::F16 => narrow(method(x.code, name, [axis, keyword("dtype", atom("np.float32"))])),
            DType::U8 | DType::U32 | DType::I32 => {
                let dtype = keyword("dtype", dtype_py(self, x.dtype));
                method(x.code, name, [axis, dtype])
            }
            _ => method(x.code, name, [axis]),
        };
        match op.kind {
            ReduceKind::Sum => accumulated(x, "sum", axis),
            ReduceKind::Prod => accumulated(x, "prod", axis),
            ReduceKind::Max if boolean => method(x.code, "any", [axis]),
            ReduceKind::Min if boolean => method(x.code, "all", [axis]),
            ReduceKind::Max => method(x.code, "max", [axis]),
            ReduceKind::Min => method(x.code, "min", [axis]),
            ReduceKind::Any => method(x.code, "any", [axis]),
            ReduceKind::All => method(x.code, "all", [axis]),
        }
    }

    fn arg_reduce(&self, _: &Module, op: ArgReduce, x: Arg) -> Py {
        method(x.code, if op.max { "argmax" } else { "argmin" }, [keyword("axis", size(op.axis))])
    }

    fn movement(&self, cx: &Module, op: &Movement, mut args: Vec<Arg>, out: &Out) -> Py {
        match op {
            Movement::Reshape { .. } => method(args.remove(0).code, "reshape", [sizes(&out.dims)]),
            Movement::Transpose { perm } => transpose(args.remove(0), perm),
            Movement::Broadcast { .. } => self.broadcast_to(args.remove(0).code, &out.dims),
            Movement::Slice { start, stop, step } => shared::slice(args.remove(0), start, stop, step),
            Movement::Pad { low, high, interior } => {
                let (value, x) = (args.remove(1), args.remove(0));
                if low.iter().chain(high).all(|n| *n >= 0) && interior.iter().all(|n| *n == 0) {
                    let mut pad = vec![x.code, pairs(low, high)];
                    if value.splat.as_ref().is_none_or(|v| v.to_f64()[0] != 0.0) {
                        pad.push(keyword("constant_values", value.code));
                    }
                    return call("np.pad", pad);
                }
                let edges = [pairs(low, high), sizes(interior)];
                helper(cx, "pad", [x.code, value.code].into_iter().chain(edges))
            }
            Movement::Concat { axis } => concatenate("np.concatenate", args, *axis),
            Movement::Reverse { axes } => shared::reversed(args.remove(0).code, axes),
        }
    }

    fn dot(&self, _: &Module, op: &Dot, x: Arg, y: Arg) -> Py {
        if x.dtype == DType::F16 {
            let [x, y] = [x, y].map(|x| Arg { code: wide(x.code), ..x });
            return narrow(shared::dot(&PRODUCTS, op, x, y));
        }
        shared::dot(&PRODUCTS, op, x, y)
    }

    fn cumsum(&self, cx: &Module, op: Cumsum, x: Arg) -> Py {
        let dtype = x.dtype;
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let code = if narrow { method(x.code, "astype", [atom("np.float32")]) } else { x.code };
        let sums = if op.reverse || op.exclusive || dtype.is_int() {
            helper(cx, "cumsum", shared::cumsum_args(op, code))
        } else {
            call("np.cumsum", [code, keyword("axis", size(op.axis))])
        };
        if narrow { method(sums, "astype", [dtype_py(self, dtype)]) } else { sums }
    }

    fn linalg(&self, cx: &Module, op: Linalg, args: Vec<Arg>) -> Py {
        let args = args.into_iter().map(|a| a.code);
        match op {
            Linalg::Cholesky => helper(cx, "cholesky", args),
            Linalg::TriangularSolve(solve) => {
                let lower = keyword("lower", atom(if solve.lower { "True" } else { "False" }));
                let transpose = solve.transpose.then(|| keyword("transpose", atom("True")));
                let unit = solve.unit_diagonal.then(|| keyword("unit_diagonal", atom("True")));
                helper(cx, "triangular_solve", args.chain([lower]).chain(transpose).chain(unit))
            }
        }
    }

    fn gather(&self, _: &Module, op: Gather, x: Arg, indices: Indices) -> Py {
        shared::gather(&GATHERS, op, x, indices)
    }

    fn scatter(&self, cx: &Module, op: Scatter, [x, indices, updates]: [Arg; 3]) -> Py {
        let args = |[x, indices, updates]: [Py; 3]| {
            let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
            [x, indices, updates].into_iter().chain(batch)
        };
        match op.kind {
            ScatterKind::Set => helper(cx, "scatter_set", args([x.code, indices.code, updates.code])),
            ScatterKind::Add if x.dtype == DType::F16 => {
                let sum = helper(cx, "scatter_add", args([wide(x.code), indices.code, wide(updates.code)]));
                narrow(sum)
            }
            ScatterKind::Add => helper(cx, "scatter_add", args([x.code, indices.code, updates.code])),
        }
    }

    fn segment(&self, cx: &Module, op: &Segment, data: Arg, ids: Arg, out: &Out) -> Py {
        let name = match op.kind {
            SegmentKind::Sum => "segment_sum",
            SegmentKind::Prod => "segment_prod",
            SegmentKind::Max => "segment_max",
            SegmentKind::Min => "segment_min",
        };
        let half = data.dtype == DType::F16;
        let data = if half { wide(data.code) } else { data.code };
        let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
        let result = helper(cx, name, [data, ids.code, size(out.dims[op.batch])].into_iter().chain(batch));
        if half { narrow(result) } else { result }
    }

    fn iota(&self, _: &Module, dtype: DType, length: usize) -> Py {
        iota("np", self, dtype, length)
    }

    fn random(&self, cx: &Module, op: &Random, args: Vec<Arg>) -> Py {
        let args = args.into_iter().map(|a| a.code);
        match op {
            Random::Bits { shape } => {
                let shape = sizes(&shape.concrete().unwrap_or_default());
                helper(cx, "random_bits", args.chain([shape]))
            }
            Random::FoldIn => helper(cx, "fold_in", args),
        }
    }

    fn composite(&self, cx: &Module, op: &Composite, mut args: Vec<Arg>) -> Py {
        let half = args[0].dtype == DType::F16;
        let widened = half && !matches!(op, Composite::Relu | Composite::ReluGrad | Composite::Linear { .. });
        if widened {
            for arg in args.iter_mut().filter(|a| a.dtype == DType::F16) {
                arg.code = wide(arg.code.clone());
            }
        }
        let y = args.get(1).cloned();
        let dims = args[0].dims.clone();
        let x = args.remove(0).code;
        let result = match op {
            Composite::Relu => call("np.maximum", [x, atom("0.0")]),
            Composite::ReluGrad => {
                let g = y.expect("relu_grad has two operands").code;
                call("np.where", [infix(x, ">", int(0)), g, atom("0.0")])
            }
            Composite::LeakyRelu { slope } => {
                let scaled = infix(x.clone(), "*", number(self, DType::F64, slope.0));
                call("np.where", [infix(x.clone(), ">", int(0)), x, scaled])
            }
            Composite::Gelu => helper(cx, "gelu", [x]),
            Composite::GeluTanh => helper(cx, "gelu_tanh", [x]),
            Composite::Silu => helper(cx, "silu", [x]),
            Composite::Sigmoid => helper(cx, "sigmoid", [x]),
            Composite::Softplus => call("np.logaddexp", [x, atom("0.0")]),
            Composite::Softmax { axis } => helper(cx, "softmax", [x, keyword("axis", size(*axis))]),
            Composite::LogSoftmax { axis } => helper(cx, "log_softmax", [x, keyword("axis", size(*axis))]),
            Composite::LogSumExp { axes: over } => helper(cx, "logsumexp", [x, keyword("axis", axes(over))]),
            Composite::Mean { axes: over } => method(x, "mean", [keyword("axis", axes(over))]),
            Composite::Variance { axes: over, correction } => {
                let ddof = (*correction > 0).then(|| keyword("ddof", size(*correction)));
                method(x, "var", std::iter::once(keyword("axis", axes(over))).chain(ddof))
            }
            Composite::Linear { bias } => {
                let weight = y.expect("linear has a weight").code;
                let product = if dims.len() == 1 {
                    infix(weight, "@", x)
                } else {
                    infix(x, "@", attribute(weight, "T"))
                };
                if *bias { infix(product, "+", args.remove(1).code) } else { product }
            }
            Composite::LayerNorm { normalized, eps, weight, bias } => {
                let weight = weight.then(|| args.remove(0).code);
                let bias = bias.then(|| args.remove(0).code);
                let eps = (eps.0, number(self, DType::F64, eps.0));
                helper(cx, "layer_norm", shared::norm_args(x, weight, bias, *normalized, eps))
            }
            Composite::RmsNorm { normalized, eps, weight } => {
                let weight = weight.then(|| args.remove(0).code);
                let eps = (eps.0, number(self, DType::F64, eps.0));
                helper(cx, "rms_norm", shared::norm_args(x, weight, None, *normalized, eps))
            }
            Composite::CrossEntropy { .. }
            | Composite::NegativeLogLikelihood { .. }
            | Composite::Mse { .. }
            | Composite::Uniform { .. }
            | Composite::Normal { .. }
            | Composite::Dropout { .. }
            | Composite::LayerNormGrad { .. }
            | Composite::Attention { .. }
            | Composite::AttentionGrad { .. }
            | Composite::Embedding => unreachable!("not claimed: `expand` left their bodies"),
        };
        if widened { narrow(result) } else { result }
    }

    fn control(&self) -> ControlStyle {
        ControlStyle::Python
    }
}

fn wide(x: Py) -> Py {
    method(x, "astype", [atom("np.float32")])
}

fn wide_array(d: &Numpy, cx: &Module, x: Arg) -> Py {
    if x.is_number() { d.scalar(cx, DType::F32, x.code) } else { wide(x.code) }
}

fn narrow(x: Py) -> Py {
    method(x, "astype", [atom("np.float16")])
}

/// Whether a shift is by a number of bits that the dtype has.
pub(super) fn in_width(by: &Arg) -> bool {
    by.int().is_some_and(|n| (0..8 * by.dtype.size() as i64).contains(&n))
}

pub(super) fn comparison(op: Compare) -> &'static str {
    match op {
        Compare::Eq => "==",
        Compare::Ne => "!=",
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Gt => ">",
        Compare::Ge => ">=",
    }
}

/// `((low, high), …)`.
pub(super) fn pairs(low: &[i64], high: &[i64]) -> Py {
    Py::Tuple(low.iter().zip(high).map(|(l, h)| Py::Tuple(vec![int(*l), int(*h)])).collect())
}

pub(super) fn concatenate(function: &str, args: Vec<Arg>, axis: usize) -> Py {
    let list = Py::List(args.into_iter().map(|a| a.code).collect());
    let axis = (axis > 0).then(|| keyword("axis", size(axis)));
    call(function, std::iter::once(list).chain(axis))
}

/// The transpose as a method.
pub(super) fn transpose(x: Arg, perm: &[usize]) -> Py {
    if perm == [1, 0] {
        attribute(x.code, "T")
    } else {
        method(x.code, "transpose", perm.iter().map(|i| size(*i)))
    }
}

/// `np.full`, `np.zeros`, `np.ones`.
pub(super) fn full(namespace: &str, d: &dyn Dialect, dtype: DType, dims: &[usize], number: Py) -> Py {
    let of = keyword("dtype", dtype_py(d, dtype));
    match number.flat().as_str() {
        "0" | "0.0" | "False" => call(&format!("{namespace}.zeros"), [sizes(dims), of]),
        "1" | "1.0" | "True" => call(&format!("{namespace}.ones"), [sizes(dims), of]),
        _ => call(&format!("{namespace}.full"), [sizes(dims), number, of]),
    }
}

/// Arrays of this many elements and fewer are written as lists.
pub(super) const LISTED: usize = 64;

/// An array that was made from lists; those of nothing do not say all of its shape.
pub(super) fn shaped(array: Py, value: &HostTensor) -> Py {
    let flat = value.is_empty() && value.dims().len() != 1;
    if flat { method(array, "reshape", [sizes(value.dims())]) } else { array }
}

/// An array from a list or, if it is large, from the bytes in base64.
pub(super) fn constant(namespace: &str, value: &HostTensor, dtype: Py) -> Py {
    if value.len() <= LISTED {
        return shaped(call(&format!("{namespace}.array"), [literal::list(namespace, value), dtype]), value);
    }
    let bytes = call("base64.b64decode", [crate::py::string(&literal::base64(value.as_bytes()))]);
    let flat = call(&format!("{namespace}.frombuffer"), [bytes, dtype]);
    if value.dims().len() == 1 { flat } else { method(flat, "reshape", [sizes(value.dims())]) }
}

pub(super) fn iota(namespace: &str, d: &dyn Dialect, dtype: DType, length: usize) -> Py {
    let exact = match dtype {
        DType::U8 | DType::BF16 => 256,
        DType::F16 => 2048,
        _ => usize::MAX,
    };
    let (arange, to) = (format!("{namespace}.arange"), dtype_py(d, dtype));
    if dtype == DType::I64 && namespace != "mx" {
        // The default, as wide as the framework has been told to be.
        call(&arange, [size(length)])
    } else if length <= exact {
        call(&arange, [size(length), keyword("dtype", to)])
    } else {
        method(call(&arange, [size(length)]), "astype", [to])
    }
}
