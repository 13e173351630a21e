"""Small cohort tables on disk for the tests of the cohort room."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

GOOD: Mapping[str, str] = {
    "patient": "PAT-1",
    "pet": "pet-1",
    "ct": "ct-1",
    "ast": "28",
    "alt": "25",
    "ggt": "61",
    "cga": "419",
    "labs_date": "2020-01-20",
    "prrt_start": "2020-02-03",
    "progression_date": "2021-06-15",
    "event": "1",
}


def good_rows(n: int, n_short: int = 0) -> list[dict[str, str]]:
    """``n`` faultless rows, the first ``n_short`` of them with short PFS."""
    rows = []
    for number in range(1, n + 1):
        end = "2020-09-01" if number <= n_short else "2021-06-15"
        rows.append({**GOOD, "patient": f"PAT-{number}", "pet": f"pet-{number}", "ct": f"ct-{number}"})
        rows[-1]["progression_date"] = end
    return rows


def write_cohort(
    folder: Path, rows: Sequence[Mapping[str, str]], *, separator: str = ",", encoding: str = "utf-8"
) -> Path:
    """Write cohort.csv and the series folders that its rows name by the pattern of :data:`GOOD`."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path = folder / "cohort.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
    for row in rows:
        for column, stem in (("pet", "pet-"), ("ct", "ct-")):
            if row.get(column, "").startswith(stem):
                make_series(folder / row[column])
    return path


def make_series(folder: Path) -> Path:
    """A folder with one file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.dcm").write_bytes(b"not read here")
    return folder
