"""`make kills`: kill -9 at random moments of every command that writes; then the command is simply given again.

After each kill: nothing half-written stands under a final name, and what was finished is as it was. After the command
was given again: the same bytes as without the kill, and nothing left aside. Everything is imported once, in this
process, which forks a child for each command, so that the moments fall into the work and not into the imports.

    python Testing/Kills/kills.py [--train 25] [--fit 8] [--report 8] [--cache 8] [--key 25] [--seed 1]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import pkgutil
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import PRRTPredictorCore
from PRRTPredictorCore.cli import main as prrt
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.models import presets
from PRRTPredictorCore.report.chapters import CHAPTERS

PATIENTS = 6
SHAPE = (24, 16, 16)
MODELS = ("rf_labs", "pet_labs", "pet_ct_labs_pretrained")
SHOWN = "results"
MOST_TRIES = 40
RESULTS = ("metrics.json", "curves.json", "significance.json")

LIBRARIES = (
    *("joblib", "psutil", "scipy.stats", "safetensors.torch", "monai.networks.nets", "jinja2"),
    *("sklearn.ensemble", "sklearn.linear_model", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
)
"""What the rooms import only where they need it."""

Work = Callable[[], int]


class Lost(Exception):
    """Something finished was lost, something half-written was read, or a repeated command gave other bytes."""


def require(holds: bool, told: str) -> None:
    """The checks of this file, also under ``python -O``."""
    if not holds:
        raise Lost(told)


# --- children ---------------------------------------------------------------------------------------------------------


def import_everything() -> None:
    """So that a forked child begins with its work at once."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # threads do not survive a fork
    for module in pkgutil.walk_packages(PRRTPredictorCore.__path__, "PRRTPredictorCore."):
        if not module.name.endswith(("__main__", ".cluster", ".cluster_worker")):
            importlib.import_module(module.name)
    for library in LIBRARIES:
        importlib.import_module(library)


def forked(work: Work, log: Path) -> int:
    """Begin some work in a child; its number."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = work()
        sys.stdout.flush()
    finally:
        os._exit(code)


def whole(work: Work, log: Path) -> float:
    """Do some work to its end; the seconds it took."""
    begun = time.monotonic()
    _, status = os.waitpid(forked(work, log), 0)
    if status != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
        raise Lost(f"a command that nobody killed ended with {os.waitstatus_to_exitcode(status)}:\n{tail}")
    return time.monotonic() - begun


def killed(work: Work, log: Path, after_s: float) -> bool:
    """Begin some work and kill it; False when it had ended before."""
    begun = time.monotonic()
    pid = forked(work, log)
    while time.monotonic() - begun < after_s:
        ended, _ = os.waitpid(pid, os.WNOHANG)
        if ended:
            return False
        time.sleep(min(0.001, after_s / 20))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


# --- what is killed ---------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder that has its final name."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes() for name, path in files.items() if not any(p.startswith(".") for p in name.parts)
    }


def leftovers(folder: Path) -> list[str]:
    """What lies under temporary names."""
    return [path.name for path in folder.rglob(".*") if path.name.startswith((".partial-", ".replaced-"))]


@dataclass(frozen=True)
class Bench:
    """What every trial begins with: a cohort, its cache, a finished run and a model."""

    here: Path
    took: dict[str, float] = field(default_factory=dict)
    """Seconds of each kind of command that nobody killed."""

    @property
    def table(self) -> Path:
        return self.here / "cohort" / "cohort.csv"

    @property
    def run(self) -> Path:
        return self.here / "run"

    @property
    def log(self) -> Path:
        return self.here / "commands.log"

    def train(self, out: Path, *models: str) -> Work:
        options = ["--preset", "quick", "--folds", "2", "--repeats", "2", "--seed", "3", "--jobs", "1"]
        return lambda: prrt(["train", str(self.table), "--out", str(out), *options, "--models", *(models or MODELS)])

    def fit(self, out: Path, model: str) -> Work:
        return lambda: prrt(["fit", "--run", str(self.run), "--model", model, "--out", str(out)])

    def report(self, run: Path, *shown: str) -> Work:
        without = [entry.key for entry in CHAPTERS if entry.key not in shown]
        return lambda: prrt(["report", str(run), "--without", *without])

    def prepare(self, cache: Path) -> Work:
        def work() -> int:
            from PRRTPredictorCore.cohort.table import read_cohort
            from PRRTPredictorCore.imaging.cache import prepare_cohort

            prepare_cohort(read_cohort(self.table).patients, cache_dir=cache)
            return 0

        return work


class Trial:
    """One kind of command: how it begins, what must hold after the kill, and after the same command again."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def begin(self, here: Path) -> Work:
        raise NotImplementedError

    def after_kill(self, here: Path) -> str:
        raise NotImplementedError

    def after_repeat(self, here: Path) -> None:
        raise NotImplementedError


