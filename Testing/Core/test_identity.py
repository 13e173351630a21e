"""Nothing that leaves names the patient: a cohort full of canaries goes through every command, then all is searched."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import logging
import os
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from canaries import BIRTH_DATE, UID_ROOT, WORD, Canaries, plant
from private_key import with_key

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.cohort.identity import study_code
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet

LABS = ("--ast", "28", "--alt", "25", "--ggt", "61", "--cga", "419")
MODEL = "pet_ct_labs"
PATIENTS = "10"


@dataclass
class Everything:
    """A cohort of canaries and all that came of it; ``said`` holds what each command wrote to its two streams."""

    canaries: Canaries
    out: Path
    cache: Path
    config: Path
    temporary: Path
    said: dict[str, str] = field(default_factory=dict)
    logged: io.StringIO = field(default_factory=io.StringIO)

    def prrt(self, name: str, *words: object, code: int = 0) -> str:
        """Run a command in this process; the streams of its workers are heard too."""
        with _heard(self.temporary.parent / "said.txt") as heard:
            found = main([str(word) for word in words])
        self.said[name] = heard.read_text(encoding="utf-8", errors="replace")
        assert found == code, self.said[name]
        return self.said[name]


@contextmanager
def _heard(path: Path) -> Iterator[Path]:
    """Everything that this process and its children write to stdout and stderr, in a file."""
    former = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    own = [open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2)]  # noqa: SIM115
    sys.stdout, sys.stderr = own
    try:
        yield path
    finally:
        for stream in own:
            stream.flush()
        sys.stdout, sys.stderr = streams
        for number, one in enumerate(former, start=1):
            os.dup2(one, number)
            os.close(one)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    root = tmp_path_factory.mktemp("canaries")
    places = {name: root / name for name in ("planted", "out", "cache", "config", "temporary")}
    for folder in places.values():
        folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRRT_CONFIG_DIR", str(with_key(places["config"])))
        patch.setenv("PRRT_CACHE_DIR", str(places["cache"]))
        patch.setenv("TMPDIR", str(places["temporary"]))
        patch.setenv("JOBLIB_TEMP_FOLDER", str(places["temporary"]))
        patch.setattr(tempfile, "tempdir", str(places["temporary"]))
        with _heard(root / "made.txt"):
            assert (
                main(["synth", "--out", str(root / "made"), "--patients", PATIENTS, "--seed", "5", "--jobs", "1"]) == 0
            )
        canaries = plant(root / "made", places["planted"])
        found = Everything(canaries, places["out"], places["cache"], places["config"], places["temporary"])
        handler = logging.StreamHandler(found.logged)
        logger = logging.getLogger()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            _every_command(found)
            yield found
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


def _every_command(found: Everything) -> None:
    table, out = found.canaries.cohort, found.out
    run, model = out / "run", out / "model"
    pet, ct = found.canaries.study()
    said = ("--progress", "jsonl")
    found.prrt("check", "cohort", "check", table)
    found.prrt("check as JSON", "cohort", "check", table, "--json", *said)
    found.prrt("describe", "cohort", "describe", table)
    codes = json.loads(found.prrt("codes", "cohort", "codes", table, "--json"))["codes"]
    training = ("--models", "rf_labs", MODEL, "--preset", "quick", "--folds", "3", "--repeats", "1", "--jobs", "2")
    found.prrt("train", "train", table, "--out", run, *training, *said)
    found.prrt("train once more", "train", table, "--out", run, *training, "--json")
    one = codes[0]["patient"]  # the plates of a patient are the dearest part of a report
    found.prrt("report", "report", run, "--cohort", table, "--patients", one, *said)
    for name in ("rf_labs", MODEL):
        found.prrt(f"fit {name}", "fit", "--run", run, "--model", name, "--out", out / name, *said)
    model = out / MODEL
    pictures = out / "pictures"
    pictures.mkdir()
    named = {
        "--saliency": "pet.nrrd",
        "--saliency-ct": "ct.nrrd",
        "--overlay": "overlay.png",
        **({"--scene": "scene.mrb"} if _has_slicer_core() else {}),
        "--charts": "charts",
    }
    wanted = [word for option, name in named.items() for word in (option, pictures / name)]
    study = ("--pet", pet, "--ct", ct, *LABS)
    found.prrt("predict", "predict", "--model", model, *study, *wanted, "--json", *said)
    found.prrt("predict for people", "predict", "--model", out / "rf_labs", *study)
    found.prrt("evaluate", "evaluate", "--model", model, table, "--json", "--jobs", "1", *said)
    found.prrt("evaluate for people", "evaluate", "--model", out / "rf_labs", table)
    found.prrt("suv", "suv", pet)
    found.prrt("suv as JSON", "suv", pet, "--json", *said)


def _has_slicer_core() -> bool:
    try:
        import slicer_core  # noqa: F401
    except ImportError:
        return False
    return True


# --- what leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["run", "rf_labs", MODEL, "pictures"])
def test_runs_reports_models_and_pictures_hold_no_trace_of_a_patient(everything: Everything, what: str) -> None:
    assert everything.canaries.found_below(everything.out / what) == {}


def test_the_search_went_through_all_kinds_of_files(everything: Everything) -> None:
    written = {path.suffix for path in everything.out.rglob("*") if path.is_file()}
    assert written >= {".csv", ".html", ".json", ".md", ".nrrd", ".npz", ".png", ".safetensors"}
    assert (".mrb" in written) == _has_slicer_core()


def test_what_the_commands_say_names_no_patient(everything: Everything) -> None:
    leaks = {name: everything.canaries.found_in(said.encode()) for name, said in everything.said.items()}
    assert {name: hits for name, hits in leaks.items() if hits} == {}


def test_nothing_is_logged_of_a_patient(everything: Everything) -> None:
    assert everything.canaries.found_in(everything.logged.getvalue().encode()) == set()


def test_the_cache_and_the_configuration_know_no_more_than_the_days_of_the_examinations(everything: Everything) -> None:
    assert everything.canaries.found_below(everything.cache, everything.config, dates=False) == {}


def test_nothing_is_left_in_the_temporary_folder(everything: Everything) -> None:
    left = [path for path in everything.temporary.rglob("*") if path.is_file()]
    assert left == []


def test_patients_are_told_apart_by_their_codes_all_the_same(everything: Everything) -> None:
    rows = [identifier for identifier in everything.canaries.identifiers if "ROW" in identifier]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRRT_CONFIG_DIR", str(everything.config))
        codes = {study_code(row) for row in rows}
    assert len(codes) == int(PATIENTS)
    told = {patient["patient"] for patient in json.loads(everything.said["codes"])["codes"]}
    assert told == codes


def test_a_series_in_memory_does_not_show_who_it_is_of_when_it_is_printed(everything: Everything) -> None:
    pet, ct = everything.canaries.study()
    for loaded in (load_pet(pet), load_ct(ct)):
        shown = {hit for hit in everything.canaries.found_in(repr(loaded).encode()) if not hit.startswith("date")}
        assert not {hit for hit in shown if WORD in hit or hit.startswith("hash")}


# --- the search itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-16", "utf-32-le"])
def test_a_canary_is_found_in_every_encoding(everything: Everything, encoding: str) -> None:
    assert everything.canaries.found_in(f"x{WORD}Name^Zoë y".encode(encoding))


@pytest.mark.parametrize(
    "text",
    [
        WORD.lower(),
        f"{UID_ROOT}9.1",
        BIRTH_DATE,
        "1937-12-13",
        "13.12.1937",
        hashlib.sha256(b"CANARYID-0003").hexdigest(),
        hashlib.md5(b"canaryrow-0003").hexdigest()[:12],
    ],
)
def test_dates_uids_and_plain_hashes_are_found_too(everything: Everything, text: str) -> None:
    assert everything.canaries.found_in(f'{{"a": "{text}"}}'.encode())


def test_packed_canaries_are_found(everything: Everything, tmp_path: Path) -> None:
    word = f"{WORD}Name".encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("inner.nrrd", b"NRRD0004\n\n" + gzip.compress(word))
    arrays = io.BytesIO()
    np.savez_compressed(arrays, names=np.array([word.decode()]))
    comment = b"Comment\0\0" + zlib.compress(word)
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">L", len(comment)) + b"zTXt" + comment + bytes(4)
    page = b'<img src="data:image/png;base64,' + base64.b64encode(picture) + b'">'
    for content in (archive.getvalue(), arrays.getvalue(), picture, page):
        assert word not in content
        assert everything.canaries.found_in(content)
    (tmp_path / "innocent").mkdir()
    (tmp_path / "innocent" / f"{word.decode()}.json").write_bytes(b"{}")
    assert everything.canaries.found_below(tmp_path / "innocent")


def test_the_cohort_itself_is_full_of_canaries(everything: Everything) -> None:
    pet, ct = everything.canaries.study(3)
    for folder in (pet, ct):
        first, *others = sorted(folder.iterdir())
        found = everything.canaries.found_in(first.read_bytes())
        assert len(found) > 700
        assert {f"{WORD}PatientAddress", f"{WORD}PRIVATE", f"{WORD}DEEP", f"date {BIRTH_DATE}"} <= found
        for path in others:
            assert f"{WORD}InstitutionName" in everything.canaries.found_in(path.read_bytes())
