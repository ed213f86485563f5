//! PyTorch: tensor methods, `torch`, `torch.nn.functional` as `F`.
//!
//! PyTorch's u32 has few operations: inside a function it is i64, wrapped after what may leave 32 bits.

mod composite;

use super::numpy::{LISTED, comparison, in_width, shaped};
use super::shared::{self, Gathers, Products};
use super::{AddAt, Arg, ControlStyle, CustomVjp, Dialect, Indices, Out, array, dtype_py, helper, number};
use crate::function::Places;
use crate::literal;
use crate::module::Module;
use crate::py::{Py, atom, attribute, axes, call, infix, int, keyword, method, prefix, size, sizes, string};
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    ReduceKind, Scatter, ScatterKind, Segment, SegmentKind, Ternary, Unary,
};
use wootz_ir::{DType, HostTensor};

pub(super) struct Torch;

const PRODUCTS: Products =
    Products { swap: |x| attribute(x, "mT"), einsum: "torch.einsum", einsum_args: Vec::new };

const GATHERS: Gathers<'static> = Gathers {
    clip: |part, size| method(part.code, "clamp", [int(0), int(size as i64 - 1)]),
    arange: &|n| call("torch.arange", [size(n)]),
    along: |x, part, axis| call("torch.take_along_dim", [x, part, size(axis)]),
};

const WRAP: &str = "0xFFFFFFFF";

