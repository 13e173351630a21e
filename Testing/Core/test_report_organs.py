"""The organs of a run's patients, and the share of the saliency that falls on each, in figures and words."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_files import good_rows, write_cohort
from training_stand_in import SHAPE, InMemoryStudies, tiny_cohort, tiny_config

from PRRTPredictorCore.cohort.identity import study_code
from PRRTPredictorCore.explain.organs import OrganMean
from PRRTPredictorCore.imaging.segmentation import Segmentation, write_segmentation
from PRRTPredictorCore.records import Cohort
from PRRTPredictorCore.report.chapter import Cell, Folded, Plate, Table, Words
from PRRTPredictorCore.report.chapters import organs as chapter
from PRRTPredictorCore.report.chapters.organs import MOST_ORGANS, organ_blocks
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.figures.organs import OrganProfile, organ_shares_chart
from PRRTPredictorCore.report.material.organs import organ_maps
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.style import drawing, new_figure, svg_text
from PRRTPredictorCore.training.cohortfile import describe_patient
from PRRTPredictorCore.training.crossval import run_crossval

PATIENTS = 12
MODELS = ("pet_labs", "ct_labs")


def made_labels(number: int, organs: int = 2) -> Segmentation:
    """Slabs from foot to head on the stand-in's grid, the rest free."""
    labels = np.zeros(SHAPE, np.int16)
    for organ in range(organs):
        labels[(organ + number) % SHAPE[0], :, organ % SHAPE[2]] = organ + 1
    return Segmentation(labels, np.diag([10.0, 10.0, 10.0, 1.0]), {n + 1: f"organ {n + 1}" for n in range(organs)})


def coded(cohort: Cohort, images: InMemoryStudies) -> tuple[Cohort, InMemoryStudies]:
    """The stand-in's patients under the codes of the rows of :func:`good_rows`."""
    codes = [study_code(f"PAT-{number}") for number in range(1, PATIENTS + 1)]
    patients = tuple(replace(patient, code=code) for patient, code in zip(cohort.patients, codes, strict=True))
    studies = dict(zip(codes, images.studies.values(), strict=True))
    return replace(cohort, patients=patients), InMemoryStudies(studies)


@pytest.fixture(scope="module")
def trained(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InMemoryStudies]:
    cohort, images = coded(*tiny_cohort(PATIENTS))
    run = tmp_path_factory.mktemp("organs") / "run"
    run_crossval(cohort, images, tiny_config(*MODELS, "rf_labs"), run)  # type: ignore[arg-type]
    return run, images


def labelled(folder: Path, organs: int = 2) -> Path:
    """A cohort table whose last patient has no segmentation."""
    rows = good_rows(PATIENTS, 4)
    for number, row in enumerate(rows[:-1]):
        row["organs"] = f"organs-{number}.seg.nrrd"
        write_segmentation(folder / row["organs"], made_labels(number, organs))
    return write_cohort(folder, rows)


