"""NumPy: the reference among the frameworks, wherever Python runs."""

from typing import Any

from wootz.backends import Framework


class Numpy(Framework):
    name, package, oldest, install = "numpy", "numpy", (2, 0), "numpy"
    compiles = False

    def array(self, value: Any) -> Any:
        return self.module.asarray(value)

    def dtype(self, name: str) -> Any:
        return self.module.dtype(name)

    def wrap(self, function: Any, wide: bool, updates: bool, placed: bool = False) -> Any:
        errstate = self.module.errstate

        def call(*args: Any) -> Any:
            # Infinities and NaNs are results here, as on every other backend.
            with errstate(all="ignore"):
                return function(*args)

        return call


FRAMEWORK = Numpy
