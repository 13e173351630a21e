"""What a report does on a damaged run, a machine that gives up, and text that wishes it harm."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_blocks import Entry, give_chapters
from report_runs import made_run

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.disk import this_machine
from PRRTPredictorCore.errors import Code, ModelRefused, RunFailed
from PRRTPredictorCore.files import PARTIAL, write_together
from PRRTPredictorCore.freetext import LONGEST, one_line
from PRRTPredictorCore.imaging.normalise import ImageNormaliser
from PRRTPredictorCore.models.fitted import FittedNetwork, undefined
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.presets import PRESETS
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.models.weights import pack_tensors
from PRRTPredictorCore.records import LABS
from PRRTPredictorCore.report import publish
from PRRTPredictorCore.report.chapter import Chapter, Numbers, Plate, Table, Words
from PRRTPredictorCore.report.chapters.provenance import model_hashes
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.html import make_chapter, write_report
from PRRTPredictorCore.report.style import Imprint, new_figure
from PRRTPredictorCore.training.heldout import GradientHistograms, HeldOutEmbeddings, HeldOutGradients
from PRRTPredictorCore.training.store import EMBEDDINGS, GRADIENTS, RunStore

Change = Callable[[Any], object]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", models=("rf_labs", "pet"), patients=14, folds=2, repeats=1)


def words(text: str) -> Entry:
    return Entry("brief", lambda content: Chapter("brief", "Brief", (Words((text,)),)))


def edited(path: Path, change: Change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- damaged runs -----------------------------------------------------------------------------------------------------

MANIFESTS: dict[str, dict[str, object]] = {
    "unknown model": {"models": ["pet", "<script>"]},
    "no model": {"models": []},
    "one model twice": {"models": ["pet", "pet"]},
    "models in one word": {"models": "pet"},
    "text for a number": {"folds": "2"},
    "one fold": {"folds": 1},
    "no preparation": {"preprocess": {}},
    "no preset": {"preset_values": {}},
    "versions as a list": {"versions": [1]},
    "hash as a number": {"data_sha256": 5},
    "other inputs": {"feature_names": ["ast"]},
    "older layout": {"schema": 0},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_no_run_wrote_is_refused(run: Path, name: str) -> None:
    edited(run / "manifest.json", lambda content: content.update(MANIFESTS[name]))
    with pytest.raises(ModelRefused) as refused:
        read_content(run)
    assert refused.value.code is Code.RUN_MISMATCH
    assert refused.value.remedy


def patient(part: str, name: str, value: object) -> Change:
    return lambda content: content["patients"][0][part].update({name: value})


COHORTS: dict[str, Change] = {
    "undefined survival": patient("outcome", "pfs_months", float("nan")),
    "negative survival": patient("outcome", "pfs_months", -1.0),
    "endless survival": patient("outcome", "pfs_months", 1e308),
    "an event in words": patient("outcome", "event", "no"),
    "a lab of zero": patient("labs", "ast_u_per_l", 0),
    "a lab in words": patient("labs", "ast_u_per_l", "x"),
    "an undefined age": patient("characteristics", "age_years", float("nan")),
    "no scanner": patient("characteristics", "scanner", None),
    "an extra in words": patient("extras", "ki", "x"),
    "a patient twice": lambda content: content["patients"].append(content["patients"][0]),
    "a patient without images": lambda content: content["images"].pop(),
    "other inputs": lambda content: content.update(exclusions={}),
}


@pytest.mark.parametrize("name", COHORTS)
def test_a_cohort_that_no_run_wrote_is_refused(run: Path, name: str) -> None:
    edited(run / "cohort.json", COHORTS[name])
    with pytest.raises(ModelRefused) as refused:
        read_content(run)
    assert refused.value.code is Code.RUN_MISMATCH


def test_inputs_that_the_cohort_lacks_are_refused(run: Path) -> None:
    edited(
        run / "manifest.json",
        lambda content: (content["feature_names"].append("ki67"), content["tabular_units"].update(ki67="%")),
    )
    with pytest.raises(ModelRefused, match="lacks inputs"):
        read_content(run)


def test_splits_that_leak_are_refused(run: Path) -> None:
    edited(run / "splits.json", lambda splits: splits[0]["train"].append(splits[0]["test"][0]))
    with pytest.raises(ModelRefused, match="hold out each patient"):
        read_content(run)


@pytest.mark.parametrize("name", ["manifest.json", "cohort.json", "splits.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"schema": 1'])
def test_a_file_of_anything_else_is_refused(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    with pytest.raises(ModelRefused) as refused:
        read_content(run)
    assert refused.value.code is Code.RUN_MISMATCH


@pytest.mark.parametrize(
    ("column", "value"),
    [("probability", "nan"), ("probability", "1.5"), ("probability", "x"), ("logit", "inf"), ("y", "2"), ("y", "")],
)
def test_predictions_that_no_model_made_are_refused(run: Path, column: str, value: str) -> None:
    path = run / "folds" / "pet" / "0-1" / "predictions.csv"
    header, row, *others = path.read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True)) | {column: value}
    path.write_text("\n".join([header, ",".join(cells.values()), *others]), encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"predictions.csv of fold 0-1"):
        read_content(run)


def test_an_outcome_that_the_cohort_does_not_know_is_refused(run: Path) -> None:
    for model in ("pet", "rf_labs"):
        path = run / "folds" / model / "0-1" / "predictions.csv"
        turned = re.sub(r",([01]),(?=[0-9.e-]+,)", lambda found: f",{1 - int(found[1])},", path.read_text())
        assert turned != path.read_text()
        path.write_text(turned, encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"predictions.csv of fold 0-1"):
        read_content(run)


def test_a_fold_that_says_nonsense_of_itself_is_refused(run: Path) -> None:
    edited(run / "folds" / "pet" / "0-0" / "done.json", lambda content: content.update(collapsed="maybe"))
    with pytest.raises(ModelRefused, match=r"done.json of fold 0-0"):
        read_content(run)


def embeddings(run: Path) -> dict[str, np.ndarray]:
    codes = RunStore(run).tasks("pet")[0].test
    return HeldOutEmbeddings(codes, np.ones((len(codes), 3), dtype=np.float32)).to_arrays()


def gradients(run: Path) -> dict[str, np.ndarray]:
    codes = RunStore(run).tasks("pet")[0].test
    maps = np.random.default_rng(0).normal(size=(len(codes), 4, 4, 4))
    return HeldOutGradients(codes, LABS, pet=GradientHistograms.of(maps)).to_arrays()


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


EMBEDDED: dict[str, Change] = {
    "one number a patient": lambda a: a.update(embeddings=a["embeddings"][:, 0]),
    "a patient short": lambda a: a.update(embeddings=a["embeddings"][:-1]),
    "no number": lambda a: a.update(embeddings=a["embeddings"][:, :0]),
    "undefined": lambda a: a.update(embeddings=a["embeddings"] * np.nan),
    "in words": lambda a: a.update(embeddings=a["embeddings"].astype(str)),
    "other patients": lambda a: a.update(codes=np.array([f"P-{n}" for n in range(len(a["codes"]))])),
    "without names": lambda a: a.pop("codes"),
    "objects": lambda a: a.update(embeddings=a["embeddings"].astype(object)),
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_embeddings_of_another_shape_are_damage(run: Path, name: str) -> None:
    arrays, path = embeddings(run), run / "folds" / "pet" / "0-0" / EMBEDDINGS
    path.write_bytes(packed(arrays))
    assert RunStore(run).embeddings("pet", 0, 0) is not None
    EMBEDDED[name](arrays)
    path.write_bytes(packed(arrays))
    with pytest.raises(ModelRefused, match=r"embeddings.npz of fold 0-0"):
        RunStore(run).embeddings("pet", 0, 0)


COUNTED: dict[str, Change] = {
    "other bins": lambda a: a.update(pet_log10_counts=a["pet_log10_counts"][:, :7]),
    "negative counts": lambda a: a.update(pet_unit_counts=-a["pet_unit_counts"]),
    "undefined": lambda a: a.update(pet_maximum=a["pet_maximum"] * np.nan),
    "half of an image": lambda a: a.pop("pet_maximum"),
    "other inputs": lambda a: a.update(feature_names=np.array(["ast"])),
    "an unknown method": lambda a: a.update(lab_method=np.array("<b>")),
    "a table of labs without names": lambda a: a.update(lab_contributions=np.ones((len(a["codes"]), 9))),
}


@pytest.mark.parametrize("name", COUNTED)
def test_gradients_of_another_shape_are_damage(run: Path, name: str) -> None:
    arrays, path = gradients(run), run / "folds" / "pet" / "0-0" / GRADIENTS
    path.write_bytes(packed(arrays))
    assert RunStore(run).gradients("pet", 0, 0) is not None
    COUNTED[name](arrays)
    path.write_bytes(packed(arrays))
    with pytest.raises(ModelRefused, match=r"gradients.npz of fold 0-0"):
        RunStore(run).gradients("pet", 0, 0)


def test_a_damaged_fold_is_left_out_and_named_once(run: Path) -> None:
    for fold, content in (("0-0", b"no archive"), ("0-1", None)):
        codes = next(task.test for task in RunStore(run).tasks("pet") if f"{task.repeat}-{task.fold}" == fold)
        maps = np.random.default_rng(0).normal(size=(len(codes), 4, 4, 4))
        whole = packed(HeldOutGradients(codes, LABS, pet=GradientHistograms.of(maps)).to_arrays())
        (run / "folds" / "pet" / fold / GRADIENTS).write_bytes(content or whole)
    content = read_content(run)

    def make(content: RunContent) -> None:
        assert "0-0" not in {f"{fold.repeat}-{fold.fold}" for fold, _ in content._held_out("pet", "gradients")}
        assert len(content.gradients("pet")) >= 1

    first = make_chapter(Entry("first", make), content)
    assert first is not None
    assert len(first.missing) == 1
    assert "gradients.npz of fold 0-0" in first.missing[0]
    assert "prrt train" in first.missing[0]
    assert make_chapter(Entry("second", make), content) is None

    def fail(content: RunContent) -> None:
        make(content)
        raise RunFailed(Code.RUN_MISMATCH, "It does not fit.", remedy="Train again.")

    failed = make_chapter(Entry("failed", fail), read_content(run))
    assert failed is not None
    assert failed.missing[0].startswith("It does not fit.")
    assert "gradients.npz of fold 0-0" in failed.missing[1]


def declares_too_much() -> bytes:
    stream, header = io.BytesIO(), io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (10**7, 10**6)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("codes.npy", header.getvalue() + b"\0" * 8)
    return stream.getvalue()


def unpacks_to_too_much() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("codes.npy", "w") as member:
        for _ in range(520):
            member.write(bytes(2**20))
    return stream.getvalue()


def enciphered() -> bytes:
    content = bytearray(packed({"codes": np.array(["a"])}))
    content[content.find(b"PK\x01\x02") + 8] |= 1
    content[content.find(b"PK\x03\x04") + 6] |= 1
    return bytes(content)


def garbled_header() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("codes.npy", b"\x93NUMPY\x01\x00\x10\x00{'a': '''((((((\n")
    return stream.getvalue()


@pytest.mark.parametrize("content", [declares_too_much, unpacks_to_too_much, enciphered, garbled_header, lambda: b"PK"])
def test_an_archive_that_wishes_harm_is_damage(run: Path, content: Callable[[], bytes]) -> None:
    (run / "folds" / "pet" / "0-0" / EMBEDDINGS).write_bytes(content())
    with pytest.raises(ModelRefused, match=r"embeddings.npz of fold 0-0"):
        RunStore(run).embeddings("pet", 0, 0)


def test_missing_weights_cost_their_hash_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "folds" / "pet" / "0-1" / "weights.safetensors").unlink()
    give_chapters(monkeypatch, words("Here."))
    write_report(run)
    told = json.loads((run / "report.json").read_text(encoding="utf-8"))["provenance"]["weights_sha256"]
    assert told["pet"] is None
    assert re.fullmatch("[0-9a-f]{64}", told["rf_labs"])
    _, missing = model_hashes(read_content(run))
    assert len(missing) == 1
    assert "weights.safetensors of fold 0-1" in missing[0]


def test_undefined_weights_are_damage(run: Path) -> None:
    (run / "folds" / "pet" / "0-1" / "weights.safetensors").write_bytes(
        pack_tensors({"weight": torch.tensor([float("nan")])}, {"model": "pet"})
    )
    with pytest.raises(ModelRefused, match=r"weights.safetensors of fold 0-1") as refused:
        RunStore(run).load_fold("pet", 0, 1)
    assert "undefined" in str(refused.value.__cause__)


def test_a_window_without_ends_is_no_damage(run: Path) -> None:
    """The paper's preset sets no window of SUV; the file then says from minus to plus infinity."""
    fitted = FittedNetwork(FusionNetwork(MODELS["pet"], PRESETS["tuned"], 0), pet=ImageNormaliser(1.0, 2.0, None))
    tensors = fitted.to_tensors()
    (run / "folds" / "pet" / "0-1" / "weights.safetensors").write_bytes(pack_tensors(tensors, {"model": "pet"}))
    loaded = RunStore(run).load_fold("pet", 0, 1)
    assert isinstance(loaded, FittedNetwork)
    assert loaded.window("pet") == (-np.inf, np.inf)
    tensors["pet_scaling.high"] = torch.tensor(np.nan)
    tensors["pet_scaling.std"] = torch.tensor(np.inf)
    assert sorted(undefined(tensors)) == ["pet_scaling.high", "pet_scaling.std"]


