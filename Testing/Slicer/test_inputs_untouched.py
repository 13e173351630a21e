"""Slicer's way through a study, from its database to an exported scene, leaves database and files as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from database_fake import FakeDatabase

from PRRTPredictorCore.imaging.nrrd import write_series
from PRRTPredictorLib import Database, Export, Study

sys.path.append(str(Path(__file__).parents[1] / "Core"))
from untouched import untouched

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "slicer-dicom-database"
STS_002 = "1.3.6.1.4.1.14519.5.2.1.5168.1900.190311276211389538203367070477"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="real data missing: slicer-dicom-database")
def test_loading_showing_and_exporting_a_study_touch_nothing(tmp_path: Path) -> None:
    scene = slicer.vtkMRMLScene()
    with untouched(FOLDER):
        database = FakeDatabase.ofFile(FOLDER / "ctkDICOM.sql")
        assert Database.listStudies(database)
        pair = Database.findPair(database, STS_002)
        nodes = Study.addStudy(scene, Study.loadPair(pair), pair)
        again = Study.studyFromNodes(nodes.pet, nodes.ct, database)
        for series in (again.pet, again.ct):
            write_series(tmp_path / f"{series.volume.modality}.nrrd", series)
        Export.exportScene(nodes.pet, nodes.ct, None, tmp_path / "study.mrb", database=database)
        scene.Clear(True)
    assert (tmp_path / "study.mrb").stat().st_size > 10_000
