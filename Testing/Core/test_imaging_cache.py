"""The cache: found again by content, rebuilt when damaged, private, and free of identity."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import PRRTPredictorCore.cohort.synthetic.cohort as making
from PRRTPredictorCore import processes
from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig
from PRRTPredictorCore.dicom import READING_VERSION
from PRRTPredictorCore.disk import aside
from PRRTPredictorCore.errors import Code, CohortRefused, DicomRefused, RunFailed, SuvRefused
from PRRTPredictorCore.files import cache_folder
from PRRTPredictorCore.imaging import keys, store
from PRRTPredictorCore.imaging.cache import prepare_cohort, reopen_cohort
from PRRTPredictorCore.imaging.entry import from_sidecar
from PRRTPredictorCore.imaging.keys import series_hash
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.records import (
    Acquisition,
    CohortPatient,
    Labs,
    LoadedSeries,
    Notice,
    Outcome,
    SeriesSource,
    Volume,
)

CONFIG = PreprocessConfig(shape=(6, 5, 5), remove_couch=False)
FORMAT_1 = Path(__file__).parent / "fixtures" / "formats" / "cache-1" / "sidecar.json"
needs_modes = pytest.mark.skipif(os.name != "posix", reason="folders have no modes for others here")


@dataclass
class ArrayReader:
    """Series stored as one .npy file; counts what it loads, and refuses files that say so."""

    loaded: list[str] = field(default_factory=list)

    def files(self, source: SeriesSource) -> tuple[Path, ...]:
        return tuple(sorted(source.folder.iterdir()))

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        return self._load(files, "PT")

    def load_ct(self, files: tuple[Path, ...]) -> LoadedSeries:
        return self._load(files, "CT")

    def _load(self, files, modality) -> LoadedSeries:
        self.loaded.append(modality)
        content = files[0].read_bytes()
        if content.startswith(b"refuse"):
            raise SuvRefused(Code.SUV_WEIGHT, "The weight is absent.", where="tag", remedy="Send the weight.")
        volume = Volume(
            np.load(files[0]), np.diag([4.0, 4.0, 4.0, 1.0]), modality, "SUVbw" if modality == "PT" else "HU"
        )
        acquisition = Acquisition("Maker", "Model", date(2024, 5, 6), "yes", "DOTATOC Ga-68", True)
        return LoadedSeries(volume, acquisition, "1.2", "1", "2", (Notice("TRACER", "A tracer."),))


def cohort(folder: Path, n: int = 4) -> list[CohortPatient]:
    patients = []
    for number in range(n):
        rng = np.random.default_rng(number)
        sources = []
        for modality in ("PT", "CT"):
            place = folder / f"CanaryName{number}" / modality
            place.mkdir(parents=True)
            np.save(place / "a.npy", rng.random((9, 8, 8), dtype=np.float32))
            sources.append(SeriesSource(folder=place))
        labs, outcome = Labs(20, 20, 30, 100), Outcome(20.0, True, True)
        patients.append(CohortPatient(f"P-{number:04d}", number + 2, sources[0], sources[1], labs, outcome))
    return patients


def test_prepared_once_and_found_again(tmp_path: Path) -> None:
    patients, reader = cohort(tmp_path / "in"), ArrayReader()
    seen: list[tuple[int, int]] = []
    prepared = prepare_cohort(
        patients,
        CONFIG,
        tmp_path / "cache",
        progress=lambda _stage, done, total, _message="": seen.append((done, total)),
        reader=reader,
    )
    assert prepared.codes == ("P-0000", "P-0001", "P-0002", "P-0003")
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(reader.loaded) == 8
    study = prepared.study("P-0002")
    assert study.pet.shape == (6, 5, 5)
    assert not study.pet.flags.writeable
    assert isinstance(study.pet, np.memmap)
    assert study.pet_acquisition == Acquisition("Maker", "Model", date(2024, 5, 6), "yes", "DOTATOC Ga-68", True)
    assert study.notices == (Notice("TRACER", "A tracer."),) * 2
    direct = np.load(patients[2].pet.folder / "a.npy")
    assert study.pet.mean(dtype=float) == pytest.approx(direct.mean(dtype=float), rel=1e-5)
    again = prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=reader)
    assert len(reader.loaded) == 8
    assert again.keys == prepared.keys
    np.testing.assert_array_equal(again.study("P-0002").pet, study.pet)
    np.testing.assert_allclose(again.study("P-0002").grid.ijk_to_lps, study.grid.ijk_to_lps, atol=0)


def test_reopened_by_content_key_without_the_files(tmp_path: Path) -> None:
    prepared = prepare_cohort(cohort(tmp_path / "in"), CONFIG, tmp_path / "cache", reader=ArrayReader())
    shutil.rmtree(tmp_path / "in")
    keys = dict(prepared.keys)
    again = reopen_cohort(keys, CONFIG, tmp_path / "cache")
    assert (again.codes, again.keys, again.config) == (prepared.codes, keys, CONFIG)
    np.testing.assert_array_equal(again.study("P-0002").ct, prepared.study("P-0002").ct)
    damaged = next((tmp_path / "cache").rglob(f"{keys['P-0001']}.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"\0\0\0\1")
    keys |= {"P-0003": "0" * 64, "P-0000": "../../P-0000"}
    assert reopen_cohort(keys, CONFIG, tmp_path / "cache").codes == ("P-0002",)
    assert reopen_cohort({}, CONFIG, tmp_path / "nowhere").codes == ()


def test_content_and_configuration_decide(tmp_path: Path) -> None:
    patients, reader = cohort(tmp_path / "in", 2), ArrayReader()
    first = prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=reader)
    assert first.content_key("P-0000") != first.content_key("P-0001")
    other = prepare_cohort(patients, replace(CONFIG, shape=(5, 5, 5)), tmp_path / "cache", reader=reader)
    assert other.content_key("P-0000") != first.content_key("P-0000")
    # The same files elsewhere are the same study.
    (tmp_path / "in" / "CanaryName0").rename(tmp_path / "in" / "moved")
    moved = replace(
        patients[0],
        pet=SeriesSource(folder=tmp_path / "in" / "moved" / "PT"),
        ct=SeriesSource(folder=tmp_path / "in" / "moved" / "CT"),
    )
    count = len(reader.loaded)
    assert prepare_cohort([moved], CONFIG, tmp_path / "cache", reader=reader).keys == {"P-0000": first.keys["P-0000"]}
    assert len(reader.loaded) == count
    # Other content in the same file is another study.
    np.save(patients[1].pet.folder / "a.npy", np.random.default_rng(9).random((9, 8, 8), dtype=np.float32))
    changed = prepare_cohort([patients[1]], CONFIG, tmp_path / "cache", reader=reader)
    assert changed.content_key("P-0001") != first.content_key("P-0001")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_altered_in_place_is_noticed_among_untouched_ones(tmp_path: Path, jobs: int) -> None:
    patients, cache = cohort(tmp_path / "in", 3), tmp_path / "cache"
    first = prepare_cohort(patients, CONFIG, cache, jobs, reader=ArrayReader())
    before = first.study("P-0001").pet.copy()
    file = patients[1].pet.folder / "a.npy"
    stat = file.stat()
    np.save(file, np.load(file) + np.float32(1))
    assert file.stat().st_size == stat.st_size
    if os.name == "posix":  # copies may bring the old time along; Windows then shows no trace
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = prepare_cohort(patients, CONFIG, cache, jobs, reader=ArrayReader())
    np.testing.assert_allclose(again.study("P-0001").pet, before + 1, rtol=1e-5)
    assert {code for code in again.codes if again.keys[code] != first.keys[code]} == {"P-0001"}


def test_found_again_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patients, cache = cohort(tmp_path / "in", 3), tmp_path / "cache"
    first = prepare_cohort(patients, CONFIG, cache, reader=ArrayReader())
    monkeypatch.setattr("joblib.Parallel", None)
    assert prepare_cohort(patients, CONFIG, cache, jobs=2, reader=ArrayReader()).keys == first.keys


def test_one_study_under_two_identifiers_is_refused(tmp_path: Path) -> None:
    patients = cohort(tmp_path / "in", 3)
    for modality in ("PT", "CT"):
        original, copy = (tmp_path / "in" / name / modality for name in ("CanaryName0", "CanaryName2"))
        (copy / "a.npy").write_bytes((original / "a.npy").read_bytes())
        (copy / "b.txt").write_text("de-identified a second time: other bytes, the same voxels")
    for _ in ("prepared now", "found in the cache"):
        with pytest.raises(CohortRefused) as refusal:
            prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=ArrayReader())
        assert refusal.value.code is Code.COHORT_DUPLICATE
        assert refusal.value.where == "rows 2 and 4"
        assert "Canary" not in str(refusal.value)


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "sidecar", "foreign"])
def test_damaged_entries_are_rebuilt(tmp_path: Path, damage: str) -> None:
    patients, reader = cohort(tmp_path / "in", 2), ArrayReader()
    cache = tmp_path / "cache"
    prepared = prepare_cohort(patients, CONFIG, cache, reader=reader)
    expected = np.array(prepared.study("P-0000").ct)
    voxels = next(cache.rglob(f"{prepared.content_key('P-0000')}.npy"))
    sidecar = voxels.with_suffix(".json")
    content = voxels.read_bytes()
    if damage == "truncate":
        voxels.write_bytes(content[:-40])
    elif damage == "flip":
        voxels.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "delete":
        voxels.unlink()
    elif damage == "sidecar":
        sidecar.write_text(sidecar.read_text().replace('"Maker"', '"Other"'))
    else:
        sidecar.write_bytes(next(cache.rglob(f"{prepared.content_key('P-0001')}.json")).read_bytes())
    again = prepare_cohort(patients, CONFIG, cache, reader=reader)
    assert len(reader.loaded) == 6  # the damaged study alone was read again
    np.testing.assert_array_equal(again.study("P-0000").ct, expected)


def test_removed_while_in_use(tmp_path: Path) -> None:
    patients = cohort(tmp_path / "in", 1)
    prepared = prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=ArrayReader())
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.unlink()
    with pytest.raises(RunFailed) as caught:
        prepared.study("P-0000")
    assert caught.value.where == "P-0000"


def test_workers_give_the_same(tmp_path: Path) -> None:
    patients = cohort(tmp_path / "in")
    alone = prepare_cohort(patients, CONFIG, tmp_path / "one", reader=ArrayReader())
    together = prepare_cohort(patients, CONFIG, tmp_path / "two", jobs=2, reader=ArrayReader())
    assert together.keys == alone.keys
    for code in alone.codes:
        np.testing.assert_array_equal(together.study(code).pet, alone.study(code).pet)


def test_every_refused_patient_is_named(tmp_path: Path) -> None:
    patients = cohort(tmp_path / "in")
    for number in (1, 3):
        (patients[number].pet.folder / "a.npy").write_bytes(b"refuse")
    with pytest.raises(CohortRefused) as caught:
        prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=ArrayReader())
    error = caught.value
    assert error.code is Code.COHORT_REFUSED
    assert error.where == "row 3, row 5"
    for part in ("2 of 4", "P-0001", "P-0003", "SUV_WEIGHT"):
        assert part in error.message
    assert "Send the weight." in error.remedy
    assert "CanaryName" not in str(error)
    assert pickle.loads(pickle.dumps(error)).where == error.where


def test_a_vanished_file_is_refused_and_a_damaged_memo_is_made_anew(tmp_path: Path) -> None:
    patients, cache = cohort(tmp_path / "in", 1), tmp_path / "cache"
    files = ArrayReader().files(patients[0].pet)
    known = series_hash(files, cache)
    for memo in (cache / "series").iterdir():
        memo.write_bytes(b"\xff" * 64)
    assert series_hash(files, cache) == known
    with pytest.raises(DicomRefused) as caught:
        series_hash((*files, tmp_path / "gone.dcm"), cache)
    assert caught.value.code is Code.PATH_MISSING


def test_no_identity_and_nobody_else(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare_cohort(cohort(tmp_path / "in"), CONFIG, cache, reader=ArrayReader())
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 4 * 2 + 8
    assert not [
        path for path in files if b"CanaryName" in path.read_bytes() or "Canary" in str(path.relative_to(cache))
    ]
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in (cache, cache / "studies", cache / "series")} == {0o700}


@needs_modes
def test_a_folder_that_was_there_keeps_its_mode_and_its_neighbours(tmp_path: Path) -> None:
    cache = tmp_path / "shared"
    cache.mkdir()
    cache.chmod(0o777)
    (cache / "of others.txt").write_text("kept")
    for _ in ("made", "found"):
        prepare_cohort(cohort(tmp_path / "in", 1), CONFIG, cache, reader=ArrayReader())
        shutil.rmtree(tmp_path / "in")
    assert cache.stat().st_mode & 0o777 == 0o777
    assert {(cache / name).stat().st_mode & 0o777 for name in ("studies", "series")} == {0o700}
    assert (cache / "of others.txt").read_text() == "kept"


@needs_modes
def test_images_never_go_where_others_may_look(tmp_path: Path) -> None:
    cache = tmp_path / "shared"
    (cache / "studies").mkdir(parents=True)
    for folder in (cache, cache / "studies"):
        folder.chmod(0o755)
    with pytest.raises(RunFailed) as caught:
        prepare_cohort(cohort(tmp_path / "in", 1), CONFIG, cache, reader=ArrayReader())
    assert (caught.value.code, caught.value.where) == (Code.OUTPUT, "shared/studies")
    assert "chmod 700" in caught.value.remedy
    assert (cache / "studies").stat().st_mode & 0o777 == 0o755
    assert not list((cache / "studies").iterdir())
    cache.chmod(0o700)  # closed above: what an earlier version left below does no harm
    assert prepare_cohort(cohort(tmp_path / "again", 1), CONFIG, cache, reader=ArrayReader()).codes == ("P-0000",)


def test_where_folders_have_no_modes_the_cache_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_closed_to_others", lambda _: False)
    assert prepare_cohort(cohort(tmp_path / "in", 1), CONFIG, tmp_path / "cache", reader=ArrayReader()).codes


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepared = prepare_cohort(cohort(tmp_path / "in", 1), CONFIG, cache, reader=ArrayReader())
    entry = next(cache.rglob(f"{prepared.content_key('P-0000')}.npy"))
    left, fresh = [], aside(entry)
    for target in (entry, cache / "series" / "f00"):
        name = aside(target).name
        left.append(target.with_name(name.replace(f"-{os.getpid()}-", "-999999999-")))  # no process has this number
    for path in (*left, fresh):
        path.write_bytes(b"half")
    prepare_cohort(cohort(tmp_path / "more", 2), CONFIG, cache, reader=ArrayReader())
    assert not [path for path in left if path.exists()]
    assert fresh.exists()
    assert entry.exists()


# --- versions ---------------------------------------------------------------------------------------------------------


def test_another_version_of_the_reading_finds_nothing_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients, reader = cohort(tmp_path / "in", 2), ArrayReader()
    first = prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=reader)
    monkeypatch.setattr(keys, "READING_VERSION", READING_VERSION + 1)
    again = prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=reader)
    assert len(reader.loaded) == 8
    assert not set(first.keys.values()) & set(again.keys.values())


def test_an_entry_of_the_first_format_is_not_read_but_made_anew(tmp_path: Path) -> None:
    """A sidecar as version 0.1 wrote it, kept in the repository, put where today's entry is looked for."""
    patients, reader, cache = cohort(tmp_path / "in", 1), ArrayReader(), tmp_path / "cache"
    key = prepare_cohort(patients, CONFIG, cache, reader=reader).content_key("P-0000")
    old = json.loads(FORMAT_1.read_text(encoding="utf-8"))
    voxels = next(cache.rglob(f"{key}.npy"))
    assert old["body"]["format"] == 1
    assert hashlib.sha256(json.dumps(old["body"], sort_keys=True).encode()).hexdigest() == old["sha256"]  # intact
    old["body"] |= {"key": key, "voxels_sha256": hashlib.sha256(voxels.read_bytes()).hexdigest()}
    old["sha256"] = hashlib.sha256(json.dumps(old["body"], sort_keys=True).encode()).hexdigest()
    voxels.with_suffix(".json").write_text(json.dumps(old, indent=1), encoding="utf-8")
    assert reopen_cohort({"P-0000": key}, CONFIG, cache).codes == ()
    prepare_cohort(patients, CONFIG, cache, reader=reader)
    assert len(reader.loaded) == 4
    assert reopen_cohort({"P-0000": key}, CONFIG, cache).codes == ("P-0000",)


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"sha256": 1, "body": []}', b"\xff", b"", b"null", b"[]"])
def test_a_sidecar_that_wishes_harm_is_no_sidecar(content: bytes) -> None:
    assert from_sidecar(content, "0" * 64) is None