class Train(Trial):
    def begin(self, here: Path) -> Work:
        return self.bench.train(here / "run")

    def after_kill(self, here: Path) -> str:
        self.finished: dict[Path, int] = {}
        for fold in (here / "run").glob("folds/*/[0-9]*"):
            twin = self.bench.run / fold.relative_to(here / "run")
            require(content(fold).keys() == content(twin).keys(), f"half a fold: {fold.name}")
            for name in ("predictions.csv", "weights.safetensors"):
                require((fold / name).read_bytes() == (twin / name).read_bytes(), f"another {name} in {fold.name}")
            json.loads((fold / "done.json").read_text(encoding="utf-8"))
            self.finished[fold / "done.json"] = (fold / "done.json").stat().st_mtime_ns
        for name in RESULTS:
            path = here / "run" / name
            if path.exists():
                require(path.read_bytes() == (self.bench.run / name).read_bytes(), f"another {name} after the kill")
        return f"{len(self.finished)} of {len(MODELS) * 4} folds finished"

    def after_repeat(self, here: Path) -> None:
        for name in RESULTS:
            same = (here / "run" / name).read_bytes() == (self.bench.run / name).read_bytes()
            require(same, f"{name} of the resumed run is not that of the uninterrupted one")
        for done, time_ns in self.finished.items():
            require(done.stat().st_mtime_ns == time_ns, f"a finished fold was fitted again: {done.parent.name}")
        require(not leftovers(here), f"left aside: {leftovers(here)}")
        require(not list((here / "run").glob(".ct-features*")), "the features of the CT were not removed")


def model_parts(folder: Path) -> dict[str, object]:
    """A model without the moment at which it was packed; fails where a file is not what the model's hashes say."""
    found = content(folder)
    for name, digest in json.loads(found.pop("configs/hashes.json"))["files"].items():
        require(hashlib.sha256(found[name]).hexdigest() == digest, f"{name} is not what the model was packed with")
    del found["docs/README.md"]
    metadata = json.loads(found.pop("configs/metadata.json"))
    return {**found, "metadata": str(without_moment(metadata))}


def without_moment(value: object) -> object:
    """JSON without any entry of the name ``created_utc``."""
    if isinstance(value, dict):
        return {key: without_moment(inner) for key, inner in value.items() if key != "created_utc"}
    return [without_moment(inner) for inner in value] if isinstance(value, list) else value


class Fit(Trial):
    """Of a model in the place of an older one."""

    def begin(self, here: Path) -> Work:
        shutil.copytree(self.bench.here / "old", here / "model")
        return self.bench.fit(here / "model", "rf_labs")

    def after_kill(self, here: Path) -> str:
        if content(here / "model") == content(self.bench.here / "old"):
            return "the older model"
        require(model_parts(here / "model") == model_parts(self.bench.here / "new"), "neither the older nor the new")
        return "the new model"

    def after_repeat(self, here: Path) -> None:
        same = model_parts(here / "model") == model_parts(self.bench.here / "new")
        require(same, "another model than without the kill")
        require(not leftovers(here), f"left aside: {leftovers(here)}")


