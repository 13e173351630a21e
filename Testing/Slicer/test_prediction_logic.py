"""Prediction without widgets: what the child is asked, what comes back into the scene, and what is left behind."""

from __future__ import annotations

import gc
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_run import TrainedRun, private_folders, trained_run

from PRRTPredictorCore.cli import build_parser
from PRRTPredictorCore.errors import Cancelled, Code, InputRefused, LabRefused, ModelRefused, RunFailed
from PRRTPredictorCore.imaging.nrrd import read_series, write_nrrd
from PRRTPredictorCore.records import Acquisition, LoadedSeries, ModelIdentity, Volume
from PRRTPredictorLib.LabSheet import LabEntry, LabSheet

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
PredictionLogic = pytest.importorskip("PRRTPredictorLib.PredictionLogic")
Study = pytest.importorskip("PRRTPredictorLib.Study")

LABS = LabSheet(
    LabEntry(28, "U/L"), LabEntry(25, "U/L"), LabEntry(61, "U/L"), LabEntry(419, "µg/L"),
    date(2026, 3, 1), date(2026, 3, 20),
)  # fmt: skip
ANSWER = {
    "probability_long_pfs": 0.7,
    "group": "long",
    "interval": [0.6, 0.8],
    "lab_contributions": {"ast": 0.1, "alt": 0.0, "ggt": -0.2, "cga": 0.0},
    "lab_contribution_method": "gradient x input",
    "warnings": ["X: y"],
    "model": {"name": "pet_ct_labs", "sha256": "ab", "synthetic": True},
    "synthetic_patient": False,
    "research_use_only": True,
}
TILTED = np.array([[-3.9, 0.4, 0.0, 90.0], [0.4, 3.9, 0.1, -80.0], [0.0, -0.1, 4.0, 33.0], [0, 0, 0, 1.0]])


class FakeJob:
    """Remembers the words and lets the test answer."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.callbacks: dict[str, Any] = {}
        self.onStart: Any = None

    def __call__(self, words: list[str], **callbacks: Any) -> FakeJob:
        self.words, self.callbacks = list(words), callbacks
        if self.onStart:
            self.onStart()
        return self

    def option(self, name: str) -> Path:
        (found,) = [word.partition("=")[2] for word in self.words if word.startswith(f"--{name}=")]
        return Path(found)

    def has(self, name: str) -> bool:
        return any(word.startswith(f"--{name}=") for word in self.words)


def series(modality: str, unit: str, low: float, high: float) -> LoadedSeries:
    shape = (8, 9, 10)
    kind = np.int16 if modality == "CT" else np.float32
    array = np.linspace(low, high, int(np.prod(shape))).reshape(shape).astype(kind)
    affine = np.array(TILTED)
    affine[:3, :3] = np.linalg.qr(TILTED[:3, :3])[0] * 4.0
    return LoadedSeries(
        Volume(array, affine, modality, unit), Acquisition("Vendor", "Model", None), "1.2.3", "1.2", f"1.2.{modality}"
    )


@pytest.fixture
def scene() -> Any:
    return slicer.vtkMRMLScene()


@pytest.fixture
def nodes(scene: Any) -> Any:
    return Study.addStudy(scene, Study.LoadedStudy(series("PT", "SUVbw", 0, 12), series("CT", "HU", -1000, 900)))


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory):
    yield from private_folders(tmp_path_factory)


@pytest.fixture(scope="module")
def trained(private: None, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return trained_run(tmp_path_factory)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, watched."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets any folder pass for a model of the given name."""

    def pretend(name: str) -> None:
        from types import SimpleNamespace

        monkeypatch.setattr(PredictionLogic, "read_card", lambda folder: SimpleNamespace(name=name))

    pretend("pet_ct_labs")
    return pretend


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- what the child is asked ------------------------------------------------------------------------------------------


def test_the_child_gets_the_study_as_it_lies_in_the_scene(nodes: Any, card: Any, temporary: Path) -> None:
    fake = FakeJob()
    charts = ("--charts-font=10", "--charts-dark")
    PredictionLogic.PredictionLogic(fake).start(
        nodes.pet, nodes.ct, LABS, Path("the model"), "cpu", chartOptions=charts
    )
    said = build_parser().parse_args([*fake.words, "--json"])
    assert (said.charts_font, said.charts_dark) == (10, True)
    assert fake.words[0] == "predict"
    assert fake.option("model") == Path("the model")
    assert [word for word in fake.words if word.startswith(("--device", "--ast=", "--labs"))] == [
        "--device=cpu",
        "--ast=28.0",
        "--labs-date=2026-03-01",
    ]
    for name, sent in (("pet", series("PT", "SUVbw", 0, 12)), ("ct", series("CT", "HU", -1000, 900))):
        got = read_series(fake.option(name))
        np.testing.assert_allclose(got.volume.array, sent.volume.array, rtol=1e-6)
        np.testing.assert_allclose(got.volume.ijk_to_lps, sent.volume.ijk_to_lps, atol=1e-9)
        assert (got.study_uid, got.frame_of_reference_uid) == (sent.study_uid, sent.frame_of_reference_uid)


