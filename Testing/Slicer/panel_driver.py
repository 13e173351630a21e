"""What tests of the panel share: the panel in view, and a child process that does what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def panel_in_view(host: Any) -> Iterator[Any]:
    """The panel (``PRRTPredictorWidget``); afterwards no slot may have raised anything."""
    yield host.module("PRRTPredictor")
    assert host.slotErrors == []


def leave_panel() -> None:
    """No module is in view any more."""
    import slicer

    slicer.util.mainWindow().moduleSelector().leave()


def only_error(host: Any) -> str:
    """The text of the only error message that was shown."""
    texts = [message.text for message in host.dialogs.errors]
    assert len(texts) == 1, texts
    return texts[0]


class FakeJob:
    """A child process without a process."""

    def __init__(self) -> None:
        self.running = True
        self.cancelled = False
        self.polls = 0

    def poll(self) -> None:
        self.polls += 1

    def cancel(self) -> None:
        self.cancelled = True
        self.running = False
