"""Organ labels: the file that Slicer opens, and fractions of model voxels that keep every organ's volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, InputRefused, PRRTError
from PRRTPredictorCore.imaging.resize import Box, area_resize
from PRRTPredictorCore.imaging.segmentation import (
    Segmentation,
    organ_shares,
    read_segmentation,
    write_segmentation,
)
from PRRTPredictorCore.records import CommonGrid

REAL = Path(__file__).parents[3] / "shared" / "data" / "totalseg-example-ct" / "nii"


def affine(spacing_kji: tuple[float, float, float], origin: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.diag([*spacing_kji[::-1], 1.0])
    matrix[:3, 3] = origin
    return matrix


def balls(shape: tuple[int, int, int] = (20, 24, 28)) -> Segmentation:
    labels = np.zeros(shape, dtype=np.int16)
    k, j, i = np.indices(shape)
    labels[(k - 9) ** 2 + (j - 11) ** 2 + (i - 9) ** 2 < 40] = 3
    labels[(k - 11) ** 2 + (j - 12) ** 2 + (i - 19) ** 2 < 25] = 700
    return Segmentation(
        labels, affine((3.0, 2.0, 2.5), (-40.0, -20.0, 100.0)), {3: "liver", 700: "spleen", 9: "lesions"}
    )


def grid_over(segmentation: Segmentation, shape: tuple[int, int, int]) -> CommonGrid:
    """The whole field of view of the labels, cut into ``shape`` voxels."""
    ratio = np.array(segmentation.labels.shape) / np.array(shape)
    cut = np.diag([*ratio[::-1], 1.0])
    cut[:3, 3] = ratio[::-1] / 2 - 0.5
    return CommonGrid(shape, segmentation.ijk_to_lps @ cut)


def volumes(segmentation: Segmentation) -> dict[str, float]:
    voxel = abs(np.linalg.det(segmentation.ijk_to_lps[:3, :3]))
    return {name: voxel * float((segmentation.labels == label).sum()) for label, name in segmentation.names.items()}


def volumes_on(segmentation: Segmentation, grid: CommonGrid) -> dict[str, float]:
    shares = organ_shares(segmentation, grid)
    assert shares.fractions.shape == (len(shares.names), *grid.shape)
    assert shares.fractions.min() >= 0.0
    assert shares.fractions.sum(axis=0).max() <= 1.0 + 1e-5
    voxel = abs(np.linalg.det(grid.ijk_to_lps[:3, :3]))
    totals = shares.fractions.sum(axis=(1, 2, 3), dtype=np.float64) * voxel
    return dict(zip(shares.names, map(float, totals), strict=True))


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_written_segmentation_comes_back(tmp_path: Path) -> None:
    written = balls()
    write_segmentation(tmp_path / "a.seg.nrrd", written)
    read = read_segmentation(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(read.labels, written.labels)
    np.testing.assert_array_equal(read.ijk_to_lps, written.ijk_to_lps)
    assert read.names == written.names
    assert read.labels.dtype == np.int16


def test_the_same_segmentation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_segmentation(tmp_path / f"{name}.seg.nrrd", balls())
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


def test_names_may_be_in_any_language(tmp_path: Path) -> None:
    named = Segmentation(np.ones((2, 2, 2), np.int16), np.eye(4), {1: "Nebenschilddrüse 副甲状腺"})
    write_segmentation(tmp_path / "a.seg.nrrd", named)
    read = read_segmentation(tmp_path / "a.seg.nrrd")
    assert read.names == named.names
    np.testing.assert_array_equal(read.labels, named.labels)


def write_plain(path: Path, array: NDArray[Any], **header: Any) -> None:
    import nrrd

    stated = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": np.zeros(3)}
    nrrd.write(str(path), array, {**stated, **header}, index_order="C")


def test_a_plain_nrrd_of_labels_is_read(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[1, 2, 3] = 7.0
    write_plain(tmp_path / "labels.nrrd", array, space="right-anterior-superior")
    read = read_segmentation(tmp_path / "labels.nrrd")
    assert read.names == {7: "label 7"}
    assert read.labels[1, 2, 3] == 7
    np.testing.assert_array_equal(np.diag(read.ijk_to_lps), [-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, 40000.0])
def test_values_that_are_no_labels_are_refused(tmp_path: Path, value: float) -> None:
    write_plain(tmp_path / "labels.nrrd", np.full((2, 2, 2), value, np.float32))
    with pytest.raises(PRRTError) as refusal:
        read_segmentation(tmp_path / "labels.nrrd")
    assert refusal.value.code is Code.RESULT_UNREADABLE


def test_overlapping_segments_are_refused_with_the_way_out(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5, 2), np.uint8)
    directions = np.vstack([[np.nan] * 3, np.eye(3)])
    write_plain(
        tmp_path / "two.seg.nrrd",
        array,
        **{"space directions": directions, "kinds": ["list", "domain", "domain", "domain"]},
    )
    with pytest.raises(PRRTError, match="layers") as refusal:
        read_segmentation(tmp_path / "two.seg.nrrd")
    assert "Collapse" in refusal.value.remedy


def test_a_missing_or_a_wrong_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PRRTError) as refusal:
        read_segmentation(tmp_path / "none.seg.nrrd")
    assert refusal.value.code is Code.PATH_MISSING
    (tmp_path / "text.nrrd").write_text("NRRD0004\nnothing")
    with pytest.raises(PRRTError) as refusal:
        read_segmentation(tmp_path / "text.nrrd")
    assert refusal.value.code is Code.BAD_GEOMETRY


# --- the networks' grid -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "forged"),
    [
        (b"type: short", b"type: banana"),
        (b"sizes: 28 24 20", b"sizes: 1000000 1000000 1000000"),
        (b"sizes: 28 24 20", b"sizes: -1 24 20"),
        (b"_LabelValue:=700", b"_LabelValue:=99999999"),
        (b"_LabelValue:=700", b"_LabelValue:=0"),
        (b"_LabelValue:=700", b"_LabelValue:=many"),
    ],
)
def test_a_forged_header_is_refused(tmp_path: Path, written: bytes, forged: bytes) -> None:
    path = tmp_path / "organs.seg.nrrd"
    write_segmentation(path, balls())
    content = path.read_bytes()
    assert written in content
    path.write_bytes(content.replace(written, forged))
    with pytest.raises(PRRTError):
        read_segmentation(path)


def test_names_of_segments_are_shown_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "organs.seg.nrrd"
    write_segmentation(path, balls())
    path.write_bytes(path.read_bytes().replace(b"_Name:=liver", "_Name:=li\u202ever\x1b".encode()))
    assert read_segmentation(path).names[3] == "li ver"


@pytest.mark.parametrize("shape", [(7, 5, 6), (20, 24, 28), (33, 10, 40)])
def test_every_organ_keeps_its_volume(shape: tuple[int, int, int]) -> None:
    segmentation = balls()
    assert volumes_on(segmentation, grid_over(segmentation, shape)) == pytest.approx(volumes(segmentation), rel=1e-5)


def test_a_voxel_shared_by_two_organs_is_divided_in_proportion() -> None:
    labels = np.zeros((1, 1, 8), np.int16)
    labels[..., :3], labels[..., 3:5] = 1, 2
    segmentation = Segmentation(labels, np.eye(4), {1: "liver", 2: "stomach"})
    shares = organ_shares(segmentation, grid_over(segmentation, (1, 1, 2)))
    np.testing.assert_allclose(shares.fractions[:, 0, 0], [[0.75, 0.0], [0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize("flips", [(0,), (1, 2), (0, 1, 2)])
def test_the_order_of_the_file_does_not_matter(flips: tuple[int, ...]) -> None:
    segmentation = balls()
    turned = segmentation.ijk_to_lps.copy()
    for axis in flips:
        column = 2 - axis
        turned[:3, 3] += turned[:3, column] * (segmentation.labels.shape[axis] - 1)
        turned[:3, column] *= -1
    flipped = Segmentation(np.flip(segmentation.labels, flips), turned, segmentation.names)
    grid = grid_over(segmentation, (7, 5, 6))
    np.testing.assert_allclose(
        organ_shares(flipped, grid).fractions, organ_shares(segmentation, grid).fractions, atol=1e-6
    )


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("shape", [(6, 5, 7), (41, 9, 30)])
def test_shares_are_the_box_means_of_each_organ_alone(axes: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, size=(20, 24, 28)).astype(np.int16)
    labels[5:12, 3:20, 8:] = 2
    segmentation = Segmentation(labels, affine((3.0, 2.0, 2.5), (-40.0, -20.0, 100.0)), {1: "a", 2: "b", 3: "c"})
    spans = Box((-1.3, 17.6), (2.25, 24.0), (0.4, 33.0))  # beyond the labels on two sides
    size = [(high - low) / n for (low, high), n in zip(spans.spans, shape, strict=True)]
    cut = np.diag([*size[::-1], 1.0])
    cut[:3, 3] = [low + one / 2 - 0.5 for (low, _), one in zip(spans.spans, size, strict=True)][::-1]
    grid = CommonGrid(shape, segmentation.ijk_to_lps @ cut)
    stored = np.ascontiguousarray(labels.transpose(axes)).transpose(np.argsort(axes))  # the same labels, other rows
    shares = organ_shares(Segmentation(stored, segmentation.ijk_to_lps, segmentation.names), grid)
    expected = [area_resize(labels == label, shape, spans) for label in (1, 2, 3)]
    np.testing.assert_allclose(shares.fractions, expected, atol=2e-6)


def test_labels_turned_against_the_grid_land_on_the_same_tissue() -> None:
    segmentation = balls((40, 48, 56))
    angle = np.deg2rad(7.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    grid = grid_over(segmentation, (10, 12, 14))
    turned = CommonGrid(grid.shape, turn @ grid.ijk_to_lps)
    found = volumes_on(segmentation, turned)
    truth = volumes(segmentation)
    assert found["liver"] == pytest.approx(truth["liver"], rel=0.03)
    shares = organ_shares(segmentation, turned)
    where = np.argwhere(shares.fractions[0] > 0)[:, ::-1]
    middle = np.average(where, axis=0, weights=shares.fractions[0][tuple(where[:, ::-1].T)])
    at = (turned.ijk_to_lps @ [*middle, 1.0])[:3]
    label = np.argwhere(segmentation.labels == 3)[:, ::-1].mean(axis=0)
    apart = np.linalg.inv(turned.ijk_to_lps[:3, :3]) @ (at - (segmentation.ijk_to_lps @ [*label, 1.0])[:3])
    np.testing.assert_allclose(apart, 0.0, atol=0.05)


def test_names_that_occur_twice_are_one_organ() -> None:
    segmentation = balls()
    named = Segmentation(segmentation.labels, segmentation.ijk_to_lps, {3: "lesions", 700: "lesions", 9: "lesions"})
    assert list(volumes_on(named, grid_over(named, (7, 5, 6)))) == ["lesions"]


def test_an_organ_outside_of_the_box_has_no_share() -> None:
    segmentation = balls()
    grid = CommonGrid((4, 4, 4), affine((3.0, 2.0, 2.5), (5000.0, 0.0, 0.0)))
    assert set(volumes_on(segmentation, grid).values()) == {0.0}


# --- real labels ------------------------------------------------------------------------------------------------------


def test_real_organs_keep_their_volume(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    if not (REAL / "example_seg.nii.gz").is_file():
        pytest.skip("the TotalSegmentator example is not there")
    image = nibabel.load(REAL / "example_seg.nii.gz")
    labels = np.asarray(image.dataobj).transpose(2, 1, 0).astype(np.int16)
    ijk_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    names = {int(label): f"class {label}" for label in np.unique(labels) if label}
    assert len(names) > 20
    real = Segmentation(labels, ijk_to_lps, names)
    write_segmentation(tmp_path / "real.seg.nrrd", real)
    read = read_segmentation(tmp_path / "real.seg.nrrd")
    assert read.names == names
    np.testing.assert_allclose(read.ijk_to_lps, ijk_to_lps, atol=1e-9)
    corner = (ijk_to_lps @ [*(np.array(labels.shape[::-1]) - 1), 1.0])[:3]
    low = np.minimum(corner, ijk_to_lps[:3, 3]) - 3.0
    extent = np.abs(corner - ijk_to_lps[:3, 3]) + 6.0
    spacing = extent / (50, 50, 75)
    grid = CommonGrid((75, 50, 50), affine((spacing[2], spacing[1], spacing[0]), tuple(low + spacing / 2)))
    assert volumes_on(read, grid) == pytest.approx(volumes(real), rel=1e-4)


def test_labels_in_another_file_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "organs.seg.nrrd"
    write_segmentation(path, balls())
    header = path.read_bytes().partition(b"\n\n")[0]
    (tmp_path / "elsewhere.raw").write_bytes(b"\0" * 64)
    path.write_bytes(header + b"\nData File: elsewhere.raw\n\n")
    with pytest.raises(InputRefused, match="another file"):
        read_segmentation(path)


def test_labels_without_extent_are_refused_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "organs.seg.nrrd"
    flat = balls().ijk_to_lps.copy()
    flat[:, 2] = 0
    write_segmentation(path, Segmentation(balls().labels, flat, balls().names))
    with pytest.raises(InputRefused, match="segmentation"):
        read_segmentation(path)
