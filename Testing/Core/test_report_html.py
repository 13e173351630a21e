"""The page as a reader gets it: whole, self-contained, accessible, honest about what is missing."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_runs import made_run

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE
from PRRTPredictorCore.report.content import PAPER_TABLE_TWO, evidence, printed_p, with_sign
from PRRTPredictorCore.report.html import write_report

FACTS = Path(__file__).parents[2].parent / "shared" / "paper" / "facts.json"
FIGURES = ("cohort-survival", "performance", "curves", "predicted-survival", "calibration", "labs")


class Page(HTMLParser):
    """Collects what the tests ask about."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("whole") / "run", collapsed={("pet", 0, 1)})


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    return Page(write_report(whole))


def test_numbers_figures_and_page_lie_in_the_run(whole: Path, page: Page) -> None:
    assert page.source.startswith("<!DOCTYPE html>")
    for name in ("metrics.json", "significance.json", "report.html"):
        assert (whole / name).is_file()
    assert {path.name for path in (whole / "figures").iterdir()} == {
        f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")
    }
    assert set(json.loads((whole / "metrics.json").read_text(encoding="utf-8"))["models"]) == set(PAPER_TABLE_TWO)


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "img"}
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name) or ""
            assert target == "" or target.startswith(("#", "data:")), f"{tag} {name}={target}"
    assert "@import" not in page.source
    assert re.findall(r"url\((?!#)", page.source) == []
    assert "default-src 'none'" in page.source


def test_the_notice_stands_at_top_and_bottom_and_made_patients_are_named(page: Page) -> None:
    assert page.text.count(RESEARCH_USE_NOTICE) == 2
    assert page.text.index(RESEARCH_USE_NOTICE) < page.text.index("In brief")
    assert page.text.rindex(RESEARCH_USE_NOTICE) > page.text.index("Configuration of the run")
    assert page.text.count("SYNTHETIC") == 2


def test_a_screen_reader_finds_its_way(page: Page) -> None:
    assert ("html", {"lang": "en"}) in page.tags
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawn) == len(FIGURES)
    assert all(attributes.get("role") == "img" and len(attributes.get("aria-label") or "") > 40 for attributes in drawn)
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert sum(tag == "caption" for tag, _ in page.tags) >= tables - 1  # the preset's values stand under a summary
    names = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert [name for name, count in names.items() if count > 1] == []
    anchors = {(attributes.get("href") or "")[1:] for tag, attributes in page.tags if tag == "a"}
    assert anchors <= set(names)


def test_it_says_what_was_done_and_how_sure_one_may_be(page: Page) -> None:
    for words in (
        "patient-level paired permutation",
        "Paper protocol",
        "Collapsed fits",
        "SR-PET: 0-1",
        "no evidence",
        "made phantoms (synthetic), organ segmentation",
        "ab12" * 16,
        "left out: no progression or death observed (censored)",
        "Log-rank",
        "Brier",
    ):
        assert words in page.text, words


def test_no_single_patient_is_shown(page: Page) -> None:
    assert re.findall(r"P-[0-9a-f]{10}", page.source) == []


def test_the_same_run_gives_the_same_page(whole: Path, page: Page) -> None:
    numbers = (whole / "metrics.json").read_bytes()
    assert write_report(whole).read_text(encoding="utf-8") == page.source
    assert (whole / "metrics.json").read_bytes() == numbers


def test_progress_is_told_to_the_end(whole: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    write_report(whole, lambda stage, done, total, message="": steps.append((stage, done, total)))
    assert {stage for stage, _, _ in steps} == {"report"}
    assert steps[0][1] == 0
    assert steps[-1][1] == steps[-1][2]


def test_a_partial_run_says_what_is_missing(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run",
        models=("pet", "pet_labs", "ct"),
        patients=14,
        repeats=1,
        unfinished={("pet", 0, 1), ("ct", 0, 0), ("ct", 0, 1), ("ct", 0, 2)},
        synthetic=False,
    )
    page = Page(write_report(run))
    assert "SR-PET: 1 of 3 fits are not finished" in page.text
    assert "CT: 3 of 3 fits are not finished" in page.text
    assert "Not part of this run: Random forest (labs)" in page.text
    assert "SYNTHETIC" not in page.text
    assert "nan" not in page.text.lower().split()


def test_a_run_without_images_or_networks(tmp_path: Path) -> None:
    page = Page(write_report(made_run(tmp_path / "run", models=("rf_labs",), patients=20)))
    assert "no two models whose comparison was planned" in page.text
    assert "none in this run" in page.text
    assert not (tmp_path / "run" / "figures" / "labs.svg").exists()
    assert "#blood" not in page.source


def test_everyone_in_one_predicted_group(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run", models=("pet",), patients=18, collapsed={("pet", r, f) for r in (0, 1) for f in range(3)}
    )
    page = Page(write_report(run))
    assert "puts everyone into one group" in page.text
    assert "no evidence that it does better than chance" in page.text


def test_foreign_words_cannot_become_mark_up(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet",), patients=14)
    text = (run / "cohort.json").read_text(encoding="utf-8")
    (run / "cohort.json").write_text(text.replace("GE Discovery MI", "<script>alert(1)</script>"), encoding="utf-8")
    page = Page(write_report(run))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text


def test_no_run_and_no_fold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as missing:
        write_report(tmp_path)
    assert missing.value.code is Code.PATH_MISSING
    empty = {("pet", 0, fold) for fold in range(3)}
    run = made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1, unfinished=empty)
    with pytest.raises(ModelRefused) as unfinished:
        write_report(run)
    assert unfinished.value.code is Code.RUN_INCOMPLETE
    assert not (run / "report.html").exists()


def test_p_values_in_words() -> None:
    assert [printed_p(p) for p in (0.0004, 0.0123, 0.4567, float("nan"))] == ["< 0.001", "0.012", "0.46", "–"]
    assert [with_sign(p) for p in (0.0004, 0.0123)] == ["< 0.001", "= 0.012"]
    assert [evidence(p) for p in (0.0004, 0.02, 0.05, float("nan"))] == [
        "clear evidence",
        "some evidence",
        "no evidence",
        "no evidence",
    ]


def test_the_paper_s_figures_are_the_paper_s() -> None:
    if not FACTS.exists():
        pytest.skip("real data missing: shared/paper/facts.json")
    facts = json.loads(FACTS.read_text(encoding="utf-8"))["table2_auroc_auprc"]
    assert {
        name: tuple(f"{mean:.2f} ± {error:.2f}" for mean, error in figures)
        for name, figures in facts.items()
        if name != "_about"
    } == PAPER_TABLE_TWO
