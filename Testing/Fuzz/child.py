"""One child of the search: damages and judges so many inputs under a limit on address space, and tells on stdout.

child.py seeds WORK [small]                              write the sound files
child.py random|coverage WORK PLACE FINDINGS SEED COUNT  search
child.py replay FILE                                     judge one file, with the traceback
"""

from __future__ import annotations

import json
import os
import pickle
import random
import sys
import traceback
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "PRRTPredictor")]

ADDRESS_SPACE = 1 << 30  # beyond what the modules need
EVERY = 25  # inputs from one word to the next
LARGEST_INPUT = 100_000


class Search:
    """Judges inputs in a folder of series, and tells of them now and then.

    The damaged file takes the place of the sound one in a folder of its own beside the other slices of its series.
    """

    def __init__(self, work: Path, place: Path, findings: Path, name: str, count: int) -> None:
        import judge

        self._judge: ModuleType = judge
        self.seeds: list[Any] = pickle.loads((work / "seeds.pickle").read_bytes())  # written by this program
        self._place, self._findings, self._name, self._count = place, findings, name, count
        self._said = self.done = 0
        self._outcomes: Counter[str] = Counter()
        self._found: list[tuple[str, str]] = []
        self._seen: set[str] = set()
        self._slowest = 0.0
        self._grown = 0
        self._folders: dict[int, Path] = {}
        for number in range(len(self.seeds)):
            self.judge(number, self.seeds[number].content, warm_up=True)
        self._outcomes.clear()

    def judge(self, number: int, content: bytes, warm_up: bool = False) -> None:
        seed = self.seeds[number]
        file = self._folder(number) / "damaged.dcm"
        file.write_bytes(content)
        verdict = self._judge.judged(file.parent, file, seed.kind)
        if warm_up:
            wanted = seed.kind == "any" or "read" in verdict.outcomes
            if not wanted or any(finding.kind == "escaped" for finding in verdict.findings):
                raise SystemExit(f"the sound seed {seed.name} is not read: {verdict}")
            return
        self.done += 1
        self._outcomes.update(verdict.outcomes)
        self._slowest = max(self._slowest, verdict.seconds)
        self._grown = max(self._grown, verdict.grown_bytes)
        for finding in verdict.findings:
            self._keep(finding, seed, content)
        if self.done - self._said >= EVERY or self.done >= self._count:
            self._tell()

    def _keep(self, finding: Any, seed: Any, content: bytes) -> None:
        alike = finding.what.rpartition("(")[2] if finding.kind == "escaped" else finding.kind
        if alike in self._seen:
            self._found.append((finding.kind, f"{finding.what}, as before"))
            return
        self._seen.add(alike)
        kept = self._findings / f"{finding.kind.replace(' ', '-')}-{self._name}-{self.done}"
        kept.mkdir(parents=True)
        (kept / "damaged.dcm").write_bytes(content)
        for at, companion in enumerate(seed.companions):
            (kept / f"sound-{at}.dcm").write_bytes(companion)
        self._found.append((finding.kind, f"{finding.what}; {seed.name}, {kept.name}"))

    def _folder(self, number: int) -> Path:
        if number not in self._folders:
            folder = self._folders[number] = self._place / str(number)
            folder.mkdir()
            for at, companion in enumerate(self.seeds[number].companions):
                (folder / f"sound-{at}.dcm").write_bytes(companion)
        return self._folders[number]

    def _tell(self) -> None:
        report = {
            "done": self.done - self._said,
            "outcomes": dict(self._outcomes),
            "slowest_s": self._slowest,
            "grown_bytes": self._grown,
            "findings": self._found,
        }
        os.write(1, json.dumps(report).encode() + b"\n")
        self._said = self.done
        self._outcomes.clear()
        self._found = []


def write_seeds(work: Path, small: bool) -> None:
    import seeds

    (work / "seeds.pickle").write_bytes(pickle.dumps(seeds.all_seeds(small)))


def search_at_random(search: Search, seed: int, count: int) -> None:
    from mutate import mutated

    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        own = [number for number, sound in enumerate(search.seeds) if sound.companions or sound.kind == "PT"]
        chosen = rng.choice(own) if rng.random() < 0.7 else rng.randrange(len(search.seeds))
        search.judge(chosen, mutated(search.seeds[chosen].content, rng)[:LARGEST_INPUT])


def search_by_coverage(work: Path, place: Path, findings: Path, seed: int, count: int) -> None:
    """Let atheris choose what to damage further: inputs that reach new branches of the package's DICOM room."""
    import atheris

    with atheris.instrument_imports(include=["PRRTPredictorCore.dicom"]):
        import PRRTPredictorCore.dicom.index
        import PRRTPredictorCore.dicom.suv  # noqa: F401
    from mutate import mutated

    search = Search(work, place, findings, f"coverage-{seed}", count)
    corpus = place / "corpus"
    corpus.mkdir()
    for number, sound in enumerate(search.seeds):
        (corpus / f"{number:03d}").write_bytes(bytes((number,)) + sound.content)

    def judge(data: bytes) -> None:
        if data:
            search.judge(data[0] % len(search.seeds), data[1:])
        if search.done >= count:
            os._exit(0)  # atheris does not come back

    def damage(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.2 or len(data) < 200:
            return bytes(data[:1] + atheris.Mutate(data[1:], most - 1))
        return (data[:1] + mutated(data[1:], rng))[:most]

    limit_address_space()
    options = [
        f"-seed={seed % 2**31}",
        f"-max_len={LARGEST_INPUT}",
        "-len_control=0",
        "-rss_limit_mb=0",
        "-timeout=100",
    ]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], judge, custom_mutator=damage)
    atheris.Fuzz()


def limit_address_space() -> None:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        sys.stderr.write("no limit on address space on this system\n")
        return
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def replay(file: Path) -> int:
    import judge

    kinds = ("CT", "PT", "any")
    for kind in kinds:
        print(kind, judge.judged(file.parent, file, kind))  # type: ignore[arg-type]
    for way in (judge.index_source, judge.load_ct, judge.load_pet):
        try:
            way(file.parent)
        except judge.PRRTError as error:
            print(way.__name__, error)
        except Exception:  # noqa: BLE001, it is shown
            traceback.print_exc()
    return 0


def main(words: list[str]) -> int:
    if words[0] == "seeds":
        write_seeds(Path(words[1]), "small" in words)
        return 0
    if words[0] == "replay":
        return replay(Path(words[1]))
    engine, (work, place, findings), (seed, count) = words[0], map(Path, words[1:4]), map(int, words[4:])
    if engine == "coverage":
        search_by_coverage(work, place, findings, seed, count)
    search = Search(work, place, findings, f"{engine}-{seed}", count)
    limit_address_space()
    search_at_random(search, seed, count)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
