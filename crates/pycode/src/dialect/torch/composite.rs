//! Composites as `torch.nn.functional` has them.

use super::Torch;
use crate::dialect::{Arg, Dialect, dtype_py, number, shared};
use crate::module::Module;
use crate::py::{Py, atom, axes, call, infix, int, keyword, method, size, sizes, string};
use wootz_ir::DType;
use wootz_ir::ops::Composite;
use wootz_ir::ops::composite::Reduction;

pub(super) fn composite(d: &Torch, cx: &Module, op: &Composite, mut args: Vec<Arg>) -> Py {
    let (dims, dtype) = (args[0].dims.clone(), args[0].dtype);
    let x = args.remove(0).code;
    let dim = |axis: usize| keyword("dim", size(axis));
    match op {
        Composite::Relu => call("F.relu", [x]),
        Composite::ReluGrad => call("torch.where", [infix(x, ">", int(0)), args.remove(0).code, atom("0.0")]),
        Composite::LeakyRelu { slope } => call("F.leaky_relu", [x, number(d, DType::F64, slope.0)]),
        Composite::Gelu => call("F.gelu", [x]),
        Composite::GeluTanh => call("F.gelu", [x, keyword("approximate", string("tanh"))]),
        Composite::Silu => call("F.silu", [x]),
        Composite::Sigmoid => call("torch.sigmoid", [x]),
        // Below the default threshold PyTorch's would still be off by what double precision shows.
        Composite::Softplus => call("F.softplus", [x, keyword("threshold", int(40))]),
        Composite::Softmax { axis } => call("F.softmax", [x, dim(*axis)]),
        Composite::LogSoftmax { axis } => call("F.log_softmax", [x, dim(*axis)]),
        Composite::LogSumExp { axes: over } if over.is_empty() => x,
        Composite::LogSumExp { axes: over } => call("torch.logsumexp", [x, keyword("dim", axes(over))]),
        Composite::Mean { axes: over } if over.is_empty() => x,
        Composite::Mean { axes: over } => method(x, "mean", [keyword("dim", axes(over))]),
        Composite::Variance { axes: over, .. } if over.is_empty() => call("torch.zeros_like", [x]),
        Composite::Variance { axes: over, correction } => {
            method(x, "var", [keyword("dim", axes(over)), keyword("correction", size(*correction))])
        }
        Composite::Linear { bias } => {
            let weight = args.remove(0).code;
            let bias = bias.then(|| args.remove(0).code);
            call("F.linear", [x, weight].into_iter().chain(bias))
        }
        Composite::CrossEntropy { reduction, .. } => {
            let (labels, weight) = (args.remove(0), args.pop());
            class_loss(cx, "F.cross_entropy", x, &dims, labels, weight, *reduction)
        }
        Composite::NegativeLogLikelihood { reduction, log, .. } => {
            let (labels, weight) = (args.remove(0), args.pop());
            let narrow = matches!(dtype, DType::F16 | DType::BF16);
            let x = if narrow { method(x, "float", []) } else { x };
            let weight = weight
                .map(|w| if narrow { Arg { code: method(w.code.clone(), "float", []), ..w } } else { w });
            let scores = if *log { x } else { method(x, "log", []) };
            let loss = class_loss(cx, "F.nll_loss", scores, &dims, labels, weight, *reduction);
            if narrow { method(loss, "to", [dtype_py(d, dtype)]) } else { loss }
        }
        Composite::Mse { reduction } => {
            let reduction =
                (*reduction != Reduction::Mean).then(|| keyword("reduction", string(reduction.name())));
            call("F.mse_loss", [x, args.remove(0).code].into_iter().chain(reduction))
        }
        Composite::LayerNorm { normalized, eps, weight, bias } => {
            let weight = weight.then(|| args.remove(0).code);
            let bias = bias.then(|| args.remove(0).code);
            let bias = bias.map(|bias| if weight.is_some() { bias } else { keyword("bias", bias) });
            let eps = (eps.0 != shared::EPS).then(|| keyword("eps", number(d, DType::F64, eps.0)));
            let shape = sizes(&dims[dims.len() - normalized..]);
            call("F.layer_norm", [x, shape].into_iter().chain(weight).chain(bias).chain(eps))
        }
        Composite::RmsNorm { normalized, eps, weight } => {
            let weight = weight.then(|| args.remove(0).code);
            let eps = keyword("eps", number(d, DType::F64, eps.0));
            let shape = sizes(&dims[dims.len() - normalized..]);
            call("F.rms_norm", [x, shape].into_iter().chain(weight).chain([eps]))
        }
        Composite::Attention { causal, mask, scale } => {
            let (k, v) = (args.remove(0), args.remove(0));
            let mask = mask.then(|| args.remove(0));
            attention(d, cx, (x, &dims), k, v, mask, *causal, scale.0)
        }
        Composite::Embedding => {
            let table = args.remove(0);
            let ids = method(x, "clamp", [int(0), int(table.dims[0] as i64 - 1)]);
            let ids = if dtype == DType::I32 { method(ids, "long", []) } else { ids };
            if table.dims.len() == 2 {
                call("F.embedding", [ids, table.code])
            } else {
                crate::py::index(table.code, [ids])
            }
        }
        Composite::Uniform { .. }
        | Composite::Normal { .. }
        | Composite::Dropout { .. }
        | Composite::LayerNormGrad { .. }
        | Composite::AttentionGrad { .. } => unreachable!("not claimed: `expand` left their bodies"),
    }
}