class Report(Trial):
    """Of a run that has an older report with another chapter."""

    def begin(self, here: Path) -> Work:
        shutil.copytree(self.bench.run, here / "run")
        return self.bench.report(here / "run", SHOWN)

    def after_kill(self, here: Path) -> str:
        run = here / "run"
        require((run / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>"), "half a page")
        for name in (*RESULTS, "report.json"):
            json.loads((run / name).read_text(encoding="utf-8"))
        return "the new page" if self._chapters(run) == [SHOWN] else "the older page"

    def after_repeat(self, here: Path) -> None:
        run = here / "run"
        require(self._chapters(run) == [SHOWN], "another report than without the kill")
        listed = set(json.loads((run / "report.json").read_text(encoding="utf-8"))["files"])
        present = {f"{path.parent.name}/{path.name}" for path in [*run.glob("figures/*"), *run.glob("tables/*")]}
        require(listed == present, f"figures of two reports: {sorted(listed ^ present)}")
        for name in RESULTS:
            require((run / name).read_bytes() == (self.bench.run / name).read_bytes(), f"another {name}")
        require(not leftovers(here), f"left aside: {leftovers(here)}")

    @staticmethod
    def _chapters(run: Path) -> list[str]:
        document = json.loads((run / "report.json").read_text(encoding="utf-8"))
        return [chapter["key"] for chapter in document["chapters"]]


class Cache(Trial):
    def begin(self, here: Path) -> Work:
        return self.bench.prepare(here / "cache")

    def after_kill(self, here: Path) -> str:
        found, wanted = content(here / "cache"), content(self.bench.here / "cache")
        for name, stored in found.items():
            require(wanted.get(name) == stored, f"half a file in the cache: {name}")
        entries = [name for name in found if name.startswith("studies") and name.endswith(".json")]
        for name in entries:
            require(name.replace(".json", ".npy") in found, "a sidecar vouches for voxels that are not there")
        return f"{len(entries)} of {PATIENTS} studies prepared"

    def after_repeat(self, here: Path) -> None:
        require(content(here / "cache") == content(self.bench.here / "cache"), "another cache than without the kill")
        require(not leftovers(here), f"left aside: {leftovers(here)}")


class Key(Trial):
    def begin(self, here: Path) -> Work:
        def work() -> int:
            from PRRTPredictorCore.cohort.identity import study_code

            os.environ["PRRT_CONFIG_DIR"] = str(here / "config")
            study_code("PAT-7")
            return 0

        return work

    def after_kill(self, here: Path) -> str:
        path = here / "config" / "study-code.key"
        self.before = path.read_bytes() if path.exists() else None
        whole_key = self.before is None or re.fullmatch(rb"[0-9a-f]{64}", self.before)
        require(bool(whole_key), "half a key")
        return "no key yet" if self.before is None else "a whole key"

    def after_repeat(self, here: Path) -> None:
        path = here / "config" / "study-code.key"
        require(self.before in (None, path.read_bytes()), "another key than before")
        require(not leftovers(here), f"left aside: {leftovers(here)}")


KINDS: dict[str, tuple[type[Trial], int]] = {
    "train": (Train, 25),
    "fit": (Fit, 8),
    "report": (Report, 8),
    "cache": (Cache, 8),
    "key": (Key, 25),
}


# --- the whole --------------------------------------------------------------------------------------------------------


def shrink() -> None:
    """Images, networks and forests that are fitted within a tenth of a second, under the name of an ordinary preset."""
    PreprocessConfig.__init__.__defaults__ = (SHAPE, *PreprocessConfig.__init__.__defaults__[1:])  # type: ignore[index]
    quick = presets.QUICK
    small = replace(
        quick,
        network=replace(quick.network, widths=(4, 8), stem_stride=2, stem_kernel=3),
        forest=replace(quick.forest, trees=10, min_samples_leaf=1),
        epochs=2,
        ct_init="random",
    )
    presets.PRESETS = {**presets.PRESETS, "quick": small}


def make_bench(here: Path) -> Bench:
    bench = Bench(here)
    os.environ["PRRT_CONFIG_DIR"], os.environ["PRRT_CACHE_DIR"] = str(here / "config"), str(here / "cache")
    cohort = ["synth", "--out", str(here / "cohort"), "--patients", str(PATIENTS), "--seed", "5", "--jobs", "1"]
    steps: dict[str, Work] = {
        "synth": lambda: prrt(cohort),
        "cache": bench.prepare(here / "cache"),
        "train": bench.train(bench.run),
        "older model": bench.fit(here / "old", "pet_labs"),
        "fit": bench.fit(here / "new", "rf_labs"),
        "report": bench.report(bench.run, SHOWN, "brief"),
    }
    bench.took.update((name, whole(work, bench.log)) for name, work in steps.items())
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in bench.took.items())
    print(f"kills: uninterrupted: {told}", flush=True)
    return bench


def trials(kind: str, number: int, bench: Bench, draws: random.Random) -> None:
    """Kill one kind of command a number of times; tell where the kills fell."""
    make = KINDS[kind][0]
    here = bench.here / "trial"
    moments: list[str] = []
    takes_s = bench.took.get(kind, 0.0)
    for _ in range(number):
        trial = make(bench)
        for _ in range(MOST_TRIES):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            work = trial.begin(here)
            if not takes_s:
                takes_s = whole(work, bench.log)
                continue
            # Every second one falls into the last fifth, where results take their places.
            after_s = draws.uniform(0.8 * takes_s if len(moments) % 2 else 0.0, takes_s)
            if killed(work, bench.log, after_s):
                break
            takes_s *= 0.8  # it ended before: the first one was slow, or the machine had more to do then
        else:
            raise Lost(f"{kind} always ended before it could be killed")
        found = trial.after_kill(here)
        whole(work, bench.log)
        trial.after_repeat(here)
        moments.append(f"{after_s:.3f} s: {found}")
    print(f"{kind}: {number} kills within {takes_s:.3f} s, the same command again each time, the same bytes as without")
    for moment in moments:
        print(f"    {moment}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, (_, number) in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=number, help=f"kills; default: {number}")
    parser.add_argument("--seed", type=int, default=1, help="of the moments; default: 1")
    arguments = parser.parse_args()
    if not hasattr(os, "fork"):
        print("kills: this system cannot fork, so nothing was killed")
        return 2
    print(f"kills: seed {arguments.seed}")
    begun = time.monotonic()
    import_everything()
    shrink()
    draws = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="prrt-kills-") as folder:
        print(f"kills: everything imported after {time.monotonic() - begun:.1f} s", flush=True)
        bench = make_bench(Path(folder))
        try:
            for kind in KINDS:
                if number := getattr(arguments, kind):
                    trials(kind, number, bench, draws)
        except Lost as lost:
            print(f"kills: {kind}: {lost}")
            return 1
    print(f"kills: nothing was lost ({time.monotonic() - begun:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
