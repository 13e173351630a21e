"""A run without any signal: the report says "no evidence" in words, wherever it judges; a run with one does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from report_blocks import all_said, plates, tables
from report_runs import made_run

from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.report.chapter import Chapter
from PRRTPredictorCore.report.chapters import CHAPTERS
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.html import make_chapter

JUDGING = ("brief", "results", "comparison", "survival", "subgroups")


def judged(content: RunContent, keys: Collection[str]) -> dict[str, Chapter]:
    made = {entry.key: make_chapter(entry, content) for entry in CHAPTERS if entry.key in keys}
    assert set(made) == set(keys)
    return {key: chapter for key, chapter in made.items() if chapter is not None}


def run(path: Path, skill: Mapping[str, float], keys: Collection[str] = JUDGING) -> dict[str, Chapter]:
    made = made_run(path / "run", tuple(skill), patients=116, repeats=1, skill=skill, seed=2)
    return judged(read_content(made), keys)


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chapter]:
    return run(tmp_path_factory.mktemp("null"), dict.fromkeys(MODELS, 0.0))


@pytest.mark.parametrize("key", JUDGING)
def test_without_a_signal_no_chapter_claims_evidence(null: dict[str, Chapter], key: str) -> None:
    text = all_said(null[key])
    assert "some evidence" not in text
    assert "clear evidence" not in text
    if key == "results":
        assert "No bracket is drawn" in text
    else:
        assert "no evidence" in text.lower()


def test_every_planned_comparison_is_judged_in_words(null: dict[str, Chapter]) -> None:
    (table,) = (table for table in tables(null["comparison"]).values() if "In words" in table.header)
    column = table.header.index("In words")
    verdicts = [row[column] for row in table.rows if len(row) > 1]
    assert len(verdicts) == 9
    assert set(verdicts) == {"no evidence"}


def test_the_headline_is_called_no_better_than_chance(null: dict[str, Chapter]) -> None:
    assert "no evidence that it does better than chance" in all_said(null["brief"])


def test_with_a_strong_signal_the_report_does_not_deny_it(tmp_path: Path) -> None:
    strong = run(tmp_path, {"rf_labs": 0.0, "pet": 0.0, "pet_labs": 2.5}, ("brief", "comparison", "survival"))
    assert "no evidence" not in all_said(strong["brief"])
    assert "clear evidence of a difference" in all_said(strong["brief"])
    assert "clear evidence" in all_said(strong["comparison"])
    headline = next(iter(plates(strong["survival"]).values()))
    assert "no evidence" not in headline.text
