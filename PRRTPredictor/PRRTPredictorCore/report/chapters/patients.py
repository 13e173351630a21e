"""Who the patients are: flow chart, Table 1, how the images were made, and survival of the whole cohort."""

from __future__ import annotations

from collections.abc import Mapping

from ...cohort.describe import Share, Spread, TableOne, fisher_p, table_one
from ...cohort.describe import printed_p as table_one_p
from ...cohort.eligibility import MAX_PET_AGE_DAYS
from ...cohort.outcome import THRESHOLD_MONTHS
from ...evaluation.survival import survival_of
from ...records import LABS, CohortPatient
from ..chapter import Block, Cell, Chapter, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.flow import flow_chart, flow_height_inches
from ..figures.survival import SurvivalGroup, quartiles, survival
from ..style import LONG_COLOUR, new_figure
from ..wording import counted, defined, percent, printed_months
from .survival import curve_rows

LONG_TITLE, SHORT_TITLE = "PFS > 1 year", "PFS ≤ 1 year"


def chapter(content: RunContent) -> Chapter:
    """Paper, Table 1 and Fig. 2, with exclusions, missing values, scanner and contrast mix."""
    members = content.cohort.cohort.patients
    blocks: tuple[Block, ...] = (
        Words(
            (
                "Short PFS means progression or death within one year of the first PRRT cycle, long PFS means later. "
                "Patients without an event are left out, as in the paper, and counted below.",
            )
        ),
        flow_plate(content),
        *pet_interval_words(content),
        patients_table(members, tuple(name for name in content.manifest.feature_names if name not in LABS)),
        acquisition_table(members, {image.code: image.tracer for image in content.cohort.images}),
        survival_plate(content),
    )
    return Chapter("patients", "Patients", blocks, missing(content))


def missing(content: RunContent) -> tuple[str, ...]:
    """What the cohort leaves open."""
    members = content.cohort.cohort.patients
    found = []
    if content.cohort.cohort.pet_interval.known == 0:
        found.append(
            "The interval from PET to the first cycle is unknown: name both dates (pet_date, prrt_start) in cohort.csv "
            "and train again."
        )
    if all(not one.characteristics.scanner for one in members):
        found.append("The scanner is unknown for every patient: fill the column scanner of cohort.csv and train again.")
    if all(one.characteristics.contrast_ct == "unknown" for one in members):
        found.append(
            "Whether the CTs are contrast-enhanced is unknown for every patient: fill the column contrast_ct of "
            "cohort.csv and train again."
        )
    return tuple(found)


def flow_plate(content: RunContent) -> Plate:
    """The exclusions as a flow chart."""
    flow = content.cohort.cohort.exclusions
    n_long = sum(content.long.values())
    n_short = len(content.long) - n_long
    figure = new_figure(7.4, flow_height_inches(flow))
    flow_chart(figure.subplots(), flow, n_short, n_long)
    reasons = "; ".join(f"{one.reason}: {one.n}" for one in flow.excluded if one.n) or "nobody"
    refused = f"; rows that break a rule of the table: {flow.refused}" if flow.refused else ""
    unmet = [one.reason for one in flow.excluded if not one.n]
    rows: tuple[tuple[Cell, ...], ...] = (
        ("screened", "patients screened", flow.screened),
        *((one.criterion, one.reason, one.n) for one in flow.excluded),
        ("refused", "rows that break a rule of the table", flow.refused),
        ("included", "patients in this run", flow.included),
        ("short", "short PFS", n_short),
        ("long", "long PFS", n_long),
    )
    return Plate(
        key="flow",
        title="How the cohort came about",
        alt=f"Flow chart: {flow.screened} patients screened; left out: {reasons}{refused}; {flow.included} in this "
        f"run, {n_short} with short and {n_long} with long PFS.",
        text="Each patient counts once, for the first reason that applied."
        + (f" Nobody was left out for: {', '.join(unmet)}." if unmet and len(unmet) < len(flow.excluded) else ""),
        figure=figure,
        numbers=Numbers(("criterion", "reason", "patients"), rows),
    )


def pet_interval_words(content: RunContent) -> tuple[Words, ...]:
    """From the PET to the first cycle; nothing where no date is known."""
    interval = content.cohort.cohort.pet_interval
    if not interval.known:
        return ()
    quarters = f"(quartiles {interval.q1_days:.3g} to {interval.q3_days:.3g})"
    unknown = f", unknown for {interval.unknown}" if interval.unknown else ""
    late = f"; {interval.long_intervals} longer than {MAX_PET_AGE_DAYS} days" if interval.long_intervals else ""
    return (
        Words((f"From the PET to the first cycle: median {interval.median_days:g} days {quarters}{unknown}{late}.",)),
    )


