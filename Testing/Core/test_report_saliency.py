"""The saliency gallery of a run whose networks and images are real, if tiny; and of runs that lack something."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from report_blocks import made_chapter, plates, tables
from report_runs import SKILL, made_fold, made_run
from training_stand_in import SHAPE

from PRRTPredictorCore.errors import Code, CohortRefused
from PRRTPredictorCore.files import cache_folder
from PRRTPredictorCore.imaging.cache import PreparedCohort
from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.imaging.store import write_entry
from PRRTPredictorCore.models.fitted import FittedNetwork
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.presets import PRESETS
from PRRTPredictorCore.models.registry import model_spec
from PRRTPredictorCore.records import LONG_PFS_FROM, RESEARCH_USE_NOTICE, Acquisition, Cohort, CommonGrid, PreparedStudy
from PRRTPredictorCore.report.chapter import Words
from PRRTPredictorCore.report.chapters.saliency import chapter, spots_of
from PRRTPredictorCore.report.content import read_content
from PRRTPredictorCore.report.figures.saliency import Layer, common_spot, patient_figure, patient_planes
from PRRTPredictorCore.report.material import gallery
from PRRTPredictorCore.report.material.gallery import choose_patients, gallery_models, gather_gallery, prepared_images
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.style import drawing, png_bytes
from PRRTPredictorCore.training.cohortfile import RunCohort, write_run_cohort
from PRRTPredictorCore.training.heldout import GradientHistograms
from PRRTPredictorCore.training.store import WEIGHTS, RunStore

NETWORKS = ("pet", "pet_labs", "pet_ct_labs")
MODELS = ("rf_labs", *NETWORKS)
FOLDS, REPEATS, PATIENTS = 2, 2, 12
GRID = CommonGrid(SHAPE, np.array([[40.0, 0, 0, -180.0], [0, 40.0, 0, -180.0], [0, 0, 70.0, 0.0], [0, 0, 0, 1.0]]))


def key_of(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def made_study(seed: int) -> PreparedStudy:
    draws = np.random.default_rng(seed)
    ct = np.full(SHAPE, -1000.0, np.float32)
    ct[:, 2:8, 1:9] = draws.normal(30, 40, (SHAPE[0], 6, 8))
    pet = draws.gamma(1.0, 1.0, SHAPE).astype(np.float32)
    pet[4, 5, 3] = 20.0
    return PreparedStudy(pet, ct, GRID, Acquisition("GE", "MI", None), Acquisition("GE", "MI", None, "yes"))


def made_network(model: str, seed: int) -> FittedNetwork:
    torch.manual_seed(seed)
    return FittedNetwork(
        FusionNetwork(model_spec(model), PRESETS["tuned"], 4),
        ImageNormaliser(2.0, 3.0, (0.0, 25.0)),
        ImageNormaliser(-50.0, 150.0, (-200.0, 300.0)),
        TabularNormaliser(np.full(4, 4.0), np.ones(4), log1p=True),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, private_folders: None) -> Path:
    """Every network of every fold with weights of its own, every patient's images in the cache."""
    out = tmp_path_factory.mktemp("saliency") / "run"
    every = [(name, repeat, fold) for name in MODELS for repeat in range(REPEATS) for fold in range(FOLDS)]
    made_run(out, MODELS, PATIENTS, FOLDS, REPEATS, unfinished=every)
    stored = RunStore(out).cohort
    images = tuple(replace(one, content_key=key_of(one.code)) for one in stored.images)
    write_run_cohort(out, RunCohort(stored.cohort, images))
    y_of = {one.code: int(one.outcome.long_pfs) for one in stored.cohort.patients}
    for place, code in enumerate(y_of):
        write_entry(cache_folder(), key_of(code), made_study(place))
    store = RunStore(out)
    for place, name in enumerate(MODELS):
        own = dict(zip(y_of, np.random.default_rng(place).normal(size=PATIENTS), strict=True))
        for task in store.tasks(name):
            result = made_fold(task, y_of, own, SKILL[name], collapsed=False)
            if name in NETWORKS:
                maps = np.random.default_rng(task.repeat).lognormal(-9, 1, (len(task.test), 4, 4, 4))
                result = replace(
                    result,
                    tensors=made_network(name, 10 * task.repeat + task.fold).to_tensors(),
                    gradients=replace(result.gradients, pet=GradientHistograms.of(maps)),
                )
            store.save_fold(result)
    return out


