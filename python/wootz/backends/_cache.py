"""Compilation caches on disk: what a framework compiled in one process, another finds there."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wootz._errors import FileError

# What the frameworks are told is the process's: one program at a time.
_lock = threading.RLock()


@dataclasses.dataclass
class CompilationCache:
    """A folder where a framework keeps compiled programs, and how often a program's compilation was found there or was not."""

    path: str
    hits: int = 0
    misses: int = 0

    @property
    def used(self) -> bool:
        """Whether anything has been compiled or found."""
        return self.hits + self.misses > 0


@dataclasses.dataclass(frozen=True)
class Report:
    """What compiling a program of a framework cost."""

    # Seconds of each stage from the definition to the loaded source, in order.
    stages: list[tuple[str, float]]
    # `None` where none was asked for.
    cache: CompilationCache | None

    def __str__(self) -> str:
        lines = [f"{name:12} {seconds * 1e3:9.3f} ms" for name, seconds in self.stages]
        if self.cache is not None:
            lines.append(f"cache        {self.cache.hits} hits, {self.cache.misses} misses in {self.cache.path}")
        return "\n".join(lines)


def opened(path: str | os.PathLike) -> CompilationCache:
    """The cache in a folder, which is made if it is not there."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder `{os.fspath(path)}`: {error.strerror}") from error
    return CompilationCache(os.path.abspath(os.fspath(path)))


@contextlib.contextmanager
def jax_cache(jax: Any, cache: CompilationCache) -> Iterator[None]:
    """JAX compiles through the cache, whatever it is told elsewhere."""
    from jax.experimental.compilation_cache import compilation_cache

    settings = {
        "jax_compilation_cache_dir": cache.path,
        "jax_enable_compilation_cache": True,
        # Programs that compile fast are kept too.
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    thread = threading.get_ident()

    def listen(event: str, **_: Any) -> None:
        if threading.get_ident() == thread:
            cache.hits += event == "/jax/compilation_cache/cache_hits"
            cache.misses += event == "/jax/compilation_cache/cache_misses"

    with _lock:
        before = {name: getattr(jax.config, name) for name in settings}
        jax.monitoring.register_event_listener(listen)
        try:
            _set(jax.config.update, settings, compilation_cache.reset_cache)
            yield
        finally:
            jax.monitoring.unregister_event_listener(listen)
            _set(jax.config.update, before, compilation_cache.reset_cache)


def _set(update: Callable[[str, Any], None], settings: dict[str, Any], reset: Callable[[], None]) -> None:
    for name, value in settings.items():
        update(name, value)
    # The folder is read where the cache is first used.
    reset()


@contextlib.contextmanager
def torch_cache(torch: Any, cache: CompilationCache) -> Iterator[None]:
    """PyTorch's compiler works in the cache's folder."""
    import torch._dynamo.utils
    import torch._inductor.config

    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    counters = torch._dynamo.utils.counters
    with _lock, torch._inductor.config.patch(fx_graph_cache=True):
        before = {name: os.environ.get(name) for name in names}
        old = counters["inductor"]
        start = {what: old[what] for what in ("fxgraph_cache_hit", "fxgraph_cache_miss")}
        os.environ.update(dict(zip(names, (cache.path, os.path.join(cache.path, "triton")))))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            # PyTorch may have begun to count anew.
            new = counters["inductor"]
            hits, misses = (new[what] - (count if new is old else 0) for what, count in start.items())
            cache.hits += hits
            cache.misses += misses
