"""`prrt predict` in a cold process, against a plain script of the peers' parts; and how long the imports take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import plain_script
from ..side_by_side import Contender, Limit, Peer, Stage
from ..workplace import Workplace
from .saliency import MEMBERS, members

PROBABILITY_TOLERANCE, LEAST_CORRELATION = 0.02, 0.9
PEER_IMPORTS = "import pydicom, dcm2niix, nibabel, SimpleITK, torch, monai.transforms, captum.attr"
OUR_IMPORTS = (
    "import nrrd, PRRTPredictorCore.prediction.predictor, PRRTPredictorCore.explain.importance, "
    "PRRTPredictorCore.explain.saliency"
)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a process left: the probability, and the files of both saliency maps in the PET's geometry."""

    probability: float
    pet: Path
    ct: Path


def stages(bench: Workplace) -> Iterator[Stage]:
    """The whole command, then its imports, then its help."""
    yield Stage(
        "predict-cold",
        "`prrt predict`, DICOM pair to JSON and NRRD, cold process",
        f"CT 300 x 512², PET 300 x 200², {MEMBERS} `pet_ct_labs` networks, PET and CT saliency written with gzip; the "
        "peers: dcm2niix and nibabel, SimpleITK, MONAI ResampleToMatch and Resize, Captum, SimpleITK's NRRD writer; "
        "only ours checks the files, removes the couch, and tells warnings and lab contributions",
        Contender("ours", _ours(bench)),
        (Peer(Contender("a script of the peers' parts", _peers(bench)), 0.5),),
        _check,
        _limit(bench),
        repeats=3,
    )
    yield Stage(
        "predict-imports",
        "of that, Python and its imports",
        "a process that imports what the command imports and ends",
        Contender("ours", _cold("-c", OUR_IMPORTS)),
        (Peer(Contender("a script of the peers' parts", _cold("-c", PEER_IMPORTS))),),
    )
    yield Stage(
        "predict-help",
        "`prrt --help`, cold process",
        "Python's start included",
        Contender("ours", _cold("-m", "PRRTPredictorCore", "--help")),
    )


def _cold(*words: str) -> Callable[[], str]:
    def run() -> str:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def _ours(bench: Workplace) -> Callable[[], Answer]:
    def run() -> Answer:
        folder, out = bench.full_patient(), bench.folder
        labs = (
            f"--{name}={value:g}" for name, value in zip(("ast", "alt", "ggt", "cga"), plain_script.LABS, strict=True)
        )
        pet, ct = out / "ours-pet.nrrd", out / "ours-ct.nrrd"
        words = ("--model", _model(bench), "--pet", folder / "pet", "--ct", folder / "ct", "--saliency", pet)
        command = (
            "-m",
            "PRRTPredictorCore",
            "predict",
            *words,
            "--saliency-ct",
            ct,
            *labs,
            "--json",
            "--device",
            "cpu",
        )
        return _answer(_cold(*map(str, command))(), pet, ct)

    return run


def _peers(bench: Workplace) -> Callable[[], Answer]:
    def run() -> Answer:
        words = (plain_script.__file__, bench.full_patient(), _model(bench), bench.folder)
        return _answer(_cold(*map(str, words))(), bench.folder / "pet.nrrd", bench.folder / "ct.nrrd")

    return run


def _answer(printed: str, pet: Path, ct: Path) -> Answer:
    return Answer(json.loads(printed)["probability_long_pfs"], pet, ct)


def _check(mine: Answer, theirs: Answer) -> str:
    import SimpleITK

    difference = abs(mine.probability - theirs.probability)
    assert difference < PROBABILITY_TOLERANCE, (mine.probability, theirs.probability)
    found = []
    for a, b in ((mine.pet, theirs.pet), (mine.ct, theirs.ct)):
        one, other = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (a, b))
        found.append(float(np.corrcoef(one.ravel(), other.ravel())[0, 1]))
    assert min(found) > LEAST_CORRELATION, found
    return (
        f"probabilities {difference:.4f} apart, maps r = {found[0]:.3f} (PET) and {found[1]:.3f} (CT): the peers "
        "sample the CT at points and keep the couch"
    )


def _limit(bench: Workplace) -> Limit:
    stored = sum(file.stat().st_size for file in bench.full_patient().rglob("*") if file.is_file())
    return Limit(*bench.machine.reading("DICOM files", stored))


def _model(bench: Workplace) -> Path:
    """The model folder with the ensemble, packed the first time."""
    return bench.made("model", lambda folder: _pack(folder / "model")) / "model"


def _pack(folder: Path) -> None:
    from PRRTPredictorCore import __version__
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
    from PRRTPredictorCore.models.bundle import save_bundle
    from PRRTPredictorCore.models.metadata import BundleMetadata
    from PRRTPredictorCore.models.presets import TUNED
    from PRRTPredictorCore.records import LABS, TrainingRanges, input_units

    preprocess = PreprocessConfig()
    extent = ((900.0, 1100.0), (600.0, 800.0), (600.0, 800.0))
    metadata = BundleMetadata(
        model="pet_ct_labs",
        preset=TUNED,
        preprocess=preprocess,
        preprocess_digest=preprocess.digest(),
        tabular_names=LABS,
        training_ranges=TrainingRanges(dict.fromkeys(LABS, (10.0, 200.0)), (3.0, 20.0), extent),
        patients=116,
        long_pfs=74,
        performance=None,
        survival=(),
        synthetic=True,
        data_sha256="0" * 64,
        run_sha256="0" * 64,
        encoder_source="",
        created_utc="2026-01-01T00:00:00+00:00",
        version=__version__,
        tabular_units=input_units(LABS),
    )
    save_bundle(folder, members(), metadata)