def test_the_gallery_of_a_whole_run(run: Path) -> None:
    steps: list[tuple[int, int]] = []
    content = replace(read_content(run), progress=lambda stage, done, total, message="": steps.append((done, total)))
    assert gallery_models(content) == ("pet_labs", "pet")
    made = made_chapter(chapter, content)
    assert made.missing == ()
    chosen, _ = choose_patients(content, ("pet_labs", "pet"))
    assert [one.reason for one in chosen] == ["highest probability", "middle probability", "lowest probability"]
    found = plates(made)
    assert list(found) == [
        *(f"saliency-{one.code}" for one in chosen),
        "saliency-gradients-pet",
        "saliency-randomisation",
    ]
    for one in chosen:
        plate = found[f"saliency-{one.code}"]
        assert plate.photograph
        truth = "long" if content.long[one.code] else "short"
        assert f"Observed PFS: {truth}" in plate.text
        assert f"Observed PFS: {truth}" in plate.alt
        # Three planes a panel, a PET and two maps, two colour bars.
        assert len(plate.figure.axes) == 3 * 3 + 2
    assert all(plate.numbers is not None and plate.numbers.rows for plate in found.values() if not plate.photograph)
    assert steps[0] == (0, 2 * REPEATS * 3)
    assert steps[-1] == (2 * REPEATS * 3, 2 * REPEATS * 3)
    assert any("fixed rule" in line for block in made.blocks if isinstance(block, Words) for line in block.lines)
    assert "PFS over" not in made.title


def test_the_table_repeats_the_predictions(run: Path) -> None:
    content = read_content(run)
    (table,) = (table for table in tables(made_chapter(chapter, content)).values() if "gallery" in table.title)
    assert table.numbers is not None
    assert len(table.numbers.rows) == 6
    for row in table.numbers.rows:
        one = dict(zip(table.numbers.columns, row, strict=True))
        held_out = [
            float(fold.probability[fold.codes.index(str(one["patient"]))])
            for fold in content.predictions[str(one["model"])]
            if one["patient"] in fold.codes
        ]
        assert one["probability_long_pfs"] == pytest.approx(np.mean(held_out))
        assert one["networks"] == REPEATS
        assert one["networks_without_gradient"] == 0
        assert float(one["millilitres_marked"]) > 0  # type: ignore[arg-type]
    assert [len(row) for row in table.rows] == [1, 7, 7] * 3
    printed = {row[2] for row in table.rows if len(row) > 1}
    assert {text.split(", ")[1] for text in printed} <= {"long", "short"}
    for text in printed:
        value, group = text.split(", ")
        if abs(float(value) - LONG_PFS_FROM) > 0.01:
            assert (float(value) > LONG_PFS_FROM) == (group == "long")


def test_only_networks_that_had_the_patient_held_out_are_asked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read_content(run)
    chosen, _ = choose_patients(content, ("pet_labs",))
    asked: list[tuple[str, int, int]] = []
    load = RunStore.load_fold

    def noted(self: RunStore, model: str, repeat: int, fold: int):  # type: ignore[no-untyped-def]
        asked.append((model, repeat, fold))
        return load(self, model, repeat, fold)

    monkeypatch.setattr(RunStore, "load_fold", noted)
    gather_gallery(content, chosen[:1], prepared_images(content, [chosen[0].code]), ("pet_labs",))
    expected = [("pet_labs", s.repeat, s.fold) for s in content.store.splits if chosen[0].code in s.test]
    assert sorted(asked) == sorted(expected)
    assert len(asked) == REPEATS


