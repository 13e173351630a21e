"""A script's end: the exit status tells what happened, and an error says what to do."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

from PRRTPredictorCore.errors import Code, ModelRefused


@pytest.fixture
def statuses(host: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit statuses that Slicer was asked to end with."""
    import slicer

    asked: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", asked.append)
    return asked


def test_a_script_that_comes_to_its_end(statuses: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    from PRRTPredictorLib.Headless import runAndExit

    runAndExit(lambda: print("done"))
    assert statuses == [0]
    assert capsys.readouterr().out.splitlines() == ["Research use only. Not a diagnostic device.", "done"]


def test_a_typed_error_is_logged_with_its_remedy(statuses: list[int], caplog: pytest.LogCaptureFixture) -> None:
    from PRRTPredictorLib.Headless import runAndExit

    error = ModelRefused(Code.MODEL_MISSING, "There is no model.", where="model", remedy="Choose another folder.")

    def main() -> None:
        raise error

    runAndExit(main)
    assert statuses == [error.exit_code]
    assert error.exit_code not in (0, 1)
    assert "MODEL_MISSING" in caplog.text
    assert "Choose another folder." in caplog.text


def test_anything_else_is_raised_on_and_ends_with_1(statuses: list[int]) -> None:
    from PRRTPredictorLib.Headless import runAndExit

    def main() -> None:
        raise AssertionError("no probability")

    with pytest.raises(AssertionError, match="no probability"):
        runAndExit(main)
    assert statuses == [1]


def test_progress_goes_to_stderr(host: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from PRRTPredictorLib.Headless import printProgress
    from PRRTPredictorLib.Worker import Progressed

    printProgress(Progressed("train", 6, 105, 720.0, "rf_labs"))
    printProgress(Progressed("prepare", 1, 3, None, ""))
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.strip() for line in said.err.splitlines()] == ["train 6/105 rf_labs, 12 min left", "prepare 1/3"]