# --- workers ----------------------------------------------------------------------------------------------------------


@dataclass
class DyingReader(ArrayReader):
    """Its process is killed, as the system does when memory is short, as soon as a second study is read."""

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        if "CanaryName3" in str(files[0]):
            os._exit(1)
        return super().load_pet(files)


def test_a_worker_that_is_killed_is_one_line_and_what_was_prepared_is_kept(tmp_path: Path) -> None:
    patients = cohort(tmp_path / "in")
    with pytest.raises(RunFailed) as caught:
        prepare_cohort(patients, CONFIG, tmp_path / "cache", 2, reader=DyingReader())
    assert caught.value.code is Code.WORKER_DIED
    assert "fewer jobs" in caught.value.remedy
    assert "Canary" not in str(caught.value)
    reader = ArrayReader()
    assert len(prepare_cohort(patients, CONFIG, tmp_path / "cache", reader=reader).codes) == 4


def test_a_killed_worker_ends_a_made_cohort_with_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> Iterator[None]:
        yield from processes.side_by_side(os._exit, [1, 1], 2)

    monkeypatch.setattr(making, "side_by_side", killed)
    with pytest.raises(RunFailed) as caught:
        making.make_cohort(tmp_path / "made", SyntheticConfig(patients=6, seed=1), jobs=2)
    assert caught.value.code is Code.WORKER_DIED
    assert not list(tmp_path.iterdir())


def test_no_handle_is_kept_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count open files")
    prepared = prepare_cohort(cohort(tmp_path / "in"), CONFIG, tmp_path / "cache", reader=ArrayReader())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        for code in prepared.codes:
            prepared.study(code)
    # Of two hundred looks; other tests' threads may open some of their own meanwhile.
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 50


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRRT_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("PRRT_CACHE_DIR")
    assert cache_folder().name == "PRRTPredictor"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed) as caught:
        prepare_cohort(cohort(tmp_path / "in", 1), CONFIG, tmp_path / "file" / "cache", reader=ArrayReader())
    assert caught.value.code is Code.OUTPUT
    assert "PRRT_CACHE_DIR" in caught.value.remedy
