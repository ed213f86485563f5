"""JAX, compiled by XLA for CPU, GPU or TPU."""

import contextlib
import importlib
from typing import Any

from wootz._errors import BackendError
from wootz.backends import Framework, _cache


class Jax(Framework):
    """`device`: a `jax.Device` or the name of a platform. `precision`: as `jax.default_matmul_precision`."""

    name, package, oldest, install = "jax", "jax", (0, 9), "jax"
    jit = caches = True

    def check(self) -> None:
        if self.precision is not None:
            try:
                with self.module.default_matmul_precision(self.precision):
                    pass
            except ValueError as error:
                raise BackendError(f'backend "jax" has no precision {self.precision!r}: {error}') from error
        if isinstance(self.device, str):
            platform, _, index = self.device.partition(":")
            try:
                self.device = self.module.devices(platform)[int(index or 0)]
            except (RuntimeError, IndexError, ValueError) as error:
                there = ", ".join(sorted({d.platform for d in self.module.devices()}))
                raise BackendError(f'backend "jax" has no device {self.device!r} here (there are {there})') from error
        if self.device is not None:
            self.place = self.module.sharding.SingleDeviceSharding(self.device)
            self._tracer = self.module.core.Tracer

    def around(self, wide: bool) -> Any:
        """The context of a call: 64-bit types where the program has them, the device, the precision."""
        stack = contextlib.ExitStack()
        if wide:
            stack.enter_context(self.module.enable_x64(True))
        if self.device is not None:
            stack.enter_context(self.module.default_device(self.device))
        if self.precision is not None:
            stack.enter_context(self.module.default_matmul_precision(self.precision))
        return stack

    def array(self, value: Any) -> Any:
        jax = self.module
        if isinstance(value, jax.Array):
            return value if self.device is None else self.placed(value)
        # Without this NumPy's 64-bit arrays would be cut to 32 bits.
        with jax.enable_x64(True):
            array = jax.numpy.asarray(value)
            return array if self.device is None else jax.device_put(array, self.place)

    def placed(self, array: Any) -> Any:
        # What is traced has no place yet; uncommitted arrays would follow other ones.
        if isinstance(array, self._tracer) or (array.committed and (array.sharding is self.place or array.sharding == self.place)):
            return array
        return self.module.device_put(array, self.place)

    def own(self, value: Any) -> Any:
        array = self.array(value)
        # Steps donate their state: it must be no one else's memory.
        return self.module.numpy.array(array, copy=True) if isinstance(value, self.module.Array) else array

    def stack(self, arrays: list[Any]) -> Any:
        # 64-bit arrays stay so.
        with self.module.enable_x64(True):
            return self.module.numpy.stack(arrays)

    def dtype(self, name: str) -> Any:
        return self.module.numpy.dtype(name)

    def cached(self, cache: _cache.CompilationCache) -> Any:
        return _cache.jax_cache(self.module, cache)

    def wrap(self, function: Any, wide: bool, updates: bool, placed: bool = False) -> Any:
        jax = self.module
        if self.precision is not None:
            function = _within(function, jax.default_matmul_precision, self.precision)
        # Compiled code runs where its arrays are.
        if self.device is not None and not placed:
            function = _within(function, jax.default_device, self.device)
        if not wide:
            return function
        enable_x64, config = jax.enable_x64, jax.config

        def call(*args: Any) -> Any:
            if config.jax_enable_x64:
                return function(*args)
            with enable_x64(True):
                return function(*args)

        return call

    def stablehlo(self, function: Any, held: Any, types: list[tuple[tuple, Any]], wide: bool) -> str:
        jax = self.module
        given = [jax.ShapeDtypeStruct(*entry) for entry in types]
        if held is not None:
            given.insert(0, {name: jax.ShapeDtypeStruct(*entry) for name, entry in held.items()})
        with self.around(wide):
            export = importlib.import_module("jax.export")
            return export.export(function if hasattr(function, "lower") else jax.jit(function))(*given).mlir_module()


def _within(function: Any, context: Any, value: Any) -> Any:
    """The function in a context of JAX's."""

    def call(*args: Any) -> Any:
        with context(value):
            return function(*args)

    return call


FRAMEWORK = Jax
