"""NRRD files: the same voxels at the same place for everyone who reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from PRRTPredictorCore.errors import Code, PRRTError, RunFailed
from PRRTPredictorCore.imaging.compress import PIECE_BYTES, gzip_pieces
from PRRTPredictorCore.imaging.nrrd import read_nrrd, read_series, write_nrrd, write_series
from PRRTPredictorCore.prediction.sources import ct_of, pet_of
from PRRTPredictorCore.records import Acquisition, LoadedSeries, Notice, Person, Volume

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


def test_no_more_of_a_file_is_read_than_its_voxels_can_need(tmp_path: Path) -> None:
    path = tmp_path / "map.nrrd"
    write_nrrd(path, volume())
    read_nrrd(path)
    os.truncate(path, 32 << 20)
    tracemalloc.start()
    try:
        read_nrrd(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("left_over", [0, 5], ids=["whole pieces", "a rest"])
def test_pieces_make_one_gzip_stream(left_over: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, 2 * PIECE_BYTES, dtype=np.uint8)
    data = noise.tobytes() + bytes(left_over)
    stream = b"".join(gzip_pieces(memoryview(data)))
    # One member, so that readers that stop after the first one see everything; zlib checks sum and length.
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert reader.decompress(stream) == data
    assert reader.eof
    assert not reader.unused_data


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "map.nrrd"
    write_nrrd(target, volume())
    before = target.read_bytes()

    def full_disk(data: memoryview) -> Iterator[bytes]:
        yield bytes(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PRRTPredictorCore.imaging.nrrd.gzip_pieces", full_disk)
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


# --- a series on its way to another process ---------------------------------------------------------------------------


def series(dtype=np.float32) -> LoadedSeries:
    modality, unit = ("PT", "SUVbw") if dtype == np.float32 else ("CT", "HU")
    return LoadedSeries(
        volume=replace(volume(dtype), modality=modality, unit=unit),
        acquisition=Acquisition(
            'Hersteller "Ä" & Söhne\\', "μMI 780", date(2026, 3, 31), "yes", "DOTATOC Ga-68", synthetic=True
        ),
        frame_of_reference_uid="1.2.3",
        study_uid="1.2.4",
        series_uid="1.2.5",
        notices=(Notice("SLICES_RESAMPLED", "3.2 to 3.4 mm apart:=\nresampled % linearly."), Notice("B", "")),
        person=Person("CANARY-ID", date(1950, 1, 2), "F"),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_series_comes_back_whole_but_without_the_patient(tmp_path: Path, dtype) -> None:
    written = series(dtype)
    write_series(tmp_path / "series.nrrd", written)
    read = (pet_of if dtype == np.float32 else ct_of)(tmp_path / "series.nrrd")
    np.testing.assert_array_equal(read.volume.array, written.volume.array)
    assert read.volume.array.dtype == dtype
    np.testing.assert_array_equal(read.volume.ijk_to_lps, OBLIQUE)
    for name in ("acquisition", "frame_of_reference_uid", "study_uid", "series_uid", "notices"):
        assert getattr(read, name) == getattr(written, name), name
    assert read.person == Person()
    assert b"CANARY" not in (tmp_path / "series.nrrd").read_bytes()
    assert b"1950" not in (tmp_path / "series.nrrd").read_bytes()
    # The same voxels for everyone else.
    np.testing.assert_array_equal(read_nrrd(tmp_path / "series.nrrd").array, written.volume.array)


def test_simpleitk_reads_a_series_too(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    straight = np.diag([3.0, 4.0, 5.0, 1.0])
    written = replace(series(), volume=Volume(volume().array, straight, "PT", "SUVbw"))
    write_series(tmp_path / "series.nrrd", written)
    image = sitk.ReadImage(str(tmp_path / "series.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), written.volume.array)
    assert image.GetSpacing() == (3.0, 4.0, 5.0)


def test_arrays_of_other_layouts_are_written_right(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((6, 5, 4)).T  # neither contiguous nor float32
    write_series(tmp_path / "series.nrrd", replace(series(), volume=Volume(values, OBLIQUE, "PT", "SUVbw")))
    np.testing.assert_array_equal(read_series(tmp_path / "series.nrrd").volume.array, values.astype(np.float32))
    values = np.arange(120, dtype=">i2").reshape(4, 5, 6)
    write_series(tmp_path / "series.nrrd", replace(series(), volume=Volume(values, OBLIQUE, "CT", "HU")))
    np.testing.assert_array_equal(read_series(tmp_path / "series.nrrd").volume.array, values)


def test_exchanged_images_and_foreign_files_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "pet.nrrd", series())
    with pytest.raises(PRRTError) as exchanged:
        ct_of(tmp_path / "pet.nrrd")
    assert exchanged.value.code is Code.WRONG_MODALITY
    write_nrrd(tmp_path / "map.nrrd", volume())
    with pytest.raises(PRRTError) as foreign:
        read_series(tmp_path / "map.nrrd")
    assert foreign.value.exit_code == 3
    content = (tmp_path / "pet.nrrd").read_bytes()
    for name, damaged in (("cut", content[:-40]), ("told", content.replace(b"study_uid", b"study_xyz"))):
        (tmp_path / f"{name}.nrrd").write_bytes(damaged)
        with pytest.raises(PRRTError) as refused:
            pet_of(tmp_path / f"{name}.nrrd")
        assert refused.value.remedy, name
    with pytest.raises(PRRTError) as absent:
        pet_of(tmp_path / "absent.nrrd")
    assert absent.value.code is Code.PATH_MISSING


def test_a_series_is_written_before_anything_is_installed(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('nrrd', 'platformdirs', 'torch', 'sklearn')))\n"
        "from pathlib import Path; import numpy as np\n"
        "from PRRTPredictorCore.imaging.nrrd import write_series\n"
        "from PRRTPredictorCore.records import Acquisition, LoadedSeries, Volume\n"
        "volume = Volume(np.ones((2, 3, 4), np.float32), np.eye(4), 'PT', 'SUVbw')\n"
        "write_series(Path(sys.argv[1]), LoadedSeries(volume, Acquisition('', '', None), '', '', ''))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "pet.nrrd")], check=True)
    assert read_series(tmp_path / "pet.nrrd").volume.shape == (2, 3, 4)
