//! JAX: `jax.numpy`, `jax.nn`, `jax.lax`.

use super::numpy::{comparison, concatenate, constant, full, in_width, iota, pairs, transpose};
use super::shared::{self, Gathers, Products};
use super::{AddAt, Arg, ControlStyle, CustomVjp, Dialect, Indices, Out, array, dtype_py, helper, number};
use crate::function::Places;
use crate::module::Module;
use crate::py::{
    Py, atom, attribute, axes, call, index, infix, int, keyword, method, prefix, size, sizes, string,
};
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    ReduceKind, Scatter, ScatterKind, Segment, SegmentKind, Ternary, Unary,
};
use wootz_ir::{DType, HostTensor};

pub(super) struct Jax;

const PRODUCTS: Products =
    Products { swap: |x| attribute(x, "mT"), einsum: "jnp.einsum", einsum_args: Vec::new };

const GATHERS: Gathers<'static> = Gathers {
    clip: |part, size| call("jnp.clip", [part.code, int(0), int(size as i64 - 1)]),
    arange: &|n| call("jnp.arange", [size(n)]),
    along: |x, part, axis| call("jnp.take_along_axis", [x, part, keyword("axis", size(axis))]),
};

impl Dialect for Jax {
    fn namespace(&self) -> &'static str {
        "jnp"
    }

    fn dtype(&self, dtype: DType) -> String {
        match dtype {
            DType::Bool => "jnp.bool_",
            DType::U8 => "jnp.uint8",
            DType::U32 => "jnp.uint32",
            DType::I32 => "jnp.int32",
            DType::I64 => "jnp.int64",
            DType::F16 => "jnp.float16",
            DType::BF16 => "jnp.bfloat16",
            DType::F32 => "jnp.float32",
            DType::F64 => "jnp.float64",
        }
        .to_owned()
    }

    fn imports(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("base64.", "import base64"),
            ("math.", "import math"),
            ("partial(", "from functools import partial"),
            ("jax.", "import jax"),
            ("jnp.", "import jax.numpy as jnp"),
            ("lax.", "from jax import lax"),
        ]
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[
            include_str!("../helpers/jax.py"),
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
        full("jnp", self, dtype, dims, number)
    }

    fn constant(&self, _: &Module, value: &HostTensor) -> Py {
        constant("jnp", value, keyword("dtype", dtype_py(self, value.dtype())))
    }

    fn broadcast_to(&self, value: Py, dims: &[usize]) -> Py {
        call("jnp.broadcast_to", [value, sizes(dims)])
    }

    fn unary(&self, cx: &Module, op: Unary, x: Arg) -> Py {
        let one = |name: &str, x: Arg| call(name, [x.code]);
        match op {
            Unary::Neg => prefix("-", x.code),
            Unary::Abs => one("jnp.abs", x),
            Unary::Sign => one("jnp.sign", x),
            Unary::Exp => one("jnp.exp", x),
            Unary::Expm1 => one("jnp.expm1", x),
            Unary::Log => one("jnp.log", x),
            Unary::Log1p => one("jnp.log1p", x),
            Unary::Sqrt => one("jnp.sqrt", x),
            Unary::Rsqrt => one("lax.rsqrt", x),
            Unary::Sin => one("jnp.sin", x),
            Unary::Cos => one("jnp.cos", x),
            Unary::Tan => one("jnp.tan", x),
            Unary::Tanh => one("jnp.tanh", x),
            Unary::Erf => one("lax.erf", x),
            Unary::Erfc => one("lax.erfc", x),
            Unary::Erfinv => one("lax.erf_inv", x),
            Unary::Lgamma => one("lax.lgamma", x),
            Unary::Digamma => one("lax.digamma", x),
            Unary::Polygamma(n) => helper(cx, "polygamma", [int(n), x.code]),
            Unary::Floor => one("jnp.floor", x),
            Unary::Ceil => one("jnp.ceil", x),
            Unary::Round => one("jnp.round", x),
            Unary::Not => prefix("~", x.code),
            Unary::IsNan => one("jnp.isnan", x),
            Unary::IsFinite => one("jnp.isfinite", x),
            Unary::StopGradient => one("lax.stop_gradient", x),
        }
    }

    fn binary(&self, cx: &Module, op: Binary, x: Arg, y: Arg) -> Py {
        let [x, y] = [x, y].map(|x| fitting(self, cx, x));
        let two = |name: &str, x: Arg, y: Arg| call(name, [x.code, y.code]);
        let operator = |x: Arg, operator, y: Arg| infix(x.code, operator, y.code);
        let (float, boolean) = (x.dtype.is_float(), x.dtype == DType::Bool);
        let arrays = |d: &Jax, cx: &Module, x: Arg, y: Arg| [array(d, cx, x), array(d, cx, y)];
        match op {
            Binary::Add => operator(x, "+", y),
            Binary::Sub => operator(x, "-", y),
            Binary::Mul => operator(x, "*", y),
            Binary::Div if float => operator(x, "/", y),
            Binary::Div => helper(cx, "int_div", arrays(self, cx, x, y)),
            Binary::Rem if float => two("jnp.fmod", x, y),
            Binary::Rem => helper(cx, "int_rem", arrays(self, cx, x, y)),
            Binary::FloorDiv if matches!(x.dtype, DType::F16 | DType::BF16) => {
                let narrow = dtype_py(self, x.dtype);
                let [x, y] = arrays(self, cx, x, y).map(|x| method(x, "astype", [atom("jnp.float32")]));
                method(call("jnp.floor", [infix(x, "/", y)]), "astype", [narrow])
            }
            Binary::FloorDiv if float => call("jnp.floor", [operator(x, "/", y)]),
            Binary::FloorDiv => helper(cx, "int_floor_div", arrays(self, cx, x, y)),
            Binary::Pow if float => operator(x, "**", y),
            Binary::Pow => helper(cx, "int_pow", arrays(self, cx, x, y)),
            Binary::Min if boolean => operator(x, "&", y),
            Binary::Max if boolean => operator(x, "|", y),
            Binary::Min => two("jnp.minimum", x, y),
            Binary::Max => two("jnp.maximum", x, y),
            Binary::And => operator(x, "&", y),
            Binary::Or => operator(x, "|", y),
            Binary::Xor => operator(x, "^", y),
            Binary::Shl if in_width(&y) => operator(x, "<<", y),
            Binary::Shr if in_width(&y) => operator(x, ">>", y),
            // XLA's shifts by too much give what the graph's do.
            Binary::Shl => call("lax.shift_left", broadcast(arrays(self, cx, x, y))),
            Binary::Shr if x.dtype.is_signed() => {
                call("lax.shift_right_arithmetic", broadcast(arrays(self, cx, x, y)))
            }
            Binary::Shr => call("lax.shift_right_logical", broadcast(arrays(self, cx, x, y))),
            Binary::Atan2 => two("jnp.arctan2", x, y),
        }
    }

    fn compare(&self, cx: &Module, op: Compare, x: Arg, y: Arg) -> Py {
        let [x, y] = [x, y].map(|x| fitting(self, cx, x));
        infix(x.code, comparison(op), y.code)
    }

    fn ternary(&self, cx: &Module, op: Ternary, args: [Arg; 3], _: &Out) -> Py {
        let [a, x, y] = args.map(|x| fitting(self, cx, x));
        match op {
            Ternary::Select => {
                let x = if y.is_number() { array(self, cx, x) } else { x.code };
                call("jnp.where", [a.code, x, y.code])
            }
            Ternary::Clamp => call("jnp.clip", [array(self, cx, x), a.code, y.code]),
        }
    }

    fn cast(&self, _: &Module, op: Cast, x: Arg) -> Py {
        match op.dtype {
            DType::Bool => infix(x.code, "!=", int(0)),
            dtype => method(x.code, "astype", [dtype_py(self, dtype)]),
        }
    }

    fn reduce(&self, _: &Module, op: &Reduce, x: Arg) -> Py {
        let axis = keyword("axis", axes(&op.axes));
        let boolean = x.dtype == DType::Bool;
        // JAX would sum small integers in wider ones.
        let accumulated = |x: Arg, name: &str, axis: Py| match x.dtype.is_int() {
            true => {
                let dtype = keyword("dtype", dtype_py(self, x.dtype));
                method(x.code, name, [axis, dtype])
            }
            false => method(x.code, name, [axis]),
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
                    return call("jnp.pad", pad);
                }
                let triple = |i: usize| Py::Tuple(vec![int(low[i]), int(high[i]), size(interior[i])]);
                let triples = Py::Tuple((0..low.len()).map(triple).collect());
                call("lax.pad", [x.code, array(self, cx, value), triples])
            }
            Movement::Concat { axis } => concatenate("jnp.concatenate", args, *axis),
            Movement::Reverse { axes } => shared::reversed(args.remove(0).code, axes),
        }
    }

    fn dot(&self, _: &Module, op: &Dot, x: Arg, y: Arg) -> Py {
        shared::dot(&PRODUCTS, op, x, y)
    }

    fn cumsum(&self, cx: &Module, op: Cumsum, x: Arg) -> Py {
        let dtype = x.dtype;
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let code = if narrow { method(x.code, "astype", [atom("jnp.float32")]) } else { x.code };
        let sums = if op.reverse || op.exclusive || dtype.is_int() {
            helper(cx, "cumsum", shared::cumsum_args(op, code))
        } else {
            call("jnp.cumsum", [code, keyword("axis", size(op.axis))])
        };
        if narrow { method(sums, "astype", [dtype_py(self, dtype)]) } else { sums }
    }

    fn linalg(&self, cx: &Module, op: Linalg, args: Vec<Arg>) -> Py {
        let args = args.into_iter().map(|a| a.code);
        match op {
            Linalg::Cholesky => helper(cx, "cholesky", args),
            Linalg::TriangularSolve(solve) => {
                let yes = |name, yes: bool| yes.then(|| keyword(name, atom("True")));
                let how = [
                    yes("left_side", true),
                    yes("lower", solve.lower),
                    yes("transpose_a", solve.transpose),
                    yes("unit_diagonal", solve.unit_diagonal),
                ];
                call("lax.linalg.triangular_solve", args.chain(how.into_iter().flatten()))
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
        Some(match places {
            Places::Inside => |x, parts, updates| method(at(x, parts), "add", [updates]),
            Places::PastTheEnd => {
                |x, parts, updates| method(at(x, parts), "add", [updates, keyword("mode", string("drop"))])
            }
        })
    }

    fn segment(&self, _: &Module, op: &Segment, data: Arg, ids: Arg, out: &Out) -> Py {
        let name = match op.kind {
            SegmentKind::Sum => "jax.ops.segment_sum",
            SegmentKind::Prod => "jax.ops.segment_prod",
            SegmentKind::Max => "jax.ops.segment_max",
            SegmentKind::Min => "jax.ops.segment_min",
        };
        let arguments = [size(out.dims[op.batch]), keyword("indices_are_sorted", atom("True"))];
        if op.batch == 0 {
            return call(name, [data.code, ids.code].into_iter().chain(arguments));
        }
        let own = call(name, [atom("data"), atom("ids")].into_iter().chain(arguments));
        let one = Py::Lambda("data, ids".to_owned(), Box::new(own));
        let all = (0..op.batch).fold(one, |f, _| call("jax.vmap", [f]));
        Py::Call(Box::new(all), vec![data.code, ids.code])
    }

    fn iota(&self, _: &Module, dtype: DType, length: usize) -> Py {
        iota("jnp", self, dtype, length)
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
                arg.code = method(arg.code.clone(), "astype", [atom("jnp.float32")]);
            }
        }
        let (rank, features) = (args[0].dims.len(), args[0].dims.last().copied().unwrap_or(1));
        let x = args.remove(0).code;
        let one = |name: &str, x: Py| call(name, [x]);
        let along = |name: &str, x: Py, axis: usize| {
            let axis = (axis + 1 != rank).then(|| keyword("axis", size(axis)));
            call(name, std::iter::once(x).chain(axis))
        };
        let result = match op {
            Composite::Relu => one("jax.nn.relu", x),
            Composite::ReluGrad => {
                call("jnp.where", [infix(x, ">", int(0)), args.remove(0).code, atom("0.0")])
            }
            Composite::LeakyRelu { slope } => {
                call("jax.nn.leaky_relu", [x, number(self, DType::F64, slope.0)])
            }
            Composite::Gelu => call("jax.nn.gelu", [x, keyword("approximate", atom("False"))]),
            Composite::GeluTanh => one("jax.nn.gelu", x),
            Composite::Silu => one("jax.nn.silu", x),
            Composite::Sigmoid => one("jax.nn.sigmoid", x),
            Composite::Softplus => one("jax.nn.softplus", x),
            Composite::Softmax { axis } => along("jax.nn.softmax", x, *axis),
            Composite::LogSoftmax { axis } => along("jax.nn.log_softmax", x, *axis),
            Composite::LogSumExp { axes: over } => call("jax.nn.logsumexp", [x, keyword("axis", axes(over))]),
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
            Composite::Attention { causal, scale, .. } => {
                let operands = args.into_iter().map(|arg| arg.code);
                let causal = causal.then(|| keyword("is_causal", atom("True")));
                let scale = (!shared::is_usual_scale(scale.0, features))
                    .then(|| keyword("scale", number(self, DType::F64, scale.0)));
                let arguments = std::iter::once(x).chain(operands).chain(causal).chain(scale);
                call("jax.nn.dot_product_attention", arguments)
            }
            Composite::CrossEntropy { .. }
            | Composite::NegativeLogLikelihood { .. }
            | Composite::Mse { .. }
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

    fn heads_last(&self) -> bool {
        true
    }

    fn control(&self) -> ControlStyle {
        ControlStyle::Lax
    }

    fn custom_vjp(&self, functions: &CustomVjp<'_>) -> Option<String> {
        let CustomVjp { name, primal, forward, backward, .. } = functions;
        Some(format!("{name} = jax.custom_vjp({primal})\n{name}.defvjp({forward}, {backward})\n"))
    }
}

/// Numbers that JAX would refuse as too large for its default integer become arrays.
fn fitting(d: &Jax, cx: &Module, x: Arg) -> Arg {
    let large = x.int().is_some_and(|n| i32::try_from(n).is_err());
    if large { Arg { code: d.scalar(cx, x.dtype, x.code), splat: None, ..x } } else { x }
}

fn broadcast(args: [Py; 2]) -> [Py; 1] {
    [Py::Prefix("*", Box::new(call("jnp.broadcast_arrays", args)))]
}

/// `x.at[i, j]`.
fn at(x: Py, parts: Vec<Py>) -> Py {
    index(attribute(x, "at"), parts)
}
