"""When memory is short: how that shows in the libraries underneath, and the one error that is made of it.

Nothing heavy is imported: where memory is short, an import can be what fails.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Code, RunFailed

LEAST_ADDRESS_SPACE = 2**30
"""Bytes; a training of the smallest images needs as much. With less, libraries end the process while they are loaded
(``std::bad_alloc``), or try to get memory for ever, where nobody can catch it."""

_GPU_WORDS = ("cuda out of memory", "cuda error: out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc")
_WORDS = (
    *_GPU_WORDS,
    "can't allocate memory",  # torch's allocator
    "not enough memory",  # the same on Windows
    "cannot allocate memory",  # the system, and its loader of libraries
    "failed to map segment",  # the loader again
    "bad_alloc",  # C++
    "can't start new thread",  # no room for its stack
)


def require_address_space() -> None:
    """Refuse to begin where the memory of this process is limited (``ulimit -v``) to less than is ever enough.

    Raises
    ------
    RunFailed
        ``OUT_OF_MEMORY``.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise RunFailed(
            Code.OUT_OF_MEMORY,
            f"The memory of this process is limited to {limit / 2**20:.0f} MiB; the least that can do is "
            f"{LEAST_ADDRESS_SPACE / 2**20:.0f} MiB.",
            where="ulimit -v",
            remedy="Raise the limit, then give the same command again; what was finished is kept.",
        )


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception, or the one that it came from, says that memory was short."""
    return any(
        isinstance(one, MemoryError) or getattr(one, "errno", None) == errno.ENOMEM or _speaks(one, _WORDS)
        for one in _chain(problem)
    )


def out_of_memory(problem: BaseException) -> RunFailed:
    """The error to raise instead of such an exception."""
    if any(_speaks(one, _GPU_WORDS) for one in _chain(problem)):
        message, way_out = "The GPU's memory does not suffice.", "Free the GPU of other work, or add --device cpu"
    else:
        message, way_out = "The memory does not suffice.", "Close other programs, or use fewer --jobs"
    return RunFailed(
        Code.OUT_OF_MEMORY,
        message,
        remedy=f"{way_out}; the same command goes on with what is missing.",
    )


@contextmanager
def memory_told() -> Iterator[None]:
    """Raise a shortage of memory within as :class:`~.errors.RunFailed`."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as problem:
        if not is_out_of_memory(problem):
            raise
        told = out_of_memory(problem)
    else:
        return
    raise told  # out here, where what the traceback held has been freed


def _speaks(problem: BaseException, words: tuple[str, ...]) -> bool:
    return any(told in str(problem).lower() for told in words)


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = problem
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