# --- a machine that gives up ------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_earlier_report_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_chapters(monkeypatch, words("The first."))
    write_report(run)
    before = tree(run)
    written: list[Path] = []

    def full(path: Path, content: bytes) -> int:
        if path.suffix == ".html":
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        with path.open("wb") as stream:
            return stream.write(content)

    give_chapters(monkeypatch, words("The second."))
    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["report", str(run)]) == 4
    assert "report.html could not be written: No space left on device" in capsys.readouterr().err
    assert [path for path in written if path.name == "report.json"]
    assert tree(run) == before
    assert not list(run.glob(f"{PARTIAL}*"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.chmod(0o500)
    try:
        assert main(["report", str(run)]) == 4
    finally:
        run.chmod(0o700)
    assert "could not be written" in capsys.readouterr().err


def test_stopping_in_the_middle_leaves_the_earlier_report_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_chapters(monkeypatch, words("The first."))
    write_report(run)
    before = tree(run)

    def stop(content: RunContent) -> Chapter:
        raise KeyboardInterrupt

    give_chapters(monkeypatch, words("The second."), Entry("results", stop))
    assert main(["report", str(run)]) == 130
    assert "CANCELLED" in capsys.readouterr().err
    assert tree(run) == before


def test_stopping_while_files_are_written_leaves_none_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together(tmp_path, {"a/x.csv": b"old", "y.html": b"old"})
    before = tree(tmp_path)

    def stop(path: Path, content: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, {"a/x.csv": b"new", "y.html": b"new"})
    assert tree(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "y.html"]


def test_what_a_killed_report_left_is_removed_by_the_next(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = run / f"{PARTIAL}{this_machine()}-{gone.pid}-1234abcd-files" / "figures"
    other = run / f"{PARTIAL}{this_machine()}-{os.getppid()}-1234abcd-metrics.json"  # of a process that is still there
    left.mkdir(parents=True)
    other.touch()
    give_chapters(monkeypatch, words("Here."))
    write_report(run)
    assert not left.parent.exists()
    assert other.exists()


def test_two_reports_at_once_are_written_one_after_the_other(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[str] = []
    ready = threading.Barrier(2)
    plain = publish.write_together

    def slowly(folder: Path, files: dict[str, bytes], gone: Collection[str]) -> None:
        assert not inside
        inside.append("busy")
        plain(folder, files, gone)
        threading.Event().wait(0.05)
        inside.pop()

    monkeypatch.setattr(publish, "write_together", slowly)
    failed: list[BaseException] = []

    def report() -> None:
        publication = publish.Publication(run, Imprint("", ""))
        ready.wait()
        try:
            publication.write("report.html", "page", {})
        except BaseException as problem:  # noqa: BLE001  # told by the test itself
            failed.append(problem)

    both = [threading.Thread(target=report) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert not failed
    assert (run / "report.html").read_text(encoding="utf-8") == "page"


def test_a_missing_package_costs_its_chapter_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(content: RunContent) -> Chapter:
        import umap  # noqa: F401

        raise AssertionError("the package was there")

    monkeypatch.setitem(sys.modules, "umap", None)
    give_chapters(monkeypatch, words("Here."), Entry("embeddings", needs))
    page = write_report(run).read_text(encoding="utf-8")
    assert "Here." in page
    assert "The Python package umap is not installed." in page


def test_without_a_package_that_every_figure_needs_nothing_begins(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(run)]) == 4
    assert "DEPENDENCY_MISSING: The Python package matplotlib" in capsys.readouterr().err
    assert not (run / "report.html").exists()


def test_a_module_of_our_own_that_is_not_there_is_a_fault(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(content: RunContent) -> Chapter:
        raise ModuleNotFoundError("no", name="PRRTPredictorCore.report.gone")

    give_chapters(monkeypatch, Entry("brief", faulty))
    with pytest.raises(ModuleNotFoundError):
        write_report(run)


# --- text that wishes harm --------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> \"&' $\\frac{$ =cmd|x"
UNPRINTABLE = "a\x00b\x1b[31m\nc\u202ed\u2028e"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (UNPRINTABLE, "a b [31m c d e"),
        ("  GE \t Discovery\r\n", "GE Discovery"),
        ("Zürich “1”", "Zürich “1”"),
        ("", ""),
    ],
)
def test_free_text_becomes_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_free_text_is_cut_visibly() -> None:
    assert one_line("x" * 10_000) == "x" * (LONGEST - 1) + "…"
    assert one_line("x" * LONGEST) == "x" * LONGEST


def test_a_run_with_unprintable_names_is_read_in_clean_words(run: Path) -> None:
    edited(run / "cohort.json", patient("characteristics", "scanner", UNPRINTABLE))
    edited(run / "manifest.json", lambda content: content["versions"].update(torch=UNPRINTABLE))
    assert RunStore(run).manifest.versions["torch"].isprintable()
    first = RunStore(run).cohort.cohort.patients[0]
    assert first.characteristics.scanner == "a b [31m c d e"


def test_hostile_text_harms_neither_page_nor_figure_nor_table(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(content: RunContent) -> Chapter:
        figure = new_figure(4, 2)
        ax = figure.subplots()
        ax.set_title(HOSTILE)
        ax.set_xticks([0, 1], [HOSTILE, "b"])
        blocks = (
            Plate("plate", HOSTILE, HOSTILE, HOSTILE, figure, Numbers((HOSTILE,), (("=1+1",), (HOSTILE,)))),
            Table("table", HOSTILE, ("", HOSTILE), ((HOSTILE, "@SUM(1)"),), HOSTILE),
            Words((HOSTILE,), HOSTILE),
        )
        return Chapter("brief", HOSTILE, blocks, (HOSTILE,))

    give_chapters(monkeypatch, Entry("brief", make))
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8
    svg = (run / "figures" / "plate.svg").read_text(encoding="utf-8")
    drawn = " ".join(text for text in ElementTree.fromstring(svg).itertext())
    assert HOSTILE in drawn
    csv_text = (run / "figures" / "plate.csv").read_text(encoding="utf-8")
    assert "\n'=1+1\n" in csv_text


def test_a_disk_that_refuses_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file where a folder belongs", encoding="utf-8")
    with pytest.raises(RunFailed, match="could not be written") as failed:
        write_together(tmp_path, {"figures/a.csv": b"x"})
    assert failed.value.code is Code.OUTPUT
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]
