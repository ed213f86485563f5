"""MLX, for Apple silicon."""

import contextlib
from typing import Any

from wootz._errors import BackendError
from wootz.backends import Framework


class Mlx(Framework):
    """`device`: "cpu", "gpu", or an `mlx.core.Device`."""

    name, package, oldest, install = "mlx", "mlx.core", (0, 32), "mlx"

    def check(self) -> None:
        given, self.device = self.device, None
        super().check()
        if given is None:
            return
        mx = self.module
        found = {"cpu": mx.cpu, "gpu": mx.gpu}.get(given, given) if isinstance(given, str) else given
        try:
            with mx.stream(found):
                mx.eval(mx.zeros(()))
        except (TypeError, ValueError, RuntimeError) as error:
            raise BackendError(f'backend "mlx" has no device {given!r} here: {error}') from error
        self.device = found

    def around(self, wide: bool) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self.device is None else self.module.stream(self.device)

    def wrap(self, function: Any, wide: bool, updates: bool, placed: bool = False) -> Any:
        if self.device is None:
            return function

        def call(*args: Any) -> Any:
            with self.around(wide):
                return function(*args)

        return call

    def array(self, value: Any) -> Any:
        mx = self.module
        if isinstance(value, mx.array):
            return value
        import numpy as np

        value = np.asarray(value)
        if value.dtype.name == "bfloat16":
            return mx.array(value.view(np.uint16)).view(mx.bfloat16)
        return mx.array(value)

    def dtype(self, name: str) -> Any:
        return getattr(self.module, {"bool": "bool_"}.get(name, name))


FRAMEWORK = Mlx
