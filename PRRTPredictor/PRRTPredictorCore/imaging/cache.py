"""Prepared studies on disk: keyed by content and configuration, memory-mapped, rebuilt when anything does not fit.

The cache holds patient images and is private to the user: its folder has mode 700, and no name, identifier or path of
a patient is written into it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, CohortRefused, DicomRefused, InputRefused, RunFailed
from ..files import cache_folder, replacing, write_bytes
from ..progress import Progress, silent
from ..records import CohortPatient, LoadedSeries, PreparedStudy, SeriesSource
from .entry import from_sidecar, to_sidecar
from .preprocess import PreprocessConfig, prepare_study

_NAMED_ROWS = 20
_CHUNK_BYTES = 1 << 18


class StudyReader(Protocol):
    """Where a cohort's images come from; must survive pickling, since worker processes use it."""

    def files(self, source: SeriesSource) -> tuple[Path, ...]:
        """Every file of a series."""

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        """The PET in SUVbw."""

    def load_ct(self, files: tuple[Path, ...]) -> LoadedSeries:
        """The CT in HU."""


class DicomReader:
    """The :class:`StudyReader` for DICOM files."""

    def files(self, source: SeriesSource) -> tuple[Path, ...]:
        """See :func:`PRRTPredictorCore.dicom.index.series_files`."""
        from ..dicom.index import series_files

        return series_files(source)

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        """See :func:`PRRTPredictorCore.dicom.suv.load_pet`."""
        from ..dicom.suv import load_pet

        return load_pet(files)

    def load_ct(self, files: tuple[Path, ...]) -> LoadedSeries:
        """See :func:`PRRTPredictorCore.dicom.series.load_ct`."""
        from ..dicom.series import load_ct

        return load_ct(files)


@dataclass(frozen=True)
class PreparedCohort:
    """The prepared studies of a cohort, on disk.

    Attributes
    ----------
    codes : tuple of str
        Study codes, in the order of the cohort.
    config : PreprocessConfig
        How they were prepared.
    folder : Path
        The cache folder.
    keys : mapping of str to str
        Study code to content key.
    """

    codes: tuple[str, ...]
    config: PreprocessConfig
    folder: Path
    keys: Mapping[str, str]

    def study(self, code: str) -> PreparedStudy:
        """The prepared study of a patient; its arrays are read-only views of the file, opened for this call only.

        Raises
        ------
        KeyError
            An unknown code.
        RunFailed
            ``OUTPUT``: the entry was removed or damaged since the cohort was prepared.
        """
        study = _read_entry(self.folder, self.keys[code])
        if study is None:
            raise RunFailed(
                Code.OUTPUT,
                "A prepared study was removed from the cache while it was in use.",
                where=code,
                remedy="Run the same command again; the study will be prepared anew.",
            )
        return study

    def content_key(self, code: str) -> str:
        """SHA-256 over the study's files, the configuration and the version of the preprocessing."""
        return self.keys[code]


def reopen_cohort(
    keys: Mapping[str, str], config: PreprocessConfig | None = None, cache_dir: Path | None = None
) -> PreparedCohort:
    """Find studies that were prepared before, without their DICOM files.

    Parameters
    ----------
    keys : mapping of str to str
        Study code to content key, as a run remembers them.
    config : PreprocessConfig, optional
        How they were prepared; the content keys hold its digest, so that a study prepared otherwise is never found.
    cache_dir : Path, optional
        :func:`cache_folder` when left out.

    Returns
    -------
    PreparedCohort
        Of the studies whose entry is there and intact; the others are left out.
    """
    folder = cache_dir or cache_folder()
    found = {
        code: key for code, key in keys.items() if re.fullmatch(r"[0-9a-f]{64}", key) and _intact_voxels(folder, key)
    }
    return PreparedCohort(tuple(found), config or PreprocessConfig(), folder, found)


@dataclass(frozen=True)
class _Outcome:
    """What preparing one patient gave: its key and the hash of its voxels, or the reason why not."""

    patient: CohortPatient
    key: str = ""
    voxels_sha256: str = ""
    refusal: InputRefused | None = None


