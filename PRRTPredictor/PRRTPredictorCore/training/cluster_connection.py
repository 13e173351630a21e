"""The way to a Dask scheduler: its address, its first words, and everything that can be wrong with them."""

from __future__ import annotations

import asyncio
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import Code, InputRefused

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

CONNECT_SECONDS = 20.0
"""How long the scheduler, and then its first worker, are waited for."""

_NO_DASK = (
    OSError,  # nobody there, or certificates that cannot be read
    asyncio.TimeoutError,
    TypeError,  # tls without certificates
    RuntimeError,  # tcp where Dask's configuration demands encryption
    ImportError,  # a scheduler of quite another version
    ValueError,  # from here on: another service, which greets in a way of its own
    MemoryError,
    EOFError,
    LookupError,
    AttributeError,
    struct.error,
)
"""What connecting to a place raises where no Dask scheduler can be talked to."""


@contextmanager
def connected_to(address: str) -> Iterator[Client]:
    """Connect to a Dask scheduler that has workers.

    Raises
    ------
    InputRefused
        ``CLUSTER_ADDRESS``, ``DEPENDENCY_MISSING``, ``CLUSTER_UNREACHABLE``.
    """
    _require_address(address)
    _require_dask()
    with _quiet(), _connected(address) as client:
        yield client


def first_line(problem: Exception) -> str:
    """What a problem says first, or its name."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client
    from distributed.security import Security

    dask_client: Any = Client  # Dask's own methods have no types

    class ClosedWhereItFails(dask_client):  # type: ignore[misc]
        # Left to the garbage collector, a client that failed waits, in whatever thread it is collected, for a lock
        # that the next client holds until its own thread has begun.
        def start(self, **kwargs: object) -> None:
            try:
                super().start(**kwargs)
            except BaseException:
                self.close()
                raise

    try:
        security = Security()
        asyncio.run(_greet(address, security))
        client: Client = ClosedWhereItFails(address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except _NO_DASK as problem:
        raise _unreachable(address, f"No Dask scheduler answers there ({first_line(problem)}).") from problem
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            raise _unreachable(address, "The Dask scheduler has no workers.") from None
        yield client


def _require_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("tcp", "tls") and bool(parts.hostname) and bool(parts.port)
        usable = usable and address == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        usable = False
    if not usable:
        raise InputRefused(
            Code.CLUSTER_ADDRESS,
            "This is not the address of a Dask scheduler.",
            where=address,
            remedy="Give it as tcp://host:port or tls://host:port, as the scheduler prints it when it starts.",
        )


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise InputRefused(
            Code.DEPENDENCY_MISSING,
            "Fitting on a cluster needs Dask, which is not installed.",
            where="distributed",
            remedy="Install it here and for every worker: pip install 'prrtpredictor[distributed]'.",
        ) from None


async def _greet(address: str, security: Security) -> None:
    """Exchange Dask's first words; a Client would wait for ever for those of a server that is none and stays silent."""
    from distributed.comm.core import connect

    greeting = connect(address, timeout=CONNECT_SECONDS, **security.get_connection_args("client"))
    comm = await asyncio.wait_for(greeting, CONNECT_SECONDS)
    comm.abort()


def _unreachable(address: str, message: str) -> InputRefused:
    return InputRefused(
        Code.CLUSTER_UNREACHABLE,
        message,
        where=address,
        remedy="Check the address, that scheduler and workers run, the firewall and, for tls://, the certificates in "
        "Dask's configuration.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log lines off the terminal; what matters of them is told as errors."""
    # Dask gives several of its loggers levels of their own.
    names = ["distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed."))]
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mismatched versions found", category=UserWarning)
        try:
            for name in names:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
