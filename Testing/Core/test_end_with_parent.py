"""A command started by another program does not outlive it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SECONDS = 240.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    private = {"PRRT_CONFIG_DIR": str(tmp_path / "config"), "PRRT_CACHE_DIR": str(tmp_path / "cache")}
    return {**os.environ, **private, "OMP_NUM_THREADS": "1"}


def synth(tmp_path: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    line = ("synth", "--out", str(tmp_path / "cohort"), "--patients", "400", "--jobs", "2", "--progress", "jsonl")
    return subprocess.Popen(
        [sys.executable, "-m", "PRRTPredictorCore", *line],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The process and, once there are any, all that it started."""
    root, until = psutil.Process(process.pid), time.monotonic() + SECONDS
    while time.monotonic() < until:
        children = root.children(recursive=True)
        if len(children) >= 2:
            return [root, *children]
        time.sleep(0.05)
    raise AssertionError("the command started no workers")


def end(members: list[psutil.Process]) -> None:
    for member in members:
        with contextlib.suppress(psutil.Error):
            member.kill()


def test_the_command_and_its_workers_end_when_the_pipe_closes(tmp_path: Path, environment: dict[str, str]) -> None:
    process = synth(tmp_path, {**environment, "PRRT_END_WITH_PARENT": "1"})
    assert process.stdin is not None
    members = family(process)
    try:
        time.sleep(0.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=SECONDS) == 130
        _, alive = psutil.wait_procs(members, timeout=SECONDS)
        assert not alive
    finally:
        end(members)


def test_a_closed_pipe_means_nothing_where_nobody_asked(tmp_path: Path, environment: dict[str, str]) -> None:
    process = synth(tmp_path, environment)
    assert process.stdin is not None
    process.stdin.close()
    members = family(process)
    try:
        time.sleep(0.5)
        assert process.poll() is None
    finally:
        end(members)


def test_a_command_that_finishes_first_ends_as_ever(tmp_path: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "PRRTPredictorCore", "suv", str(tmp_path / "absent")],
        env={**environment, "PRRT_END_WITH_PARENT": "1"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.wait(timeout=SECONDS) == 3
    assert process.stdin is not None
    process.stdin.close()
    assert process.stderr is not None
    assert process.stderr.read().startswith("prrt: PATH_MISSING")
    process.stderr.close()
