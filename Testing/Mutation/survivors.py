"""What survived, beside the reason why it may: survivors.md from the sessions and explained.toml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import toml


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed.

    Attributes
    ----------
    difference : str
        The changed lines, as a unified diff without head.
    """

    operator: str
    line: int
    difference: str

    @property
    def before(self) -> str:
        return " ".join(line[1:].strip() for line in self.difference.splitlines() if line.startswith("-"))

    @property
    def after(self) -> str:
        return " ".join(line[1:].strip() for line in self.difference.splitlines() if line.startswith("+"))


@dataclass(frozen=True)
class Tally:
    """What became of a module's mutants.

    Attributes
    ----------
    pending : int
        Not tried yet.
    skipped : int
        Of operators that cosmic-ray.toml leaves out.
    """

    module: str
    killed: int
    survivors: tuple[Survivor, ...]
    pending: int
    skipped: int


@dataclass(frozen=True)
class _Group:
    """Mutants that change nothing that matters, for one reason.

    Attributes
    ----------
    mutants : tuple of str
        Patterns of "module: mutated line".
    """

    title: str
    reason: str
    mutants: tuple[re.Pattern[str], ...]

    def holds(self, module: str, survivor: Survivor) -> bool:
        return any(pattern.fullmatch(f"{module}: {survivor.after}") for pattern in self.mutants)


def write_survivors(path: Path, explained: Path, tallies: list[Tally]) -> int:
    """Write survivors.md; returns how many survive without a reason."""
    groups = [
        _Group(entry["title"], entry["reason"], tuple(re.compile(mutant) for mutant in entry["mutants"]))
        for entry in toml.load(explained).get("group", [])
    ]
    held: dict[str, list[tuple[str, Survivor]]] = {group.title: [] for group in groups}
    unexplained: list[tuple[str, Survivor]] = []
    for tally in tallies:
        for survivor in sorted(tally.survivors, key=lambda one: (one.line, one.after)):
            title = next((group.title for group in groups if group.holds(tally.module, survivor)), None)
            (unexplained if title is None else held[title]).append((tally.module, survivor))
    lines = [
        "# Mutants of SUV and labs",
        "",
        "Written by `make mutation` (Cosmic Ray). The reasons stand in explained.toml; what is left out, with why, in",
        "cosmic-ray.toml.",
        "",
        "| module | mutants run | killed | survived | not run yet | left out |",
        "|---|---|---|---|---|---|",
        *(_row(tally.module, [tally]) for tally in tallies),
        _row("**together**", tallies),
        "",
    ]
    for group in groups:
        if held[group.title]:
            lines += [f"## {group.title}", "", group.reason.strip(), "", *map(_line, held[group.title]), ""]
    if unexplained:
        lines += ["## Unexplained", "", *map(_line, unexplained), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return len(unexplained)


def _row(name: str, tallies: list[Tally]) -> str:
    killed, pending, skipped = (
        sum(getattr(tally, what) for tally in tallies) for what in ("killed", "pending", "skipped")
    )
    survived = sum(len(tally.survivors) for tally in tallies)
    return f"| {name} | {killed + survived} | {killed} | {survived} | {pending} | {skipped} |"


def _line(entry: tuple[str, Survivor]) -> str:
    module, survivor = entry
    return f"- {module}, line {survivor.line}: `{survivor.before}` → `{survivor.after}`"
