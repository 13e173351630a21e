"""Locks between processes: never two holders, the holder is named, and a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from PRRTPredictorCore import locks
from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.locks import LockTaken, holding
from PRRTPredictorCore.models import organs
from PRRTPredictorCore.training import lock as run_locks
from PRRTPredictorCore.training.lock import LOCK_NAME, RESULTS_LOCK_NAME, results_lock, run_lock

RACERS, RACES = 4, 200

RACING = """
import os, sys
from pathlib import Path
from PRRTPredictorCore.errors import RunFailed
from PRRTPredictorCore.training.lock import run_lock

run, inside, wins = Path(sys.argv[1]), sys.argv[2], 0
sys.stdin.readline()
while wins < int(sys.argv[3]):
    try:
        with run_lock(run):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails where another process is in here as well
            os.unlink(inside)
            wins += 1
    except RunFailed as busy:
        assert busy.code.name == "RUN_BUSY", busy
print(wins)
"""


def test_of_many_processes_that_race_for_a_run_one_has_it_at_a_time(tmp_path: Path) -> None:
    """The folder is new each time and removed as it was left empty: that is where two could once get in."""
    line = [sys.executable, "-c", RACING, str(tmp_path / "run"), str(tmp_path / "inside"), str(RACES // RACERS)]
    racers = [
        subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.communicate(timeout=300) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * RACERS, told
    assert sum(int(out) for out, _ in told) == RACES
    # Who found the folder there leaves it there.
    assert [path.name for path in tmp_path.glob("run/*")] in ([], [LOCK_NAME])


HOLDING = """
import sys
from pathlib import Path
from PRRTPredictorCore.locks import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is told to end, or killed."""
    line = [sys.executable, "-c", textwrap.dedent(HOLDING), str(path)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_second_is_refused_naming_the_first_and_takes_over_when_that_is_dead(tmp_path: Path) -> None:
    with holder(tmp_path / LOCK_NAME) as first:
        with pytest.raises(RunFailed) as refused, run_lock(tmp_path):
            pass
        assert refused.value.code is Code.RUN_BUSY
        assert f"(pid {first.pid})" in refused.value.message
        assert refused.value.exit_code == 4
        first.kill()
        first.wait()
        assert (tmp_path / LOCK_NAME).read_text(encoding="ascii") == str(first.pid)  # stale, and in nobody's way
        with run_lock(tmp_path):
            assert (tmp_path / LOCK_NAME).read_text(encoding="ascii") == str(os.getpid())
    assert (tmp_path / LOCK_NAME).read_text(encoding="ascii") == ""


def test_a_lock_whose_file_was_removed_while_it_was_opened_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, opened = tmp_path / "lock", locks._lock, []

    def slow(handle: int) -> bool:
        opened.append(handle)
        if len(opened) == 1:  # between opening and locking, the last holder has removed the file
            path.unlink()
        return real(handle)

    if os.name == "nt":
        pytest.skip("an open file cannot be removed there")
    monkeypatch.setattr(locks, "_lock", slow)
    with holding(path):
        assert len(opened) == 2
        with pytest.raises(LockTaken), holding(path):
            pass


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there, held or not")
def test_a_folder_left_empty_is_removed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go first, the next process could hold a file that is then removed, and a third one the next file."""
    remove, refused = run_locks._remove_if_empty, []

    def watched(run: Path) -> None:
        with pytest.raises(LockTaken), holding(run / LOCK_NAME):
            pass
        refused.append(run)
        remove(run)

    monkeypatch.setattr(run_locks, "_remove_if_empty", watched)
    with pytest.raises(ValueError, match="refused before it began"), run_lock(tmp_path / "run"):
        raise ValueError("refused before it began")
    assert refused
    assert not (tmp_path / "run").exists()


def test_a_place_of_the_same_process_is_another_holder(tmp_path: Path) -> None:
    with holding(tmp_path / "lock"), pytest.raises(LockTaken) as refused, holding(tmp_path / "lock"):
        pass
    assert refused.value.pid == os.getpid()
    with holding(tmp_path / "lock"):
        pass


def test_a_lock_is_let_go_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in the block"), holding(tmp_path / "a" / "lock"):
        raise ValueError("in the block")
    with holding(tmp_path / "a" / "lock"):
        pass


def test_a_holder_that_does_not_say_who_it_is_is_refused_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_NAMING_S", 0.01)
    with holding(tmp_path / LOCK_NAME):
        (tmp_path / LOCK_NAME).write_text("")
        with pytest.raises(RunFailed, match="Another process is working on this run") as refused:
            run_lock(tmp_path).__enter__()
    assert "pid" not in refused.value.message


def test_results_wait_for_one_another_and_not_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with results_lock(tmp_path):
            order.append("second")

    with run_lock(tmp_path):
        with results_lock(tmp_path):
            other = threading.Thread(target=second)
            other.start()
            assert waits.wait(30)
            order.append("first")
        other.join()
    assert order == ["first", "second"]
    monkeypatch.setattr(run_locks, "_PATIENCE_S", 0.01)
    with holder(tmp_path / RESULTS_LOCK_NAME) as hanging:
        with pytest.raises(RunFailed) as refused, results_lock(tmp_path):
            pass
        assert refused.value.code is Code.RUN_BUSY
        assert str(hanging.pid) in refused.value.message


def test_an_encoder_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PRRTPredictorCore.models.presets import QUICK

    key_named = []
    with pytest.raises(ZeroDivisionError):  # to learn the name of the lock
        organs.embedded_encoder(QUICK.pretraining, cache_dir=tmp_path, make=lambda seed, shape: 1 / 0)  # type: ignore[arg-type, return-value]
    (lock,) = (tmp_path / "encoders").glob("*.lock")
    monkeypatch.setattr(organs, "PATIENCE_S", 0.01)
    with holder(lock) as hanging, pytest.raises(RunFailed) as refused:
        organs.embedded_encoder(
            QUICK.pretraining,
            cache_dir=tmp_path,
            progress=lambda stage, done, total, message="": key_named.append(message),
        )
    assert refused.value.code is Code.RUN_BUSY
    assert str(hanging.pid) in refused.value.message
    assert key_named == ["another process is making the encoder"]


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends without a word there")
@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed on Windows")
@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing yet"])
def test_a_lock_that_is_a_link_empties_no_file_and_makes_none(there: bool, tmp_path: Path) -> None:
    """As in a run folder from somebody who wishes harm."""
    mine, run = tmp_path / "thesis.txt", tmp_path / "run"
    if there:
        mine.write_text("years of work", encoding="utf-8")
    run.mkdir()
    for name, lock in ((LOCK_NAME, run_lock), (RESULTS_LOCK_NAME, results_lock)):
        (run / name).symlink_to(mine)
        with pytest.raises(RunFailed) as failure, lock(run):
            pass
        assert failure.value.code is Code.OUTPUT
    assert [path.read_text(encoding="utf-8") for path in tmp_path.glob("*.txt")] == ["years of work"] * there


def test_a_holder_that_was_asked_to_end_leaves_a_free_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        process.send_signal(signal.SIGTERM)
        process.wait()
        with holding(tmp_path / "lock"):
            pass
