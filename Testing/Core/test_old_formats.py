"""Runs, models and cached images of an older version: read as what they are, or refused by name, never mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from report_runs import made_run

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.training.manifest import check_same_run, read_manifest, write_manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", patients=12, models=("rf_labs",), folds=2, repeats=1)


def _edit(run: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads((run / "manifest.json").read_text())
    change(content)
    (run / "manifest.json").write_text(json.dumps(content))


def test_a_manifest_of_schema_1_is_read_in_the_units_it_always_had(run: Path) -> None:
    before = read_manifest(run)
    _edit(run, lambda content: [content.pop("memory_short"), content.pop("tabular_units"), content.update(schema=1)])
    assert asdict(read_manifest(run)) == asdict(before)
    assert before.tabular_units == {"ast": "U/L", "alt": "U/L", "ggt": "U/L", "cga": "µg/L"}


def test_a_run_in_another_lab_unit_is_not_mixed_with_ours(run: Path) -> None:
    ours = read_manifest(run)
    in_katal = replace(ours, tabular_units={**ours.tabular_units, "ast": "µkat/L"})
    with pytest.raises(ModelRefused, match="units of the tabular inputs") as refused:
        check_same_run(in_katal, ours, "run")
    assert refused.value.code is Code.RUN_MISMATCH
    write_manifest(run, in_katal)
    with pytest.raises(ModelRefused) as refused:
        read_manifest(run)
    assert refused.value.code is Code.RUN_MISMATCH


def test_what_was_halved_for_memory_stays_with_the_run(run: Path) -> None:
    halved = replace(read_manifest(run), memory_short={"rf_labs": {"0-1": 2}})
    write_manifest(run, halved)
    assert read_manifest(run).memory_short == {"rf_labs": {"0-1": 2}}
    _edit(run, lambda content: content.update(memory_short={"rf_labs": {"0-1": 0}}))
    with pytest.raises(ModelRefused):
        read_manifest(run)
