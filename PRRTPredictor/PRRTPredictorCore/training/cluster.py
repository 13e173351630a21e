"""Fits on the workers of a Dask cluster (extra ``distributed``), for runs that one machine takes too long for.

Through joblib, as on one machine, with a backend of our own: joblib's for Dask waits for ever for a fit whose workers
died again and again, and leaves running what nobody waits for any more. The voxels do not travel: the workers read the
cache folder, and the run folder where a pretrained branch needs it, from a file system that all machines share. What
does travel are study codes, blood values, outcomes and fitted weights.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from joblib import Parallel, delayed
from joblib.parallel import ParallelBackendBase

from ..errors import Code, InputRefused, PRRTError, RunFailed
from ..imaging.cache import PreparedCohort
from .cluster_worker import WorkerDemand, demand_of_this_machine, fit_on_worker, worker_refusal
from .data import TrainingData
from .records import FoldResult, FoldTask

if TYPE_CHECKING:
    from distributed import Client, Future
    from distributed.security import Security

    from .engine import FitSettings

CONNECT_SECONDS = 20.0
"""How long the scheduler, and then its first worker, are waited for."""
WORKERLESS_SECONDS = 120.0
"""How long a run waits for a new worker when none is left."""
ANSWER_SECONDS = 120.0
"""How long a worker may take to look for every patient's images, and the scheduler to say anything at all."""
WATCH_SECONDS = 1.0

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

_SILENCE = (OSError, asyncio.TimeoutError, RuntimeError, AttributeError)
"""What asking raises when the scheduler is gone; a client that has given it up has none (AttributeError)."""


@contextmanager
def cluster_workers(address: str) -> Iterator[ClusterWorkers]:
    """Connect to a Dask scheduler and make sure that its workers can do this machine's fits.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port``. Dask trusts whoever reaches a ``tcp`` scheduler; for ``tls`` it
        takes the certificates that its own configuration names (``distributed.comm.tls``).

    Raises
    ------
    InputRefused
        ``CLUSTER_ADDRESS``, ``DEPENDENCY_MISSING``, ``CLUSTER_UNREACHABLE``, ``CLUSTER_MISMATCH``.
    """
    _require_address(address)
    _require_dask()
    with _quiet(), _connected(address) as client:
        workers = ClusterWorkers(client, address)
        try:
            workers.require(demand_of_this_machine())
            yield workers
        finally:
            workers.leave()