def patients_table(members: tuple[CohortPatient, ...], extras: tuple[str, ...] = ()) -> Table:
    """Table 1; ``extras`` names further inputs of the models."""
    table = table_one(members, extras)
    rows: list[tuple[str, ...]] = []
    section, previous = "", None
    any_missing = any(row.missing for row in table.rows)
    for row in table.rows:
        if row.section != section:
            section = row.section
            rows.append((section,))
        cells = tuple(
            "–" if cell is None else str(cell).replace("%", " %") for cell in (row.total, row.short, row.long)
        )
        of_categories = isinstance(row.total, Share)
        told = row.missing and not (of_categories and previous == (section, row.missing))
        previous = (section, row.missing) if of_categories else None
        missing_cell = (str(row.missing) if told else "",) if any_missing else ()
        rows.append((row.label, *cells, table_one_p(row.p), *missing_cell))
    return Table(
        key="patients",
        title="Patients by progression-free survival",
        header=("", "All", SHORT_TITLE, LONG_TITLE, "p", *(("missing",) if any_missing else ())),
        rows=tuple(rows),
        note="Counts (%) with Fisher’s exact test against all other patients; median (min–max) with the Wilcoxon "
        "rank-sum test. Two-sided and not corrected for their number. "
        + (
            "A characteristic’s missing values stand in its first row; they count among “all other patients”. "
            if any_missing
            else "No value is missing. "
        )
        + "PRRT cycles are known only after treatment and are never an input of a model.",
        numbers=table_one_numbers(table),
    )


def table_one_numbers(table: TableOne) -> Numbers:
    """Table 1 unrounded: a share as count and denominator, a spread as median, smallest and largest."""
    groups = ("all", "short", "long")
    columns = tuple(f"{group}_{what}" for group in groups for what in ("n", "count", "median", "min", "max"))

    def cells(summary: Share | Spread | None) -> tuple[Cell, ...]:
        if isinstance(summary, Share):
            return (summary.of, summary.count, None, None, None)
        if isinstance(summary, Spread):
            return (summary.n, None, summary.median, summary.minimum, summary.maximum)
        return (0, None, None, None, None)

    return Numbers(
        ("section", "characteristic", *columns, "p", "missing"),
        tuple(
            (row.section, row.label, *cells(row.total), *cells(row.short), *cells(row.long), row.p, row.missing)
            for row in table.rows
        ),
    )


def acquisition_table(members: tuple[CohortPatient, ...], tracers: Mapping[str, str]) -> Table:
    """Scanner, contrast phase and tracer, which images can betray and outcomes should not depend on."""
    contrast = {"yes": "contrast-enhanced", "no": "non-contrast", "unknown": ""}
    answers = {
        "Scanner": [one.characteristics.scanner for one in members],
        "CT": [contrast[one.characteristics.contrast_ct] for one in members],
        "Tracer": [tracers.get(one.code, "") for one in members],
    }
    long = [one.outcome.long_pfs for one in members]
    n_long, n_short = sum(long), len(long) - sum(long)
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for heading, values in answers.items():
        rows.append((heading,))
        for value in sorted(set(values), key=lambda each: (not each, each)):
            in_long = sum(of_long for of_long, own in zip(long, values, strict=True) if own == value)
            in_short = values.count(value) - in_long
            name = value or "unknown"
            p = fisher_p(in_short, n_short, in_long, n_long) if len(set(values)) > 1 else None
            shares = (
                percent(values.count(value), len(values)),
                percent(in_short, n_short),
                percent(in_long, n_long),
            )
            rows.append((name, *shares, table_one_p(p)))
            numbers.append((heading, name, values.count(value), in_short, in_long, p))
    return Table(
        key="acquisition",
        title="How the images were made",
        header=("", "All", SHORT_TITLE, LONG_TITLE, "p"),
        rows=tuple(rows),
        note="Counts (%) with Fisher’s exact test against all other patients, two-sided, not corrected. A network may "
        "tell scanners or contrast phases apart: where these go with the outcome, part of its skill may be theirs.",
        numbers=Numbers(("section", "category", "all", "short", "long", "p"), tuple(numbers)),
    )


def survival_plate(content: RunContent) -> Plate:
    """Paper, Fig. 2."""
    curve = survival_of([one.outcome for one in content.cohort.cohort.patients])
    figure = new_figure(7.4, 4.1)
    ax = figure.subplots()
    survival(ax, [SurvivalGroup("all patients", curve, LONG_COLOUR)])
    quartiles(ax, curve)
    low, high = (f"{printed_months(value)}" for value in (curve.lower_quartile_months, curve.upper_quartile_months))
    censored = sum(one.n for one in content.cohort.cohort.exclusions.excluded if one.criterion == "event")
    at_risk = ", ".join(f"{n} at {tick:g}" for tick, n in zip(curve.ticks, curve.at_risk, strict=True))
    left_out = (
        f"{counted(censored, 'patient')} without an event (censored) {'is' if censored == 1 else 'are'} not in this "
        "curve, so it shows PFS shorter than it is among all who were treated."
        if censored
        else "No patient was left out as censored."
    )
    months = ("lower_quartile_months", "median_months", "upper_quartile_months")
    return Plate(
        key="cohort-survival",
        title="Progression-free survival of the cohort",
        alt=f"Kaplan–Meier curve of {curve.patients} patients with {curve.events} events. Median PFS "
        f"{printed_months(curve.median_months)}, quartiles {low} and {high}. A dashed line marks {THRESHOLD_MONTHS:g} "
        f"months. At risk: {at_risk} months.",
        text=f"Median PFS {printed_months(curve.median_months)}; a quarter of the patients had progressed by {low}, "
        f"three quarters by {high} (circles). The dashed line divides short from long PFS. The shade is the "
        f"pointwise 95 % interval. {left_out}",
        figure=figure,
        numbers=Numbers(
            ("group", "months", "progression_free", "ci95_low", "ci95_high", *months, "censored_left_out"),
            tuple(
                (*row, *(defined(getattr(curve, name)) for name in months), censored)
                for row in curve_rows("all", curve)
            ),
        ),
    )
