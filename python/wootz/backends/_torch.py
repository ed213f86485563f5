"""PyTorch, eager or through `torch.compile`, on any of its devices."""

from typing import Any

from wootz._errors import BackendError
from wootz.backends import Framework, _cache


class Torch(Framework):
    """`device`: as `torch.device`. `precision`: "highest", "high" (TF32) or "medium", as `torch.set_float32_matmul_precision`."""

    name, package, oldest, install = "torch", "torch", (2, 5), "torch"
    caches = True

    def check(self) -> None:
        if self.precision not in (None, "highest", "high", "medium"):
            raise BackendError(f'precision must be "highest", "high" or "medium", not {self.precision!r}')
        if self.device is None:
            return
        try:
            self.device = self.module.device(self.device)
            # With its number: `cuda` is `cuda:0`.
            self.place = self.module.empty(0, device=self.device).device
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f'backend "torch" has no device {str(self.device)!r} here: {error}') from error

    def device_source(self) -> str | None:
        return None if self.device is None else str(self.device)

    def differentiates(self, jit: bool) -> bool:
        # It has a kernel for each op's derivative, and its optimizers are fused kernels, whether the loss is compiled or not.
        return True

    def array(self, value: Any) -> Any:
        if not isinstance(value, self.module.Tensor):
            import numpy as np

            value = np.asarray(value)
            if value.dtype.name == "bfloat16":
                value = self.module.from_numpy(value.view(np.uint16).copy()).view(self.module.bfloat16)
            else:
                # A copy: what steps update in place must be no one else's memory.
                value = self.module.from_numpy(value.copy())
        return value if self.device is None else self.placed(value)

    def placed(self, array: Any) -> Any:
        return array if array.device == self.place else array.to(self.place)

    def own(self, value: Any) -> Any:
        array = self.array(value)
        return array.clone() if array is value else array

    def cached(self, cache: _cache.CompilationCache) -> Any:
        return _cache.torch_cache(self.module, cache)

    def wrap(self, function: Any, wide: bool, updates: bool, placed: bool = False) -> Any:
        torch, precision = self.module, self.precision
        if precision is None:
            return function

        def call(*args: Any) -> Any:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(precision)
            try:
                return function(*args)
            finally:
                torch.set_float32_matmul_precision(before)

        return call


FRAMEWORK = Torch