class ClusterWorkers:
    """The :class:`~.workers.FitWorkers` of a Dask cluster; made by :func:`cluster_workers`."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address
        self._backend: _Backend | None = None
        self._count = self._workers_there()
        self._left = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="cluster")
        self._watcher.start()

    def side_by_side(self, device: str) -> int:
        """See :meth:`~.workers.FitWorkers.side_by_side`: one fit a worker, whatever the device."""
        return self._count

    def require(self, demand: WorkerDemand) -> None:
        """Ask every worker whether it can do the work.

        Raises
        ------
        InputRefused
            ``CLUSTER_MISMATCH``, ``CLUSTER_FILES`` or ``DEVICE_MISSING``, naming the first worker that cannot;
            ``CLUSTER_UNREACHABLE`` when one does not answer.
        RunFailed
            ``CLUSTER_LOST`` without scheduler.
        """

        async def ask() -> dict[str, PRRTError | Exception | None]:
            answers = self._client.run(worker_refusal, demand, on_error="return")
            return dict(await asyncio.wait_for(answers, ANSWER_SECONDS))

        try:
            answers = self._client.sync(ask)
        except asyncio.TimeoutError:
            raise InputRefused(
                Code.CLUSTER_UNREACHABLE,
                f"A worker of the cluster has not answered for {ANSWER_SECONDS:.0f} seconds.",
                where=self._address,
                remedy="Look for a worker that hangs (Dask's dashboard shows them), end it, and start it again.",
            ) from None
        except _SILENCE:
            raise _scheduler_lost(self._address) from None
        for worker, answer in answers.items():
            if isinstance(answer, OSError):  # it left meanwhile
                continue
            if isinstance(answer, PRRTError):
                raise answer
            if isinstance(answer, Exception):  # it could not even be asked
                raise _incapable(answer, worker) from answer

    def fit(
        self, groups: Sequence[Sequence[FoldTask]], data: TrainingData, settings: FitSettings
    ) -> Generator[FoldResult, None, None]:
        """See :meth:`~.workers.FitWorkers.fit`; a group whose worker dies is fitted by another one.

        Raises
        ------
        InputRefused
            As :meth:`require`.
        RunFailed
            ``TRAINING_FAILED`` when fits kill one worker after the other, ``CLUSTER_LOST`` without scheduler or
            workers.
        """
        if not groups:
            return
        data, settings = _with_absolute_paths(data, settings)
        demand = replace(demand_of_this_machine(), device=settings.device)
        self.require(replace(demand, data=data, ct_encoder=settings.ct_encoder))
        self._backend = _Backend(self._client, self._address)
        work = Parallel(
            n_jobs=-1, backend=self._backend, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
        )
        stream = work(delayed(fit_on_worker)(group, data, settings, demand) for group in groups)
        try:
            for results in stream:
                yield from results
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that running fits were lost is what stopping means
                stream.close()
            self._backend = None

    def leave(self) -> None:
        """Stop watching the cluster."""
        self._left.set()
        self._watcher.join(WATCH_SECONDS)

    def _watch(self) -> None:
        """Count the workers, once a second; tell the fits when there have been none for too long."""
        last_seen = time.monotonic()
        while not self._left.wait(WATCH_SECONDS):
            self._count = self._workers_there()
            backend = self._backend
            if self._count:
                last_seen = time.monotonic()
            elif backend is not None and time.monotonic() - last_seen > WORKERLESS_SECONDS:
                backend.give_up()

    def _workers_there(self) -> int:
        async def ask() -> int:
            return len(await asyncio.wait_for(self._client.nthreads(), ANSWER_SECONDS))

        try:
            return int(self._client.sync(ask))
        except _SILENCE:  # the fits are told so by Dask
            return 0


class _Backend(ParallelBackendBase):  # type: ignore[misc]
    """What joblib asks of a place where work is done, answered by a Dask client."""

    supports_retrieve_callback = True

    def __init__(self, client: Client, address: str) -> None:
        super().__init__()
        self._client, self._address = client, address
        self._waiting: dict[Future[Any], Callable[[Future[Any]], None]] = {}
        self._given_up = False

    def effective_n_jobs(self, n_jobs: int) -> int:
        return 2  # all groups are handed out at once, whatever this says; at 1, joblib would fit in this process

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], None]) -> Future[Any]:
        # Not a pure function for Dask, which would otherwise hand out what it computed for an earlier run.
        future = self._client.submit(func, key=f"prrt-fit-{uuid.uuid4().hex}", pure=False)
        self._waiting[future] = callback
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any]) -> None:
        """Tell joblib, once."""
        callback = self._waiting.pop(future, None)
        if callback is not None:
            callback(future)

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        if self._given_up:
            raise _lost("None of the cluster's workers is left.", self._address)
        try:
            return future.result()
        except KilledWorker:
            raise RunFailed(
                Code.TRAINING_FAILED,
                "One fit ended several workers in a row, most often because their memory was short.",
                where=self._address,
                remedy="Give the workers more memory; the same command goes on with the folds that are missing.",
            ) from None
        except (CancelledError, OSError):  # OSError: it went while it handed a result over
            raise _scheduler_lost(self._address) from None
        except ImportError as problem:  # a worker that joined late
            raise _incapable(problem, self._address) from problem

    def give_up(self) -> None:
        """End the fits, since there is nobody who could do them; does not wait for Dask, which may be silent."""
        self._given_up = True
        for future in list(self._waiting):
            self._done(future)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        if self._client.status == "running":
            with suppress(*_SILENCE):
                self._client.cancel(list(self._waiting))


def _scheduler_lost(address: str) -> RunFailed:
    return _lost("The Dask scheduler was lost.", address)


def _lost(message: str, address: str) -> RunFailed:
    return RunFailed(
        Code.CLUSTER_LOST,
        message,
        where=address,
        remedy="Start scheduler and workers again; the same command, with or without a scheduler, goes on with the "
        "folds that are missing.",
    )


def _incapable(problem: Exception, address: str) -> InputRefused:
    return InputRefused(
        Code.CLUSTER_MISMATCH,
        f"A worker cannot run PRRTPredictor ({_first_line(problem)}).",
        where=address,
        remedy="Install the same version of PRRTPredictor, with the same packages, for every worker.",
    )


def _with_absolute_paths(data: TrainingData, settings: FitSettings) -> tuple[TrainingData, FitSettings]:
    """The same for processes that were started in other folders."""
    images = data.images
    if isinstance(images, PreparedCohort):
        images = replace(images, folder=images.folder.absolute())
    features, encoder = data.ct_features, settings.ct_encoder
    return (
        replace(data, images=images, ct_features=features.absolute() if features else None),
        replace(settings, ct_encoder=encoder.absolute() if encoder else None),
    )


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


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client
    from distributed.security import Security

    try:
        security = Security()
        asyncio.run(_greet(address, security))
        client = Client(address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except _NO_DASK as problem:
        raise _unreachable(address, f"No Dask scheduler answers there ({_first_line(problem)}).") from problem
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            raise _unreachable(address, "The Dask scheduler has no workers.") from None
        yield client


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


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


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
