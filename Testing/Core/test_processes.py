"""Work in processes beside this one: it ends with whoever asked for it, and leaves nothing aside."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.processes import side_by_side


def own_number(_: int) -> int:
    return os.getpid()


def is_at_work(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_every_task_is_done_somewhere_else() -> None:
    assert sorted(side_by_side(abs, [-3, 1, -2], 2)) == [1, 2, 3]
    assert os.getpid() not in side_by_side(own_number, range(4), 2)


def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(RunFailed) as failure:
        list(side_by_side(os._exit, [1, 1], 2))
    assert failure.value.code is Code.WORKER_DIED
    assert len(str(failure.value).splitlines()) == 1


def test_who_stops_asking_ends_the_processes() -> None:
    with closing(side_by_side(own_number, range(50), 2)) as numbers:
        worker = psutil.Process(next(numbers))
    _, alive = psutil.wait_procs([worker], timeout=30)
    assert not alive


@pytest.mark.skipif(os.name == "nt", reason="a process that has ended has no number there")
def test_the_processes_end_with_a_killed_parent_whom_nobody_has_buried(tmp_path: Path) -> None:
    """Its number stays in use until whoever started it asks how it ended: a hanging application never does."""
    code = """
        import os, sys, time
        from pathlib import Path
        from PRRTPredictorCore.processes import side_by_side
        def work(name):
            Path(name).write_text(str(os.getpid()))
            Path(name).rename(name + ".told")
            time.sleep(600)
        if __name__ == "__main__":
            list(side_by_side(work, sys.argv[1:], 2))
    """
    names = [tmp_path / "one.told", tmp_path / "two.told"]
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *(str(n.with_suffix("")) for n in names)])
    try:
        while not all(name.exists() for name in names):
            assert parent.poll() is None
            time.sleep(0.05)
        workers = [int(name.read_text(encoding="ascii")) for name in names]
        parent.kill()
        deadline = time.monotonic() + 60
        while any(map(is_at_work, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(is_at_work, workers))
        assert psutil.pid_exists(parent.pid)
    finally:
        parent.kill()
        parent.wait()


def what_lies_in(task: tuple[NDArray[np.float64], str]) -> list[str]:
    values, folder = task
    assert values.size == 2**18
    return [path.name for path in Path(folder).rglob("*") if path.is_file()]


def test_no_task_is_written_into_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blood values among them: a process that is killed could leave them there."""
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    large = np.zeros(2**18)  # 2 MB; joblib writes what is larger than 1 MB
    assert list(side_by_side(what_lies_in, [(large, str(tmp_path))] * 3, 2)) == [[], [], []]
