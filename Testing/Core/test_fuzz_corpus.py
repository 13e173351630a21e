"""The fixed small corpus of damaged files, and the search itself in small; `make fuzz` does it by tens of thousands."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import ct_series, multiframe, pet_series, write_series
from pydicom.uid import DeflatedExplicitVRLittleEndian

sys.path.insert(0, str(Path(__file__).parents[1] / "Fuzz"))

import judge
import mutate
from seeds import Kind

FUZZ = Path(__file__).parents[1] / "Fuzz"
CORPUS = Path(__file__).with_name("corpus")
DAMAGED = sorted(CORPUS.glob("*/damaged-*.dcm"))
CT = (np.arange(3 * 16 * 12).reshape(3, 16, 12) % 3000).astype(np.uint16)


def test_the_corpus_is_there() -> None:
    assert len(DAMAGED) > 40
    assert sum(path.stat().st_size for path in CORPUS.rglob("*.dcm")) < 500_000


@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_damaged_file_is_refused_by_name_or_read_right(tmp_path: Path, path: Path) -> None:
    for sound in path.parent.glob("sound-*.dcm"):
        shutil.copy(sound, tmp_path)
    damaged = tmp_path / "damaged.dcm"
    shutil.copy(path, damaged)
    kind: Kind = "PT" if path.parent.name.startswith("PT") else "CT"
    verdict = judge.judged(tmp_path, damaged, kind)
    slow = [finding for finding in verdict.findings if finding.kind == "slow"]  # the machine's, perhaps
    assert list(verdict.findings) == slow
    assert len(verdict.outcomes) == 3


def test_the_judge_sees_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    assert judge.judged(tmp_path, paths[0], "CT").outcomes == ("read", "read", "read")
    assert judge.judged(tmp_path, paths[0], "PT").outcomes[2] == "WRONG_MODALITY"

    def escapes(folder: Path) -> None:
        raise NotImplementedError("CANARY")

    monkeypatch.setattr(judge, "load_ct", escapes)
    (finding,) = judge.judged(tmp_path, paths[0], "CT").findings
    assert finding.kind == "escaped"
    assert "CANARY" in finding.what
    monkeypatch.setattr(judge, "load_ct", lambda folder: (_ for _ in ()).throw(judge.UnbelievableError("without x")))
    assert judge.judged(tmp_path, paths[0], "CT").findings[0].kind == "wrong volume"
    monkeypatch.setattr(judge, "load_ct", lambda folder: None)
    monkeypatch.setattr(judge, "MOST_SECONDS", -1.0)
    assert {finding.kind for finding in judge.judged(tmp_path, paths[0], "CT").findings} >= {"slow"}


@pytest.mark.parametrize("series", [ct_series(CT), [multiframe(pet_series(CT))]], ids=["classic", "enhanced"])
def test_the_same_numbers_damage_the_same_way(tmp_path: Path, series: list[object]) -> None:
    content = write_series(series, tmp_path)[0].read_bytes()  # type: ignore[arg-type]
    elements = mutate.elements_of(content)
    assert elements[-1].tag == 0x7FE00010
    assert elements[-1].end == len(content)
    assert {element.tag for element in elements} >= {0x00280010, 0x00200032, 0x00281053}
    made = [mutate.mutated(content, random.Random(number)) for number in range(60)]
    assert made == [mutate.mutated(content, random.Random(number)) for number in range(60)]
    assert len(set(made)) == len(made)
    assert content not in made


def test_what_is_cut_can_be_damaged_further(tmp_path: Path) -> None:
    content = write_series(ct_series(CT), tmp_path, transfer_syntax=DeflatedExplicitVRLittleEndian)[0].read_bytes()
    for kept in range(0, 420, 3):
        mutate.mutated(content[:kept], random.Random(kept))
        mutate.flipped(content[:kept], random.Random(kept))


def test_a_short_search_passes() -> None:
    words = ["--small", "--inputs", "100", "--seed", "3", "--engine", "random", "--jobs", "1"]
    ended = subprocess.run([sys.executable, FUZZ / "fuzz.py", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "PASSED: 100 inputs (100 random)" in ended.stdout