@pytest.fixture
def content(trained: tuple[Path, InMemoryStudies], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContent:
    run, images = trained
    monkeypatch.setattr(chapter, "prepared_images", lambda content, codes: images)
    opened = read_content(run, ReportRequest(cohort=labelled(tmp_path)))
    maps = organ_maps(opened)
    monkeypatch.setattr(
        chapter, "organ_maps", lambda content: replace(maps, grid_of=lambda code: images.study(code).grid)
    )
    return opened


# --- maps -------------------------------------------------------------------------------------------------------------


def test_a_run_forgets_where_the_organs_lay() -> None:
    cohort, images = tiny_cohort(3)
    patient = replace(cohort.patients[0], organs=Path("/home/someone/Smith.seg.nrrd"))
    remembered, _ = describe_patient(patient, images.study(patient.code), "key", ())
    assert remembered.organs is None


def test_maps_are_those_of_the_runs_patients_with_labels(trained: tuple[Path, InMemoryStudies], tmp_path: Path) -> None:
    run, images = trained
    maps = organ_maps(read_content(run, ReportRequest(cohort=labelled(tmp_path))))
    assert len(maps) == PATIENTS - 1
    assert set(maps) < set(images.codes)
    assert study_code(f"PAT-{PATIENTS}") not in maps


def test_without_a_table_there_are_no_maps(trained: tuple[Path, InMemoryStudies]) -> None:
    assert len(organ_maps(read_content(trained[0]))) == 0


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_each_image_has_a_figure_and_a_table_with_its_numbers(content: RunContent) -> None:
    with drawing("organs"):
        blocks, missing = organ_blocks(content, MODELS)
    assert missing == ()
    plates = [block for block in blocks if isinstance(block, Plate)]
    assert [plate.key for plate in plates] == ["organs-pet", "organs-ct"]
    for plate, model in zip(plates, MODELS, strict=True):
        assert plate.numbers is not None
        rows = [dict(zip(plate.numbers.columns, row, strict=True)) for row in plate.numbers.rows]
        assert {row["model"] for row in rows} == {model}
        assert {row["organ"] for row in rows} == {"organ 1", "organ 2", "not labelled"}
        assert sum(float(row["saliency_share"]) for row in rows) == pytest.approx(1.0)  # type: ignore[arg-type]
        assert all(row["patients"] == PATIENTS - 1 for row in rows)
        assert "11 held-out patients, all who have organ labels" in plate.text
    assert all(row[4] is not None for row in plates[0].numbers.rows if plates[0].numbers)
    tables = [inner for block in blocks if isinstance(block, Folded) for inner in block.blocks]
    assert all(isinstance(table, Table) and len(table.rows) == 4 for table in tables)
    assert len(tables) == 2
    assert isinstance(tables[0], Table)
    assert tables[0].numbers is not None
    looked: dict[object, list[Cell]] = {}
    for row in tables[0].numbers.rows:
        one = dict(zip(tables[0].numbers.columns, row, strict=True))
        looked.setdefault(one["patient"], []).append(one["saliency_share"])
    assert len(looked) == PATIENTS - 1
    # Whether so small a network gives every patient a gradient depends on the folds, and they on the study codes' key.
    known = [np.sum(shares) for shares in looked.values() if set(shares) != {None}]
    assert len(known) >= 2
    assert known == pytest.approx([1.0] * len(known))


def test_named_patients_are_the_ones_shown_and_a_choice_of_many_is_said_to_be_one(
    content: RunContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tuple(sorted(organ_maps(content)))[5:7]
    with drawing("organs"):
        blocks, _ = organ_blocks(replace(content, request=replace(content.request, patients=named)), MODELS[:1])
        plate = next(block for block in blocks if isinstance(block, Plate))
        assert "2 held-out patients whom the reader named" in plate.text
        monkeypatch.setattr(chapter, "MOST_PATIENTS", 4)
        blocks, _ = organ_blocks(content, MODELS[:1])
    plate = next(block for block in blocks if isinstance(block, Plate))
    assert "4 held-out patients, the first by study code of the 11 who have organ labels" in plate.text


def test_without_labels_the_reader_is_told_how_to_get_them(trained: tuple[Path, InMemoryStudies]) -> None:
    blocks, missing = organ_blocks(read_content(trained[0]), MODELS)
    assert missing == ()
    (words,) = blocks
    assert isinstance(words, Words)
    assert "--cohort" in words.lines[0]


def test_a_damaged_segmentation_costs_its_patient_only(content: RunContent, tmp_path: Path) -> None:
    (tmp_path / "organs-3.seg.nrrd").write_bytes(b"NRRD0004\nbroken")
    with drawing("organs"):
        blocks, missing = organ_blocks(content, MODELS[:1])
    assert len(missing) == 1
    assert study_code("PAT-4") in missing[0]
    assert any(isinstance(block, Plate) and "10 held-out patients" in block.text for block in blocks)


def test_images_that_are_gone_are_missing(content: RunContent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapter, "prepared_images", lambda content, codes: InMemoryStudies({}))
    blocks, missing = organ_blocks(content, MODELS)
    assert blocks == ()
    assert "DICOM files in place" in missing[0]


def test_a_hundred_organs_are_gathered(
    trained: tuple[Path, InMemoryStudies], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, images = trained
    opened = read_content(run, ReportRequest(cohort=labelled(tmp_path, organs=100)))
    maps = organ_maps(opened)
    monkeypatch.setattr(chapter, "prepared_images", lambda content, codes: images)
    monkeypatch.setattr(
        chapter, "organ_maps", lambda content: replace(maps, grid_of=lambda code: images.study(code).grid)
    )
    with drawing("organs"):
        blocks, _ = organ_blocks(opened, MODELS[:1])
    table = next(inner for block in blocks if isinstance(block, Folded) for inner in block.blocks)
    assert isinstance(table, Table)
    assert len(table.rows) == 1 + MOST_ORGANS + 2
    assert any("other organs" in row[0] for row in table.rows)
    assert table.numbers is not None
    assert len(table.numbers.rows) == 101 * (PATIENTS - 1)


# --- drawing ----------------------------------------------------------------------------------------------------------


def organ(name: str, looked: float, volume: float, uptake: float = float("nan")) -> OrganMean:
    return OrganMean(name, 3, looked, volume, uptake, (looked,) * 3, (looked * 0.8, looked * 1.2))


def test_the_chart_shows_shares_as_positions_and_factors_in_words() -> None:
    first = OrganProfile("pet_labs", (organ("liver", 0.3, 0.1, 0.2), organ("absent", 0.0, 0.0)))
    second = OrganProfile("pet", (organ("liver", 0.05, 0.1, 0.2),))
    with drawing("organs"):
        figure = new_figure()
        ax = organ_shares_chart(figure.subplots(), (first, second))
        svg = svg_text(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["liver"]
    assert "× 3.0" in svg
    assert "× 0.50" in svg
    assert {0.1, 0.2, 0.3, 0.05} <= {float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1}
    assert ax.get_legend() is not None
    assert len(ax.get_legend().get_texts()) == 4


def test_undefined_shares_are_not_drawn() -> None:
    nothing = OrganProfile("pet", (organ("liver", float("nan"), 0.1),))
    with drawing("organs"):
        figure = new_figure()
        organ_shares_chart(figure.subplots(), (nothing,))
        figure.savefig(io.BytesIO(), format="png")


def test_a_network_that_does_not_care_is_said_not_to() -> None:
    indifferent = OrganProfile("pet", (organ("liver", 0.1, 0.1), organ("not labelled", 0.9, 0.9)))
    said = chapter._in_words(indifferent)
    assert "no organ draws more saliency than its size explains" in said
    assert "90 % of the saliency lies outside" in said
    assert "liver" not in said
