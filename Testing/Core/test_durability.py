"""A power cut: what has its final name was forced to the disk before, and the name itself after.

Python tells of every file that is opened and of every rename (audit events); os.fsync is written down as well. From the
order of these alone follows what a disk that forgets everything not forced would still hold.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from training_stand_in import TINY, tiny_cohort, tiny_config

from PRRTPredictorCore import files
from PRRTPredictorCore.cohort.identity import KEY_FILE, study_code
from PRRTPredictorCore.evaluation.summary import summarise_run
from PRRTPredictorCore.files import published_folder, replacing, write_together
from PRRTPredictorCore.models.encoder_files import write_encoder
from PRRTPredictorCore.models.pretrained import ct_encoder_for
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.ctfeatures import remove_ct_features, with_ct_features
from PRRTPredictorCore.training.data import gather_training_data
from PRRTPredictorCore.training.engine import FitSettings

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders cannot be flushed there")

_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class Disk:
    """What happened below a folder, in order."""

    root: Path
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, what: str, path: str, target: str = "") -> None:
        if path.startswith(str(self.root)):
            self.events.append((what, path, target))

    def unsafe(self) -> list[str]:
        """Every name that a power cut could have taken, or left with less than its content."""
        dirty: set[str] = set()  # files whose content may not be on the disk
        unsure: dict[str, str] = {}  # folder: a name in it that may not be there to stay
        entered: dict[str, str] = {}  # the same of files that were opened in it
        faults = []
        for what, path, target in self.events:
            if what == "write":
                dirty.add(path)
                entered[str(Path(path).parent)] = path
            elif what == "fsync":
                dirty.discard(path)
                unsure.pop(path, None)
                entered.pop(path, None)
            elif what == "rename":
                inside = {one for one in dirty if one == path or one.startswith(f"{path}{os.sep}")}
                if not _temporary(target):
                    faults += [f"{target}: renamed before {one} was flushed" for one in sorted(inside)]
                    unsure[str(Path(target).parent)] = target
                    faults += [
                        f"{target}: renamed before the names in {folder} were flushed"
                        for folder in sorted(entered)
                        if folder == path or folder.startswith(f"{path}{os.sep}")
                    ]
                dirty -= inside
        faults += [f"{name}: its folder was not flushed afterwards" for name in unsure.values()]
        return faults


def _temporary(path: str) -> bool:
    return any(part.startswith((".partial-", ".replaced-")) for part in Path(path).parts)


_recorders: list[Disk] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    for disk in _recorders:
        if event == "open":
            path, mode, flags = arguments
            writing = (isinstance(mode, str) and set(mode) & set("wax")) or (mode is None and int(flags) & _WRITING)  # type: ignore[call-overload]
            if isinstance(path, str | os.PathLike) and writing:
                disk.note("write", str(path))
        elif event == "os.rename" or event == "os.link":
            disk.note("rename", os.fsdecode(arguments[0]), os.fsdecode(arguments[1]))  # type: ignore[arg-type]


sys.addaudithook(_hear)


@contextmanager
def recorded(root: Path, patch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(root)
    plain = os.fsync

    def fsync(handle: int) -> None:
        plain(handle)
        disk.note("fsync", str(Path(f"/proc/self/fd/{handle}").readlink()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("which file a handle belongs to is told by Linux alone")
    patch.setattr(os, "fsync", fsync)
    _recorders.append(disk)
    try:
        yield disk
    finally:
        _recorders.remove(disk)


def test_the_recorder_sees_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(tmp_path, monkeypatch) as disk, replacing(tmp_path / "no flush", flush=False) as temporary:
        temporary.write_bytes(b"x")
    assert len(disk.unsafe()) == 2
    with recorded(tmp_path, monkeypatch) as disk:
        monkeypatch.setattr(files, "flush_folder", lambda folder: None)
        with replacing(tmp_path / "no folder") as temporary:
            temporary.write_bytes(b"x")
    assert ["afterwards" in fault for fault in disk.unsafe()] == [True]
    monkeypatch.undo()
    with recorded(tmp_path, monkeypatch) as disk:
        files.write_bytes(tmp_path / "whole", b"x")
    assert not disk.unsafe()


@pytest.mark.parametrize("older", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("swap", [True, False], ids=["exchanged", "renamed twice"])
def test_what_is_published_is_there_to_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool, swap: bool
) -> None:
    if not swap:
        monkeypatch.setattr(files, "exchange", lambda first, second: False)

    def write() -> None:
        with published_folder(tmp_path / "made" / "here" / "model") as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_bytes(b"x")
        write_together(tmp_path / "run", {"figures/a.csv": b"x", "page": b"y"})

    if older:
        write()
    with recorded(tmp_path, monkeypatch) as disk:
        write()
    assert disk.events
    assert not disk.unsafe()


def test_new_folders_are_flushed_from_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(tmp_path, monkeypatch) as disk, published_folder(tmp_path / "a" / "b" / "model") as folder:
        (folder / "file").write_bytes(b"x")
    flushed = [path for what, path, _ in disk.events if what == "fsync"]
    assert flushed[:2] == [str(tmp_path), str(tmp_path / "a")]


def test_a_key_is_whole_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(tmp_path / "config"))
    with recorded(tmp_path, monkeypatch) as disk:
        study_code("PAT-7")
    assert any(target.endswith(KEY_FILE) for _, _, target in disk.events)
    assert not disk.unsafe()


def test_a_run_its_results_and_its_model_survive_a_power_cut_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, images = tiny_cohort()
    with recorded(tmp_path, monkeypatch) as disk:
        run_crossval(cohort, images, tiny_config("rf_labs", "pet_ct_labs_pretrained"), tmp_path / "run")
        summarise_run(tmp_path / "run")
        pack_model(tmp_path / "run", "rf_labs", tmp_path / "model")
    published = {target for what, _, target in disk.events if what == "rename" and not _temporary(target)}
    relative = {str(Path(target).relative_to(tmp_path)) for target in published}
    assert {"run/manifest.json", "run/splits.json", "run/cohort.json", "run/ct_encoder.safetensors"} <= relative
    assert {"run/folds/rf_labs/0-0", "run/metrics.json", "run/curves.json", "model"} <= relative
    assert any(name.startswith("run/.ct-features-") for name in relative)
    assert not disk.unsafe()


def test_altered_features_of_the_frozen_stages_are_computed_anew(tmp_path: Path) -> None:
    """After a power cut, or by another's hand: a file of the right size, and other numbers in it."""
    cohort, images = tiny_cohort()
    data, _ = gather_training_data(cohort, images, ())
    write_encoder(tmp_path / "encoder", ct_encoder_for(TINY))
    settings = FitSettings(TINY, 0, "cpu", ct_encoder=tmp_path / "encoder")
    spec = MODELS["pet_ct_labs_pretrained"]
    told: list[str] = []

    def features() -> Path:
        told.clear()
        found = with_ct_features(data, spec, settings, tmp_path, lambda stage, *_: told.append(stage))
        assert found.ct_features
        return found.ct_features

    path = features()
    whole = path.read_bytes()
    assert told
    assert features() == path
    assert not told
    for damage in (whole[:-4096] + bytes(4096), whole[:100], b""):
        path.write_bytes(damage)
        assert features() == path
        assert told
        assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()
    features()
    assert told
    remove_ct_features(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["encoder"]
