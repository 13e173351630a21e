"""NRRD files: the same voxels at the same place for everyone who reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from PRRTPredictorCore.errors import Code, PRRTError, RunFailed
from PRRTPredictorCore.imaging.nrrd import read_nrrd, write_nrrd
from PRRTPredictorCore.records import Volume

OBLIQUE = np.array(
    [[3.1, 0.4, -0.3, -101.5], [-0.35, 3.9, 0.6, 37.25], [0.5, -0.7, 4.9, -640.125], [0.0, 0.0, 0.0, 1.0]]
)


def volume(dtype=np.float32) -> Volume:
    array = (100 * np.random.default_rng(0).random((4, 5, 6))).astype(dtype)
    return Volume(array, OBLIQUE, "PT", "saliency")


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_round_trip(tmp_path: Path, dtype) -> None:
    written = volume(dtype)
    write_nrrd(tmp_path / "map.nrrd", written)
    read = read_nrrd(tmp_path / "map.nrrd")
    np.testing.assert_array_equal(read.array, written.array)
    assert read.array.dtype == dtype
    np.testing.assert_allclose(read.ijk_to_lps, OBLIQUE, atol=1e-9)
    assert (read.modality, read.unit) == ("PT", "saliency")
    assert [path.name for path in tmp_path.iterdir()] == ["map.nrrd"]


def test_simpleitk_sees_the_same(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    # ITK insists on perpendicular axes.
    directions = np.linalg.qr(OBLIQUE[:3, :3])[0] @ np.diag([3.0, 4.0, 5.0])
    affine = OBLIQUE.copy()
    affine[:3, :3] = directions
    written = Volume(volume().array, affine, "PT", "saliency")
    write_nrrd(tmp_path / "map.nrrd", written)
    image = sitk.ReadImage(str(tmp_path / "map.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), written.array)
    for index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (1, 2, 3)):
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), (affine @ (*index, 1))[:3], atol=1e-4)


def test_slicer_sees_the_same(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer")
    vtk = pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    written = volume()
    write_nrrd(tmp_path / "map.nrrd", written)
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "map.nrrd"))
    storage.SetCenterImage(False)
    assert storage.ReadData(node) == 1
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    to_ras = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ to_ras, OBLIQUE, atol=1e-4)
    values = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).reshape(written.shape)
    np.testing.assert_array_equal(values, written.array)


def test_ras_files_are_turned_to_lps(tmp_path: Path) -> None:
    import nrrd

    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([2.0, 3.0, 4.0]),
        "space origin": [1.0, 2.0, 3.0],
    }
    nrrd.write(str(tmp_path / "ras.nrrd"), np.zeros((3, 4, 5), np.float32), header, index_order="C")
    read = read_nrrd(tmp_path / "ras.nrrd", modality="CT", unit="HU")
    np.testing.assert_allclose(read.ijk_to_lps[:3], [[-2, 0, 0, -1], [0, -3, 0, -2], [0, 0, 4, 3]])


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    import nrrd

    (tmp_path / "text.nrrd").write_text("hello")
    (tmp_path / "empty.nrrd").write_bytes(b"")
    nrrd.write(str(tmp_path / "flat.nrrd"), np.zeros((3, 4), np.float32))
    write_nrrd(tmp_path / "cut.nrrd", volume())
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:-100])
    for name in ("text", "empty", "flat", "cut", "absent"):
        with pytest.raises(PRRTError) as caught:
            read_nrrd(tmp_path / f"{name}.nrrd")
        assert caught.value.exit_code == 3, name
        assert caught.value.remedy


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nrrd

    target = tmp_path / "map.nrrd"
    write_nrrd(target, volume())
    before = target.read_bytes()

    def full_disk(name: str, *_: object, **__: object) -> None:
        Path(name).write_bytes(b"NRRD half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nrrd, "write", full_disk)
    with pytest.raises(RunFailed) as caught:
        write_nrrd(target, volume(np.int16))
    assert caught.value.code is Code.OUTPUT
    assert "No space left" in caught.value.message
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["map.nrrd"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed) as caught:
        write_nrrd(tmp_path / "file" / "map.nrrd", volume())
    assert caught.value.code is Code.OUTPUT
