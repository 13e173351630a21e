"""What the benchmarks found, written down: speed.json, the table in README.md, the pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from readme import write_section

from .machine import Machine
from .side_by_side import Absent, Comparison, Outcome, Sweep, Timing
from .stages import TOPICS

Row = dict[str, Any]
RESULTS = "speed.json"
COMMAND = "make bench"


# --- rows -------------------------------------------------------------------------------------------------------------


def stage_row(topic: str, outcome: Outcome, peaks: dict[str, int | None]) -> Row:
    """A measured stage."""
    stage = outcome.stage
    return {
        **_head(topic, stage.key, stage.title, stage.work),
        "kind": "stage",
        "ours": _timing(outcome.ours, peaks),
        "peers": [_comparison(comparison, peaks) for comparison in outcome.comparisons],
        "limit": None if stage.limit is None else {"words": stage.limit.words, "seconds": stage.limit.seconds},
        "rate": None
        if stage.rate is None
        else {"unit": stage.rate[0], "per_second": stage.rate[1] / outcome.ours.median},
    }


def absent_row(topic: str, entry: Absent) -> Row:
    """A stage that cannot be measured here."""
    return {**_head(topic, entry.key, entry.title, entry.work), "kind": "absent", "reason": entry.reason}


def sweep_row(topic: str, sweep: Sweep) -> Row:
    """A sweep with its fitted exponent."""
    exponent, error = sweep.exponent
    return {
        **_head(topic, sweep.key, sweep.title, sweep.work),
        "kind": "sweep",
        "size_name": sweep.size_name,
        "points": [asdict(point) for point in sweep.points],
        "exponent": exponent,
        "exponent_se": error,
    }


def _head(topic: str, key: str, title: str, work: str) -> Row:
    now = datetime.now(timezone.utc).isoformat(timespec="minutes")
    return {"topic": topic, "key": key, "title": title, "work": work, "measured_utc": now}


def _timing(timing: Timing, peaks: dict[str, int | None]) -> Row:
    return {
        "name": timing.name,
        "threads": timing.threads,
        "seconds": [round(second, 5) for second in timing.seconds],
        "median_s": timing.median,
        "peak_bytes": peaks.get(timing.name),
    }


def _comparison(comparison: Comparison, peaks: dict[str, int | None]) -> Row:
    return {
        **_timing(comparison.timing, peaks),
        "ratio": comparison.ratio,
        "ratio_range": list(comparison.ratio_range),
        "goal": comparison.goal,
        "equal": comparison.equal,
    }


# --- words ------------------------------------------------------------------------------------------------------------


def in_words(row: Row) -> str:
    """A row as lines on a terminal."""
    if row["kind"] == "absent":
        return f"{row['title']}: {row['reason']}"
    if row["kind"] == "sweep":
        return f"{row['title']}: {_sweep_words(row)}"
    ours = row["ours"]
    lines = [f"{row['title']}: {_seconds(ours['median_s'])}{_rate(row)}{_memory(ours)}"]
    if row["limit"]:
        lines.append(f"  at best {_seconds(row['limit']['seconds'])} ({row['limit']['words']})")
    for peer in row["peers"]:
        low, high = peer["ratio_range"]
        lines.append(
            f"  {peer['name']}: {_seconds(peer['median_s'])}{_memory(peer)}; ratio {peer['ratio']:.2f} "
            f"[{low:.2f}, {high:.2f}]{_verdict(peer)}{_equal('; equal: ', peer)}"
        )
    return "\n".join(lines)


def _equal(before: str, peer: Row) -> str:
    return f"{before}{peer['equal']}" if peer["equal"] else ""


def _verdict(peer: Row) -> str:
    if peer["goal"] is None:
        return ""
    return f", goal {peer['goal']:.2f} {'reached' if peer['ratio'] <= peer['goal'] else 'NOT reached'}"


def _sweep_words(row: Row) -> str:
    points = ", ".join(f"{point['size']:g}: {_seconds(point['seconds'])}{_memory(point)}" for point in row["points"])
    return f"exponent {row['exponent']:.2f} ± {row['exponent_se']:.2f} by {row['size_name']} ({points})"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"


def _rate(row: Row) -> str:
    return f" ({row['rate']['per_second']:.3g} {row['rate']['unit']} a second)" if row["rate"] else ""


def _memory(timed: Row) -> str:
    peak = timed.get("peak_bytes")
    return "" if peak is None else f", {_megabytes(peak)}"


def _megabytes(peak: int) -> str:
    return f"{peak / 1e6:.0f} MB" if peak < 1e9 else f"{peak / 1e9:.2f} GB"


# --- files ------------------------------------------------------------------------------------------------------------


def write(folder: Path, machine: Machine, rows: list[Row], finished: str = "") -> None:
    """Put ``rows`` in the place of those with their keys and write speed.json, table and pictures anew.

    Of a ``finished`` topic no other rows are kept.
    """
    path = folder / RESULTS
    known = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    measured = {row["key"] for row in rows}
    kept = [row for row in known if row["key"] not in measured and row["topic"] != finished]
    everything = sorted([*kept, *rows], key=lambda row: TOPICS.index(row["topic"]))
    document = {"synthetic_patients": True, "machine": asdict(machine), "rows": everything}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_section("speed", table(everything, machine))
    from .pictures import draw_ratios, draw_sweeps

    draw_ratios(everything, folder / "speed.svg")
    draw_sweeps(everything, folder / "growth.svg")


def table(rows: list[Row], machine: Machine) -> str:
    """The section of README.md."""
    head = (
        "| stage | ours | peer | its time | ours / peer [rounds] | goal | at best here | peak memory, ours / peer |",
        "|---|---|---|---|---|---|---|---|",
    )
    lines = [*head]
    for row in rows:
        if row["kind"] == "stage":
            lines.extend(_stage_lines(row))
        elif row["kind"] == "absent":
            lines.append(f"| **{row['title']}** {row['work']} | {row['reason']} | | | | | | |")
    sweeps = [row for row in rows if row["kind"] == "sweep"]
    if sweeps:
        lines += ["", "| how cost grows | exponent | sizes |", "|---|---|---|"]
        lines += [_sweep_line(row) for row in sweeps]
    lines += ["", *_footnotes(rows, machine)]
    return "\n".join(lines)


def _stage_lines(row: Row) -> list[str]:
    ours, limit = row["ours"], row["limit"]
    mine = f"{_seconds(ours['median_s'])}{_rate(row)}{_threads(ours)}"
    best = f"{_seconds(limit['seconds'])} ({limit['words']})" if limit else ""
    title = f"**{row['title']}** {_cell(row['work'])}"
    if not row["peers"]:
        return [f"| {title} | {mine} | – | | | | {best} | {_peaks(ours, None)} |"]
    lines = []
    for place, peer in enumerate(row["peers"]):
        low, high = peer["ratio_range"]
        goal = (
            ""
            if peer["goal"] is None
            else f"≤ {peer['goal']:.2f}{'' if peer['ratio'] <= peer['goal'] else ' **missed**'}"
        )
        lines.append(
            f"| {'' if place else title} | {'' if place else mine} | "
            f"{peer['name']}{_threads(peer)}{_equal('; ', peer)} | "
            f"{_seconds(peer['median_s'])} | **{peer['ratio']:.2f}** [{low:.2f}, {high:.2f}] | {goal} | "
            f"{'' if place else best} | {_peaks(ours, peer)} |"
        )
    return lines


def _cell(words: str) -> str:
    """Words with the sign that would end a cell of the table."""
    return words.replace("|", "\\|")


def _threads(timed: Row) -> str:
    return f", {timed['threads']}" if timed["threads"] else ""


def _peaks(ours: Row, peer: Row | None) -> str:
    peaks = [one["peak_bytes"] for one in (ours, peer) if one is not None]
    return " / ".join("" if peak is None else _megabytes(peak) for peak in peaks)


def _sweep_line(row: Row) -> str:
    points = "; ".join(f"{point['size']:g}: {_seconds(point['seconds'])}{_memory(point)}" for point in row["points"])
    exponent = f"{row['exponent']:.2f} ± {row['exponent_se']:.2f}"
    return f"| **{row['title']}** {row['work']} | {exponent} | {row['size_name']} {points} |"


def _footnotes(rows: list[Row], machine: Machine) -> list[str]:
    days = sorted({row["measured_utc"][:10] for row in rows})
    rounds = sorted({len(row["ours"]["seconds"]) for row in rows if row["kind"] == "stage"})
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return [
        f"- `{COMMAND}`; {_span(days)}; {machine.cores} cores, {machine.words}; "
        f"GPU: {machine.gpu or 'none at hand, so that nothing was measured on one'}",
        f"- Medians of {_span(rounds)} interleaved rounds, files in the page cache unless said; [smallest, largest "
        "ratio of a round]; results were checked to be equal before they were timed",
        f"- At best: memory {machine.memory_bytes_per_s / 1e9:.1f} GB/s (copying, bytes read and written), files "
        f"{machine.read_bytes_per_s / 1e9:.1f} GB/s (page cache), {machine.flops_per_s / 1e9:.0f} GFLOP/s "
        "(matrix product, single precision, all cores)",
        "- Peak memory: of one run in a fresh process, above what inputs and imports held before it",
        f"- {versions}",
    ]


def _span(values: list[Any]) -> str:
    """The first and the last of sorted values, once where they are the same."""
    return " to ".join(str(value) for value in dict.fromkeys((values[0], values[-1]))) if values else ""
