"""Free text from tables, image headers and segmentations, made fit for pages, figures and files."""

from __future__ import annotations

import unicodedata

LONGEST = 130
"""Letters of a name that are kept; a DICOM manufacturer and model name have 64 each."""


def printable(text: str) -> str:
    """The text on one line: control and direction characters, which an SVG or a page cannot hold, become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)


def one_line(text: str) -> str:
    """The text on one line, without spaces to spare; what is longer than :data:`LONGEST` is cut, with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
