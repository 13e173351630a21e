"""Prepared studies on disk: keyed by content and configuration, memory-mapped, rebuilt when anything does not fit.

The cache holds patient images and is private to the user: others may not look into its folders, and no name,
identifier or path of a patient is written into it; of the PatientID, the keyed study code alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ..cohort.identity import study_code
from ..dicom.examination import identifier_of
from ..errors import Code, InputRefused, RunFailed
from ..files import cache_folder
from ..processes import side_by_side
from ..progress import Progress, silent
from ..records import CohortPatient, LoadedSeries, Notice, PreparedStudy, SeriesSource
from .entry import Subject
from .keys import content_key, is_key, remembered_hash, series_hash
from .preprocess import PreprocessConfig, prepare_study
from .roster import PreparedRow, require_all_prepared, require_distinct_patients, row_notices
from .store import intact_entry, private_folder, read_entry, sweep_leftovers, write_entry


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
    row_notices : mapping of str to tuple of Notice
        Study code to what its row of the table and the images contradict; told with the study's own notices.
    """

    codes: tuple[str, ...]
    config: PreprocessConfig
    folder: Path
    keys: Mapping[str, str]
    row_notices: Mapping[str, tuple[Notice, ...]] = field(default_factory=dict)

    def study(self, code: str) -> PreparedStudy:
        """The prepared study of a patient; its arrays are read-only views of the file, opened for this call only.

        Raises
        ------
        KeyError
            An unknown code.
        RunFailed
            ``OUTPUT``: the entry was removed or damaged since the cohort was prepared.
        """
        study = read_entry(self.folder, self.keys[code])
        if study is None:
            raise RunFailed(
                Code.OUTPUT,
                "A prepared study was removed from the cache while it was in use.",
                where=code,
                remedy="Run the same command again; the study will be prepared anew.",
            )
        return replace(study, notices=(*study.notices, *self.row_notices.get(code, ())))

    def content_key(self, code: str) -> str:
        """SHA-256 over the study's files, the configuration, and the versions of preprocessing and reading."""
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
    found = {code: key for code, key in keys.items() if is_key(key) and intact_entry(folder, key)}
    return PreparedCohort(tuple(found), config or PreprocessConfig(), folder, found)


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
        ``COHORT_DUPLICATE``: two rows hold the same images, voxel by voxel, or images of the same patient.
        ``PATIENT_DIFFERS``: the images of one row name the patient of another.
    RunFailed
        ``OUTPUT``: the cache folder cannot be written, or others may look into it. ``WORKER_DIED``: a worker process
        was killed; what was prepared before is kept.
    """
    config = config or PreprocessConfig()
    folder = cache_dir or cache_folder()
    private_folder(folder)
    reader = reader or DicomReader()
    progress("prepare", 0, len(patients))
    prepared: dict[str, PreparedRow] = {}
    with closing(_prepared(patients, config, folder, jobs, reader)) as rows_as_they_come:
        for one in rows_as_they_come:
            prepared[one.patient.code] = one
            progress("prepare", len(prepared), len(patients), one.patient.code)
    codes = tuple(patient.code for patient in patients)
    rows = [prepared[code] for code in codes]
    require_all_prepared(rows)
    require_distinct_patients(rows)
    return PreparedCohort(codes, config, folder, {one.patient.code: one.key for one in rows}, row_notices(rows))


def _prepared(
    patients: Sequence[CohortPatient], config: PreprocessConfig, folder: Path, jobs: int, reader: StudyReader
) -> Generator[PreparedRow, None, None]:
    if jobs == 1 or len(patients) < 2:
        sweep_leftovers(folder)
        yield from (_prepare_patient(patient, config, folder, reader) for patient in patients)
        return
    found = _found(patients, config, folder, jobs, reader)
    yield from found.values()
    missing = [patient for patient in patients if patient.code not in found]
    if missing:
        sweep_leftovers(folder)
        work = partial(_prepare_patient, config=config, folder=folder, reader=reader)
        yield from side_by_side(work, missing, jobs)


def _found(
    patients: Sequence[CohortPatient], config: PreprocessConfig, folder: Path, threads: int, reader: StudyReader
) -> dict[str, PreparedRow]:
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
        entries = pool.map(partial(intact_entry, folder), keys)
        rows = [PreparedRow(*one) for one in zip(patients, keys, entries, strict=False)]  # fewer keys than patients
    return {row.patient.code: row for row in rows if row.images is not None}


def _known_key(patient: CohortPatient, config: PreprocessConfig, folder: Path, reader: StudyReader) -> str:
    """The content key as far as it is remembered; empty where files have to be read for it, or are refused."""
    if patient.pet.series_uid or patient.ct.series_uid:
        return ""  # only the headers tell which files these are
    try:
        pet, ct = (remembered_hash(reader.files(source), folder) for source in (patient.pet, patient.ct))
    except (InputRefused, OSError):
        return ""
    return content_key(pet, ct, config) if pet and ct else ""


def _prepare_patient(
    patient: CohortPatient, config: PreprocessConfig, folder: Path, reader: StudyReader
) -> PreparedRow:
    try:
        pet_files, ct_files = reader.files(patient.pet), reader.files(patient.ct)
        key = content_key(series_hash(pet_files, folder), series_hash(ct_files, folder), config)
        images = intact_entry(folder, key)
        if images is None:
            pet, ct = reader.load_pet(pet_files), reader.load_ct(ct_files)
            images = write_entry(folder, key, prepare_study(pet, ct, config), _subject(pet, ct))
    except InputRefused as refusal:
        return PreparedRow(patient, refusal=refusal)
    return PreparedRow(patient, key, images)


def _subject(pet: LoadedSeries, ct: LoadedSeries) -> Subject:
    """Of whom both series are; a PET without a name may have a CT with one."""
    named = next((one.person.patient_id for one in (pet, ct) if identifier_of(one.person.patient_id)), "")
    return Subject(study_code(named) if named else "", pet.person.sex or ct.person.sex)