/// The tensor methods of NumPy's names, with `dim` for `axis`.
impl Dialect for Torch {
    fn namespace(&self) -> &'static str {
        "torch"
    }

    fn dtype(&self, dtype: DType) -> String {
        match dtype {
            DType::Bool => "torch.bool",
            DType::U8 => "torch.uint8",
            // Inside functions; `leave` names the real one.
            DType::U32 | DType::I64 => "torch.int64",
            DType::I32 => "torch.int32",
            DType::F16 => "torch.float16",
            DType::BF16 => "torch.bfloat16",
            DType::F32 => "torch.float32",
            DType::F64 => "torch.float64",
        }
        .to_owned()
    }

    fn imports(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("base64.", "import base64"),
            ("math.", "import math"),
            ("torch.", "import torch"),
            ("F.", "import torch.nn.functional as F"),
        ]
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[include_str!("../helpers/torch.py"), include_str!("../helpers/polygamma.py")]
    }

    fn scalar(&self, cx: &Module, dtype: DType, number: Py) -> Py {
        call("torch.tensor", [number, keyword("dtype", dtype_py(self, dtype))].into_iter().chain(device(cx)))
    }

    fn full(&self, cx: &Module, dtype: DType, dims: &[usize], number: Py) -> Py {
        let rest = std::iter::once(keyword("dtype", dtype_py(self, dtype))).chain(device(cx));
        match number.flat().as_str() {
            "0" | "0.0" | "False" => call("torch.zeros", std::iter::once(sizes(dims)).chain(rest)),
            "1" | "1.0" | "True" => call("torch.ones", std::iter::once(sizes(dims)).chain(rest)),
            _ => call("torch.full", [sizes(dims), number].into_iter().chain(rest)),
        }
    }

    fn constant(&self, cx: &Module, value: &HostTensor) -> Py {
        let wide = match value.dtype() {
            DType::U32 => HostTensor::from_i64(DType::I64, value.dims(), &value.to_i64()),
            _ => value.clone(),
        };
        let value = &wide;
        let dtype = keyword("dtype", dtype_py(self, value.dtype()));
        if value.len() <= LISTED {
            let list = literal::list("torch", value);
            return shaped(call("torch.tensor", [list, dtype].into_iter().chain(device(cx))), value);
        }
        let bytes = call("base64.b64decode", [string(&literal::base64(value.as_bytes()))]);
        let buffer = call("torch.frombuffer", [call("bytearray", [bytes]), dtype]);
        let flat = match &cx.device {
            Some(device) => method(buffer, "to", [string(device)]),
            None => buffer,
        };
        if value.dims().len() == 1 { flat } else { method(flat, "reshape", [sizes(value.dims())]) }
    }

    fn broadcast_to(&self, value: Py, dims: &[usize]) -> Py {
        method(value, "expand", [sizes(dims)])
    }

    fn enter(&self, value: Py, dtype: DType) -> Py {
        if dtype == DType::U32 { method(value, "to", [atom("torch.int64")]) } else { value }
    }

    fn leave(&self, value: Py, dtype: DType) -> Py {
        if dtype == DType::U32 { method(value, "to", [atom("torch.uint32")]) } else { value }
    }

    /// Indexing takes no 32-bit integers everywhere.
    fn index_dtype(&self, _: DType) -> DType {
        DType::I64
    }

    fn unary(&self, cx: &Module, op: Unary, x: Arg) -> Py {
        let one = |name: &str, x: Arg| call(name, [x.code]);
        match op {
            Unary::Neg => prefix("-", x.code),
            Unary::Abs if x.dtype == DType::U32 => x.code,
            Unary::Abs => method(x.code, "abs", []),
            Unary::Sign if x.dtype.is_float() => helper(cx, "sign", [x.code]),
            Unary::Sign => method(x.code, "sign", []),
            Unary::Exp => method(x.code, "exp", []),
            Unary::Expm1 => method(x.code, "expm1", []),
            Unary::Log => method(x.code, "log", []),
            Unary::Log1p => method(x.code, "log1p", []),
            Unary::Sqrt => method(x.code, "sqrt", []),
            Unary::Rsqrt => method(x.code, "rsqrt", []),
            Unary::Sin => method(x.code, "sin", []),
            Unary::Cos => method(x.code, "cos", []),
            Unary::Tan => method(x.code, "tan", []),
            Unary::Tanh => method(x.code, "tanh", []),
            Unary::Erf => method(x.code, "erf", []),
            Unary::Erfc => method(x.code, "erfc", []),
            Unary::Erfinv => method(x.code, "erfinv", []),
            Unary::Lgamma => method(x.code, "lgamma", []),
            Unary::Digamma => helper(cx, "digamma", [x.code]),
            Unary::Polygamma(n) => helper(cx, "polygamma", [int(n), x.code]),
            Unary::Floor => method(x.code, "floor", []),
            Unary::Ceil => method(x.code, "ceil", []),
            Unary::Round => method(x.code, "round", []),
            Unary::Not if x.dtype == DType::U32 => infix(x.code, "^", atom(WRAP)),
            Unary::Not => prefix("~", x.code),
            Unary::IsNan => one("torch.isnan", x),
            Unary::IsFinite => one("torch.isfinite", x),
            Unary::StopGradient => method(x.code, "detach", []),
        }
    }

    fn binary(&self, cx: &Module, op: Binary, x: Arg, y: Arg) -> Py {
        let dtype = x.dtype;
        let operator = |x: Arg, operator, y: Arg| infix(x.code, operator, y.code);
        let (float, boolean) = (dtype.is_float(), dtype == DType::Bool);
        let arrays = |d: &Torch, cx: &Module, x: Arg, y: Arg| [array(d, cx, x), array(d, cx, y)];
        match op {
            Binary::Add => wrapped(dtype, operator(x, "+", y)),
            Binary::Sub => wrapped(dtype, operator(x, "-", y)),
            Binary::Mul => wrapped(dtype, operator(x, "*", y)),
            Binary::Div if float => operator(x, "/", y),
            Binary::Div => helper(cx, "int_div", arrays(self, cx, x, y)),
            Binary::Rem if float => call("torch.fmod", [array(self, cx, x), y.code]),
            Binary::Rem => helper(cx, "int_rem", arrays(self, cx, x, y)),
            Binary::FloorDiv if matches!(dtype, DType::F16 | DType::BF16) => {
                let [x, y] = arrays(self, cx, x, y).map(|x| method(x, "float", []));
                method(method(infix(x, "/", y), "floor", []), "to", [dtype_py(self, dtype)])
            }
            Binary::FloorDiv if float => method(operator(x, "/", y), "floor", []),
            Binary::FloorDiv => helper(cx, "int_floor_div", arrays(self, cx, x, y)),
            Binary::Pow if float => operator(x, "**", y),
            Binary::Pow => {
                let power = helper(cx, "int_pow", arrays(self, cx, x, y));
                wrapped(dtype, power)
            }
            Binary::Min if boolean => operator(x, "&", y),
            Binary::Max if boolean => operator(x, "|", y),
            Binary::Min if y.is_number() => method(x.code, "clamp", [keyword("max", y.code)]),
            Binary::Min if x.is_number() => method(y.code, "clamp", [keyword("max", x.code)]),
            Binary::Max if y.is_number() => method(x.code, "clamp", [keyword("min", y.code)]),
            Binary::Max if x.is_number() => method(y.code, "clamp", [keyword("min", x.code)]),
            Binary::Min => call("torch.minimum", [x.code, y.code]),
            Binary::Max => call("torch.maximum", [x.code, y.code]),
            Binary::And => operator(x, "&", y),
            Binary::Or => operator(x, "|", y),
            Binary::Xor => operator(x, "^", y),
            Binary::Shl if in_width(&y) => wrapped(dtype, operator(x, "<<", y)),
            Binary::Shr if in_width(&y) => operator(x, ">>", y),
            Binary::Shl => {
                let bits = int(8 * dtype.size() as i64);
                let [x, y] = arrays(self, cx, x, y);
                wrapped(dtype, helper(cx, "shift_left", [x, y, bits]))
            }
            Binary::Shr => {
                let bits = int(8 * dtype.size() as i64);
                let [x, y] = arrays(self, cx, x, y);
                helper(cx, "shift_right", [x, y, bits])
            }
            Binary::Atan2 => call("torch.atan2", arrays(self, cx, x, y)),
        }
    }

    fn compare(&self, _: &Module, op: Compare, x: Arg, y: Arg) -> Py {
        infix(x.code, comparison(op), y.code)
    }

    fn ternary(&self, cx: &Module, op: Ternary, [a, x, y]: [Arg; 3], _: &Out) -> Py {
        match op {
            Ternary::Select => {
                let x = if y.is_number() { array(self, cx, x) } else { x.code };
                call("torch.where", [array(self, cx, a), x, y.code])
            }
            Ternary::Clamp if a.is_number() && y.is_number() && !x.is_number() => {
                method(x.code, "clamp", [a.code, y.code])
            }
            Ternary::Clamp => {
                let [low, x, high] = [a, x, y].map(|x| array(self, cx, x));
                call("torch.minimum", [call("torch.maximum", [x, low]), high])
            }
        }
    }

    fn cast(&self, cx: &Module, op: Cast, x: Arg) -> Py {
        let to = dtype_py(self, op.dtype);
        match (x.dtype, op.dtype) {
            (_, DType::Bool) => infix(x.code, "!=", int(0)),
            (from, dtype) if from.is_float() && dtype.is_int() => {
                let (low, high) = range(dtype);
                let clamped = helper(cx, "to_int", [x.code, int(low), int(high)]);
                if self.dtype(dtype) == "torch.int64" { clamped } else { method(clamped, "to", [to]) }
            }
            (_, DType::U32) => infix(method(x.code, "to", [to]), "&", atom(WRAP)),
            (DType::U32, DType::I64) => x.code,
            _ => method(x.code, "to", [to]),
        }
    }

    fn reduce(&self, _: &Module, op: &Reduce, x: Arg) -> Py {
        let dim = keyword("dim", axes(&op.axes));
        let (boolean, dtype) = (x.dtype == DType::Bool, x.dtype);
        let narrow = matches!(dtype, DType::U8 | DType::I32);
        let kept = narrow.then(|| keyword("dtype", dtype_py(self, dtype)));
        match op.kind {
            ReduceKind::Sum => wrapped(dtype, method(x.code, "sum", std::iter::once(dim).chain(kept))),
            ReduceKind::Prod => {
                // One axis at a time, the last first, so that the others keep their numbers.
                op.axes.iter().rev().fold(x.code, |x, axis| {
                    let dim = keyword("dim", size(*axis));
                    wrapped(dtype, method(x, "prod", std::iter::once(dim).chain(kept.clone())))
                })
            }
            ReduceKind::Max if boolean => method(x.code, "any", [dim]),
            ReduceKind::Min if boolean => method(x.code, "all", [dim]),
            ReduceKind::Max => method(x.code, "amax", [dim]),
            ReduceKind::Min => method(x.code, "amin", [dim]),
            ReduceKind::Any => method(x.code, "any", [dim]),
            ReduceKind::All => method(x.code, "all", [dim]),
        }
    }

    fn arg_reduce(&self, _: &Module, op: ArgReduce, x: Arg) -> Py {
        let code = if x.dtype == DType::Bool { method(x.code, "byte", []) } else { x.code };
        method(code, if op.max { "argmax" } else { "argmin" }, [keyword("dim", size(op.axis))])
    }

    fn movement(&self, cx: &Module, op: &Movement, mut args: Vec<Arg>, out: &Out) -> Py {
        match op {
            Movement::Reshape { .. } => method(args.remove(0).code, "reshape", [sizes(&out.dims)]),
            Movement::Transpose { perm } => {
                let x = args.remove(0);
                if perm[..] == [1, 0] {
                    attribute(x.code, "T")
                } else {
                    method(x.code, "permute", perm.iter().map(|i| size(*i)))
                }
            }
            Movement::Broadcast { .. } => self.broadcast_to(args.remove(0).code, &out.dims),
            Movement::Slice { start, stop, step } => shared::slice(args.remove(0), start, stop, step),
            Movement::Pad { low, high, interior } => {
                let (value, x) = (args.remove(1), args.remove(0));
                let plain = interior.iter().all(|n| *n == 0) && value.is_number();
                if plain && low.iter().chain(high).all(|n| *n >= 0) && !low.is_empty() {
                    // From the last axis to the first.
                    let widths = low.iter().zip(high).rev().flat_map(|(l, h)| [int(*l), int(*h)]).collect();
                    let value = value
                        .splat
                        .as_ref()
                        .is_none_or(|v| v.to_f64()[0] != 0.0)
                        .then(|| keyword("value", value.code));
                    return call("F.pad", [x.code, Py::Tuple(widths)].into_iter().chain(value));
                }
                let edges = [super::numpy::pairs(low, high), sizes(interior)];
                helper(cx, "pad", [x.code, value.code].into_iter().chain(edges))
            }
            Movement::Concat { axis } => {
                let list = Py::List(args.into_iter().map(|a| a.code).collect());
                let dim = (*axis > 0).then(|| keyword("dim", size(*axis)));
                call("torch.cat", std::iter::once(list).chain(dim))
            }
            Movement::Reverse { axes: over } => method(args.remove(0).code, "flip", [axes(over)]),
        }
    }

    fn dot(&self, _: &Module, op: &Dot, x: Arg, y: Arg) -> Py {
        wrapped(x.dtype, shared::dot(&PRODUCTS, op, x, y))
    }

    fn cumsum(&self, cx: &Module, op: Cumsum, x: Arg) -> Py {
        let dtype = x.dtype;
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let code = if narrow { method(x.code, "float", []) } else { x.code };
        let sums = if op.reverse || op.exclusive || dtype.is_int() {
            helper(cx, "cumsum", super::shared::cumsum_args(op, code))
        } else {
            method(code, "cumsum", [keyword("dim", size(op.axis))])
        };
        if narrow { method(sums, "to", [dtype_py(self, dtype)]) } else { wrapped(dtype, sums) }
    }

    fn linalg(&self, cx: &Module, op: Linalg, mut args: Vec<Arg>) -> Py {
        match op {
            Linalg::Cholesky => helper(cx, "cholesky", args.into_iter().map(|a| a.code)),
            Linalg::TriangularSolve(solve) => {
                let (a, b) = (args.remove(0).code, args.remove(0).code);
                let a = if solve.transpose { attribute(a, "mT") } else { a };
                let upper = keyword("upper", atom(if solve.is_forward() { "False" } else { "True" }));
                let unit = solve.unit_diagonal.then(|| keyword("unitriangular", atom("True")));
                call("torch.linalg.solve_triangular", [a, b, upper].into_iter().chain(unit))
            }
        }
    }

    fn gather(&self, cx: &Module, op: Gather, x: Arg, mut indices: Indices) -> Py {
        for part in &mut indices.parts {
            if part.dtype == DType::I32 {
                part.code = method(part.code.clone(), "long", []);
            }
        }
        let arange = |n| call("torch.arange", std::iter::once(size(n)).chain(device(cx)));
        let gathers = Gathers { arange: &arange, ..GATHERS };
        shared::gather(&gathers, op, x, indices)
    }

    fn scatter(&self, cx: &Module, op: Scatter, [x, indices, updates]: [Arg; 3]) -> Py {
        let dtype = x.dtype;
        let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
        let args = [x.code, indices.code, updates.code].into_iter().chain(batch);
        match op.kind {
            ScatterKind::Set => helper(cx, "scatter_set", args),
            ScatterKind::Add => wrapped(dtype, helper(cx, "scatter_add", args)),
        }
    }

    fn add_at(&self, x: &Arg, indexed: usize, updates: &Arg, places: Places) -> Option<AddAt> {
        let plain = places == Places::Inside && indexed == 1 && updates.dims.len() == x.dims.len();
        (plain && x.dtype.is_float()).then_some(|x, parts, updates| {
            method(x, "index_add", [size(0)].into_iter().chain(parts).chain([updates]))
        })
    }

    fn segment(&self, cx: &Module, op: &Segment, data: Arg, ids: Arg, out: &Out) -> Py {
        let dtype = data.dtype;
        let (low, high) = (lowest(self, dtype), highest(self, dtype));
        let (name, start) = match op.kind {
            SegmentKind::Sum => ("segment_sum", None),
            SegmentKind::Prod => ("segment_prod", None),
            SegmentKind::Max => ("segment_max", Some(low)),
            SegmentKind::Min => ("segment_min", Some(high)),
        };
        let batch = (op.batch > 0).then(|| keyword("batch", size(op.batch)));
        let args = [data.code, ids.code, size(out.dims[op.batch])].into_iter().chain(start).chain(batch);
        wrapped(dtype, helper(cx, name, args))
    }

    fn iota(&self, cx: &Module, dtype: DType, length: usize) -> Py {
        let exact = match dtype {
            DType::U8 | DType::BF16 => 256,
            DType::F16 => 2048,
            _ => usize::MAX,
        };
        let to = dtype_py(self, dtype);
        if dtype == DType::I64 {
            call("torch.arange", std::iter::once(size(length)).chain(device(cx)))
        } else if length <= exact {
            call("torch.arange", [size(length), keyword("dtype", to)].into_iter().chain(device(cx)))
        } else {
            method(call("torch.arange", std::iter::once(size(length)).chain(device(cx))), "to", [to])
        }
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

    fn composite(&self, cx: &Module, op: &Composite, args: Vec<Arg>) -> Py {
        composite::composite(self, cx, op, args)
    }

    fn control(&self) -> ControlStyle {
        ControlStyle::Python
    }

    fn custom_vjp(&self, functions: &CustomVjp<'_>) -> Option<String> {
        let CustomVjp { name, forward, backward, results, .. } = functions;
        let class = name.replacen('d', "D", 1);
        let cotangents = if *results == 1 { "cotangents" } else { "*cotangents" };
        Some(format!(
            "class {class}(torch.autograd.Function):\n    \
                 @staticmethod\n    \
                 def forward(ctx, *args):\n        \
                     results, residuals = {forward}(*args)\n        \
                     ctx.save_for_backward(*residuals)\n        \
                     return results\n\n    \
                 @staticmethod\n    \
                 @torch.autograd.function.once_differentiable\n    \
                 def backward(ctx, {cotangents}):\n        \
                     return {backward}(ctx.saved_tensors, cotangents)\n\n\n\
             {name} = {class}.apply\n"
        ))
    }
}

fn device(cx: &Module) -> Option<Py> {
    cx.device.as_ref().map(|device| keyword("device", string(device)))
}

fn wrapped(dtype: DType, code: Py) -> Py {
    if dtype == DType::U32 { infix(code, "&", atom(WRAP)) } else { code }
}

/// The smallest and the largest value of an integer dtype.
fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::U8 => (0, i64::from(u8::MAX)),
        DType::U32 => (0, i64::from(u32::MAX)),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn lowest(d: &Torch, dtype: DType) -> Py {
    if dtype.is_float() { number(d, DType::F64, f64::NEG_INFINITY) } else { int(range(dtype).0) }
}

fn highest(d: &Torch, dtype: DType) -> Py {
    if dtype.is_float() { number(d, DType::F64, f64::INFINITY) } else { int(range(dtype).1) }
}
