"""MLX, for Apple silicon."""

from typing import Any

from wootz.backends import Framework


class Mlx(Framework):
    name, package, oldest, install = "mlx", "mlx.core", (0, 20), "mlx"

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
