"""The organs of a run's patients, from the segmentations that ``cohort.csv`` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...cohort.table import read_cohort
from ...files import cache_folder
from ...imaging.cache import PreparedCohort
from ...imaging.segmentation import OrganShares, organ_shares, read_segmentation
from ...records import CommonGrid

if TYPE_CHECKING:
    from ..content import RunContent


@dataclass(frozen=True)
class OrganMaps(Mapping[str, OrganShares]):
    """Organ shares by study code, each read and computed when it is asked for: a cohort's would not fit into memory.

    Attributes
    ----------
    files : mapping of str to Path
        Segmentations of the patients who have one.
    grid_of : callable
        The common grid of a patient.
    """

    files: Mapping[str, Path]
    grid_of: Callable[[str], CommonGrid]

    def __getitem__(self, code: str) -> OrganShares:
        """The organs of one patient on the model grid.

        Raises
        ------
        KeyError
            No segmentation for this patient.
        PRRTError
            The file cannot be read, its geometry is unusable, or the prepared study has left the cache.
        """
        return organ_shares(read_segmentation(self.files[code]), self.grid_of(code))

    def __iter__(self) -> Iterator[str]:
        """Study codes in the order of the cohort table."""
        return iter(self.files)

    def __len__(self) -> int:
        """How many patients have a segmentation."""
        return len(self.files)


def organ_maps(content: RunContent, prepared: PreparedCohort | None = None) -> OrganMaps:
    """The organs of the run's patients; empty without ``--cohort`` or without labels in it.

    Parameters
    ----------
    content : RunContent
        ``content.request.cohort`` names the table.
    prepared : PreparedCohort, optional
        Where the patients' grids are; the cache as the run left it when left out.

    Raises
    ------
    CohortRefused
        The table breaks a rule.
    """
    table = content.request.cohort
    if table is None:
        return OrganMaps(MappingProxyType({}), _no_grid)
    keys = {image.code: image.content_key for image in content.cohort.images}
    patients = read_cohort(table).patients
    studies = prepared or PreparedCohort(
        codes=tuple(keys),
        config=content.manifest.preprocess_record(),
        folder=cache_folder(),
        keys=keys,
    )
    files = {patient.code: patient.organs for patient in patients if patient.organs and patient.code in keys}
    return OrganMaps(MappingProxyType(files), lambda code: studies.study(code).grid)


def _no_grid(code: str) -> CommonGrid:
    raise KeyError(code)
