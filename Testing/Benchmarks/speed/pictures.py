"""The benchmarks as pictures: ratios against 1 and against the goals, and how cost grows."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Row = dict[str, Any]
OURS, GOAL, PEER = "#0072B2", "#D55E00", "#666666"
TITLE_WIDTH = 32
"""Letters that stand side by side above a panel."""
NOTE = "SYNTHETIC patients. Research use only. `make bench`"


def draw_ratios(rows: list[Row], path: Path) -> None:
    """Our share of every peer's time, on a log axis, and as a number beside it; 1 is the peer, a bar the goal."""
    bars = [
        (row["title"] if place == 0 else "", peer)
        for row in rows
        if row["kind"] == "stage"
        for place, peer in enumerate(row["peers"])
    ]
    if not bars:
        return
    figure, axis = plt.subplots(figsize=(8.6, 0.36 * len(bars) + 1.5), layout="constrained")
    beside = axis.get_yaxis_transform()
    for place, (title, peer) in enumerate(bars):
        low, high = peer["ratio_range"]
        axis.plot([low, high], [place, place], color=OURS, linewidth=5, alpha=0.35, solid_capstyle="butt")
        axis.plot(peer["ratio"], place, "o", color=OURS, markersize=7)
        if peer["goal"] is not None:
            axis.plot([peer["goal"]] * 2, [place - 0.36, place + 0.36], color=GOAL, linewidth=2.2)
        missed = peer["goal"] is not None and peer["ratio"] > peer["goal"]
        words = f"{peer['ratio']:.2f}{'  missed' if missed else ''}"
        # In a column of their own, so that no number stands on a bar.
        axis.text(1.02, place, words, transform=beside, va="center", size=8, color=GOAL if missed else "black")
        if title:
            axis.axhline(place - 0.5, color="#dddddd", linewidth=0.6)
    axis.axvline(1.0, color=PEER, linewidth=1)
    axis.set_xscale("log")
    smallest = min(peer["ratio_range"][0] for _, peer in bars)
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if tick >= smallest * 0.6]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_yticks(range(len(bars)), [_label(title, peer) for title, peer in bars], size=8)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlabel("our time / the peer's (dot: median, pale: rounds, bar: goal)", size=9)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(NOTE, x=0.99, ha="right", size=7, color=PEER)
    _save(figure, path)


def _label(title: str, peer: Row) -> str:
    against = f"vs {peer['name']}"
    return f"{title}\n{against}" if title else against


def draw_sweeps(rows: list[Row], path: Path) -> None:
    """Seconds over size on log axes, a panel a sweep, with the fitted exponent."""
    sweeps = [row for row in rows if row["kind"] == "sweep"]
    if not sweeps:
        return
    columns = min(3, len(sweeps))
    lines = -(-len(sweeps) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 2.7 * lines), layout="constrained", squeeze=False
    )
    for axis, row in zip(axes.flat, sweeps, strict=False):
        sizes = [point["size"] for point in row["points"]]
        seconds = [point["seconds"] for point in row["points"]]
        axis.loglog(sizes, seconds, "o-", color=OURS, linewidth=1.2, markersize=5)
        axis.loglog(sizes, [seconds[0] * size / sizes[0] for size in sizes], "--", color=PEER, linewidth=1)
        axis.set_xticks(sizes, [_short(size) for size in sizes])
        axis.set_yticks(seconds, [f"{second:.2g}" for second in seconds])
        axis.minorticks_off()
        axis.set_title(fill(row["title"], TITLE_WIDTH), size=9)
        axis.set_xlabel(row["size_name"], size=8)
        axis.set_ylabel("seconds", size=8)
        axis.tick_params(labelsize=7.5)
        axis.text(
            0.04, 0.93, f"exponent {row['exponent']:.2f} ± {row['exponent_se']:.2f}", transform=axis.transAxes, size=8
        )
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(sweeps) :]:
        axis.set_visible(False)
    figure.suptitle(f"Dashed: linear growth. {NOTE}", x=0.99, ha="right", size=7, color=PEER)
    _save(figure, path)


def _short(size: float) -> str:
    if size >= 1_000_000:
        return f"{size / 1_000_000:g}M"
    return f"{size / 1000:,.0f}k" if size >= 10_000 else f"{size:,.0f}"


def _save(figure: Any, path: Path) -> None:
    plt.rcParams["svg.hashsalt"] = "bench"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
