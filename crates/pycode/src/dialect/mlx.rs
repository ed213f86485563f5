//! MLX: `mlx.core` as `mx`, `mlx.nn`.

use super::numpy::{LISTED, comparison, concatenate, full, in_width, iota, pairs, shaped, transpose};
use super::shared::{self, Gathers, Products};
use super::{AddAt, Arg, ControlStyle, CustomVjp, Dialect, Indices, Out, array, dtype_py, helper, number};
use crate::function::Places;
use crate::literal;
use crate::module::Module;
use crate::py::{
    Py, atom, attribute, axes, call, index, infix, int, keyword, method, prefix, size, sizes, string,
};
use wootz_ir::ops::composite::Reduction;
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    ReduceKind, Scatter, ScatterKind, Segment, SegmentKind, Ternary, Unary,
};
use wootz_ir::{DType, HostTensor};

pub(super) struct Mlx;

const PRODUCTS: Products = Products {
    swap: |x| call("mx.swapaxes", [x, int(-1), int(-2)]),
    einsum: "mx.einsum",
    einsum_args: Vec::new,
};

const GATHERS: Gathers<'static> = Gathers {
    clip: |part, size| call("mx.clip", [part.code, int(0), int(size as i64 - 1)]),
    arange: &|n| call("mx.arange", [size(n)]),
    along: |x, part, axis| call("mx.take_along_axis", [x, part, keyword("axis", size(axis))]),
};

