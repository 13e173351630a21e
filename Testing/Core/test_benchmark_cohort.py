"""The repeated cohort of the benchmark: many patients out of a few, each accepted as a patient of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from PRRTPredictorCore.cohort.synthetic import SyntheticConfig, make_cohort
from PRRTPredictorCore.cohort.table import read_cohort

sys.path.insert(0, str(Path(__file__).parents[1] / "Benchmarks"))

from speed.repetition import prepare_repeated


def test_few_patients_are_prepared_as_if_they_were_many(tmp_path: Path) -> None:
    make_cohort(tmp_path / "made", SyntheticConfig(patients=2, seed=5, censored=0))
    own = read_cohort(tmp_path / "made" / "cohort.csv").patients
    bench = SimpleNamespace(folder=tmp_path / "bench", machine=SimpleNamespace(cores=1))
    bench.folder.mkdir()
    assert prepare_repeated(bench, own, 3 * len(own))() > 0
