"""From blocks to files: numbered figures and tables as SVG, PNG and CSV, and the same report for programs.

Everything is collected first and written in the end, so that a report that fails leaves the earlier one as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..files import to_json_bytes, write_together
from ..jsontext import parsed
from ..training.lock import results_lock
from .chapter import Block, Cards, Chapter, Folded, Numbers, Plate, Table
from .csvfile import csv_bytes, plain, table_numbers
from .style import Imprint, drawing, inline_picture, inline_svg, png_bytes, svg_text, with_imprint

if TYPE_CHECKING:
    from markupsafe import Markup

FIGURES_FOLDER = "figures"
TABLES_FOLDER = "tables"
DOCUMENT_NAME = "report.json"

_PAGE_DPI = 130
"""Of pictures of images inside the page; their files have 200."""

_OWN_FILE = re.compile(rf"(?:{FIGURES_FOLDER}|{TABLES_FOLDER})/[\w-]+\.(?:svg|png|csv)")
_LONG_CELL = 36
_NUMBER = re.compile(r"^[\s<>=±+\-−–\[(]*\d|^[–\s]*$")

Column = Literal["number", "text", "prose"]


@dataclass(frozen=True, eq=False)
class Placed:
    """A block as the template places it.

    Attributes
    ----------
    kind : str
        Of the block; its template has that name.
    block : Block
    number : int
        Of the figure or table, counted through the page; 0 for a block that has none.
    picture : Markup or None
        The figure as trusted mark-up made by this package.
    columns : tuple of {"number", "text", "prose"}
        How each column of a table is set.
    inner : tuple of Placed
        What a folded block holds.
    """

    kind: str
    block: Block
    number: int = 0
    picture: Markup | None = None
    columns: tuple[Column, ...] = ()
    inner: tuple[Placed, ...] = ()


class Publication:
    """Collects a report's files and the document for programs, and writes them together.

    Parameters
    ----------
    run : Path
        The run folder.
    imprint : Imprint
        Stands below every figure's file.
    """

    def __init__(self, run: Path, imprint: Imprint) -> None:
        self._run = run
        self._imprint = imprint
        self._files: dict[str, bytes] = {}
        self._chapters: list[dict[str, Any]] = []
        self._figures = 0
        self._tables = 0

    def place(self, chapter: Chapter) -> tuple[Placed, ...]:
        """Number a chapter's figures and tables, take over their files, and give its blocks for the page."""
        placed = tuple(self._place(block) for block in chapter.blocks)
        self._chapters.append(
            {
                "key": chapter.key,
                "title": chapter.title,
                "missing": list(chapter.missing),
                "blocks": [_document(one) for one in placed],
            }
        )
        return placed

    def write(self, page_name: str, page: str, about: dict[str, Any]) -> Path:
        """Write all files, the document and the page, and remove what only an earlier report of this run had.

        Parameters
        ----------
        about : dict
            What the document says of the whole report, before its chapters.

        Raises
        ------
        RunFailed
            ``OUTPUT`` when the folder cannot be written.
        """
        document = {**about, "chapters": self._chapters, "files": sorted(self._files)}
        files = {
            **self._files,
            DOCUMENT_NAME: to_json_bytes(document),
            page_name: page.encode("utf-8"),
        }
        with results_lock(self._run):
            earlier = _files_of_earlier_report(self._run / DOCUMENT_NAME)
            write_together(self._run, files, gone=sorted(earlier - set(self._files)))
        return self._run / page_name

    def _place(self, block: Block) -> Placed:
        if isinstance(block, Plate):
            self._figures += 1
            number = self._figures
            return Placed(block.kind, block, number, picture=self._picture(block))
        if isinstance(block, Table):
            self._tables += 1
            self._keep(f"{TABLES_FOLDER}/{block.key}.csv", csv_bytes(table_numbers(block)))
            return Placed(block.kind, block, self._tables, columns=set_columns(block))
        if isinstance(block, Folded):
            return Placed(block.kind, block, inner=tuple(self._place(one) for one in block.blocks))
        return Placed(block.kind, block)

    def _picture(self, plate: Plate) -> Markup:
        name = f"{FIGURES_FOLDER}/{plate.key}"
        with drawing(plate.key):
            svg = svg_text(plate.figure, plate.title, own_ground=plate.photograph)
            png = png_bytes(plate.figure, own_ground=plate.photograph, title=plate.title, imprint=self._imprint)
            self._keep(f"{name}.svg", with_imprint(svg, self._imprint).encode("utf-8"))
            self._keep(f"{name}.png", png)
            if plate.numbers is not None:
                self._keep(f"{name}.csv", csv_bytes(plate.numbers))
            if plate.photograph:
                small = png_bytes(plate.figure, _PAGE_DPI, own_ground=True)
                return inline_picture(small, plate.alt, plate.figure.get_size_inches()[0])
            return inline_svg(svg, plate.key, plate.alt)

    def _keep(self, name: str, content: bytes) -> None:
        if name in self._files:
            raise ValueError(f"two blocks of the report have the same key: {name}")
        self._files[name] = content


def set_columns(table: Table) -> tuple[Column, ...]:
    """How each column reads best: numbers to the right, words to the left, sentences wrapped."""

    def column(cells: Sequence[str]) -> Column:
        if any(len(line) > _LONG_CELL for cell in cells for line in cell.split("\n")):
            return "prose"
        return "number" if sum(bool(_NUMBER.match(cell)) for cell in cells) * 2 >= len(cells) else "text"

    rows = [row for row in table.rows if len(row) > 1]
    return tuple(column([row[place] for row in rows]) for place in range(len(table.header)))


# --- for programs -----------------------------------------------------------------------------------------------------


def _document(placed: Placed) -> dict[str, Any]:
    block = placed.block
    content: dict[str, Any] = {"kind": placed.kind}
    if isinstance(block, Plate):
        content |= {"key": block.key, "number": placed.number, "title": block.title, "alt": block.alt}
        content |= {"text": block.text, "numbers": _numbers(block.numbers)}
    elif isinstance(block, Table):
        content |= {"key": block.key, "number": placed.number, "title": block.title, "header": list(block.header)}
        content |= {"rows": [list(row) for row in block.rows], "note": block.note, "numbers": _numbers(block.numbers)}
    elif isinstance(block, Folded):
        content |= {"summary": block.summary, "blocks": [_document(one) for one in placed.inner]}
    elif isinstance(block, Cards):
        content["cards"] = [dict(zip(("name", "value", "note"), card, strict=True)) for card in block.cards]
    else:
        content |= {"heading": block.heading, "lines": list(block.lines)}
    return content


def _numbers(numbers: Numbers | None) -> dict[str, Any] | None:
    if numbers is None:
        return None
    return {"columns": list(numbers.columns), "rows": [[plain(cell) for cell in row] for row in numbers.rows]}


def _files_of_earlier_report(document: Path) -> set[str]:
    """What the earlier report says that it wrote; nothing where there is none, or where it cannot be read."""
    try:
        names = parsed(document.read_bytes())["files"]
        return {name for name in names if _OWN_FILE.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