impl Dialect for Mlx {
    fn namespace(&self) -> &'static str {
        "mx"
    }

    fn dtype(&self, dtype: DType) -> String {
        match dtype {
            DType::Bool => "mx.bool_",
            DType::U8 => "mx.uint8",
            DType::U32 => "mx.uint32",
            DType::I32 => "mx.int32",
            DType::I64 => "mx.int64",
            DType::F16 => "mx.float16",
            DType::BF16 => "mx.bfloat16",
            DType::F32 => "mx.float32",
            DType::F64 => "mx.float64",
        }
        .to_owned()
    }

    fn imports(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("array.", "import array"),
            ("base64.", "import base64"),
            ("math.", "import math"),
            ("mx.", "import mlx.core as mx"),
            ("nn.", "from mlx import nn"),
        ]
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[
            include_str!("../helpers/mlx.py"),
            include_str!("../helpers/linalg.py"),
            include_str!("../helpers/cumulative.py"),
            include_str!("../helpers/random.py"),
            include_str!("../helpers/special.py"),
            include_str!("../helpers/polygamma.py"),
        ]
    }

    fn scalar(&self, _: &Module, dtype: DType, number: Py) -> Py {
        call("mx.array", [number, keyword("dtype", dtype_py(self, dtype))])
    }

    fn full(&self, _: &Module, dtype: DType, dims: &[usize], number: Py) -> Py {
        full("mx", self, dtype, dims, number)
    }

    fn constant(&self, _: &Module, value: &HostTensor) -> Py {
        constant(value, dtype_py(self, value.dtype()))
    }

    fn broadcast_to(&self, value: Py, dims: &[usize]) -> Py {
        call("mx.broadcast_to", [value, sizes(dims)])
    }

    fn unary(&self, cx: &Module, op: Unary, x: Arg) -> Py {
        let one = |name: &str, x: Arg| call(name, [x.code]);
        match op {
            Unary::Neg => prefix("-", x.code),
            Unary::Abs => one("mx.abs", x),
            Unary::Sign if x.dtype.is_float() => helper(cx, "sign", [x.code]),
            Unary::Sign => one("mx.sign", x),
            Unary::Exp => one("mx.exp", x),
            Unary::Expm1 => one("mx.expm1", x),
            Unary::Log => one("mx.log", x),
            Unary::Log1p => one("mx.log1p", x),
            Unary::Sqrt => one("mx.sqrt", x),
            Unary::Rsqrt => one("mx.rsqrt", x),
            Unary::Sin => one("mx.sin", x),
            Unary::Cos => one("mx.cos", x),
            Unary::Tan => one("mx.tan", x),
            Unary::Tanh => one("mx.tanh", x),
            Unary::Erf => one("mx.erf", x),
            Unary::Erfc => helper(cx, "erfc", [x.code]),
            Unary::Erfinv => one("mx.erfinv", x),
            Unary::Lgamma => helper(cx, "lgamma", [x.code]),
            Unary::Digamma => helper(cx, "digamma", [x.code]),
            Unary::Polygamma(n) => helper(cx, "polygamma", [int(n), x.code]),
            Unary::Floor => one("mx.floor", x),
            Unary::Ceil => one("mx.ceil", x),
            Unary::Round => one("mx.round", x),
            Unary::Not => prefix("~", x.code),
            Unary::IsNan => one("mx.isnan", x),
            Unary::IsFinite => one("mx.isfinite", x),
            Unary::StopGradient => one("mx.stop_gradient", x),
        }
    }

    fn binary(&self, cx: &Module, op: Binary, x: Arg, y: Arg) -> Py {
        let two = |name: &str, x: Arg, y: Arg| call(name, [x.code, y.code]);
        let operator = |x: Arg, operator, y: Arg| infix(x.code, operator, y.code);
        let (float, boolean) = (x.dtype.is_float(), x.dtype == DType::Bool);
        let arrays = |d: &Mlx, cx: &Module, x: Arg, y: Arg| [array(d, cx, x), array(d, cx, y)];
        match op {
            Binary::Add => operator(x, "+", y),
            Binary::Sub => operator(x, "-", y),
            Binary::Mul => operator(x, "*", y),
            Binary::Div if float => operator(x, "/", y),
            Binary::Div => helper(cx, "int_div", arrays(self, cx, x, y)),
            Binary::Rem if float => helper(cx, "fmod", arrays(self, cx, x, y)),
            Binary::Rem => helper(cx, "int_rem", arrays(self, cx, x, y)),
            Binary::FloorDiv if matches!(x.dtype, DType::F16 | DType::BF16) => {
                let narrow = dtype_py(self, x.dtype);
                let [x, y] = arrays(self, cx, x, y).map(|x| method(x, "astype", [atom("mx.float32")]));
                method(call("mx.floor", [infix(x, "/", y)]), "astype", [narrow])
            }
            Binary::FloorDiv if float => call("mx.floor", [operator(x, "/", y)]),
            Binary::FloorDiv => helper(cx, "int_floor_div", arrays(self, cx, x, y)),
            Binary::Pow if float => operator(x, "**", y),
            Binary::Pow => helper(cx, "int_pow", arrays(self, cx, x, y)),
            Binary::Min if boolean => operator(x, "&", y),
            Binary::Max if boolean => operator(x, "|", y),
            Binary::Min => two("mx.minimum", x, y),
            Binary::Max => two("mx.maximum", x, y),
            Binary::And => operator(x, "&", y),
            Binary::Or => operator(x, "|", y),
            Binary::Xor => operator(x, "^", y),
            Binary::Shl if in_width(&y) => operator(x, "<<", y),
            Binary::Shr if in_width(&y) => operator(x, ">>", y),
            Binary::Shl => {
                let [x, y] = arrays(self, cx, x, y);
                helper(cx, "shift_left", [x, y])
            }
            Binary::Shr => {
                let [x, y] = arrays(self, cx, x, y);
                helper(cx, "shift_right", [x, y])
            }
            Binary::Atan2 => two("mx.arctan2", x, y),
        }
    }

    fn compare(&self, _: &Module, op: Compare, x: Arg, y: Arg) -> Py {
        infix(x.code, comparison(op), y.code)
    }

    fn ternary(&self, cx: &Module, op: Ternary, args: [Arg; 3], _: &Out) -> Py {
        let [a, x, y] = args;
        match op {
            Ternary::Select => {
                let x = if y.is_number() { array(self, cx, x) } else { x.code };
                call("mx.where", [a.code, x, y.code])
            }
            Ternary::Clamp => call("mx.clip", [array(self, cx, x), a.code, y.code]),
        }
    }

    fn cast(&self, cx: &Module, op: Cast, x: Arg) -> Py {
        let to = dtype_py(self, op.dtype);
        match (x.dtype, op.dtype) {
            (_, DType::Bool) => infix(x.code, "!=", int(0)),
            (from, dtype) if from.is_float() && dtype.is_int() => helper(cx, "to_int", [x.code, to]),
            _ => method(x.code, "astype", [to]),
        }
    }

    fn reduce(&self, _: &Module, op: &Reduce, x: Arg) -> Py {
        let axis = keyword("axis", axes(&op.axes));
        let boolean = x.dtype == DType::Bool;
        // MLX would sum small integers in wider ones.
        let accumulated = |x: Arg, name: &str, axis: Py| {
            let dtype = x.dtype;
            let result = method(x.code, name, [axis]);
            if dtype.is_int() { method(result, "astype", [dtype_py(self, dtype)]) } else { result }
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
        if x.dims.contains(&0) {
            // MLX looks for nothing in nothing.
            let dims = without(&x.dims, &[op.axis]);
            return call("mx.zeros", [sizes(&dims), keyword("dtype", atom("mx.int64"))]);
        }
        let position =
            method(x.code, if op.max { "argmax" } else { "argmin" }, [keyword("axis", size(op.axis))]);
        method(position, "astype", [atom("mx.int64")])
    }

    fn movement(&self, cx: &Module, op: &Movement, mut args: Vec<Arg>, out: &Out) -> Py {
        match op {
            Movement::Reshape { .. } => method(args.remove(0).code, "reshape", [sizes(&out.dims)]),
            Movement::Transpose { perm } => transpose(args.remove(0), perm),
            Movement::Broadcast { .. } => self.broadcast_to(args.remove(0).code, &out.dims),
            Movement::Slice { start, stop, step } => shared::slice(args.remove(0), start, stop, step),
            Movement::Pad { low, high, interior } => {
                let (value, x) = (args.remove(1), args.remove(0));
                let plain = low.iter().chain(high).all(|n| *n >= 0) && interior.iter().all(|n| *n == 0);
                // A derivative of `mx.pad` by the value ends the process.
                if plain && value.is_number() {
                    let mut pad = vec![x.code, pairs(low, high)];
                    if value.splat.as_ref().is_none_or(|v| v.to_f64()[0] != 0.0) {
                        pad.push(keyword("constant_values", value.code));
                    }
                    return call("mx.pad", pad);
                }
                helper(cx, "pad", [x.code, array(self, cx, value), pairs(low, high), sizes(interior)])
            }
            Movement::Concat { axis } => concatenate("mx.concatenate", args, *axis),
            Movement::Reverse { axes } => shared::reversed(args.remove(0).code, axes),
        }
    }

    fn dot(&self, cx: &Module, op: &Dot, x: Arg, y: Arg) -> Py {
        if !x.dtype.is_float() {
            // MLX multiplies matrices of floats only.
            let axes = [&op.lhs_batch, &op.rhs_batch, &op.lhs_contract, &op.rhs_contract].map(|a| sizes(a));
            return helper(cx, "int_dot", [x.code, y.code].into_iter().chain(axes));
        }
        shared::dot(&PRODUCTS, op, x, y)
    }

    fn cumsum(&self, cx: &Module, op: Cumsum, x: Arg) -> Py {
        let dtype = x.dtype;
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let code = if narrow { method(x.code, "astype", [atom("mx.float32")]) } else { x.code };
        let sums = if op.reverse || op.exclusive || dtype.is_int() {
            helper(cx, "cumsum", shared::cumsum_args(op, code))
        } else {
            call("mx.cumsum", [code, keyword("axis", size(op.axis))])
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
        let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
        let args = [x.code, indices.code, updates.code].into_iter().chain(batch);
        match op.kind {
            ScatterKind::Set => helper(cx, "scatter_set", args),
            ScatterKind::Add => helper(cx, "scatter_add", args),
        }
    }

    fn add_at(&self, _x: &Arg, _indexed: usize, _updates: &Arg, places: Places) -> Option<AddAt> {
        (places == Places::Inside)
            .then_some(|x, parts, updates| method(index(attribute(x, "at"), parts), "add", [updates]))
    }

    fn segment(&self, cx: &Module, op: &Segment, data: Arg, ids: Arg, out: &Out) -> Py {
        let name = match op.kind {
            SegmentKind::Sum => "segment_sum",
            SegmentKind::Prod => "segment_prod",
            SegmentKind::Max => "segment_max",
            SegmentKind::Min => "segment_min",
        };
        let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
        helper(cx, name, [data.code, ids.code, size(out.dims[op.batch])].into_iter().chain(batch))
    }

    fn iota(&self, _: &Module, dtype: DType, length: usize) -> Py {
        iota("mx", self, dtype, length)
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
        let narrow = Some(args[0].dtype).filter(|d| matches!(d, DType::F16 | DType::BF16));
        let narrow = narrow
            .filter(|_| !matches!(op, Composite::Relu | Composite::ReluGrad | Composite::Linear { .. }));
        if let Some(dtype) = narrow {
            for arg in args.iter_mut().filter(|a| a.dtype == dtype) {
                arg.code = method(arg.code.clone(), "astype", [atom("mx.float32")]);
            }
        }
        let (rank, dims, dtype) = (args[0].dims.len(), args[0].dims.clone(), args[0].dtype);
        let x = args.remove(0).code;
        let one = |name: &str, x: Py| call(name, [x]);
        let result = match op {
            Composite::Relu => one("nn.relu", x),
            Composite::ReluGrad => {
                call("mx.where", [infix(x, ">", int(0)), args.remove(0).code, atom("0.0")])
            }
            Composite::LeakyRelu { slope } => call("nn.leaky_relu", [x, number(self, DType::F64, slope.0)]),
            Composite::Gelu => one("nn.gelu", x),
            Composite::GeluTanh => helper(cx, "gelu_tanh", [x]),
            Composite::Silu => one("nn.silu", x),
            Composite::Sigmoid => one("mx.sigmoid", x),
            Composite::Softplus => call("mx.logaddexp", [x, atom("0.0")]),
            Composite::Softmax { axis } => call("mx.softmax", [x, keyword("axis", size(*axis))]),
            Composite::LogSoftmax { axis } => call("nn.log_softmax", [x, keyword("axis", size(*axis))]),
            Composite::LogSumExp { axes: over } if dims.contains(&0) => {
                let nothing = number(self, dtype, f64::NEG_INFINITY);
                return full("mx", self, dtype, &without(&dims, over), nothing);
            }
            Composite::LogSumExp { axes: over } => call("mx.logsumexp", [x, keyword("axis", axes(over))]),
            Composite::Mean { axes: over } => method(x, "mean", [keyword("axis", axes(over))]),
            Composite::Variance { axes: over, correction } => {
                let ddof = (*correction > 0).then(|| keyword("ddof", size(*correction)));
                method(x, "var", std::iter::once(keyword("axis", axes(over))).chain(ddof))
            }
            Composite::Linear { bias } => {
                let weight = args.remove(0).code;
                let product =
                    if rank == 1 { infix(weight, "@", x) } else { infix(x, "@", attribute(weight, "T")) };
                if *bias { infix(product, "+", args.remove(0).code) } else { product }
            }
            Composite::LayerNorm { normalized, eps, weight, bias } => {
                let none = || atom("None");
                let weight = if *weight { flat(args.remove(0), *normalized) } else { none() };
                let bias = if *bias { flat(args.remove(0), *normalized) } else { none() };
                let eps = number(self, DType::F64, eps.0);
                rows(x, &dims, *normalized, |x| call("mx.fast.layer_norm", [x, weight, bias, eps]))
            }
            Composite::RmsNorm { normalized, eps, weight } => {
                let weight = if *weight { flat(args.remove(0), *normalized) } else { atom("None") };
                let eps = number(self, DType::F64, eps.0);
                rows(x, &dims, *normalized, |x| call("mx.fast.rms_norm", [x, weight, eps]))
            }
            Composite::Attention { causal, scale, .. } => {
                let operands = args.into_iter().map(|arg| arg.code);
                let scale = keyword("scale", number(self, DType::F64, scale.0));
                let mask = causal.then(|| keyword("mask", string("causal")));
                let arguments = std::iter::once(x).chain(operands).chain([scale]).chain(mask);
                call("mx.fast.scaled_dot_product_attention", arguments)
            }
            Composite::CrossEntropy { reduction, .. } => {
                let last = dims[dims.len() - 1] as i64 - 1;
                // Labels out of range are those at the nearest end, as everywhere in wootz.
                let labels = call("mx.clip", [args.remove(0).code, int(0), int(last)]);
                call(
                    "nn.losses.cross_entropy",
                    [x, labels].into_iter().chain(reduced(*reduction, Reduction::None)),
                )
            }
            Composite::Mse { reduction } => {
                let operands = [x, args.remove(0).code];
                call("nn.losses.mse_loss", operands.into_iter().chain(reduced(*reduction, Reduction::Mean)))
            }
            Composite::NegativeLogLikelihood { .. }
            | Composite::Uniform { .. }
            | Composite::Normal { .. }
            | Composite::Dropout { .. }
            | Composite::LayerNormGrad { .. }
            | Composite::AttentionGrad { .. }
            | Composite::Embedding => unreachable!("not claimed: `expand` left their bodies"),
        };
        match narrow {
            Some(dtype) => method(result, "astype", [dtype_py(self, dtype)]),
            None => result,
        }
    }

    fn control(&self) -> ControlStyle {
        ControlStyle::Python
    }

    fn custom_vjp(&self, functions: &CustomVjp<'_>) -> Option<String> {
        let CustomVjp { name, primal, forward, backward, arguments, .. } = functions;
        // One argument is not a tuple there.
        let primals = if *arguments == 1 { "primals" } else { "*primals" };
        Some(format!(
            "{name} = mx.custom_function({primal})\n\n\n\
             @{name}.vjp\n\
             def {name}_vjp(primals, cotangents, outputs):\n    \
                 _, residuals = {forward}({primals})\n    \
                 return {backward}(residuals, cotangents)\n"
        ))
    }
}

/// An array from a list or, if it is large, from the bytes in base64.
fn constant(value: &HostTensor, dtype: Py) -> Py {
    if value.len() <= LISTED || value.dtype() == DType::Bool {
        return shaped(call("mx.array", [literal::list("mx", value), keyword("dtype", dtype)]), value);
    }
    // Codes of Python's module `array`; 16-bit floats are read as their bits.
    let code = match value.dtype() {
        DType::Bool | DType::U8 => "B",
        DType::U32 => "I",
        DType::I32 => "i",
        DType::I64 => "q",
        DType::F16 | DType::BF16 => "H",
        DType::F32 => "f",
        DType::F64 => "d",
    };
    let bytes = call("base64.b64decode", [crate::py::string(&literal::base64(value.as_bytes()))]);
    let flat = call("mx.array", [call("array.array", [crate::py::string(code), bytes])]);
    let flat = match value.dtype() {
        DType::F16 | DType::BF16 => method(flat, "view", [dtype]),
        _ => flat,
    };
    if value.dims().len() == 1 { flat } else { method(flat, "reshape", [sizes(value.dims())]) }
}

/// `reduction="…"` where it is not the default.
fn reduced(reduction: Reduction, default: Reduction) -> Option<Py> {
    (reduction != default).then(|| keyword("reduction", string(reduction.name())))
}

/// A weight of several axes as one of one.
fn flat(weight: Arg, axes: usize) -> Py {
    if axes == 1 { weight.code } else { method(weight.code, "flatten", []) }
}

/// What a function of rows makes of an array whose last axes together are its rows.
fn rows(x: Py, dims: &[usize], axes: usize, function: impl FnOnce(Py) -> Py) -> Py {
    if axes == 1 {
        return function(x);
    }
    let x = method(x, "flatten", [int(-(axes as i64)), int(-1)]);
    method(function(x), "reshape", [sizes(dims)])
}

/// The shape without some axes.
fn without(dims: &[usize], axes: &[usize]) -> Vec<usize> {
    dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, n)| *n).collect()
}
