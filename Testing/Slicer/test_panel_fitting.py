"""Rows and buttons with large letters stay within a narrow panel; with usual ones they are left as they are."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

LONG = "Create demo patient (SYNTHETIC) of the very largest kind"


def enlarged(widget: Any, points: int) -> Any:
    font = widget.font
    font.setPointSize(points)
    widget.setFont(font)
    return widget


def test_a_long_text_is_broken_into_lines_of_about_the_same_length(host: Any) -> None:
    import qt

    from PRRTPredictorLib.Panel.Fitting import NARROW_PANEL, breakLongText

    button = enlarged(qt.QPushButton(LONG), 18)
    assert button.sizeHint.width() > NARROW_PANEL
    breakLongText(button)
    lines = button.text.split("\n")
    assert " ".join(lines) == LONG
    assert len(lines) == 3
    assert max(map(len, lines)) <= 1.5 * len(LONG) / len(lines)


def test_a_text_that_fits_is_left_alone(host: Any) -> None:
    import qt

    from PRRTPredictorLib.Panel.Fitting import breakLongText

    button = enlarged(qt.QPushButton("Jump to the hottest spot"), 8)
    breakLongText(button)
    assert button.text == "Jump to the hottest spot"


@pytest.mark.parametrize(("points", "stacked"), [(8, False), (24, True)])
def test_rows_that_belong_together_are_stacked_together(host: Any, points: int, stacked: bool) -> None:
    import qt

    from PRRTPredictorLib.Panel.Fitting import stackLongRows

    rows = []
    for texts in (("Report…", "Screenshots without identity…"), ("A", "B")):
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        for text in texts:
            layout.addWidget(enlarged(qt.QPushButton(text), points))
        rows.append(row)
    stackLongRows(*rows)
    below = [row.layout().direction() == qt.QBoxLayout.TopToBottom for row in rows]
    assert below == [stacked, stacked]