/// A loss of classes. PyTorch has them on the second axis, of two.
fn class_loss(
    _: &Module,
    function: &str,
    scores: Py,
    dims: &[usize],
    labels: Arg,
    weight: Option<Arg>,
    reduction: Reduction,
) -> Py {
    let classes = dims[dims.len() - 1];
    // Labels out of range are those at the nearest end, as everywhere in wootz; PyTorch has no such rule.
    let mut labels_code = labels.code;
    if labels.dtype == DType::I32 {
        labels_code = method(labels_code, "long", []);
    }
    let mut target = method(labels_code, "clamp", [int(0), int(classes as i64 - 1)]);
    let mut scores = scores;
    let deep = dims.len() > 2;
    if deep {
        scores = method(scores, "flatten", [int(0), int(-2)]);
        target = method(target, "flatten", []);
    }
    let weight = weight.map(|w| keyword("weight", w.code));
    let how = (reduction != Reduction::Mean).then(|| keyword("reduction", string(reduction.name())));
    let loss = call(function, [scores, target].into_iter().chain(weight).chain(how));
    if deep && reduction == Reduction::None {
        method(loss, "reshape", [sizes(&dims[..dims.len() - 1])])
    } else {
        loss
    }
}

/// PyTorch takes a mask or the causal one: both together are one mask.
fn attention(
    d: &Torch,
    cx: &Module,
    (q, dims): (Py, &[usize]),
    k: Arg,
    v: Arg,
    mask: Option<Arg>,
    causal: bool,
    scale: f64,
) -> Py {
    let heads = |dims: &[usize]| dims.len().checked_sub(3).map(|i| dims[i]);
    let grouped = heads(dims) != heads(&k.dims);
    let features = dims[dims.len() - 1];
    let only_causal = causal && mask.is_none();
    let mask = mask.map(|mask| match (causal, mask.dtype) {
        (false, _) => mask.code,
        (true, DType::Bool) => method(mask.code, "tril", []),
        (true, dtype) => {
            let shape = [dims[dims.len() - 2], k.dims[k.dims.len() - 2]];
            let hidden = d.full(cx, dtype, &shape, number(d, dtype, f64::NEG_INFINITY));
            infix(mask.code, "+", method(hidden, "triu", [int(1)]))
        }
    });
    let arguments = [
        mask.map(|mask| keyword("attn_mask", mask)),
        only_causal.then(|| keyword("is_causal", atom("True"))),
        (!shared::is_usual_scale(scale, features)).then(|| keyword("scale", number(d, DType::F64, scale))),
        grouped.then(|| keyword("enable_gqa", atom("True"))),
    ];
    let operands = [q, k.code, v.code];
    call("F.scaled_dot_product_attention", operands.into_iter().chain(arguments.into_iter().flatten()))
}