@pytest.mark.parametrize(
    ("model", "asks"),
    [("rf_labs", ()), ("pet_labs", ("saliency",)), ("ct", ("saliency-ct",)), ("pet_ct", ("saliency", "saliency-ct"))],
)
def test_only_saliency_that_the_model_has_is_asked_for(nodes: Any, card: Any, model: str, asks: tuple) -> None:
    if model == "pet_ct":
        model = "pet_ct_labs"
    card(model)
    fake = FakeJob()
    PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"))
    assert tuple(name for name in ("saliency", "saliency-ct") if fake.has(name)) == asks
    assert fake.has("charts")


def test_the_study_is_private_and_carries_no_identity(nodes: Any, card: Any) -> None:
    fake = FakeJob()
    PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"))
    folder = fake.option("pet").parent
    assert folder.stat().st_mode & 0o077 == 0 or folder.drive


def test_what_is_wrong_is_said_before_anything_is_asked_or_written(nodes: Any, card: Any, temporary: Path) -> None:
    asked: list[str] = []

    class Installer:
        def ensure(self) -> None:
            asked.append("installer")

    fake = FakeJob()
    logic = PredictionLogic.PredictionLogic(fake, Installer())
    with pytest.raises(LabRefused):
        logic.start(nodes.pet, nodes.ct, LabSheet(), Path("m"))
    with pytest.raises(InputRefused):
        logic.start(nodes.pet, None, LABS, Path("m"))
    assert (asked, fake.words, left(temporary)) == ([], [], [])
    logic.start(nodes.pet, nodes.ct, LABS, Path("m"))
    assert asked == ["installer"]


def test_a_folder_that_is_no_model_is_refused(nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as caught:
        PredictionLogic.PredictionLogic(FakeJob()).start(nodes.pet, nodes.ct, LABS, tmp_path)
    assert caught.value.code is Code.MODEL_MISSING


def test_a_declined_installation_starts_nothing(nodes: Any, card: Any, temporary: Path) -> None:
    class Declines:
        def ensure(self) -> None:
            raise RunFailed(Code.DEPENDENCY_MISSING, "no")

    fake = FakeJob()
    with pytest.raises(RunFailed):
        PredictionLogic.PredictionLogic(fake, Declines()).start(nodes.pet, nodes.ct, LABS, Path("m"))
    assert (fake.words, left(temporary)) == ([], [])


# --- what comes back --------------------------------------------------------------------------------------------------


def answered(nodes: Any) -> Any:
    """The outcome of a child that left saliency of the PET and one chart."""
    fake, outcomes = FakeJob(), []
    PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"), onFinished=outcomes.append)
    pet = series("PT", "SUVbw", 0, 1).volume
    write_nrrd(fake.option("saliency"), Volume(pet.array, pet.ijk_to_lps, "PT", "saliency"))
    (fake.option("charts") / "survival.png").write_bytes(b"png")
    fake.callbacks["onFinished"](json.loads(json.dumps(ANSWER)))
    (outcome,) = outcomes
    return outcome


def test_the_outcome_is_read_and_the_study_is_gone(nodes: Any, card: Any, temporary: Path) -> None:
    outcome = answered(nodes)
    assert outcome.document.probability_long_pfs == 0.7
    assert outcome.document.model == ModelIdentity("pet_ct_labs", "ab", True)
    assert outcome.petSaliency.unit == "saliency"
    assert outcome.ctSaliency is None
    assert {name: path.read_bytes() for name, path in outcome.charts.items()} == {"survival": b"png"}
    assert left(temporary) == ["survival.png"]
    del outcome
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_an_answer_that_cannot_be_read_is_a_failure(nodes: Any, card: Any, temporary: Path) -> None:
    fake, outcomes, errors = FakeJob(), [], []
    PredictionLogic.PredictionLogic(fake).start(
        nodes.pet, nodes.ct, LABS, Path("m"), onFinished=outcomes.append, onFailed=errors.append
    )
    fake.callbacks["onFinished"]({**ANSWER, "group": "short"})
    assert outcomes == []
    assert [error.code for error in errors] == [Code.RESULT_UNREADABLE]
    assert list(temporary.iterdir()) == []


def test_a_failure_is_passed_on_and_nothing_is_left(nodes: Any, card: Any, temporary: Path) -> None:
    fake, errors = FakeJob(), []
    PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"), onFailed=errors.append)
    assert left(temporary) == ["ct.nrrd", "pet.nrrd"]
    sent = Cancelled(Code.CANCELLED, "stop")
    fake.callbacks["onFailed"](sent)
    assert errors == [sent]
    assert list(temporary.iterdir()) == []


def test_a_job_that_cannot_start_leaves_nothing(nodes: Any, card: Any, temporary: Path) -> None:
    fake = FakeJob()

    def fail() -> None:
        raise RunFailed(Code.WORKER_DIED, "no PythonSlicer")

    fake.onStart = fail
    with pytest.raises(RunFailed):
        PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"))
    assert list(temporary.iterdir()) == []


def test_a_job_that_nobody_asks_any_more_leaves_nothing(nodes: Any, card: Any, temporary: Path) -> None:
    fake = FakeJob()
    PredictionLogic.PredictionLogic(fake).start(nodes.pet, nodes.ct, LABS, Path("m"))
    assert list(temporary.iterdir())
    fake.callbacks.clear()
    gc.collect()
    assert list(temporary.iterdir()) == []


# --- the scene --------------------------------------------------------------------------------------------------------


def test_the_saliency_goes_under_the_study_at_its_place(scene: Any, nodes: Any, card: Any) -> None:
    outcome = answered(nodes)
    added = PredictionLogic.PredictionLogic(FakeJob()).addResult(outcome, nodes.pet)
    assert added.ct is None
    assert added.pet.GetName().startswith("SYNTHETIC Saliency")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (nodes.pet, added.pet)}
    assert len(parents) == 1
    from PRRTPredictorLib.Volumes import volumeFromNode

    np.testing.assert_allclose(volumeFromNode(added.pet).ijk_to_lps, outcome.petSaliency.ijk_to_lps, atol=1e-9)


