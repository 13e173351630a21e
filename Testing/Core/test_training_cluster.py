"""Fits on a real Dask cluster on loopback: the same numbers, whoever dies; every refusal typed; nobody left working."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from training_stand_in import TINY, InMemoryStudies, tiny_cohort, tiny_config

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.errors import Cancelled, Code, InputRefused, ModelRefused, RunFailed
from PRRTPredictorCore.records import PreparedStudy
from PRRTPredictorCore.training import crossval
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.records import FoldResult
from PRRTPredictorCore.training.store import RunStore

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install 'prrtpredictor[distributed]'"
)

from PRRTPredictorCore.training import cluster as cluster_room  # noqa: E402
from PRRTPredictorCore.training import cluster_connection as connection_room  # noqa: E402
from PRRTPredictorCore.training.cluster import cluster_workers  # noqa: E402

SECONDS = 240.0
COHORT, IMAGES = tiny_cohort()
ENDLESS = replace(TINY, epochs=10**6, patience=10**6, recalibrate=False)
HERE = Path(__file__).parent


class DaskCluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path, workers: int = 2, **environment: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), **environment}
        self.workers: list[subprocess.Popen[bytes]] = []
        where = folder / "scheduler.json"
        line = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where))
        self.scheduler = self._start("distributed.cli.dask_scheduler", *line)
        try:
            wait_until(lambda: where.is_file() and where.read_text(encoding="utf-8").endswith("}"))
        except BaseException:
            self.end()
            raise
        self.address = str(json.loads(where.read_text(encoding="utf-8"))["address"])
        for _ in range(workers):
            self.add_worker()

    def add_worker(self, threads: int = 1, module: str = "distributed.cli.dask_worker") -> None:
        options = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        self.workers.append(self._start(module, self.address, *options))

    def _start(self, module: str, *line: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log.txt").open("ab") as log:
            # Started elsewhere than the run, so that nothing works by a relative path.
            return subprocess.Popen(
                [sys.executable, "-m", module, *line], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )

    def fits(self) -> dict[int, int]:
        """Fits in work, by process id of the worker."""
        with distributed.Client(self.address, set_as_default=False) as client:
            found = client.run(lambda dask_worker: (os.getpid(), dask_worker.state.executing_count))
        return dict(found.values())

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()  # also ends one that is stopped
            process.wait()


def wait_until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster whose processes may be killed."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = DaskCluster(folder)
    try:
        wait_until(lambda: len(made.fits()) == 2)  # before a test shortens how long they are waited for
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def lasting_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster for tests that leave it as it was."""
    made = DaskCluster(tmp_path_factory.mktemp("cluster"))
    try:
        wait_until(lambda: len(made.fits()) == 2)  # a run begins with the first worker that is there
        yield made
    finally:
        made.end()


def stored_bytes(run: Path) -> dict[str, bytes]:
    """Everything that metrics and report come from."""
    names = ("*.csv", "*.safetensors", "*.npz")
    return {str(path.relative_to(run)): path.read_bytes() for name in names for path in run.glob(f"folds/*/*/{name}")}


