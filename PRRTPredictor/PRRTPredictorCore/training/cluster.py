"""Fits on the workers of a Dask cluster (extra ``distributed``), for runs that one machine takes too long for.

Through joblib, as on one machine, with a backend of our own: joblib's for Dask waits for ever for a fit whose workers
died again and again, and leaves running what nobody waits for any more. The voxels do not travel: the workers read the
cache folder, and the run folder where a pretrained branch needs it, from a file system that all machines share. What
does travel are study codes, blood values, outcomes and fitted weights.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed
from joblib.parallel import ParallelBackendBase

from ..errors import Code, InputRefused, PRRTError, RunFailed
from ..imaging.cache import PreparedCohort
from .cluster_connection import connected_to, first_line
from .cluster_worker import WorkerDemand, demand_of_this_machine, fit_on_worker, worker_refusal
from .data import TrainingData
from .records import FoldResult, FoldTask

if TYPE_CHECKING:
    from distributed import Client, Future

    from .engine import FitSettings

WORKERLESS_SECONDS = 120.0
"""How long a run waits for a new worker when none is left."""
ANSWER_SECONDS = 120.0
"""How long a worker may take to look for every patient's images, and the scheduler to say anything at all."""
WATCH_SECONDS = 1.0
"""Between two counts of the workers."""

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
    with connected_to(address) as client:
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
        f"A worker cannot run PRRTPredictor ({first_line(problem)}).",
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