def test_after_an_error_no_node_is_left(scene: Any, nodes: Any, card: Any, monkeypatch) -> None:
    outcome = answered(nodes)

    def fail(node: Any, other: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(PredictionLogic, "placeBeside", fail)
    before = scene.GetNumberOfNodesByClass("vtkMRMLNode")
    with pytest.raises(RuntimeError):
        PredictionLogic.PredictionLogic(FakeJob()).addResult(outcome, nodes.pet)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2
    assert scene.GetNumberOfNodesByClass("vtkMRMLNode") == before


# --- the whole way ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_child_predicts_a_made_patient(scene: Any, trained: TrainedRun, temporary: Path) -> None:
    from PRRTPredictorCore.dicom.series import load_ct
    from PRRTPredictorCore.dicom.suv import load_pet

    patient = sorted((trained.cohort / "dicom").iterdir())[0]
    study = Study.LoadedStudy(load_pet(patient / "pet"), load_ct(patient / "ct"))
    nodes = Study.addStudy(scene, study)
    logic = PredictionLogic.PredictionLogic()
    seen: list[str] = []
    outcome = logic.predict(
        nodes.pet, nodes.ct, LABS, trained.model, "cpu", onProgress=lambda one: seen.append(one.stage)
    )
    assert 0 < outcome.document.probability_long_pfs < 1
    assert outcome.document.synthetic_patient
    assert seen
    assert set(outcome.charts) == {"lab_contributions", "survival"}
    added = logic.addResult(outcome, nodes.pet)
    assert added.pet is not None
    assert added.ct is not None
    names = [node.GetName() for node in (added.pet, added.ct)]
    assert names == ["SYNTHETIC Saliency PET", "SYNTHETIC Saliency CT"]
    assert logic.card(trained.model).name == "pet_ct_labs"
    assert left(temporary) == ["lab_contributions.png", "survival.png"]
    # A handed-over study gives the answer that the DICOM files give.
    from PRRTPredictorLib.Worker import Job

    words = ["predict", f"--model={trained.model}", f"--pet={patient / 'pet'}", f"--ct={patient / 'ct'}"]
    direct = Job.start([*words, "--device=cpu", *LABS.words()]).wait()
    assert direct["probability_long_pfs"] == pytest.approx(outcome.document.probability_long_pfs, abs=1e-6)


@pytest.mark.slow
def test_cancelling_a_real_prediction_leaves_nothing(scene: Any, nodes: Any, trained: TrainedRun, temporary) -> None:
    errors: list[Any] = []
    logic = PredictionLogic.PredictionLogic()
    job = logic.start(nodes.pet, nodes.ct, LABS, trained.model, onFailed=errors.append)
    job.cancel()
    while job.running:
        job.poll()
    assert [type(error) for error in errors] == [Cancelled]
    assert list(temporary.iterdir()) == []
