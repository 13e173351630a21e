"""How a fit that nobody waits for any more is ended where its process cannot be killed: on a cluster's worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import Cancelled, Code

_asked: ContextVar[Callable[[], bool] | None] = ContextVar("asked", default=None)


@contextmanager
def stopping_when(asked: Callable[[], bool]) -> Iterator[None]:
    """Let the fits of this thread end early once ``asked`` says so; it is called often and must be cheap."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def stop_if_asked() -> None:
    """Call between the steps of a fit.

    Raises
    ------
    Cancelled
        Whoever asked for the fit has gone.
    """
    asked = _asked.get()
    if asked is not None and asked():
        raise Cancelled(Code.CANCELLED, "The run that asked for this fit was stopped.")
