"""In Slicer, too, nothing that leaves names the patient: a study of canaries is loaded, predicted and exported."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from failing_panel import answer, predicted, press_load
from trained_run import made_cohort, private_environment, private_folders

from PRRTPredictorCore.cohort.table import read_cohort
from PRRTPredictorCore.errors import CohortRefused
from PRRTPredictorCore.records import LABS

pytest.importorskip("slicer", reason="slicer-core is not installed")

MODEL = "pet_ct_labs"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line that a child process writes to stderr."""
    from PRRTPredictorLib.Worker import Job

    heard: list[str] = []
    take = Job._take

    def listening(job: Job, line: str) -> None:
        heard.append(line)
        take(job, line)

    monkeypatch.setattr(Job, "_take", listening)
    return heard


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cohort whose files and table name their patients wherever they can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "Core"))
        from canaries import plant
    with pytest.MonkeyPatch.context():
        for _ in private_folders(tmp_path_factory):
            cohort = made_cohort(tmp_path_factory)
    return plant(cohort, tmp_path_factory.mktemp("planted"))


def test_what_leaves_slicer_names_no_patient(
    host: Any,
    panel: Any,
    private_places: None,
    canaries: Any,
    models: Callable[[str], Path],
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from DICOMLib import DICOMUtils

    caplog.set_level(logging.DEBUG)
    pet, _ct = canaries.study()
    DICOMUtils.importDicom(str(pet.parent), panel.database)
    press_load(panel)
    assert host.dialogs.errors == []
    assert "CANARY" in panel.ui.studyTable.item(0, 0).text(), "the study table is where the user looks at his patients"
    for name, value in zip(LABS, (30, 25, 60, 120), strict=True):
        getattr(panel.ui, f"{name}SpinBox").setValue(value)
    panel.ui.deviceComboBox.setCurrentIndex(1)
    panel.ui.modelPathLineEdit.currentPath = str(models(MODEL))
    predicted(host, panel)
    exported = tmp_path / "exported"
    exported.mkdir()
    for button, name in (
        (panel.ui.exportReportButton, "report.html"),
        (panel.ui.exportScreenshotsButton, "shots"),
        (panel.ui.exportSaliencyButton, "saliency.nrrd"),
        (panel.ui.exportSceneButton, "scene.mrb"),
    ):
        answer(monkeypatch, exported / name)
        button.click()
        host.processEvents()
        assert host.dialogs.errors == []
        assert (exported / name).exists()

    assert canaries.found_below(exported) == {}
    assert canaries.found_in(caplog.text.encode()) == set()
    assert canaries.found_in("\n".join(capfd.readouterr()).encode()) == set()
    assert any('"predict"' in line for line in lines)
    assert canaries.found_in("\n".join(lines).encode()) == set()
    assert [path for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()] == []
    nodes = [panel.scene.GetNthNode(index) for index in range(panel.scene.GetNumberOfNodes())]
    names = "\n".join(node.GetName() or "" for node in nodes)
    assert "PET" in names
    assert canaries.found_in(names.encode()) == set()
    shown = (panel.ui.studyStatusLabel, panel.ui.predictionResultLabel, panel.ui.predictionWarningsLabel)
    assert canaries.found_in("\n".join(label.text for label in shown).encode()) == set()


def test_what_training_leaves_and_logs_names_no_patient(
    host: Any,
    canaries: Any,
    lines: list[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Check, train and pack, and a refusal that names a file to the user; a report's lines are Core's own test's."""
    from PRRTPredictorLib.Messages import showError
    from PRRTPredictorLib.TrainingLogic import TrainingLogic, TrainingPlan

    caplog.set_level(logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in private_environment(tmp_path_factory).items():
            patch.setenv(name, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        plan = TrainingPlan(canaries.cohort, tmp_path / "run", ("rf_labs",), "quick", repeats=1, device="cpu", jobs=1)
        logic = TrainingLogic()
        assert len(logic.checkCohort(plan.cohort).cohort.patients) == 12
        assert logic.train(plan).synthetic
        logic.packModel(plan.run, "rf_labs", tmp_path / "model").wait()
        broken = tmp_path / "CANARY.csv"
        broken.write_bytes(canaries.cohort.read_bytes())  # its folders are elsewhere
        with pytest.raises(CohortRefused) as refused:
            read_cohort(broken)
    said = "\n".join(capfd.readouterr())
    showError(refused.value)
    assert "CANARY" in host.dialogs.errors[0].text, "the user is told which file it is"
    host.dialogs.clear()

    assert canaries.found_below(plan.run, tmp_path / "model") == {}
    stages = ("check", "prepare", "train", "fit")
    assert [stage for stage in stages if not any(f'"{stage}"' in line for line in lines)] == []
    assert canaries.found_in("\n".join(lines).encode()) == set()
    assert canaries.found_in(said.encode()) == set()
    assert refused.value.code.value in caplog.text
    assert canaries.found_in(caplog.text.encode()) == set()
