"""`make mutation`: mutants of SUV and labs by Cosmic Ray; each must be killed by a test, or be explained.

Cosmic Ray makes the mutants, and keeps them and their results (a session for each module, which `cr-report` reads). The
tests run here: on a copy of the tree under ./build, in one forked process a mutant, with the packages imported once.
The mutated source goes from memory to the import, so that no file is ever changed. An interrupted run goes on where it
ended; whatever survived is tried again, since tests may have come. survivors.md is written at the end of every run.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import chain
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import toml
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.tools.filters.operators_filter import OperatorsFilter
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from rich.progress import Progress
from survivors import Survivor, Tally, write_survivors

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIG = HERE / "cosmic-ray.toml"
COPIED = ("PRRTPredictor/PRRTPredictorCore", "Testing/Core", "pyproject.toml")
PACKAGE = "PRRTPredictorCore"


def main() -> int:
    """Run the sessions; the exit code is 1 while a mutant survives unexplained or was not tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="MODULE", help='such as "suv_times"; default: all')
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after that long; the next run goes on"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: one a core")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutation", metavar="DIR")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    if not hasattr(os, "fork"):
        print("Mutants are run in forked processes, which this system does not have.", file=sys.stderr)
        return 2
    config = toml.load(CONFIG)
    ends = time.monotonic() + 60 * arguments.minutes
    if arguments.fresh:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    tree = copied(arguments.folder)
    sessions = [Session(tree, Path(path), arguments.folder) for path in config["cosmic-ray"]["module-path"]]
    import_packages(tree, config)
    for session in sessions:
        session.open(config)
    chosen = [session for session in sessions if arguments.only is None or session.name in arguments.only]
    for session in {session.path.parent: session for session in chosen}.values():
        session.require_passing_tests(config)
    for session in chosen:
        session.run(config, arguments.jobs, ends)
    tallies = [session.tally() for session in sessions]
    unexplained = write_survivors(HERE / "survivors.md", HERE / "explained.toml", tallies)
    for tally in tallies:
        print(f"{tally.module:<24}{tally.killed:>6} killed {len(tally.survivors):>4} survived {tally.pending:>5} left")
    print(f"{unexplained} survive unexplained; see {HERE / 'survivors.md'}")
    return int(unexplained > 0 or any(tally.pending for tally in tallies))


