"""Where disk, memory or the means of sharing work run short: one clear line, exit 4, and nothing finished is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_stand_in import TINY, tiny_cohort

from PRRTPredictorCore import cli
from PRRTPredictorCore.commands import serial_notices
from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.shortage import is_out_of_memory, memory_told, out_of_memory
from PRRTPredictorCore.training.data import gather_training_data
from PRRTPredictorCore.training.engine import FitSettings, fit_folds
from PRRTPredictorCore.training.records import FoldTask

HERE = Path(__file__).parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory limits and mounts of Linux")

SHORT = [
    MemoryError(),
    MemoryError("Unable to allocate 4.00 GiB for an array with shape (1, 2)"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 11.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
]
OTHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1)"),
    ImportError("No module named 'monai'"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ValueError("memory"),
]


@pytest.mark.parametrize("problem", SHORT, ids=lambda problem: f"{type(problem).__name__} {problem}"[:40])
def test_every_way_in_which_libraries_say_that_memory_is_short(problem: Exception) -> None:
    assert is_out_of_memory(problem)
    wrapped = RuntimeError("a fit failed")
    wrapped.__cause__ = problem
    assert is_out_of_memory(wrapped)
    with pytest.raises(RunFailed) as failure, memory_told():
        raise problem if not isinstance(problem, ImportError) else wrapped
    assert failure.value.code is Code.OUT_OF_MEMORY
    assert failure.value.exit_code == 4
    of_a_gpu = "cu" in str(problem).lower()
    assert ("--device cpu" in out_of_memory(problem).remedy) is of_a_gpu
    assert ("--jobs" in out_of_memory(problem).remedy) is not of_a_gpu


@pytest.mark.parametrize("problem", OTHER, ids=str)
def test_another_failure_is_not_taken_for_it(problem: Exception) -> None:
    assert not is_out_of_memory(problem)
    with pytest.raises(type(problem)), memory_told():
        raise problem


# --- the last resort --------------------------------------------------------------------------------------------------


def failing(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def index(*_: object) -> None:
        raise problem

    monkeypatch.setattr("PRRTPredictorCore.dicom.index.index_source", index)


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (KeyError("/home/x/MUELLER_HANS"), "INTERNAL"),
        (RecursionError("maximum recursion depth exceeded"), "INTERNAL"),
        (AssertionError(), "INTERNAL"),
        (SystemError("error return without exception set"), "INTERNAL"),
        (MemoryError(), "OUT_OF_MEMORY"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/home/x/MUELLER_HANS/run"), "OUTPUT"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_whatever_fails_is_one_line_and_exit_4(
    problem: Exception, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    failing(problem, monkeypatch)
    assert cli.main(["index", "somewhere"]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith(f"prrt: {code}: ")
    assert "Remedy: " in told.err
    assert "MUELLER" not in told.err
    assert cli.main(["index", "somewhere", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_where_a_failure_happened_is_printed_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyError("place"), monkeypatch)
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert cli.main(["index", "somewhere"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.splitlines()[-1].startswith("prrt: INTERNAL: ")


# --- memory -----------------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("megabytes", [250, 400, 600, 800, 1000])
def test_under_a_limit_that_is_never_enough_nothing_is_begun(megabytes: int, tmp_path: Path) -> None:
    """Below 1 GiB, libraries end the process while they are loaded (std::bad_alloc) or hang."""
    limited = f"ulimit -v {megabytes * 1000} && exec {sys.executable} -m PRRTPredictorCore train c.csv --out run"
    ended = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 4
    assert ended.stderr.count("\n") == 1
    assert "OUT_OF_MEMORY" in ended.stderr
    assert not any(tmp_path.iterdir())


@linux
def test_memory_that_ends_in_the_middle_of_a_fit_is_typed() -> None:
    script = f"""
        import resource, sys
        sys.path[:0] = {[str(HERE)]!r}
        from dataclasses import replace
        import numpy as np, psutil
        from test_shortage import DATA, IMAGES, task
        from PRRTPredictorCore.errors import RunFailed
        from PRRTPredictorCore.training.engine import FitSettings, fit_folds
        from training_stand_in import TINY
        huge = np.broadcast_to(np.float32(1), (700, 700, 700))  # takes no memory itself
        images = IMAGES.changed(DATA.codes[0], lambda _: huge)
        limit = psutil.Process().memory_info().vms + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            list(fit_folds([task("pet_labs")], replace(DATA, images=images), FitSettings(TINY, seed=3)))
        except RunFailed as failure:
            print(failure)
        print(len(list(fit_folds([task("rf_labs")], DATA, FitSettings(TINY, seed=3)))), "fitted afterwards")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # each thread's stack counts
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.stdout.startswith("OUT_OF_MEMORY: The memory does not suffice. Remedy: "), ended.stderr
    assert ended.stdout.endswith("1 fitted afterwards\n")


COHORT, IMAGES = tiny_cohort()
DATA, _ = gather_training_data(COHORT, IMAGES)