def prepare_cohort(
    patients: Sequence[CohortPatient],
    config: PreprocessConfig | None = None,
    cache_dir: Path | None = None,
    jobs: int = 1,
    progress: Progress = silent,
    reader: StudyReader | None = None,
) -> PreparedCohort:
    """Prepare every patient's PET/CT once; later calls with the same files and configuration find it on disk.

    Parameters
    ----------
    patients : sequence of CohortPatient
    config : PreprocessConfig, optional
    cache_dir : Path, optional
        :func:`cache_folder` when left out.
    jobs : int
        Worker processes (joblib); each holds one study in memory.
    progress : Progress
        Stage "prepare", one step a patient.
    reader : StudyReader, optional
        DICOM files when left out.

    Raises
    ------
    CohortRefused
        ``COHORT_REFUSED``: images of one or more patients cannot be used; all of them are named by row and study code.
        ``COHORT_DUPLICATE``: two patients have the same images, voxel by voxel.
    RunFailed
        ``OUTPUT``: the cache folder cannot be written.
    """
    config = config or PreprocessConfig()
    folder = cache_dir or cache_folder()
    _private_folder(folder)
    reader = reader or DicomReader()
    progress("prepare", 0, len(patients))
    outcomes: dict[str, _Outcome] = {}
    for outcome in _outcomes(patients, config, folder, jobs, reader):
        outcomes[outcome.patient.code] = outcome
        progress("prepare", len(outcomes), len(patients), outcome.patient.code)
    codes = tuple(patient.code for patient in patients)
    refused = [outcomes[code] for code in codes if outcomes[code].refusal]
    if refused:
        raise _refusal(refused, len(patients))
    _refuse_twins([outcomes[code] for code in codes])
    return PreparedCohort(codes, config, folder, {code: outcomes[code].key for code in codes})


def _outcomes(
    patients: Sequence[CohortPatient], config: PreprocessConfig, folder: Path, jobs: int, reader: StudyReader
) -> Iterator[_Outcome]:
    if jobs == 1 or len(patients) < 2:
        yield from (_prepare_patient(patient, config, folder, reader) for patient in patients)
        return
    found = _found(patients, config, folder, jobs, reader)
    yield from found.values()
    missing = [patient for patient in patients if patient.code not in found]
    if not missing:
        return
    from joblib import Parallel, delayed

    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from work(delayed(_prepare_patient)(patient, config, folder, reader) for patient in missing)


def _found(
    patients: Sequence[CohortPatient], config: PreprocessConfig, folder: Path, threads: int, reader: StudyReader
) -> dict[str, _Outcome]:
    """The patients whose studies are in the cache, up to the first whose files have to be read to know.

    Looking here takes less time than handing the patients to worker processes.
    """
    keys: list[str] = []
    for patient in patients:
        key = _known_key(patient, config, folder, reader)
        if not key:
            break
        keys.append(key)
    with ThreadPoolExecutor(threads) as pool:
        voxels = pool.map(partial(_intact_voxels, folder), keys)
        outcomes = [_Outcome(*one) for one in zip(patients, keys, voxels, strict=False)]  # fewer keys than patients
    return {outcome.patient.code: outcome for outcome in outcomes if outcome.voxels_sha256}


def _known_key(patient: CohortPatient, config: PreprocessConfig, folder: Path, reader: StudyReader) -> str:
    """The content key as far as it is remembered; empty where files have to be read for it, or are refused."""
    if patient.pet.series_uid or patient.ct.series_uid:
        return ""  # only the headers tell which files these are
    try:
        pet, ct = (_remembered(_memo(reader.files(source), folder)) for source in (patient.pet, patient.ct))
    except (InputRefused, OSError):
        return ""
    return _content_key(pet, ct, config) if pet and ct else ""


def _prepare_patient(patient: CohortPatient, config: PreprocessConfig, folder: Path, reader: StudyReader) -> _Outcome:
    try:
        pet_files, ct_files = reader.files(patient.pet), reader.files(patient.ct)
        key = _content_key(series_hash(pet_files, folder), series_hash(ct_files, folder), config)
        voxels = _intact_voxels(folder, key)
        if not voxels:
            study = prepare_study(reader.load_pet(pet_files), reader.load_ct(ct_files), config)
            voxels = _write_entry(folder, key, study)
    except InputRefused as refusal:
        return _Outcome(patient, refusal=refusal)
    return _Outcome(patient, key, voxels)


# --- keys -------------------------------------------------------------------------------------------------------------


def _content_key(pet: str, ct: str, config: PreprocessConfig) -> str:
    return hashlib.sha256(f"{pet}|{ct}|{config.digest()}".encode()).hexdigest()


def series_hash(files: Sequence[Path], folder: Path) -> str:
    """SHA-256 over the contents of a series, whatever its files are called and wherever they lie.

    Remembered in ``folder`` by the files' paths, sizes and times of change (of the content, and of anything), so that
    an untouched series is not read again; the paths themselves are not stored.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: a file is gone or may not be read.
    """
    try:
        memo = _memo(files, folder)
        known = _remembered(memo)
        if known:
            return known
        total = hashlib.sha256("".join(sorted(file_hash(path) for path in files)).encode()).hexdigest()
    except OSError as error:
        raise DicomRefused(
            Code.PATH_MISSING,
            f"A file of the series cannot be read ({error.strerror or type(error).__name__}).",
            remedy="Check that the folder is still there and that you may read it.",
        ) from error
    write_bytes(memo, total.encode("ascii"))
    return total