def copied(folder: Path) -> Path:
    """Copy what the tests need, so that edits during the run change nothing."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in COPIED:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, tree / name)
    return tree


def import_packages(tree: Path, config: dict[str, Any]) -> None:
    """Import once what every child needs; the core is dropped again, for each child imports a mutated one."""
    import hypothesis
    import pytest  # noqa: F401

    os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.dont_write_bytecode = False  # what is not mutated is compiled once
    os.chdir(tree)
    sys.path[:0] = [str(tree / "PRRTPredictor"), str(tree / "Testing" / "Core")]
    for path in chain.from_iterable(config["tests"].values()):
        __import__(Path(path).stem)
    assert Path(sys.modules[PACKAGE].__file__ or "").is_relative_to(tree)
    for name in [*sys.modules]:
        if name.split(".")[0] == PACKAGE or name in {path.stem for path in (tree / "Testing" / "Core").glob("*.py")}:
            del sys.modules[name]
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, max_examples=30, phases=phases
    )
    hypothesis.settings.load_profile("mutation")
    # Children share what is in memory until somebody writes to it, and collecting garbage does.
    gc.collect()
    gc.freeze()


# --- a session --------------------------------------------------------------------------------------------------------


@dataclass
class Session:
    """The mutants of one module, and what became of them."""

    tree: Path
    path: Path
    folder: Path
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.stem
        self.database = self.folder / f"{self.name}.sqlite"
        self.source = (self.tree / self.path).read_text(encoding="utf-8")

    def open(self, config: dict[str, Any]) -> None:
        """Keep the session where the module is the same as then; else begin anew."""
        mark = self.folder / f"{self.name}.sha256"
        digest = hashlib.sha256(f"{config['cosmic-ray']['filters']}{self.source}".encode()).hexdigest()
        if self.database.exists() and mark.exists() and mark.read_text() == digest:
            return
        mark.unlink(missing_ok=True)
        self.database.unlink(missing_ok=True)
        with use_db(self.database) as work:
            init([self.tree / self.path], work, config["cosmic-ray"].get("operators", {}))
            OperatorsFilter().filter(work, SimpleNamespace(config=str(CONFIG)))
        mark.write_text(digest)

    def require_passing_tests(self, config: dict[str, Any]) -> None:
        """End with the tests' own words where they fail without any mutant."""
        output = self.folder / "unchanged.txt"
        if _in_child(self, None, self._tests(config), "", output).wait() != 0:
            raise SystemExit(f"{output.read_text()}\nThe tests of {self.name} fail without any mutant.")

    def _tests(self, config: dict[str, Any]) -> list[str]:
        return [*config["cosmic-ray"]["test-command"].split()[3:], *config["tests"][self.path.parent.name]]

    def run(self, config: dict[str, Any], jobs: int, ends: float) -> None:
        """Run the tests for every mutant that is still alive or was never tried."""
        with use_db(self.database, WorkDB.Mode.open) as work:
            waiting = [item for item, result in work.completed_work_items if _survived(result)]
            waiting = [*work.pending_work_items, *waiting]
            with Progress() as bar:
                task = bar.add_task(f"{self.name:<14}", total=len(waiting))
                for item, status in self._outcomes(waiting, config, jobs, ends):
                    outcome = TestOutcome.KILLED if status else TestOutcome.SURVIVED
                    output = "timeout" if status == -signal.SIGKILL else None
                    diff = None if status else self.difference(item.mutations[0])
                    work.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, output, outcome, diff))
                    bar.advance(task)

    def _outcomes(
        self, waiting: list[WorkItem], config: dict[str, Any], jobs: int, ends: float
    ) -> Iterator[tuple[WorkItem, int]]:
        every, likely = self._tests(config), config["first"].get(self.name, "")
        timeout_s = config["cosmic-ray"]["timeout"]
        running: list[tuple[WorkItem, _Child]] = []
        while running or (waiting and time.monotonic() < ends):
            while waiting and len(running) < jobs and time.monotonic() < ends:
                item = waiting.pop(0)
                running.append((item, _in_child(self, self.mutated(item.mutations[0]), every, likely)))
            for item, child in [*running]:
                status = child.status(timeout_s)
                if status is not None:
                    running.remove((item, child))
                    yield item, status
            time.sleep(0.005)

    def mutated(self, mutation: MutationSpec) -> str:
        """The module's source with one mutation."""
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        return str(mutate_code(self.source, operator, mutation.occurrence))

    def difference(self, mutation: MutationSpec) -> str:
        lines = difflib.unified_diff(self.source.splitlines(), self.mutated(mutation).splitlines(), lineterm="", n=0)
        return "\n".join([*lines][3:])

    def tally(self) -> Tally:
        with use_db(self.database, WorkDB.Mode.open) as work:
            done = [(item, result) for item, result in work.completed_work_items if result.test_outcome]
            survivors = tuple(
                Survivor(item.mutations[0].operator_name, item.mutations[0].start_pos[0], result.diff or "")
                for item, result in done
                if _survived(result)
            )
            skipped = work.num_results - len(done)
            return Tally(
                self.name, len(done) - len(survivors), survivors, work.num_work_items - work.num_results, skipped
            )


def _survived(result: WorkResult) -> bool:
    return result.test_outcome is TestOutcome.SURVIVED


# --- a child ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Child:
    pid: int
    started: float

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def status(self, timeout_s: float) -> int | None:
        """The exit code; None while it runs. An endless loop is ended, and counts as noticed."""
        if time.monotonic() - self.started > timeout_s:
            os.killpg(self.pid, signal.SIGKILL)
            return self.wait()
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None


def _in_child(
    session: Session, source: str | None, tests: list[str], likely: str, output: Path = Path(os.devnull)
) -> _Child:
    """Run the tests, those first whose names are like the module's matter; they kill most mutants in no time."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            silence = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            if source is not None:
                sys.meta_path.insert(0, _Mutant(session.tree / session.path, source))
            code = (_test(session.tree, [*tests, "-k", likely]) if likely else 0) or _test(session.tree, tests)
        finally:
            os._exit(code)
    return _Child(pid, time.monotonic())


def _test(tree: Path, arguments: list[str]) -> int:
    import pytest

    return int(pytest.main(["--rootdir", str(tree), "-c", str(HERE / "pytest.ini"), *arguments]))


class _Mutant:
    """Finds one module with another source than its file's."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.name = ".".join(path.with_suffix("").parts[path.parts.index(PACKAGE) :])

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return spec_from_file_location(name, self.path, loader=_Loader(name, str(self.path), self.source))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.mutated = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutated, self.path, "exec", dont_inherit=True)


if __name__ == "__main__":
    sys.exit(main())
