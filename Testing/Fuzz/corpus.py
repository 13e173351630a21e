"""Choose the fixed small corpus of `make test`: one damaged file for every way in which files of each seed end.

python Testing/Fuzz/corpus.py      writes Testing/Core/corpus anew
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "Core"))

from judge import judged
from mutate import mutated
from seeds import Seed, all_seeds

CORPUS = Path(__file__).parents[1] / "Core" / "corpus"
TRIES, MOST_A_SEED, LARGEST = 250, 4, 4000


def main() -> int:
    shutil.rmtree(CORPUS, ignore_errors=True)
    own = [seed for seed in all_seeds(small=True) if not seed.name.startswith("pydicom")]
    for seed in own:
        folder = CORPUS / f"{seed.kind}-{seed.name.rsplit(' ', 1)[0].replace(' ', '-')}"
        folder.mkdir(parents=True)
        for at, companion in enumerate(seed.companions):
            (folder / f"sound-{at}.dcm").write_bytes(companion)
        for number, content in enumerate(_chosen(seed)):
            (folder / f"damaged-{number}.dcm").write_bytes(content)
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) >> 10} KiB in {CORPUS}")
    return 0


def _chosen(seed: Seed) -> list[bytes]:
    """Damaged files that ended in ways of their own, the rarest ways first."""
    ended: dict[tuple[str, ...], list[bytes]] = {}
    with TemporaryDirectory() as place:
        file = Path(place) / "damaged.dcm"
        for at, companion in enumerate(seed.companions):
            (Path(place) / f"sound-{at}.dcm").write_bytes(companion)
        for number in range(TRIES):
            content = mutated(seed.content, random.Random(f"{seed.name}-{number}"))
            if len(content) > LARGEST:
                continue
            file.write_bytes(content)
            ended.setdefault(judged(file.parent, file, seed.kind).outcomes, []).append(content)
    return [contents[0] for contents in sorted(ended.values(), key=len)[:MOST_A_SEED]]


if __name__ == "__main__":
    raise SystemExit(main())
