"""`make bench`: every stage side by side against its peers; writes speed.json, README.md and the pictures beside it.

All patients are SYNTHETIC. Inputs are made once into the work folder. With --only, the named topics are measured anew
and the other rows of speed.json stay as they were, each with its own date.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from speed import record
from speed.memory import peak_in_child, peak_of
from speed.side_by_side import Absent, Stage, run_stage
from speed.stages import TOPICS
from speed.workplace import Workplace

HERE = Path(__file__).resolve().parent
FOLDER = Path("bench")
REPEATS = 7


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TOPICS, default=TOPICS, metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help=f"timed rounds; default: {REPEATS}")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR", help="default: ./bench")
    parser.add_argument("--no-record", action="store_true", help="print alone; write nothing beside this file")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    parser.add_argument("--once", nargs=2, metavar=("STAGE", "CONTENDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    # Keys, memos and caches of a benchmark must not mix with a user's.
    os.environ.setdefault("PRRT_CONFIG_DIR", str(folder / "config"))
    os.environ.setdefault("PRRT_CACHE_DIR", str(folder / "cache"))
    bench = Workplace(folder, say)
    if arguments.once:
        print(json.dumps({"peak_bytes": _once(bench, *arguments.once)}))
        return 0
    for topic in arguments.only:
        rows: list[record.Row] = []
        for row in _rows(bench, topic, arguments.repeats, memory=not arguments.no_memory):
            print(record.in_words(row), flush=True)
            rows.append(row)
            if not arguments.no_record:
                record.write(HERE, bench.machine, rows)
        if not arguments.no_record:
            record.write(HERE, bench.machine, rows, finished=topic)
    return 0


def _rows(bench: Workplace, topic: str, repeats: int, *, memory: bool) -> Iterator[record.Row]:
    module = import_module(f"speed.stages.{topic}")
    for entry in module.stages(bench) if hasattr(module, "stages") else ():
        yield _measured(bench, topic, entry, repeats, memory=memory)
    for sweep in module.sweeps(bench) if hasattr(module, "sweeps") else ():
        yield record.sweep_row(topic, sweep)


def _measured(bench: Workplace, topic: str, entry: Stage | Absent, repeats: int, *, memory: bool) -> record.Row:
    if isinstance(entry, Absent):
        return record.absent_row(topic, entry)
    outcome = run_stage(entry, repeats, say)
    peaks: dict[str, int | None] = {}
    if memory:
        for contender in entry.contenders:
            say(f"{entry.title}: memory of {contender.name}")
            peaks[contender.name] = peak_in_child(HERE / "bench.py", entry.key, contender.name, bench.folder)
    return record.stage_row(topic, outcome, peaks)


def _once(bench: Workplace, key: str, name: str) -> int:
    for topic in TOPICS:
        if not key.startswith(topic):
            continue
        module = import_module(f"speed.stages.{topic}")
        for entry in module.stages(bench) if hasattr(module, "stages") else ():
            if isinstance(entry, Stage) and entry.key == key:
                run = next(contender.run for contender in entry.contenders if contender.name == name)
                return peak_of(run)
    raise SystemExit(f"There is no stage {key}.")


if __name__ == "__main__":
    sys.exit(main())
