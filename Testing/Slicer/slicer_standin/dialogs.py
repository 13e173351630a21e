"""Dialogs that never block: slicer.util's messages are kept for tests, printed, and answered at once."""

from __future__ import annotations

import logging
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One dialog that the user would have seen: ``kind`` is "info", "warning", "error" or "question"."""

    kind: str
    text: str
    title: str
    details: str
    answer: Any


class Dialogs:
    """What was shown, and what the user will say. ``slicer.app.dialogs``."""

    def __init__(self) -> None:
        self.shown: list[Message] = []
        self._answers: deque[bool] = deque()

    def answer(self, *accepted: bool) -> None:
        """What the user says to the next questions: True accepts, False declines. Without it he accepts."""
        self._answers.extend(accepted)

    def clear(self) -> None:
        self.shown.clear()
        self._answers.clear()

    @property
    def errors(self) -> list[Message]:
        return [message for message in self.shown if message.kind == "error"]

    @property
    def questions(self) -> list[Message]:
        return [message for message in self.shown if message.kind == "question"]

    def show(self, kind: str, text: str, title: str = "", details: str = "", buttons: int = 0) -> Any:
        """Keep and print a message; the button that ends the dialog."""
        answer = self._button(buttons)
        self.shown.append(Message(kind, str(text), title, details, answer))
        print(f"[dialog] {kind}: {text}" + (f"\n{details}" if details else ""), file=sys.stderr)
        return answer

    @staticmethod
    def _kind(icon: Any) -> str:
        import qt

        kinds = {
            qt.QMessageBox.Critical: "error",
            qt.QMessageBox.Warning: "warning",
            qt.QMessageBox.Question: "question",
        }
        return kinds.get(icon, "info")

    def _button(self, buttons: int) -> int:
        import qt

        box = qt.QMessageBox
        accepting = [button for button in (box.Ok, box.Yes, box.Retry) if int(buttons) & int(button)] or [box.Ok]
        declining = [button for button in (box.Cancel, box.No, box.Close) if int(buttons) & int(button)]
        if not declining:
            return accepting[0]
        accepted = self._answers.popleft() if self._answers else True
        return (accepting if accepted else declining)[0]

    def install(self) -> None:
        """Put this in the place of the two functions of slicer.util that wait for the user."""
        import slicer

        def messageDisplay(
            logLevel: int,
            text: str,
            testingReturnValue: Any,
            mainWindowNeeded: bool = False,
            parent: Any = None,
            windowTitle: str | None = None,
            **kwargs: Any,
        ) -> Any:
            logging.log(logLevel, text)
            isQuestion = isinstance(testingReturnValue, bool)
            level = {logging.ERROR: "error", logging.WARNING: "warning"}.get(logLevel, "info")
            if slicer.app.testingEnabled() or (mainWindowNeeded and slicer.util.mainWindow() is None):
                self.shown.append(Message(level, str(text), windowTitle or "", kwargs.get("detailedText", ""), None))
                return testingReturnValue if slicer.app.testingEnabled() else None
            return slicer.util.messageBox(
                text,
                parent=parent,
                windowTitle=windowTitle or level,
                _kind="question" if isQuestion else level,
                **kwargs,
            )

        def messageBox(text: str, parent: Any = None, **kwargs: Any) -> Any:
            return self.show(
                kwargs.get("_kind") or self._kind(kwargs.get("icon")),
                text,
                kwargs.get("windowTitle", ""),
                str(kwargs.get("detailedText", "")),
                kwargs.get("standardButtons") or 0,
            )

        def delayDisplay(message: str, autoCloseMsec: int = 1000, parent: Any = None, **kwargs: Any) -> None:
            logging.info(message)
            slicer.app.processEvents()

        slicer.util._messageDisplay = messageDisplay
        slicer.util.messageBox = messageBox
        slicer.util.delayDisplay = delayDisplay
