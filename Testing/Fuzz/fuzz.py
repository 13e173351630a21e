"""`make fuzz`: damaged and hostile DICOM files, of which none may do anything but be refused by name, or be read right.

Two engines: seeded random damage, element by element (anywhere), and coverage-guided damage (where atheris is
installed: Linux). Each works in children of its own with a limit on address space and a watchdog, so that a crash, a
hang or a burst of memory is a finding like an exception that escapes; the input lies in the folder of findings then.

    python Testing/Fuzz/fuzz.py [--inputs 50000] [--seed 1] [--engine both|random|coverage] [--jobs 2]
    python Testing/Fuzz/fuzz.py --replay FILE     judges one file again, with the traceback
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
INPUTS_A_CHILD = 2500
SILENCE_S = 120.0  # of a child that has hung; it speaks every few inputs
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Task:
    """What one child does: so many inputs by an engine, from a seed of their own."""

    engine: str
    seed: int
    inputs: int


@dataclass
class Tally:
    """What all children found."""

    done: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    most_bytes: int = 0

    @property
    def inputs(self) -> int:
        return sum(self.done.values())

    def add(self, engine: str, report: dict[str, Any]) -> None:
        self.done[engine] += report["done"]
        self.outcomes.update(report["outcomes"])
        self.slowest_s = max(self.slowest_s, report["slowest_s"])
        self.most_bytes = max(self.most_bytes, report["grown_bytes"])
        self.findings += [(kind, what, engine) for kind, what in report["findings"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=50_000, help="in all, half by each engine (default 50000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default 1)")
    parser.add_argument("--engine", choices=("both", "random", "coverage"), default="both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="children side by side")
    parser.add_argument("--findings", type=Path, default=None, help="folder for inputs that did what they may not")
    parser.add_argument("--small", action="store_true", help="without made patients, for a quick look")
    parser.add_argument("--replay", type=Path, help="a file to judge again")
    chosen = parser.parse_args()
    if chosen.replay is not None:
        return subprocess.call(
            [sys.executable, str(CHILD), "replay", str(chosen.replay)], env={**os.environ, **ENVIRONMENT}
        )
    engines = _engines(chosen.engine)
    findings = chosen.findings or Path(tempfile.mkdtemp(prefix="fuzz-findings-"))
    findings.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    ) as work:
        _write_seeds(Path(work), chosen.small)
        tally = _all_done(_tasks(engines, chosen.inputs, chosen.seed), chosen.jobs, Path(work), findings, chosen.inputs)
    return _tell(tally, chosen, findings, time.monotonic() - started)


def _engines(wanted: str) -> tuple[str, ...]:
    has_atheris = importlib.util.find_spec("atheris") is not None
    if not has_atheris and wanted != "random":
        print("atheris is not installed here: seeded random damage alone", flush=True)
        return ("random",)
    return ("random", "coverage") if wanted == "both" else (wanted,)


def _write_seeds(work: Path, small: bool) -> None:
    print("Making the sound files that are damaged", flush=True)
    words = ["seeds", str(work), *(["small"] if small else [])]
    subprocess.run([sys.executable, str(CHILD), *words], check=True, env={**os.environ, **ENVIRONMENT})


def _tasks(engines: tuple[str, ...], inputs: int, seed: int) -> list[Task]:
    tasks = []
    for number, engine in enumerate(engines):
        share = (inputs + number) // len(engines)
        parts = -(-share // INPUTS_A_CHILD)
        for part in range(parts):
            first, last = share * part // parts, share * (part + 1) // parts
            tasks.append(Task(engine, seed * 1_000_003 + part, last - first))
    return sorted(tasks, key=lambda task: task.seed)


# --- children ---------------------------------------------------------------------------------------------------------


def _all_done(tasks: list[Task], jobs: int, work: Path, findings: Path, total: int) -> Tally:
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    tally, lock, bar = Tally(), threading.Lock(), Bar(total)

    def look_after() -> None:
        while True:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            left, tries = task.inputs, 0
            while left > 0 and tries < 50:  # a child that crashed or hung is followed by another for what is left
                for report in _reports(Task(task.engine, task.seed + 7919 * tries, left), work, findings):
                    with lock:
                        tally.add(task.engine, report)
                        bar.show(tally)
                    left -= report["done"]
                tries += 1

    threads = [threading.Thread(target=look_after) for _ in range(max(jobs, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bar.end()
    return tally


def _reports(task: Task, work: Path, findings: Path) -> Iterator[dict[str, Any]]:
    """What a child tells; where it dies or falls silent, the finding that this is."""
    with tempfile.TemporaryDirectory(dir=work) as place:
        words = [task.engine, str(work), place, str(findings), str(task.seed), str(task.inputs)]
        with (Path(place) / "errors.txt").open("wb") as errors:
            child = subprocess.Popen(
                [sys.executable, str(CHILD), *words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT},
            )
        heard: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        listener = threading.Thread(target=_listen, args=(child, heard))
        listener.start()
        hung = False
        while True:
            try:
                line = heard.get(timeout=SILENCE_S)
            except queue.Empty:
                hung = True
                child.kill()
                continue
            if line is None:
                break
            yield json.loads(line)
        listener.join()
        if child.wait() == 0 and not hung:
            return
        told = (Path(place) / "errors.txt").read_text(errors="replace").strip().splitlines()[-1:]
        what = f"no word for {SILENCE_S:.0f} s" if hung else f"exit status {child.returncode}, {' '.join(told)}"
        kept = findings / f"{'hung' if hung else 'crashed'}-{task.engine}-{task.seed}-{time.monotonic_ns()}"
        shutil.copytree(place, kept)
        finding = ["hung" if hung else "crashed", f"{what}; its series lies in {kept}"]
        yield {"done": 1, "outcomes": {}, "slowest_s": 0.0, "grown_bytes": 0, "findings": [finding]}


def _listen(child: subprocess.Popen[str], heard: queue.SimpleQueue[str | None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("{"):
            heard.put(line)
    heard.put(None)


# --- telling ----------------------------------------------------------------------------------------------------------


class Bar:
    """How far the search is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self._told = 0.0
        self._on_terminal = sys.stdout.isatty()

    def show(self, tally: Tally) -> None:
        share = min(tally.inputs / self._total, 1.0)
        if not self._on_terminal and share < self._told + 0.05:
            return
        self._told = share
        left = (time.monotonic() - self._started) * (1 - share) / max(share, 1e-9)
        filled = round(30 * share)
        line = (
            f"[{'#' * filled}{'.' * (30 - filled)}] {tally.inputs:,} of {self._total:,} inputs, "
            f"{len(tally.findings)} findings, {left / 60:.1f} min left"
        )
        print(f"\r{line}" if self._on_terminal else line, end="" if self._on_terminal else "\n", flush=True)

    def end(self) -> None:
        if self._on_terminal:
            print()


def _tell(tally: Tally, chosen: argparse.Namespace, findings: Path, seconds: float) -> int:
    read = tally.outcomes.pop("read", 0)
    codes = ", ".join(f"{code} {count:,}" for code, count in tally.outcomes.most_common())
    print(f"seed {chosen.seed}; {read:,} times read, refused as {codes}")
    for kind, what, engine in tally.findings:
        print(f"  {kind} ({engine}): {what}")
    by_engine = ", ".join(f"{count:,} {name}" for name, count in tally.done.items())
    enough = tally.inputs >= chosen.inputs
    verdict = "PASSED" if enough and not tally.findings else "FAILED"
    print(
        f"{verdict}: {tally.inputs:,} inputs ({by_engine}) in {seconds / 60:.1f} min, {len(tally.findings)} findings; "
        f"slowest {tally.slowest_s:.2f} s, most memory {tally.most_bytes >> 20} MiB for one"
        + (f"; inputs in {findings}" if tally.findings else "")
    )
    if not tally.findings and chosen.findings is None:
        findings.rmdir()
    return 0 if verdict == "PASSED" else 1


if __name__ == "__main__":
    raise SystemExit(main())
