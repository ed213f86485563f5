"""Progress of what takes many steps."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = bool | Callable[[int, int | None], object] | None
"""`True` for a bar (tqdm), or a function of the steps done and of how many there are (`None` where nobody knows)."""


@contextmanager
def reporting(progress: Progress, total: int | None, what: str) -> Iterator[Callable[[int], object] | None]:
    """What to call with the number of steps done. At the end all of them are."""
    if progress is None or progress is False:
        yield None
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            warnings.warn("progress=True draws its bar with tqdm, which is not installed", stacklevel=5)
            yield None
            return
        with tqdm(total=total, desc=what) as bar:
            yield lambda done: bar.update(done - bar.n)
            if total is not None:
                bar.update(total - bar.n)
    elif callable(progress):
        yield lambda done: progress(done, total)
        if total is not None:
            progress(total, total)
    else:
        raise TypeError(f"progress is True or a function of (done, total), not {progress!r}")
