"""The SYNTHETIC input of the stages, made once and kept in the work folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from .machine import Machine, measure

CT_SHAPE, CT_SPACING_MM = (300, 512, 512), (3.27, 1.3671875, 1.3671875)
PET_SHAPE, PET_SPACING_MM = (300, 200, 200), (3.27, 3.5, 3.5)


class Workplace:
    """What the stages share.

    Parameters
    ----------
    folder : Path
        Keeps the made input between runs.
    say : callable
        Gets a line of what is done.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def machine(self) -> Machine:
        """The machine, measured."""
        return measure(self.folder)

    @property
    def device(self) -> str:
        """Where the GPU rows would run: "cuda", or "" where none is at hand."""
        import torch

        return "cuda" if torch.cuda.is_available() else ""

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """A folder of made input, kept; ``make`` fills it the first time."""
        target = self.folder / name
        if not target.is_dir():
            self.say(f"making {name}")
            partial = self.folder / f".{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            make(partial)
            partial.rename(target)
        return target

    def full_patient(self) -> Path:
        """A folder with ct/ (300 x 512 x 512) and pet/ (300 x 200 x 200, a slope for each slice), uncompressed."""
        return self.made("full-patient", _write_full_patient)

    def cohort(self, patients: int) -> Path:
        """The cohort.csv of so many made patients with small images."""
        from PRRTPredictorCore.cohort.synthetic.cohort import make_cohort
        from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig

        def make(folder: Path) -> None:
            make_cohort(folder / "made", SyntheticConfig(patients=patients, seed=5), jobs=self.machine.cores)

        return self.made(f"cohort-{patients}", make) / "made" / "cohort.csv"


def _write_full_patient(folder: Path) -> None:
    from PRRTPredictorCore.cohort.synthetic.headers import identity_of
    from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig, anatomy_of, plan_cohort
    from PRRTPredictorCore.cohort.synthetic.scanners import GE, acquire_ct, acquire_pet, examine
    from PRRTPredictorCore.cohort.synthetic.shapes import VoxelGrid
    from PRRTPredictorCore.cohort.synthetic.storing import CtSeries, write_pet

    plan = plan_cohort(SyntheticConfig(patients=1, seed=7, size="full", censored=0))[0]
    usual = examine(plan, anatomy_of(plan))
    z_foot = usual.pet_grid.origin_lps_mm[2]

    def grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> VoxelGrid:
        edge = -(shape[1] - 1) / 2 * spacing_mm[1]
        return VoxelGrid(shape, spacing_mm, (edge, edge, z_foot))

    pet_grid, ct_grid = grid(PET_SHAPE, PET_SPACING_MM), grid(CT_SHAPE, CT_SPACING_MM)
    examination = replace(usual, scanner=GE, pet_grid=pet_grid, ct_grid=ct_grid)
    identity = identity_of(examination)
    for name in ("pet", "ct"):
        (folder / name).mkdir()
    write_pet(folder / "pet", examination, identity, acquire_pet(examination).suv)
    series = CtSeries(folder / "ct", examination, identity)
    for slab in acquire_ct(examination):
        series.write(slab)
