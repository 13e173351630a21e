"""The numbers behind figures and tables as CSV files that a spreadsheet can open without harm."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from .chapter import Cell, Numbers, Table

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""How cells begin that spreadsheets compute instead of showing, the wide ones in East Asia (OWASP, CSV injection)."""


def csv_bytes(numbers: Numbers) -> bytes:
    """A CSV file in UTF-8: floats at full precision, undefined values empty, formulas made harmless."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_written(column) for column in numbers.columns])
    for row in numbers.rows:
        if len(row) != len(numbers.columns):
            raise ValueError(f"a row of {len(row)} cells under {len(numbers.columns)} columns: {numbers.columns}")
        writer.writerow([_written(plain(cell)) for cell in row])
    return text.getvalue().encode("utf-8")


def plain(cell: Any) -> Cell:
    """A cell as a plain Python value: numpy scalars unpacked, what is not finite undefined."""
    value = cell.item() if hasattr(cell, "item") else cell
    if isinstance(value, float) and not math.isfinite(value):
        return None
    known: Cell = value
    return known


def table_numbers(table: Table) -> Numbers:
    """What a table's CSV file holds: its own numbers, or its printed cells with the section each row stands in."""
    if table.numbers is not None:
        return table.numbers
    sections = any(len(row) == 1 for row in table.rows)
    header = tuple(" ".join(name.split()) for name in table.header)
    columns = (*(("section",) if sections else ()), header[0] or "row", *header[1:])
    rows: list[tuple[Cell, ...]] = []
    section = ""
    for row in table.rows:
        if len(row) == 1:
            section = row[0]
        else:
            rows.append((*((section,) if sections else ()), *(" ".join(cell.split()) for cell in row)))
    return Numbers(columns, tuple(rows))


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if not isinstance(cell, str):
        return repr(cell)
    return f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