def manifest(run: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    del content["created_utc"]
    return content


# --- the same numbers -------------------------------------------------------------------------------------------------


def test_a_worker_dies_in_the_middle_and_metrics_are_the_same_to_the_byte(
    tmp_path: Path, cluster: DaskCluster, private_folders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["synth", "--out", "cohort", "--patients", "8", "--jobs", "1", "--progress", "none"]) == 0
    wanted = ("--models", "rf_labs", "pet", "--preset", "quick", "--folds", "2", "--repeats", "2", "--progress", "none")
    run = tmp_path / "cluster_run"
    killed: list[tuple[int, int]] = []

    def kill_one() -> None:
        victim = cluster.workers[0]
        wait_until(lambda: (run / "folds" / "pet").exists() and cluster.fits().get(victim.pid) == 1)
        victim.kill()
        killed.append((victim.pid, len(list(run.glob("folds/*/*/done.json")))))

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        assert main(["train", "cohort/cohort.csv", "--out", run.name, *wanted, "--scheduler", cluster.address]) == 0
    finally:
        killer.join()
    assert main(["train", "cohort/cohort.csv", "--out", "local_run", *wanted, "--jobs", "1"]) == 0
    assert len(killed) == 1
    assert 0 < killed[0][1] < 8
    assert cluster.workers[0].poll() is not None
    for name in ("metrics.json", "significance.json", "splits.json", "cohort.json"):
        assert (run / name).read_bytes() == (tmp_path / "local_run" / name).read_bytes()
    assert stored_bytes(run) == stored_bytes(tmp_path / "local_run")
    assert manifest(run) == manifest(tmp_path / "local_run")


def test_every_kind_of_model_and_a_mixture_of_machines_give_the_same_bytes(
    tmp_path: Path, lasting_cluster: DaskCluster
) -> None:
    config = tiny_config("rf_labs", "pet_labs", "pet_ct_labs_pretrained")
    steps: list[tuple[int, int]] = []

    def stop(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 3:
            raise KeyboardInterrupt

    def listen(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train":
            steps.append((done, total))

    with pytest.raises(Cancelled):
        run_crossval(COHORT, IMAGES, config, tmp_path / "mixed", stop)
    with cluster_workers(lasting_cluster.address) as workers:
        assert workers.side_by_side("cpu") == 2
        run_crossval(COHORT, IMAGES, config, tmp_path / "mixed", listen, workers)
    assert steps == [(3, 6), (4, 6), (5, 6), (6, 6)]
    run_crossval(COHORT, IMAGES, config, tmp_path / "local")
    assert stored_bytes(tmp_path / "mixed") == stored_bytes(tmp_path / "local")


def test_one_worker_is_enough_and_one_that_joins_later_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_room, "WATCH_SECONDS", 0.1)
    growing = DaskCluster(tmp_path, workers=1)
    seen: list[int] = []

    def grow(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train":
            seen.append(workers.side_by_side("cpu"))
            if done == 1:
                growing.add_worker()
                wait_until(lambda: len(growing.fits()) == 2 and all(growing.fits().values()))
                wait_until(lambda: workers.side_by_side("cpu") == 2)
                raise KeyboardInterrupt

    config = tiny_config("rf_labs", "pet", preset=ENDLESS)
    try:
        with cluster_workers(growing.address) as workers, pytest.raises(Cancelled):
            run_crossval(COHORT, IMAGES, config, tmp_path / "run", grow, workers)
    finally:
        growing.end()
    assert seen == [1, 1]


def test_a_group_of_folds_that_was_cut_in_the_middle_is_fitted_whole_on_the_cluster_too(
    tmp_path: Path, lasting_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossval, "folds_together", lambda specs, *_: {spec.name: 2 for spec in specs})
    config = tiny_config("pet", repeats=2)

    def cut(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        run_crossval(COHORT, IMAGES, config, tmp_path / "cut", cut)
    with cluster_workers(lasting_cluster.address) as workers:
        run_crossval(COHORT, IMAGES, config, tmp_path / "cut", workers=workers)
    run_crossval(COHORT, IMAGES, config, tmp_path / "whole")
    assert len(stored_bytes(tmp_path / "cut")) > 4
    assert stored_bytes(tmp_path / "cut") == stored_bytes(tmp_path / "whole")


# --- ending early -----------------------------------------------------------------------------------------------------


def test_cancelling_ends_the_fits_on_the_cluster(tmp_path: Path, lasting_cluster: DaskCluster) -> None:
    def stop(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            wait_until(lambda: 1 in lasting_cluster.fits().values())
            raise KeyboardInterrupt

    config = tiny_config("rf_labs", "pet", preset=ENDLESS, repeats=2)
    with cluster_workers(lasting_cluster.address) as workers, pytest.raises(Cancelled):
        run_crossval(COHORT, IMAGES, config, tmp_path, stop, workers)
    wait_until(lambda: not any(lasting_cluster.fits().values()))
    assert len(list(tmp_path.glob("folds/*/*/done.json"))) == 1


def test_the_fits_end_when_the_run_itself_is_killed(tmp_path: Path, lasting_cluster: DaskCluster) -> None:
    code = (
        "import sys; from pathlib import Path; from test_training_cluster import *\n"
        "with cluster_workers(sys.argv[1]) as workers:\n"
        "    run_crossval(COHORT, IMAGES, tiny_config('pet', preset=ENDLESS), Path(sys.argv[2]), workers=workers)"
    )
    line = [sys.executable, "-c", code, lasting_cluster.address, str(tmp_path / "run")]
    killed = subprocess.Popen(line, env=lasting_cluster.environment)
    try:
        wait_until(lambda: all(lasting_cluster.fits().values()))
    finally:
        killed.kill()
        killed.wait()
    wait_until(lambda: not any(lasting_cluster.fits().values()))


def test_without_workers_the_run_ends_and_goes_on_without_a_cluster(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_room, "WORKERLESS_SECONDS", 0.5)
    config = tiny_config("rf_labs", "pet", repeats=2)

    def kill_all(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            for worker in cluster.workers:
                worker.kill()

    with cluster_workers(cluster.address) as workers, pytest.raises(RunFailed) as failure:
        run_crossval(COHORT, IMAGES, config, tmp_path / "run", kill_all, workers)
    assert failure.value.code is Code.CLUSTER_LOST
    assert "workers" in failure.value.message
    assert failure.value.where == cluster.address
    assert 1 <= len(list(tmp_path.glob("run/folds/*/*/done.json"))) < 8
    run_crossval(COHORT, IMAGES, config, tmp_path / "run")
    run_crossval(COHORT, IMAGES, config, tmp_path / "whole")
    assert stored_bytes(tmp_path / "run") == stored_bytes(tmp_path / "whole")


def test_a_lost_scheduler_is_one_clear_error(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_room, "CONNECT_SECONDS", 6.0)  # also how long it is hoped to come back

    def kill(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            cluster.scheduler.kill()

    config = tiny_config("rf_labs", "pet", preset=ENDLESS)
    with cluster_workers(cluster.address) as workers, pytest.raises(RunFailed) as failure:
        run_crossval(COHORT, IMAGES, config, tmp_path / "run", kill, workers)
    assert failure.value.code is Code.CLUSTER_LOST
    assert "scheduler" in failure.value.message
    wait_until(lambda: all(worker.poll() is not None for worker in cluster.workers))  # nobody waits for their fits


def test_a_scheduler_that_is_lost_before_the_first_fit_is_the_same_error(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_room, "CONNECT_SECONDS", 6.0)
    with cluster_workers(cluster.address) as workers:
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        with pytest.raises(RunFailed) as failure:
            run_crossval(COHORT, IMAGES, tiny_config("pet"), tmp_path / "run", workers=workers)
    assert failure.value.code is Code.CLUSTER_LOST
    assert "scheduler" in failure.value.message


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped and kept here")
def test_a_worker_that_hangs_does_not_hang_the_run(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_room, "ANSWER_SECONDS", 1.0)
    os.kill(cluster.workers[0].pid, signal.SIGSTOP)
    with pytest.raises(InputRefused) as refusal, cluster_workers(cluster.address):
        pass
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE
    assert "has not answered for 1 seconds" in refusal.value.message


def test_a_full_disk_ends_the_fits_on_the_cluster(
    tmp_path: Path, lasting_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: RunStore, result: FoldResult) -> None:
        wait_until(lambda: 1 in lasting_cluster.fits().values())
        raise RunFailed(Code.OUTPUT, "No space left on device.")

    monkeypatch.setattr(RunStore, "save_fold", full)
    config = tiny_config("rf_labs", "pet", preset=ENDLESS)
    with cluster_workers(lasting_cluster.address) as workers, pytest.raises(RunFailed) as failure:
        run_crossval(COHORT, IMAGES, config, tmp_path, workers=workers)
    assert failure.value.code is Code.OUTPUT
    wait_until(lambda: not any(lasting_cluster.fits().values()))


def test_a_fit_that_kills_its_workers_is_one_clear_error(tmp_path: Path) -> None:
    # As few deaths as can be: Dask's own setting, three where nothing is said.
    fragile = DaskCluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")

    def kill(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            wait_until(lambda: all(fragile.fits().values()))
            fragile.workers[0].kill()

    config = tiny_config("rf_labs", "pet", preset=ENDLESS)
    try:
        with cluster_workers(fragile.address) as workers, pytest.raises(RunFailed) as failure:
            run_crossval(COHORT, IMAGES, config, tmp_path / "run", kill, workers)
    finally:
        fragile.end()
    assert failure.value.code is Code.TRAINING_FAILED
    assert "memory" in failure.value.message


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8786", "http://localhost:8786", "tcp://localhost", "tcp://:8786", "tcp://host:port", "tcp://h:1/x"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputRefused) as refusal, cluster_workers(address):
        pass
    assert refusal.value.code is Code.CLUSTER_ADDRESS
    assert refusal.value.where == address
    assert "tcp://host:port" in refusal.value.remedy


@pytest.mark.parametrize(("scheme", "listening"), [("tcp", False), ("tcp", True), ("tls", True)])
def test_a_port_where_no_scheduler_answers_is_refused(
    scheme: str, listening: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_room, "CONNECT_SECONDS", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:  # another service, which accepts and waits
            silent.listen()
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputRefused) as refusal, cluster_workers(address):
            pass
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE
    assert refusal.value.where == address
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\1" + bytes(7) + b"\4" + bytes(7) + b"four" * 9])
def test_a_port_of_a_service_that_is_not_dask_is_refused(greeting: bytes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def greet() -> None:
            caller, _ = other.accept()
            with caller:
                caller.sendall(greeting)

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(InputRefused) as refusal, cluster_workers(f"tcp://127.0.0.1:{other.getsockname()[1]}"):
            pass
        greeter.join()
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE


def test_a_connection_that_dasks_own_configuration_forbids_is_refused() -> None:
    import dask

    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(InputRefused) as refusal,
        cluster_workers("tcp://127.0.0.1:8786"),
    ):
        pass
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE
    assert "encryption" in refusal.value.message


def test_the_address_of_a_worker_is_refused(lasting_cluster: DaskCluster) -> None:
    with distributed.Client(lasting_cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1)
        address = next(iter(client.nthreads()))
    running = set(threading.enumerate())
    with pytest.raises(InputRefused) as refusal, cluster_workers(address):
        pass
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE
    wait_until(lambda: "IO loop" not in {thread.name for thread in set(threading.enumerate()) - running})


def test_a_scheduler_without_workers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_room, "CONNECT_SECONDS", 6.0)
    lonely = DaskCluster(tmp_path, workers=0)
    try:
        with pytest.raises(InputRefused) as refusal, cluster_workers(lonely.address):
            pass
    finally:
        lonely.end()
    assert refusal.value.code is Code.CLUSTER_UNREACHABLE
    assert "no workers" in refusal.value.message


OTHER_VERSION = "import PRRTPredictorCore; PRRTPredictorCore.__version__ = '0.0.1'"
WITHOUT_US = "import sys; sys.modules['PRRTPredictorCore'] = None"


@pytest.mark.parametrize(
    ("threads", "first", "named"),
    [
        (2, "", "2 threads"),
        (1, OTHER_VERSION, "prrtpredictor 0.0.1 instead of"),
        (1, WITHOUT_US, "PRRTPredictorCore"),
    ],
    ids=["threads", "version", "absent"],
)
def test_a_worker_that_cannot_do_the_fits_is_refused(tmp_path: Path, threads: int, first: str, named: str) -> None:
    module = "\n".join((first, "from distributed.cli.dask_worker import main", "main()"))
    (tmp_path / "odd_worker.py").write_text(module, encoding="utf-8")
    odd = DaskCluster(tmp_path, workers=0)
    odd.add_worker(threads, "odd_worker")  # found in the folder in which it is started
    try:
        with pytest.raises(InputRefused) as refusal, cluster_workers(odd.address):
            pass
    finally:
        odd.end()
    assert refusal.value.code is Code.CLUSTER_MISMATCH
    assert named in refusal.value.message
    assert refusal.value.where.startswith("tcp://127.0.0.1:")


class SeenHereOnly(InMemoryStudies):
    """Images on a disk of this machine's own."""

    home = os.getpid()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "home": self.home}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def study(self, code: str) -> PreparedStudy:
        if os.getpid() != self.home:
            raise RunFailed(Code.OUTPUT, "not there", where=code)
        return super().study(code)


def test_workers_that_do_not_see_the_images_are_refused(tmp_path: Path, lasting_cluster: DaskCluster) -> None:
    images = SeenHereOnly(IMAGES.studies)
    with cluster_workers(lasting_cluster.address) as workers, pytest.raises(InputRefused) as refusal:
        run_crossval(COHORT, images, tiny_config("pet"), tmp_path, workers=workers)
    assert refusal.value.code is Code.CLUSTER_FILES
    assert COHORT.patients[0].code in refusal.value.message
    assert "PRRT_CACHE_DIR" in refusal.value.remedy
    assert not list(tmp_path.glob("folds/*/*"))


def test_a_worker_that_joins_late_and_does_not_see_the_images_is_refused_too(
    tmp_path: Path, lasting_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_room.ClusterWorkers, "require", lambda *_: None)  # it was not there to be asked
    images = SeenHereOnly(IMAGES.studies)
    with cluster_workers(lasting_cluster.address) as workers, pytest.raises(InputRefused) as refusal:
        run_crossval(COHORT, images, tiny_config("pet"), tmp_path, workers=workers)
    assert refusal.value.code is Code.CLUSTER_FILES


def test_without_dask_the_remedy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputRefused) as refusal, cluster_workers("tcp://127.0.0.1:8786"):
        pass
    assert refusal.value.code is Code.DEPENDENCY_MISSING
    assert "prrtpredictor[distributed]" in refusal.value.remedy


def test_an_error_of_a_fit_comes_back_as_it_was(tmp_path: Path, lasting_cluster: DaskCluster) -> None:
    def damage(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train":
            (tmp_path / "ct_encoder.safetensors").write_bytes(b"no encoder")

    config = tiny_config("pet_ct_labs_pretrained")
    with cluster_workers(lasting_cluster.address) as workers, pytest.raises(ModelRefused) as failure:
        run_crossval(COHORT, IMAGES, config, tmp_path, damage, workers)
    assert failure.value.code is Code.WEIGHTS_MISMATCH
