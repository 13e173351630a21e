"""The shorter form of `make kills`: some kills at random moments of every command that writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parents[1] / "Kills" / "kills.py"
NUMBERS = {"train": 4, "fit": 2, "report": 2, "cache": 2, "key": 8}


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has loaded torch: Linux alone")
def test_nothing_finished_is_lost_when_commands_are_killed_at_random_moments() -> None:
    options = [word for kind, number in NUMBERS.items() for word in (f"--{kind}", str(number))]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(KILLS), "--seed", "1", *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: nothing was lost" in done.stdout
    for kind, number in NUMBERS.items():
        assert f"\n{kind}: {number} kills" in done.stdout