def task(model: str, fold: int = 0) -> FoldTask:
    return FoldTask(model, 0, fold, DATA.codes[fold : fold + 12], DATA.codes[:fold] + DATA.codes[fold + 12 :])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: its real shortage of memory is not tested")
def test_a_gpu_that_is_really_short_of_memory_halves_the_group() -> None:
    from PRRTPredictorCore.models.presets import TUNED

    settings = FitSettings(replace(TINY, network=TUNED.network, batch_size=12), seed=3, device="cuda")
    folds = [task("pet_ct_labs", fold) for fold in range(4)]
    torch.cuda.reset_peak_memory_stats()
    whole = list(fit_folds(folds, DATA, settings))
    most = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.7 * most / total)
    try:
        short = list(fit_folds(folds, DATA, settings))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert {result.outcome.folds_together for result in whole} == {4}
    assert {result.outcome.folds_together for result in short} < {1, 2, 3}
    assert short[0].halved


# --- disk and shared memory -------------------------------------------------------------------------------------------


def own_mounts() -> bool:
    """Whether this process may mount something that no other sees: root on Linux, most containers included."""
    tool = shutil.which("unshare")
    if sys.platform != "linux" or tool is None:
        return False
    return subprocess.run([tool, "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0


def in_own_mounts(script: str, folder: Path) -> list[str]:
    """The lines that a script prints where it may mount what it likes; ``folder`` is its argument."""
    prepared = f"import sys\nsys.path[:0] = [{str(HERE)!r}]\n" + textwrap.dedent(script)
    line = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", prepared, str(folder)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout.splitlines()


@pytest.mark.skipif(not own_mounts(), reason="needs root on Linux to mount a small disk and take /dev/shm away")
def test_a_disk_that_is_full_or_read_only_ends_the_run_and_a_larger_one_lets_it_finish(tmp_path: Path) -> None:
    """All of it without /dev/shm, where work is not shared among processes, and no library says so in its own words."""
    script = """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=0,ro,nr_inodes=1", "none", "/dev/shm"], check=True)
        from pathlib import Path
        from PRRTPredictorCore.cli import _quiet_libraries
        _quiet_libraries()
        from PRRTPredictorCore.commands import serial_notices
        from training_stand_in import tiny_cohort, tiny_config
        from PRRTPredictorCore.errors import RunFailed
        from PRRTPredictorCore.training.crossval import run_crossval
        from PRRTPredictorCore.training.store import RunStore
        from PRRTPredictorCore.models.encoder_files import write_encoder
        from PRRTPredictorCore.models.pretrained import ct_encoder_for
        from PRRTPredictorCore.models.registry import MODELS
        from PRRTPredictorCore.progress import silent
        from PRRTPredictorCore.training.ctfeatures import with_ct_features
        from PRRTPredictorCore.training.engine import FitSettings
        from test_shortage import DATA, TINY
        cohort, images = tiny_cohort()
        config = tiny_config("rf_labs", repeats=4, jobs=2)
        disk = Path(sys.argv[1]) / "disk"
        disk.mkdir()
        def mount(options):
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)
        def failure(work=lambda: run_crossval(cohort, images, config, disk / "run")):
            try:
                work()
            except RunFailed as failed:
                return f"{failed.code.value} exit {failed.exit_code} lines {len(str(failed).splitlines())}"
        encoder = Path(sys.argv[1]) / "encoder"
        write_encoder(encoder, ct_encoder_for(TINY))
        settings = FitSettings(TINY, seed=3, ct_encoder=encoder)
        mount("size=8k")
        print(failure(lambda: with_ct_features(DATA, MODELS["pet_ct_labs_pretrained"], settings, disk, silent)))
        print(list(disk.iterdir()))
        mount("size=160k")
        print(failure())
        kept = RunStore(disk / "run").finished("rf_labs")
        before = {path: path.read_bytes() for path in disk.rglob("*.csv")}
        print(0 < len(kept) < 8, not any("partial" in path.name for path in disk.rglob("*")))
        print(failure())
        mount("remount,ro,size=20m")
        print(failure())
        mount("remount,rw,size=20m")
        store = run_crossval(cohort, images, config, disk / "run")
        whole = run_crossval(cohort, images, config, Path(sys.argv[1]) / "whole")
        print(len(store.missing()), all(path.read_bytes() == content for path, content in before.items()))
        pairs = zip(store.predictions("rf_labs"), whole.predictions("rf_labs"))
        print(all((ours.logit == theirs.logit).all() for ours, theirs in pairs))
        print([notice.code for notice in serial_notices(2)], serial_notices(1))
    """
    full = "OUTPUT exit 4 lines 1"
    told = "['ONE_PROCESS'] ()"
    assert in_own_mounts(script, tmp_path) == [full, "[]", full, "True True", full, full, "0 True", "True", told]


def test_that_work_was_not_shared_is_told_only_where_sharing_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serial_notices(2) == ()
    monkeypatch.setattr("joblib.effective_n_jobs", lambda wanted: 1)
    assert [notice.code for notice in serial_notices(2)] == ["ONE_PROCESS"]
    assert serial_notices(1) == ()
