"""The cohort as the paper's Table 1: counts and medians by PFS group, Fisher's exact and the rank-sum test.

Rows and their order are the paper's; rows that the paper does not have ("Other", "Unknown") appear where a cohort needs
them. The p-values describe; they are not corrected for their number, as in the paper.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ..records import CohortPatient


@dataclass(frozen=True)
class Share:
    """``count`` of ``of`` patients."""

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.count} ({100 * self.count / self.of:.0f}%)" if self.of else "0"


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the ``n`` values that are known; ``decimals`` of the printed form."""

    n: int
    median: float
    minimum: float
    maximum: float
    decimals: int = 0

    def __str__(self) -> str:
        low, middle, high = (self._printed(value) for value in (self.minimum, self.median, self.maximum))
        return f"{middle} ({low}–{high})"

    def _printed(self, value: float) -> str:
        if self.decimals:
            return f"{value:.{self.decimals}f}"
        # A median between two whole numbers keeps its half.
        return f"{value:.1f}".removesuffix(".0") if abs(value) < 1000 else f"{value:.0f}"


Summary = Share | Spread


@dataclass(frozen=True)
class TableRow:
    """One row of Table 1.

    Attributes
    ----------
    section, label : str
        E.g. "Primary Location", "Pancreas".
    total, short, long : Share, Spread or None
        All patients, PFS <= 1 year, PFS > 1 year; None where no value is known.
    p : float or None
        Fisher's exact test for a Share (this category against all others), the rank-sum test for a Spread, two-sided.
    missing : int
        Patients whose value is not known.
    """

    section: str
    label: str
    total: Summary | None
    short: Summary | None
    long: Summary | None
    p: float | None
    missing: int = 0


@dataclass(frozen=True)
class TableOne:
    """Table 1 of a cohort."""

    rows: tuple[TableRow, ...]

    def row(self, section: str, label: str) -> TableRow:
        """The row of that name.

        Raises
        ------
        KeyError
            There is none.
        """
        for row in self.rows:
            if (row.section, row.label) == (section, label):
                return row
        raise KeyError(f"{section} / {label}")

    def to_records(self) -> list[dict[str, str | float | int | None]]:
        """One flat record a row, for JSON, CSV or a data frame; p-values unrounded."""
        return [
            {
                "section": row.section,
                "metric": row.label,
                "total": _text(row.total),
                "pfs_up_to_1_year": _text(row.short),
                "pfs_over_1_year": _text(row.long),
                "p_value": row.p,
                "missing": row.missing,
            }
            for row in self.rows
        ]

    def to_csv(self) -> str:
        """The records as CSV text with a header."""
        records = self.to_records()
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue()


def fisher_p(short_count: int, n_short: int, long_count: int, n_long: int) -> float:
    """Two-sided Fisher exact p of a category against all others.

    Parameters
    ----------
    short_count, long_count : int
        Patients of the category with short and with long PFS.
    n_short, n_long : int
        All patients of the two groups.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact([[short_count, n_short - short_count], [long_count, n_long - long_count]])[1])


def rank_sum_p(short: Sequence[float], long: Sequence[float]) -> float | None:
    """Two-sided Wilcoxon rank-sum (Mann-Whitney) p.

    ``scipy.stats.mannwhitneyu`` rather than ``scipy.stats.ranksums``: labs, cycles and Ki-67 have many ties, for which
    the former corrects (and for continuity) and the latter does not. Without ties it is exact for small groups.

    Returns
    -------
    float or None
        None where a group is empty.
    """
    from scipy.stats import mannwhitneyu

    if not short or not long:
        return None
    if min(*short, *long) == max(*short, *long):
        return 1.0
    return float(mannwhitneyu(short, long, alternative="two-sided", method="auto").pvalue)


def table_one(patients: Sequence[CohortPatient], extras: Sequence[str] = ()) -> TableOne:
    """Table 1 of these patients, in the paper's order; ``extras`` names further inputs of the models, at the end."""
    groups = _Groups.of(patients)
    characteristic = groups.categories
    rows = [
        TableRow("Patient Statistics", "Patient Count", *groups.sizes(), None),
        groups.values("Patient Statistics", "Age in years", lambda one: one.characteristics.age_years),
        *characteristic("Patient Statistics", _SEX, lambda one: (one.characteristics.sex,)),
        *characteristic("Primary Location", _PRIMARY, lambda one: (one.characteristics.primary,)),
        *characteristic("Metastatic Spread", _SITES, lambda one: one.characteristics.metastases or ("unknown",)),
        *characteristic("Functionality", _FUNCTIONAL, lambda one: (one.characteristics.functional,)),
        *characteristic("Grading", _GRADES, lambda one: (one.characteristics.grade,)),
        groups.values("Grading", "Ki67-Index %", lambda one: one.characteristics.ki67_percent),
        groups.values("Laboratory Parameters", "CgA in µg/L", lambda one: one.labs.cga_ug_per_l),
        groups.values("Laboratory Parameters", "AST in U/L", lambda one: one.labs.ast_u_per_l),
        groups.values("Laboratory Parameters", "ALT in U/L", lambda one: one.labs.alt_u_per_l),
        groups.values("Laboratory Parameters", "GGT in U/L", lambda one: one.labs.ggt_u_per_l),
        groups.values("Laboratory Parameters", "De Ritis ratio", lambda one: one.labs.de_ritis_ratio, decimals=2),
        groups.values("Treatment", "PRRT Cycles", lambda one: one.characteristics.prrt_cycles),
        *(groups.values("Further Inputs", name, _extra(name), decimals=2) for name in extras),
    ]
    return TableOne(tuple(rows))


