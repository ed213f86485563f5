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

from typing import Any

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
