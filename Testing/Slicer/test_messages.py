"""What the user is told of an error; the dialogs themselves are Slicer's."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from PRRTPredictorCore.errors import Cancelled, Code, InputRefused
from PRRTPredictorLib import Worker


@pytest.fixture
def said() -> list[tuple[str, str, dict[str, Any]]]:
    return []


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch, said: list) -> Any:
    """The module, loaded beside a Slicer that remembers what it is asked to show."""
    util, i18n, slicer, qt = (ModuleType(name) for name in ("slicer.util", "slicer.i18n", "slicer", "qt"))
    util.messageBox = lambda text, **options: said.append((options["icon"], text, options))
    util.mainWindow = object
    qt.QMessageBox = SimpleNamespace(Critical="error", Ok=1)
    slicer.app = SimpleNamespace(testingEnabled=lambda: False)
    util.showStatusMessage = lambda text, duration=0: said.append(("status", text, {}))
    i18n.tr = lambda text: text
    slicer.util, slicer.i18n = util, i18n
    for module in (slicer, util, i18n, qt):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("messages_alone", Path(Worker.__file__).with_name("Messages.py"))
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_message_place_and_remedy_are_said(messages: Any) -> None:
    full = messages.describe(InputRefused(Code.NO_CT, "There is no CT.", where="study table", remedy="Import it."))
    assert full.split("\n\n") == ["There is no CT.", "Where: study table", "What to do: Import it."]
    assert messages.describe(InputRefused(Code.NO_CT, "There is no CT.")) == "There is no CT."


def test_a_typed_error_is_shown_and_the_slot_ends(messages: Any, said: list) -> None:
    with messages.reporting():
        raise InputRefused(Code.NO_CT, "There is no CT.", remedy="Import it.")
    ((kind, text, _options),) = said
    assert kind == "error"
    assert "Import it." in text


@pytest.mark.parametrize("nobody", ["testing", "no window"])
def test_there_is_no_dialog_where_nobody_could_close_it(
    messages: Any, said: list, caplog, capsys, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    if nobody == "testing":
        monkeypatch.setattr(sys.modules["slicer"].app, "testingEnabled", lambda: True)
    else:
        monkeypatch.setattr(sys.modules["slicer.util"], "mainWindow", lambda: None)
    caplog.set_level(logging.INFO)
    with messages.reporting():
        raise InputRefused(Code.NO_CT, "There is no CT.", where="MUSTER.dcm")
    assert said == []
    assert "NO_CT" in caplog.text
    assert "MUSTER" not in caplog.text
    assert ("There is no CT." in capsys.readouterr().err) == (nobody != "testing")


def test_who_cancelled_gets_no_dialog(messages: Any, said: list) -> None:
    with messages.reporting():
        raise Cancelled(Code.CANCELLED, "Cancelled.")
    assert [(kind, text) for kind, text, _ in said] == [("status", "Cancelled.")]


def test_an_unexpected_error_is_shown_with_its_traceback_and_logged(messages: Any, said: list, caplog) -> None:
    with messages.reporting():
        raise ZeroDivisionError
    ((_kind, text, options),) = said
    assert "ZeroDivisionError" in text
    assert "Traceback" in options["detailedText"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("raised", [PermissionError(13, "denied", "/data/MUSTER/1.dcm"), ValueError("MUSTER")])
def test_slicers_log_gets_the_place_in_the_code_and_no_name(messages: Any, raised: Exception, caplog) -> None:
    with messages.reporting():
        raise raised
    assert f"{type(raised).__name__} in Messages.py:" in caplog.text
    assert "> test_messages.py:" in caplog.text
    assert "MUSTER" not in caplog.text
    assert str(Path(__file__).parent) not in caplog.text


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_swallowed(messages: Any, said: list, raised: type[BaseException]) -> None:
    with pytest.raises(raised), messages.reporting():
        raise raised
    assert said == []
