"""Damaged models, runs, weight files and NRRDs, thousands of them: refused with a typed error, or read whole.

``python Testing/Fuzz/parts.py [--inputs 20000] [--seed 0]``; needs no network and writes to a temporary
folder. Ends with exit 1 and the seed of every input that escaped, took longer than two seconds or more than 1 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Core"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hostile_files import make_run, targets, try_one

MOST_SECONDS, MOST_MEGABYTES = 2.0, 1024


def main() -> int:
    """Run and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to go on or to repeat one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="damage only files whose name contains this")
    arguments = parser.parse_args()
    faults, told, slowest = 0, Counter[str](), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        every = targets(Path(folder), make_run(Path(folder) / "original"))
        chosen = {name: target for name, target in every.items() if arguments.only in name}
        names, began = list(chosen), _megabytes()
        for number in range(arguments.first, arguments.first + arguments.inputs):
            name, before, start = names[number % len(names)], _megabytes(), time.process_time()
            try:
                told[try_one(chosen[name], np.random.default_rng([arguments.seed, number]))] += 1
            except Exception:  # noqa: BLE001  # whatever it is, it has escaped
                faults += 1
                print(f"ESCAPED seed {arguments.seed} input {number} ({name}):\n{traceback.format_exc(limit=-4)}")
            seconds = time.process_time() - start
            slowest = max(slowest, (seconds, name))
            if seconds > MOST_SECONDS or _megabytes() - before > MOST_MEGABYTES:
                faults += 1
                print(f"TOO MUCH seed {arguments.seed} input {number} ({name}): {seconds:.1f} s, {_megabytes()} MB")
    print(
        f"{arguments.inputs} damaged files of {len(names)} kinds, seed {arguments.seed}: {dict(told)}, {faults} faults"
    )
    print(f"slowest {slowest[0]:.2f} s ({slowest[1]}), memory +{_megabytes() - began} MB")
    return 1 if faults else 0


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())