def _memo(files: Sequence[Path], folder: Path) -> Path:
    """Where the hash of these files is remembered as long as none of them changes."""
    stats = [(str(path), path.stat()) for path in sorted(files, key=str)]
    listing = json.dumps([(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats])
    return folder / "series" / hashlib.sha256(listing.encode()).hexdigest()


def _remembered(memo: Path) -> str:
    """The hash that a memo holds; empty when there is none or it is damaged."""
    content = memo.read_bytes() if memo.is_file() else b""
    return content.decode("ascii") if re.fullmatch(rb"[0-9a-f]{64}", content) else ""


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(chunk):
            digest.update(chunk[:count])
    return digest.hexdigest()


# --- entries ----------------------------------------------------------------------------------------------------------


def _paths(folder: Path, key: str) -> tuple[Path, Path]:
    stem = folder / "studies" / key[:2] / key
    return stem.with_suffix(".npy"), stem.with_suffix(".json")


def _write_entry(folder: Path, key: str, study: PreparedStudy) -> str:
    """Voxels first, the sidecar that vouches for them last; returns the hash of the voxels."""
    voxels_path, sidecar_path = _paths(folder, key)
    with replacing(voxels_path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.stack([study.pet, study.ct]).astype(np.float32, copy=False), allow_pickle=False)
    voxels_sha256 = file_hash(voxels_path)
    write_bytes(sidecar_path, to_sidecar(study, key, voxels_sha256))
    return voxels_sha256


def _intact_voxels(folder: Path, key: str) -> str:
    """The hash of an entry's voxels; empty when there is no entry or it is damaged."""
    voxels_path, sidecar_path = _paths(folder, key)
    try:
        sidecar = from_sidecar(sidecar_path.read_bytes(), key)
        intact = sidecar is not None and file_hash(voxels_path) == sidecar.voxels_sha256
    except OSError:
        return ""
    return sidecar.voxels_sha256 if sidecar is not None and intact else ""


def _read_entry(folder: Path, key: str) -> PreparedStudy | None:
    voxels_path, sidecar_path = _paths(folder, key)
    try:
        sidecar = from_sidecar(sidecar_path.read_bytes(), key)
        voxels: NDArray[Any] = np.load(voxels_path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if sidecar is None or voxels.shape != (2, *sidecar.grid.shape) or voxels.dtype != np.float32:
        return None
    return PreparedStudy(
        voxels[0], voxels[1], sidecar.grid, sidecar.pet_acquisition, sidecar.ct_acquisition, sidecar.notices
    )


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise RunFailed(
            Code.OUTPUT,
            f"The cache folder cannot be used ({error.strerror or type(error).__name__}).",
            remedy="Set the environment variable PRRT_CACHE_DIR to a folder that you may write to.",
        ) from error


def _refuse_twins(prepared: Sequence[_Outcome]) -> None:
    """Refuse one study under two identifiers: a patient who trains could be held out at the same time."""
    first_with: dict[str, _Outcome] = {}
    for one in prepared:
        other = first_with.setdefault(one.voxels_sha256, one)
        if other is not one:
            rows = f"rows {other.patient.row} and {one.patient.row}"
            raise CohortRefused(
                Code.COHORT_DUPLICATE,
                f"The PET/CT of {rows} are the same images, so that both must be the same patient.",
                where=rows,
                remedy="Keep one of the two rows, or correct the folder of the other: a patient in two folds would be "
                "trained on and tested on at once.",
            )


def _refusal(refused: Sequence[_Outcome], total: int) -> CohortRefused:
    lines = [f"row {one.patient.row} ({one.patient.code}): {_reason(one)}" for one in refused[:_NAMED_ROWS]]
    if len(refused) > _NAMED_ROWS:
        lines.append(f"and {len(refused) - _NAMED_ROWS} more")
    remedies = dict.fromkeys(one.refusal.remedy for one in refused if one.refusal and one.refusal.remedy)
    return CohortRefused(
        Code.COHORT_REFUSED,
        f"The images of {len(refused)} of {total} patients cannot be used: " + "; ".join(lines),
        where=", ".join(f"row {one.patient.row}" for one in refused[:_NAMED_ROWS]),
        remedy=" ".join((*list(remedies)[:3], "Or remove these rows from the cohort table.")),
    )


def _reason(outcome: _Outcome) -> str:
    refusal = outcome.refusal
    return f"{refusal.code.value}, {refusal.message}" if refusal else ""
