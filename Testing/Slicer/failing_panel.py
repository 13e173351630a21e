"""What tests of failures in the panel share: a real study, models, child processes, and what must not stay."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from PRRTPredictorCore.cohort.synthetic import SyntheticPatient, make_patient
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.records import LABS, TrainingRanges, input_units

PATIENCE_SECONDS = 240.0
_COMES_AND_GOES = ("vtkMRMLSubjectHierarchyNode", "vtkMRMLScriptedModuleNode")


def until(host: Any, holds: Callable[[], bool]) -> None:
    """Let Qt work until something holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came"
        host.processEvents()
        time.sleep(0.01)


def children() -> list[psutil.Process]:
    """The ``prrt`` commands below this process that are alive, with whatever they have started."""
    found = []
    for process in psutil.Process().children():
        try:
            # Other tests' pools of workers live on for a while in the same process.
            if "PRRTPredictorCore" in process.cmdline():
                found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return [process for process in found if _alive(process)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def worker() -> psutil.Process:
    """The child that computes: the last of launcher, Python and whatever that has started."""
    return next(one for one in children() if "python" in one.name() and not one.name().startswith("PythonSlicer"))


def nodes(scene: Any) -> set[str]:
    """Every node of the scene by its identifier, but those that Slicer itself makes on any occasion."""
    found = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return {node.GetID() for node in found if node.GetClassName() not in _COMES_AND_GOES}


@contextmanager
def watched(host: Any) -> Iterator[None]:
    """Afterwards there is no child process, no file in the system's temporary folder, and the scene is as before."""
    before = nodes(host.scene)
    yield
    until(host, lambda: not children())
    assert nodes(host.scene) == before
    assert [path for path in Path(tempfile.gettempdir()).rglob("prrt-*") if path.is_file() or any(path.iterdir())] == []


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond some bytes, whoever writes it: Python, VTK or ITK."""
    import resource

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    said = [os.dup(1), os.dup(2)]  # where the tests' own output goes to a file, that one must not be full
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, former[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        for number, one in enumerate(said, start=1):
            os.dup2(one, number)
            os.close(one)
        os.close(nowhere)


def answer(monkeypatch: Any, path: Path) -> None:
    """What the user says when he is asked where to write."""
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(path))
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(path))


def told(host: Any) -> str:
    """The only error message, which must say what to do; the next one begins anew."""
    texts = [message.text for message in host.dialogs.errors]
    assert len(texts) == 1, texts
    assert "What to do" in texts[0]
    assert "should not have" not in texts[0]
    host.dialogs.clear()
    return texts[0]


def private(tmp_path: Path, monkeypatch: Any) -> None:
    """Settings and temporary files of the test's own; no graphics card."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for kind in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"PRRT_{kind}_DIR", str(tmp_path / kind.lower()))


def made_study(folder: Path) -> Any:
    """PET and CT of a made patient, in memory."""
    from PRRTPredictorLib.Study import LoadedStudy

    patient = make_patient(folder, seed=7)
    return LoadedStudy(load_pet(patient.pet), load_ct(patient.ct))


def load(panel: Any, patient: SyntheticPatient) -> None:
    """Import a patient's files into the database, and load the first study of the table."""
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(patient.pet.parent), panel.database)
    press_load(panel)


def press_load(panel: Any) -> None:
    panel.ui.refreshStudiesButton.click()
    panel.ui.studyTable.selectRow(0)
    panel.ui.loadStudyButton.click()


def prepare(panel: Any, study: Any, model: Path) -> None:
    """Everything that a prediction needs, in the panel."""
    from PRRTPredictorLib.Study import addStudy

    added = addStudy(panel.scene, study)
    panel.ui.petVolumeComboBox.setCurrentNode(added.pet)
    panel.ui.ctVolumeComboBox.setCurrentNode(added.ct)
    for name, value in zip(LABS, (30, 25, 60, 120), strict=True):
        getattr(panel.ui, f"{name}SpinBox").setValue(value)
    panel.ui.deviceComboBox.setCurrentIndex(1)
    panel.ui.modelPathLineEdit.currentPath = str(model)


def press_predict(panel: Any) -> None:
    assert panel.ui.predictButton.enabled, panel.ui.predictButton.toolTip
    panel.ui.predictButton.click()


def predicted(host: Any, panel: Any) -> None:
    """Predict, to the end."""
    press_predict(panel)
    until(host, lambda: not panel.jobs.running)
    assert not panel.ui.predictionResultFrame.isHidden()
    assert panel.ui.predictionStatusLabel.text == ""


def works_again(host: Any, panel: Any) -> None:
    """Predict begins once more; to see the end each time would take too long."""
    assert host.dialogs.errors == []
    press_predict(panel)
    assert panel.jobs.running
    assert children() != []
    panel.ui.predictionCancelButton.click()
    until(host, lambda: not panel.jobs.running)
    assert host.dialogs.errors == []
    assert panel.ui.predictButton.enabled
    assert not panel.ui.predictionCancelButton.isVisible()


def packed_models(folder: Path) -> Callable[[str], Path]:
    """Model folders by the registry's name, packed when first asked for."""

    def model(name: str) -> Path:
        return folder / name if (folder / name).exists() else untrained_model(folder / name, name)

    return model


def untrained_model(out: Path, name: str) -> Path:
    """A whole model folder whose ensemble of two knows nothing."""
    import torch

    from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
    from PRRTPredictorCore.models.bundle import save_bundle
    from PRRTPredictorCore.models.fitted import FittedNetwork
    from PRRTPredictorCore.models.forest import fit_forest
    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.metadata import BundleMetadata, SurvivalCurve
    from PRRTPredictorCore.models.presets import QUICK
    from PRRTPredictorCore.models.pretrained import random_encoder
    from PRRTPredictorCore.models.registry import MODELS

    spec, grid = MODELS[name], PreprocessConfig((16, 16, 16))
    encoder = random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=1)

    def member(seed: int) -> Any:
        if spec.kind == "forest":
            draws = np.random.default_rng(seed)
            return fit_forest(spec, QUICK.forest, draws.uniform(5, 90, (40, 4)), draws.integers(0, 2, 40), seed)
        torch.manual_seed(seed)
        image = ImageNormaliser(1.0, 2.0, (0.0, 20.0))
        labs = TabularNormaliser(np.full(4, 3.5), np.full(4, 0.8), log1p=True)
        return FittedNetwork(FusionNetwork(spec, QUICK, 4, encoder), image, image, labs)

    ranges = TrainingRanges(dict.fromkeys(LABS, (10.0, 200.0)), (3.0, 20.0), ((300.0, 1100.0),) * 3)
    metadata = BundleMetadata(
        model=name, preset=QUICK, preprocess=grid, preprocess_digest=grid.digest(), tabular_names=LABS,
        training_ranges=ranges, patients=40, long_pfs=20, performance=None,
        survival=(SurvivalCurve("all", (0.0, 12.5), (1.0, 0.6), 40),), synthetic=True,
        data_sha256="d" * 64, run_sha256="e" * 64,
        encoder_source=encoder.source if spec.ct_encoder == "pretrained" else "",
        created_utc="2025-01-01T00:00:00+00:00", version="0.1.0", tabular_units=input_units(LABS),
    )  # fmt: skip
    save_bundle(out, [member(seed) for seed in range(2)], metadata, encoder)
    return out
