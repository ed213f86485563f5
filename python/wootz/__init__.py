"""wootz: a model compiler. Define a model once, get a compiled program for it in milliseconds.

    import wootz as wz
    from wootz import nn

    model = nn.mlp([784, 1024, 512, 256, 10])
    program = wz.compile(model, {"x": wz.f32[32, 784]})
    params = program.init(seed=0)
    logits = program(params, x=images)["logits"]

Functions named as NumPy's (`wz.tanh`, `wz.sum`, `wz.where`, …) build graphs: they work in functions that wootz traces, which is what
`wz.jit`, `wz.grad`, `wz.vmap` and `wz.compile` do.
"""

from typing import TYPE_CHECKING, Any

from wootz._compile import CacheInfo, Specializing, cache_info, clear_cache, compile, load, save, set_cache_limit
from wootz._errors import (
    BackendError,
    DonatedError,
    DTypeError,
    FileError,
    FitError,
    InternalError,
    ModelError,
    NanError,
    NegativeRateError,
    ShapeError,
    TraceError,
    UnknownNameError,
    WootzError,
    WorkspaceError,
)
from wootz._native import Dim, DType, Graph, Params, Profile, Program, Report, Session, Spec, State
from wootz._promotion import bf16, f16, f32, f64, i32, i64, result_type, u8, u32
from wootz._promotion import bool_ as bool_
from wootz._tree import register as register_pytree
from wootz._tree import tree_map

if TYPE_CHECKING:
    # What editors and type checkers see of the names that `__getattr__` loads.
    # fmt: off
    from wootz import (
        histfactory as histfactory, init as init, jax as jax, linalg as linalg, nn as nn, random as random, torch as torch,
    )
    from wootz._control import cond as cond, custom_vjp as custom_vjp, scan as scan, while_loop as while_loop
    from wootz._jit import jit as jit
    from wootz._layers import (
        attention as attention, embedding as embedding, layer_norm as layer_norm, rms_norm as rms_norm,
        scaled_dot_product_attention as scaled_dot_product_attention,
    )
    from wootz._ops import (
        abs as abs, add as add, all as all, any as any, arange as arange, arctan2 as arctan2, argmax as argmax,
        argmin as argmin, array as array, asarray as asarray, astype as astype, broadcast_to as broadcast_to,
        ceil as ceil, clip as clip, concat as concat, concatenate as concatenate, cos as cos, digamma as digamma,
        divide as divide, dot as dot, equal as equal, erf as erf, erfc as erfc, erfinv as erfinv, exp as exp,
        expand_dims as expand_dims, expm1 as expm1, eye as eye, flip as flip, floor as floor,
        floor_divide as floor_divide, fmod as fmod, full as full, full_like as full_like, gelu as gelu,
        greater as greater, greater_equal as greater_equal, iota as iota, isfinite as isfinite, isnan as isnan,
        leaky_relu as leaky_relu, less as less, less_equal as less_equal, lgamma as lgamma, linear as linear,
        linspace as linspace, log as log, log1p as log1p, log_softmax as log_softmax, logical_and as logical_and,
        logical_not as logical_not, logical_or as logical_or, logsumexp as logsumexp, matmul as matmul, max as max,
        maximum as maximum, mean as mean, min as min, minimum as minimum, mod as mod, moveaxis as moveaxis,
        multiply as multiply, negative as negative, not_equal as not_equal, one_hot as one_hot, ones as ones,
        ones_like as ones_like, outer as outer, pad as pad, polygamma as polygamma, pow as pow, prod as prod,
        relu as relu, reshape as reshape, round as round, rsqrt as rsqrt, segment_max as segment_max,
        segment_min as segment_min, segment_prod as segment_prod, segment_sum as segment_sum, sigmoid as sigmoid,
        sign as sign, silu as silu, sin as sin, softmax as softmax, softplus as softplus, split as split, sqrt as sqrt,
        square as square, squeeze as squeeze, stack as stack, std as std, stop_gradient as stop_gradient,
        subtract as subtract, sum as sum, swapaxes as swapaxes, take as take, take_along_axis as take_along_axis,
        tan as tan, tanh as tanh, tensordot as tensordot, transpose as transpose, tril as tril, triu as triu,
        var as var, where as where, zeros as zeros, zeros_like as zeros_like,
    )
    from wootz._tensor import Tensor as Tensor
    from wootz._transforms import (
        grad as grad, hessian as hessian, jacfwd as jacfwd, jacrev as jacrev, jvp as jvp,
        value_and_grad as value_and_grad, vjp as vjp, vmap as vmap,
    )
    # fmt: on

# What only traced functions need is loaded when it is first used: importing wootz stays quick.
_LAZY = {
    "jit": "_jit",
    **dict.fromkeys(("grad", "value_and_grad", "vjp", "jvp", "vmap", "hessian", "jacfwd", "jacrev"), "_transforms"),
    **dict.fromkeys(("cond", "while_loop", "scan", "custom_vjp"), "_control"),
    **dict.fromkeys(("attention", "embedding", "layer_norm", "rms_norm", "scaled_dot_product_attention"), "_layers"),
    "Tensor": "_tensor",
}
_MODULES = frozenset(("histfactory", "init", "jax", "linalg", "nn", "random", "torch"))
_OPS = frozenset(
    """
    abs add all any arange arctan2 argmax argmin array asarray astype broadcast_to ceil clip concat concatenate cos digamma divide
    dot equal erf erfc erfinv exp expand_dims expm1 eye flip floor floor_divide fmod full full_like gelu greater greater_equal
    iota isfinite isnan leaky_relu less less_equal lgamma linear linspace log log1p log_softmax logical_and logical_not
    logical_or logsumexp matmul max maximum mean min minimum mod moveaxis multiply negative not_equal one_hot ones ones_like outer
    pad polygamma pow prod relu reshape round rsqrt segment_max segment_min segment_prod segment_sum sigmoid sign silu sin
    softmax softplus split sqrt square squeeze stack std stop_gradient subtract sum swapaxes take take_along_axis tan tanh tensordot
    transpose tril triu var where zeros zeros_like
    """.split()
)


def dim(name: str) -> Dim:
    """The symbolic size called `name`: `wz.f32[wz.dim("B") * 2, 784]`."""
    return Dim(name)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"wootz.{name}")
    module = "_ops" if name in _OPS else _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'wootz' has no attribute '{name}'")
    found = getattr(importlib.import_module(f"wootz.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES, *_OPS})


__all__ = [
    "BackendError",
    "CacheInfo",
    "DType",
    "DTypeError",
    "Dim",
    "DonatedError",
    "FileError",
    "FitError",
    "Graph",
    "InternalError",
    "ModelError",
    "NanError",
    "NegativeRateError",
    "Params",
    "Profile",
    "Program",
    "Report",
    "Session",
    "ShapeError",
    "Spec",
    "Specializing",
    "State",
    "TraceError",
    "UnknownNameError",
    "WootzError",
    "WorkspaceError",
    "bf16",
    "bool_",
    "cache_info",
    "clear_cache",
    "compile",
    "dim",
    "f16",
    "f32",
    "f64",
    "i32",
    "i64",
    "load",
    "register_pytree",
    "result_type",
    "save",
    "set_cache_limit",
    "tree_map",
    "u8",
    "u32",
    *sorted(_LAZY),
    *sorted(_OPS),
]
