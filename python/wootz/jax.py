"""Programs inside JAX.

    predict = wz.jax.as_function(wz.compile(model, {"x": wz.f32[32, 784]}))
    logits = jax.jit(predict)(params, images)
    gradient = jax.grad(lambda p: predict(p, images).sum())(params)
"""

from collections.abc import Callable
from typing import Any

from wootz._bridge import Flat
from wootz._errors import BackendError, DTypeError, ShapeError, UnknownNameError
from wootz.backends._jax import Jax

Jax.load("wootz.jax")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

__all__ = ["as_function"]


def as_function(program: Any) -> Callable[..., Any]:
    """A native program as a function of JAX arrays that `jax.jit`, `jax.grad`, `jax.vjp` and `jax.vmap` take.

    The function is called as the program: with the parameters, a dict of arrays by name, if there are any, then the inputs, in order or by
    name. It gives the output, or a dict of them by name if there are several. The program runs on the CPU, as a callback; its derivative is
    a program as well, compiled when it is first needed. `jax.vmap` runs it once an example: compile for the batch where that matters.
    There are no second derivatives and no forward mode. 64-bit types need `jax_enable_x64`.

    A program of `backend="jax"` needs no bridge: its `function` is JAX's own.
    """
    flat = Flat(program)
    names = [name for name, held in zip(flat.names, flat.held, strict=True) if not held]
    held = [name for name, held in zip(flat.names, flat.held, strict=True) if held]
    dtypes = [_dtype(spec) for spec in flat.specs]
    results = [jax.ShapeDtypeStruct(tuple(spec.shape), _dtype(spec)) for _, spec in flat.outputs]
    floats = [i for i, dtype in enumerate(dtypes) if jnp.issubdtype(dtype, jnp.floating)]
    differentiable = [i for i, result in enumerate(results) if jnp.issubdtype(result.dtype, jnp.floating)]
    wide = any(dtype.itemsize == 8 for dtype in [*dtypes, *(result.dtype for result in results)])

    def run(*arrays: Any) -> list[Any]:
        return flat.run([np.asarray(x) for x in arrays])

    def products(arrays: Any, cotangents: Any) -> list[Any]:
        return flat.vjp([np.asarray(x) for x in arrays], [np.asarray(x) for x in cotangents], floats)

    # With a derivative of its own for the error to be ours.
    @jax.custom_vjp
    def derivative(arrays: Any, cotangents: Any) -> list[Any]:
        types = [jax.ShapeDtypeStruct(arrays[i].shape, dtypes[i]) for i in floats]
        return jax.pure_callback(products, types, arrays, cotangents, vmap_method="sequential")

    derivative.defvjp(_no_second, _no_second)

    @jax.custom_vjp
    def call(*arrays: Any) -> list[Any]:
        return jax.pure_callback(run, results, *arrays, vmap_method="sequential")

    def forward(*arrays: Any) -> tuple[list[Any], tuple]:
        return call(*arrays), arrays

    def backward(arrays: tuple, cotangents: list[Any]) -> tuple:
        gradients = derivative(arrays, [cotangents[i] for i in differentiable])
        by_position = dict(zip(floats, gradients, strict=True))
        # Integers have cotangents of a type without values.
        nothing = [np.zeros(x.shape, jax.dtypes.float0) for x in arrays]
        return tuple(by_position.get(i, nothing[i]) for i in range(len(arrays)))

    call.defvjp(forward, backward)

    def function(*args: Any, **inputs: Any) -> Any:
        if wide and not jax.config.jax_enable_x64:
            raise DTypeError("the program has 64-bit types: enable them in JAX (`jax.config.update(\"jax_enable_x64\", True)`)")
        params = {}
        if held:
            if not args:
                raise UnknownNameError(f"the program has parameters ({', '.join(held)}): pass them first")
            params, *args = args
        if len(args) + len(inputs) != len(names) or any(name not in names[len(args) :] for name in inputs):
            raise UnknownNameError(
                f"the function takes {', '.join(names)}; got {len(args)} by position and {', '.join(inputs) or 'none'} by name"
            )
        given = {**dict(zip(names, args)), **inputs}
        arrays = []
        for name, spec, dtype in zip(flat.names, flat.specs, dtypes, strict=True):
            source = given if name in given else params
            if name not in source:
                raise UnknownNameError(f"parameter `{name}` ({spec!r}) is missing")
            array = jnp.asarray(source[name])
            if array.shape != tuple(spec.shape):
                raise ShapeError(f"`{name}`: expected shape {list(spec.shape)}, got {list(array.shape)}")
            if array.dtype != dtype:
                raise DTypeError(f"`{name}`: expected {dtype}, got {array.dtype}; convert it first")
            arrays.append(array)
        outputs = call(*arrays)
        return outputs[0] if len(outputs) == 1 else {name: x for (name, _), x in zip(flat.outputs, outputs, strict=True)}

    return function


def _no_second(*_: Any) -> Any:
    raise BackendError('a native program has no second derivatives: the `function` of a program of backend="jax" has')


def _dtype(spec: Any) -> Any:
    names = {"u8": "uint8", "u32": "uint32", "i32": "int32", "i64": "int64", "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}
    name = repr(spec.dtype).removeprefix("wootz.")
    return jnp.dtype(names.get(name, name))