def test_named_patients_methods_and_models_that_see_the_ct(run: Path) -> None:
    code = read_content(run).names and sorted(read_content(run).patients)[3]
    request = ReportRequest(("pet_ct_labs", "pet"), (str(code),), ("gradient", "smoothgrad", "integrated"))
    made = made_chapter(chapter, read_content(run, request))
    found = plates(made)
    names = [f"saliency-{code}", f"saliency-{code}-smoothgrad", f"saliency-{code}-integrated"]
    assert list(found)[:3] == names
    assert [len(found[name].figure.axes) for name in names] == [3 * 5 + 2] * 3
    assert "miss the change" in found[names[2]].text
    assert "miss the change" not in found[names[0]].text
    assert "Named by the reader" in found[names[0]].text
    randomised = found["saliency-randomisation"].numbers
    assert randomised is not None
    assert {row[:2] for row in randomised.rows} == {("pet_ct_labs", "pet"), ("pet_ct_labs", "ct"), ("pet", "pet")}


def test_without_images_the_chapter_says_how_to_get_them(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PRRT_CACHE_DIR", str(tmp_path))
    made = made_chapter(chapter, read_content(run))
    assert list(plates(made)) == ["saliency-gradients-pet"]
    (sentence,) = made.missing
    assert "--cohort" in sentence


def test_a_cohort_table_brings_the_images_back_if_it_is_the_runs(run: Path, tmp_path: Path, monkeypatch) -> None:
    content = replace(read_content(run), request=ReportRequest(cohort=tmp_path / "cohort.csv"))
    codes = sorted(content.patients)[:2]
    cached = prepared_images(content, codes)
    assert cached.codes == tuple(codes)
    before = cache_folder()
    monkeypatch.setenv("PRRT_CACHE_DIR", str(tmp_path))
    known = {"patients": list(content.patients.values()), "keys": {code: key_of(code) for code in codes}}

    def read(table: Path) -> Cohort:
        return replace(content.cohort.cohort, patients=tuple(known["patients"]))

    def prepare(patients, config: PreprocessConfig, progress) -> PreparedCohort:  # type: ignore[no-untyped-def]
        assert [patient.code for patient in patients] == codes
        assert config == PreprocessConfig()
        return PreparedCohort(tuple(codes), config, before, known["keys"])  # type: ignore[arg-type]

    monkeypatch.setattr(gallery, "read_cohort", read)
    monkeypatch.setattr(gallery, "prepare_cohort", prepare)
    np.testing.assert_array_equal(prepared_images(content, codes).study(codes[0]).pet, cached.study(codes[0]).pet)
    known["keys"] = dict.fromkeys(codes, "0" * 64)
    with pytest.raises(CohortRefused, match="other images") as caught:
        prepared_images(content, codes)
    assert caught.value.code is Code.RUN_MISMATCH
    known["patients"] = known["patients"][5:]  # type: ignore[index]
    with pytest.raises(CohortRefused, match="lacks"):
        prepared_images(content, codes)


def test_a_damaged_fold_costs_that_fold_alone(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    content = read_content(copied)
    chosen, _ = choose_patients(content, ("pet_labs", "pet"))
    fold = next(s for s in content.store.splits if chosen[0].code in s.test)
    weights = content.store.fold_folder("pet", fold.repeat, fold.fold) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    made = made_chapter(chapter, content)
    assert f"saliency-{chosen[0].code}" in plates(made)
    assert any(f"fold {fold.repeat}-{fold.fold}" in sentence for sentence in made.missing)


def test_a_partial_run_and_runs_without_networks(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    store = RunStore(copied)
    for repeat in range(REPEATS):
        shutil.rmtree(store.fold_folder("pet", repeat, 1))
    waiting = next(code for code in store.splits[1].test if code in store.splits[1 + FOLDS].test)
    content = read_content(copied, ReportRequest(patients=(waiting,)))
    made = made_chapter(chapter, content)
    assert not any(plate.photograph for plate in plates(made).values())
    assert waiting in made.missing[0]
    assert "resume" in made.missing[0]
    made_run(tmp_path / "labs", ("rf_labs",), 12, 2, 1)
    assert chapter(read_content(tmp_path / "labs")) is None
    made_run(tmp_path / "one", ("rf_labs", "ct"), 12, 2, 1)
    assert gallery_models(read_content(tmp_path / "one")) == ("ct",)
    assert len(made_chapter(chapter, read_content(tmp_path / "one")).missing) == 1
    made_run(tmp_path / "images", ("pet", "ct"), 12, 2, 1)
    assert gallery_models(read_content(tmp_path / "images")) == ("ct", "pet")


def test_each_image_is_cut_where_its_own_maps_are_largest() -> None:
    uptake, high, low = made_study(0).pet, np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    high[2, 3, 4], low[5, 1, 2] = 1.0, 0.6
    pet = (Layer("PET over CT", uptake, "pet"), Layer("PET saliency", low, "saliency"))
    ct = (Layer("CT", np.zeros(SHAPE, np.float32), "ct"), Layer("CT saliency", high, "saliency"))
    np.testing.assert_allclose(spots_of((pet, ct), GRID), [common_spot([low], GRID), common_spot([high], GRID)])
    np.testing.assert_allclose(spots_of((pet[:1], ct), GRID), [common_spot([high], GRID)] * 2)


def test_the_planes_meet_in_the_spot_and_lie_as_radiologists_look_at_them() -> None:
    study = made_study(0)
    values = np.zeros(SHAPE, np.float32)
    values[4, 5, 3] = 1.0
    spot = common_spot([values, np.zeros_like(values)], GRID)
    np.testing.assert_allclose(spot, [3 * 40 - 180, 5 * 40 - 180, 4 * 70])
    axial, coronal, sagittal = (plane.points_lps for plane in patient_planes(study, spot))
    assert np.allclose(axial[..., 2], spot[2])
    assert np.allclose(coronal[..., 1], spot[1])
    assert np.allclose(sagittal[..., 0], spot[0])
    assert (axial[:, -1, 0] > axial[:, 0, 0]).all()  # the patient's left is on the right
    assert (axial[-1, :, 1] > axial[0, :, 1]).all()  # the back is below
    assert (coronal[0, :, 2] > coronal[-1, :, 2]).all()  # the head is above
    assert (sagittal[:, -1, 1] > sagittal[:, 0, 1]).all()  # the back is on the right


def test_the_picture_shows_the_map_only_from_the_threshold_on(run: Path) -> None:
    content = read_content(run)
    plate = next(plate for plate in plates(made_chapter(chapter, content)).values() if plate.photograph)
    with drawing():
        png = png_bytes(plate.figure, 60, own_ground=True)
    assert png[:4] == b"\x89PNG"
    maps = [ax.images[1] for ax in plate.figure.axes[3:9]]
    for image in maps:
        alpha, values = np.asarray(image.get_alpha()), np.asarray(image.get_array())
        assert ((alpha > 0) == (values >= 0.3)).all()
        assert image.get_clim() == (0.3, 1.0)
    heading = plate.figure.texts[0].get_text()
    assert "SYNTHETIC" in heading
    assert "Research use only" in heading


def test_the_heading_of_a_narrow_picture_is_whole() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    study, title = made_study(1), f"SYNTHETIC · P-0123456789 · observed PFS: short · {RESEARCH_USE_NOTICE}"
    layers = [[Layer("PET over CT", study.pet, "pet"), Layer("CT", study.ct, "saliency")]]
    with drawing():
        figure = patient_figure(study, layers, [np.zeros(3)], title)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        heading = figure.texts[0].get_window_extent(canvas.get_renderer())
    assert figure.texts[0].get_text().split() == title.split()
    assert heading.x1 < figure.bbox.x1
    assert all(heading.y0 > ax.get_window_extent().y1 for ax in figure.axes)