def printed_p(p: float | None) -> str:
    """A p-value as the paper prints it: "0.045", "< 0.001"; empty where there is none."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def format_table_one(table: TableOne) -> str:
    """Table 1 as aligned text for a terminal of 80 columns or more."""
    any_missing = any(row.missing for row in table.rows)
    header = ("", "Total", "PFS ≤ 1 year", "PFS > 1 year", "p-value", *(("missing",) if any_missing else ()))
    lines: list[tuple[str, ...]] = []
    section = ""
    for row in table.rows:
        if row.section != section:
            section = row.section
            lines.append((section,))
        missing = (str(row.missing) if row.missing else "",) if any_missing else ()
        lines.append(
            (f"  {row.label}", _text(row.total), _text(row.short), _text(row.long), printed_p(row.p), *missing)
        )
    full = [header, *(line for line in lines if len(line) > 1)]
    widths = [max(len(line[column]) for line in full) for column in range(len(header))]
    widths[0] = max(widths[0], *(len(line[0]) for line in lines))

    def aligned(line: tuple[str, ...]) -> str:
        label, *numbers = line
        cells = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=False))
        return "  ".join((label.ljust(widths[0]), *cells)).rstrip()

    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    notes = (
        "Counts (%), Fisher's exact test against all other patients; median (min–max), Wilcoxon rank-sum\n"
        "(Mann–Whitney) test; two-sided, not corrected for the number of tests."
    )
    return "\n".join([aligned(header), rule, *map(aligned, lines), rule, notes])


_SEX = {"male": "Male", "female": "Female"}
_PRIMARY = {
    "small_intestine": "Small intestine",
    "pancreas": "Pancreas",
    "colon_rectum": "Colon/Rectum",
    "stomach": "Stomach",
    "cup": "CUP",
}
_SITES = {
    "hepatic": "Hepatic",
    "lymphonodal": "Lymphonodal",
    "osseous": "Osseous",
    "peritoneal": "Peritoneal",
    "pulmonary": "Pulmonal",
}
_FUNCTIONAL = {"yes": "Yes", "no": "No", "unknown": "Unknown"}
_GRADES = {"G1": "G1", "G2": "G2", "G3": "G3", "unknown": "Unknown"}


@dataclass(frozen=True)
class _Groups:
    """The two columns of Table 1."""

    short: tuple[CohortPatient, ...]
    long: tuple[CohortPatient, ...]

    @staticmethod
    def of(patients: Sequence[CohortPatient]) -> _Groups:
        return _Groups(
            short=tuple(one for one in patients if not one.outcome.long_pfs),
            long=tuple(one for one in patients if one.outcome.long_pfs),
        )

    def sizes(self) -> tuple[Share, Share, Share]:
        n_short, n_long = len(self.short), len(self.long)
        everybody = n_short + n_long
        return Share(everybody, everybody), Share(n_short, everybody), Share(n_long, everybody)

    def categories(
        self, section: str, titles: dict[str, str], answers: Callable[[CohortPatient], tuple[str, ...]]
    ) -> list[TableRow]:
        """A row for each of the paper's categories, and one for each further answer that occurs."""
        everybody = (*self.short, *self.long)
        given = {answer for one in everybody for answer in answers(one)}
        further = {answer: answer.capitalize() for answer in ("other", "unknown") if answer in given}
        missing = sum("unknown" in answers(one) for one in everybody)
        rows = []
        for answer, title in (titles | further).items():
            short = sum(answer in answers(one) for one in self.short)
            long = sum(answer in answers(one) for one in self.long)
            n_short, n_long = len(self.short), len(self.long)
            shares = Share(short + long, n_short + n_long), Share(short, n_short), Share(long, n_long)
            testable = n_short > 0 and n_long > 0
            p = fisher_p(short, n_short, long, n_long) if testable else None
            rows.append(TableRow(section, title, *shares, p, missing))
        return rows

    def values(
        self, section: str, label: str, value: Callable[[CohortPatient], float | None], decimals: int = 0
    ) -> TableRow:
        short = [number for one in self.short if (number := value(one)) is not None]
        long = [number for one in self.long if (number := value(one)) is not None]
        missing = len(self.short) + len(self.long) - len(short) - len(long)
        return TableRow(
            section,
            label,
            total=_spread([*short, *long], decimals),
            short=_spread(short, decimals),
            long=_spread(long, decimals),
            p=rank_sum_p(short, long),
            missing=missing,
        )


def _extra(name: str) -> Callable[[CohortPatient], float | None]:
    return lambda one: one.extras.get(name)


def _spread(numbers: Sequence[float], decimals: int) -> Spread | None:
    if not numbers:
        return None
    return Spread(len(numbers), median(numbers), min(numbers), max(numbers), decimals)


def _text(summary: Summary | None) -> str:
    return "" if summary is None else str(summary)
