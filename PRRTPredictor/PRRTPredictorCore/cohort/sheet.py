"""The file ``cohort.csv`` as rows of cells: encoding, separator, header, line numbers.

The standard library's reader is used rather than pandas, for three reasons: it tells on which line a row begins, it
lets a row with too many cells be reported beside the others (pandas shifts or stops), and Slicer has it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Code, CohortRefused
from ..records import LABS, Violation
from .cells import decimal_dot_proved, is_missing
from .identity import study_code

ELIGIBILITY_COLUMNS = ("metastatic_progressive", "sstr_expression", "prior_prrt", "records_complete")
REQUIRED_COLUMNS = ("patient", "pet", "ct", *LABS, "event")
OUTCOME_COLUMNS = ("prrt_start", "progression_date", "pfs_months")
CHARACTERISTIC_COLUMNS = (
    "age", "sex", "primary", "metastases", "functional", "grade", "ki67", "prrt_cycles", "contrast_ct", "scanner",
)  # fmt: skip
KNOWN_COLUMNS = (
    *REQUIRED_COLUMNS,
    "database",
    *(f"{lab}_unit" for lab in LABS),
    "labs_date",
    *OUTCOME_COLUMNS,
    *ELIGIBILITY_COLUMNS,
    *CHARACTERISTIC_COLUMNS,
    "pet_date",
    "synthetic",
    "organs",
)

_TEMPLATE = "Resources/cohort.csv is a template, Resources/cohort.md explains every column."


@dataclass(frozen=True)
class Row:
    """One patient's cells, stripped; the identifier has been replaced by the study code ("" where it is missing)."""

    line: int
    code: str
    cells: Mapping[str, str]

    def cell(self, column: str) -> str:
        """The cell, "" where the table lacks the column."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Sheet:
    """The table.

    Attributes
    ----------
    columns : tuple of str
        Header in lower case.
    missing_columns : tuple of str
        Required columns that are not there.
    broken_lines : int
        Rows whose number of cells differs from the header's; they are in ``violations`` and not in ``rows``.
    dot_may_group : bool
        "99.590" may mean 99590: cells are separated by semicolons, and no cell proves that the dot marks decimals.
    """

    folder: Path
    header_line: int
    columns: tuple[str, ...]
    missing_columns: tuple[str, ...]
    rows: tuple[Row, ...]
    broken_lines: int
    violations: tuple[Violation, ...]
    dot_may_group: bool


def read_sheet(path: Path) -> Sheet:
    """Read the table; identifiers are replaced by study codes at once and not kept.

    Raises
    ------
    CohortRefused
        PATH_MISSING: no such file. COHORT_COLUMNS: not a table of this kind.
    """
    records, separator = _records(_text(path), path.name)
    header_line, header = records[0]
    columns = tuple(re.sub(r"\s+", "_", name.strip().casefold()) for name in header)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        known = [name for name in twice if name in KNOWN_COLUMNS] or ["a further column"]
        raise CohortRefused(
            Code.COHORT_COLUMNS,
            f"A column stands in the header twice: {', '.join(known)}.",
            where=path.name,
            remedy="Remove or rename one of the two.",
        )
    rows, violations = [], []
    for line, cells in records[1:]:
        if len(cells) != len(columns) or any("\n" in cell for cell in cells):
            violations.append(_broken(line, len(cells), len(columns), separator))
        else:
            rows.append(_row(line, columns, cells))
    numbers = (cell for row in rows for cell in row.cells.values())
    return Sheet(
        folder=path.resolve().parent,
        header_line=header_line,
        columns=tuple(name for name in columns if name),
        missing_columns=_missing_columns(columns),
        rows=tuple(rows),
        broken_lines=len(violations),
        violations=tuple(violations),
        dot_may_group=separator == ";" and not any(map(decimal_dot_proved, numbers)),
    )


def missing_column_violation(column: str, line: int) -> Violation:
    """The violation that a required column is not there."""
    if column in OUTCOME_COLUMNS:
        what = "The table has neither pfs_months nor both prrt_start and progression_date, so that PFS is unknown."
    else:
        what = f"The table has no column {column}."
    return Violation(line, column, Code.COHORT_COLUMNS, what, f"Add the column. {_TEMPLATE}")


def _missing_columns(columns: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if "pfs_months" not in columns and not {"prrt_start", "progression_date"} <= set(columns):
        missing.append("pfs_months" if "prrt_start" not in columns else "progression_date")
    return tuple(missing)


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    named = {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if name}
    identifier = named.pop("patient", "")
    return Row(line, "" if is_missing(identifier) else study_code(identifier), named)


def _broken(line: int, found: int, expected: int, separator: str) -> Violation:
    if found == expected:
        message = "A cell holds a line break; a quotation mark may never have been closed."
        remedy = "Close or remove the quotation mark."
    else:
        message = f"The row has {found} cells where the header has {expected}."
        remedy = "Give every row as many cells as the header."
        if separator == "," and found > expected:
            remedy = 'A decimal comma splits a cell: write 3.5, or "3,5" in quotation marks, or separate cells by ";".'
    return Violation(line, "", Code.COHORT_COLUMNS, message, remedy)


def _text(path: Path) -> str:
    """The file's text: UTF-8 with or without a mark, UTF-16 with one, else the Windows code page of western Europe."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CohortRefused(
            Code.PATH_MISSING,
            "The cohort table is not there, or cannot be read.",
            where=path.name,
            remedy="Name an existing cohort.csv.",
        ) from error
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise CohortRefused(
            Code.COHORT_COLUMNS,
            "The cohort table is a spreadsheet file.",
            where=path.name,
            remedy="Save it as CSV (UTF-8) and name that file.",
        )
    encodings = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise _no_table(path.name)


def _records(text: str, name: str) -> tuple[list[tuple[int, list[str]]], str]:
    """Rows that hold something, each with the line it begins on, and the separator that makes the header readable."""
    best: tuple[int, list[tuple[int, list[str]]], str] = (0, [], ",")
    for separator in (",", ";", "\t"):
        try:
            records = _split(text, separator)
        except csv.Error as error:
            raise _no_table(name) from error
        header = {re.sub(r"\s+", "_", cell.strip().casefold()) for cell in records[0][1]} if records else set()
        recognised = len(header & set(KNOWN_COLUMNS))
        if recognised > best[0]:
            best = (recognised, records, separator)
    if not best[0]:
        raise _no_table(name)
    return best[1], best[2]


def _split(text: str, separator: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    records, begin = [], 1
    for cells in reader:
        # Excel's first line "sep=;" is a note to Excel, whichever separator it names.
        if any(cell.strip() for cell in cells) and not (begin == 1 and re.fullmatch("sep=.?", "".join(cells).strip())):
            records.append((begin, cells))
        begin = reader.line_num + 1
    return records


def _no_table(name: str) -> CohortRefused:
    return CohortRefused(
        Code.COHORT_COLUMNS,
        "This is no cohort table: no column of its first line is known.",
        where=name,
        remedy=_TEMPLATE,
    )
