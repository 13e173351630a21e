"""A stage, its contenders and how they are timed."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """Somebody who can do the work of a stage.

    Attributes
    ----------
    run : callable
        Does the whole work once and returns the result.
    threads : str
        In words, where it differs from the library's default.
    """

    name: str
    run: Callable[[], Any] = field(repr=False)
    threads: str = ""


@dataclass(frozen=True)
class Peer:
    """What a user would pick instead, and the share of its time that we want to need at most (None: no goal)."""

    contender: Contender
    goal: float | None = None


@dataclass(frozen=True)
class Limit:
    """What the machine could do at best: the bytes or operations in words, and the seconds they take here."""

    words: str
    seconds: float


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes
    ----------
    key, title : str
        The key begins with the name of the stage's module, e.g. "dicom-ct".
    work : str
        What is done, with sizes.
    check : callable
        (our result, a peer's result) -> the tolerance within which they are equal, in words; AssertionError otherwise.
    limit : Limit or None
    repeats : int or None
        Timed rounds, where the stage wants another number than the run.
    rate : (str, float) or None
        A unit and how much of it one run makes, e.g. ("patients", 4.0): then the rate is told too.
    """

    key: str
    title: str
    work: str
    ours: Contender
    peers: tuple[Peer, ...] = ()
    check: Callable[[Any, Any], str] | None = field(default=None, repr=False)
    limit: Limit | None = None
    repeats: int | None = None
    rate: tuple[str, float] | None = None

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """We, then the peers."""
        return (self.ours, *(peer.contender for peer in self.peers))


@dataclass(frozen=True)
class Point:
    """One size of a sweep: how much of it (patients, folds, voxels), how long it took, what it needed at its peak."""

    size: float
    seconds: float
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Sweep:
    """How the cost of a stage grows with one size of its input."""

    key: str
    title: str
    work: str
    size_name: str
    points: tuple[Point, ...]

    @property
    def exponent(self) -> tuple[float, float]:
        """Slope of log seconds over log size by least squares, and its standard error: 1 is linear."""
        from math import log

        from scipy.stats import linregress

        fit = linregress([log(point.size) for point in self.points], [log(point.seconds) for point in self.points])
        return float(fit.slope), float(fit.stderr)


@dataclass(frozen=True)
class Absent:
    """A row that cannot be measured here, and why (no GPU at hand)."""

    key: str
    title: str
    work: str
    reason: str


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender in each round."""

    name: str
    threads: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """Us against one peer; ``ratio`` is ours by theirs, medians, with the smallest and largest of the rounds."""

    timing: Timing
    ratio: float
    ratio_range: tuple[float, float]
    goal: float | None
    equal: str


@dataclass(frozen=True)
class Outcome:
    """A stage that was run."""

    stage: Stage
    ours: Timing
    comparisons: tuple[Comparison, ...]


def run_stage(stage: Stage, repeats: int, say: Callable[[str], None]) -> Outcome:
    """Check that all results are equal, then time the contenders in turns.

    The run for the check also warms caches up; it is not timed. Each round begins with another contender.

    Raises
    ------
    AssertionError
        A peer's result is not ours.
    """
    equal = []
    mine = stage.ours.run()
    for peer in stage.peers:
        say(f"{stage.title}: {peer.contender.name}, for equality")
        theirs = peer.contender.run()
        equal.append(stage.check(mine, theirs) if stage.check else "")
        del theirs
    del mine
    contenders = stage.contenders
    seconds: list[list[float]] = [[] for _ in contenders]
    rounds = stage.repeats or repeats
    for turn in range(rounds):
        say(f"{stage.title}: round {turn + 1} of {rounds}")
        for place in range(len(contenders)):
            index = (turn + place) % len(contenders)
            gc.collect()
            begun = time.perf_counter()
            result = contenders[index].run()
            seconds[index].append(time.perf_counter() - begun)
            del result
    ours, *theirs_timed = (
        Timing(contender.name, contender.threads, tuple(measured))
        for contender, measured in zip(contenders, seconds, strict=True)
    )
    return Outcome(
        stage,
        ours,
        tuple(
            _compared(ours, timing, peer.goal, words)
            for timing, peer, words in zip(theirs_timed, stage.peers, equal, strict=True)
        ),
    )


def _compared(ours: Timing, theirs: Timing, goal: float | None, equal: str) -> Comparison:
    rounds = [mine / other for mine, other in zip(ours.seconds, theirs.seconds, strict=True)]
    return Comparison(theirs, ours.median / theirs.median, (min(rounds), max(rounds)), goal, equal)
