"""The command line as a user meets it: words, exit codes, and the whole way from made patients to a scene."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from PRRTPredictorCore.cli import build_parser, main
from PRRTPredictorCore.cohort.identity import study_code
from PRRTPredictorCore.commands.prediction import write_pictures
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.errors import ModelRefused
from PRRTPredictorCore.imaging.nrrd import read_nrrd, write_series
from PRRTPredictorCore.prediction.document import read_document
from PRRTPredictorCore.prediction.predictor import PredictionResult
from PRRTPredictorCore.records import ModelIdentity, Notice, Prediction, Volume

pytestmark = pytest.mark.usefixtures("private_folders")

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LABS = ("--ast", "28", "--alt", "25", "--ggt", "61", "--cga", "419")
MODELS = ("rf_labs", "pet_ct_labs")
HEAVY = ("torch", "monai", "sklearn", "pandas", "scipy", "matplotlib", "umap", "lifelines", "vtk", "rich", "pydicom")


@pytest.fixture(scope="module")
def cohort(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "cohort"
    assert main(["synth", "--out", str(folder), "--patients", "12", "--seed", "5", "--jobs", "2"]) == 0
    return folder


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(train_line(cohort, folder)) == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "model"
    assert main(["fit", "--run", str(run), "--model", "pet_ct_labs", "--out", str(folder)]) == 0
    return folder


def train_line(cohort: Path, run: Path, *more: str) -> list[str]:
    table = str(cohort / "cohort.csv")
    return [
        *("train", table, "--out", str(run), "--models", *MODELS, "--preset", "quick", "--repeats", "1"),
        *("--seed", "2", "--jobs", "1", *more),
    ]


def predict_line(model: Path, pet: Path, ct: Path, *more: str) -> list[str]:
    return ["predict", "--model", str(model), "--pet", str(pet), "--ct", str(ct), *LABS, *more]


def study(cohort: Path) -> tuple[Path, Path]:
    patient = sorted((cohort / "dicom").iterdir())[0]
    return patient / "pet", patient / "ct"


def document(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"real data missing: {name}")
    return path


# --- words and exit codes ---------------------------------------------------------------------------------------------


def test_help_needs_nothing_heavy() -> None:
    script = (
        "import sys, PRRTPredictorCore.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("line", [[], ["predict"], ["train", "c.csv", "--out", "r", "--models", "psychic"], ["suv"]])
def test_wrong_usage_exits_2(line: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(line)
    assert end.value.code == 2


@pytest.mark.parametrize(("command", "first"), [("report", "RUN"), ("train", "cohort.csv")])
def test_usage_puts_the_folder_or_table_before_options_that_would_swallow_it(
    command: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: prrt {command} {first} ")


def test_a_refusal_is_one_line_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(tmp_path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "EMPTY_FOLDER" in captured.err
    assert "Remedy:" in captured.err


def test_a_refusal_as_json_names_code_message_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert main(["suv", str(tmp_path), "--json"]) == 3
    error = document(capsys)["error"]
    assert error["code"] == "NOT_DICOM"
    assert error["message"]
    assert error["remedy"]


def test_progress_as_json_lines(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(cohort / "dicom"), "--json", "--progress", "jsonl"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.err.splitlines()]
    assert lines
    assert all(set(line) == {"stage", "done", "total", "eta_s", "message"} for line in lines)
    assert lines[-1]["done"] == lines[-1]["total"]
    assert len(json.loads(captured.out)["pairs"]) == 12


# --- real series ------------------------------------------------------------------------------------------------------


def test_index_of_the_real_pair_leaves_the_scout_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(real("acrin-nsclc-042-petct")), "--json"]) == 0
    found = document(capsys)
    assert [(len(pair["pet_files"]), len(pair["ct_files"])) for pair in found["pairs"]] == [(135, 135)]
    assert [series["code"] for series in found["left_out"]] == ["LOCALIZER"]


def test_index_of_slicers_own_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(real("slicer-dicom-database") / "ctkDICOM.sql"), "--json"]) == 0
    found = document(capsys)
    assert sorted(len(pair["pet_files"]) for pair in found["pairs"]) == [48, 70]
    assert all(Path(file).is_file() for pair in found["pairs"] for file in pair["pet_files"] + pair["ct_files"])


@pytest.mark.parametrize(
    ("series", "factor", "largest"),
    [("acrin-nsclc-042-petct/PET", 0.00042111, None), ("qin-headneck-0139-pet/image", 0.000401664, 89.8588)],
)
def test_suv_of_real_scanners(
    series: str, factor: float, largest: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suv", str(real(series)), "--json"]) == 0
    found = document(capsys)
    assert found["factor"] == pytest.approx(factor, rel=1e-5)
    if largest is not None:
        assert found["max"] == pytest.approx(largest, abs=1e-4)
    assert len(found["shape"]) == len(found["spacing_mm"]) == 3


def test_the_real_pair_is_predicted_with_its_warnings(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = real("acrin-nsclc-042-petct")
    saliency, scene = tmp_path / "saliency.nrrd", tmp_path / "scene.mrb"
    line = predict_line(model, pair / "PET", pair / "CT", "--saliency", str(saliency), "--json")
    assert main([*line, "--scene", str(scene)]) == 0
    found = document(capsys)
    warnings = " ".join(found["warnings"])
    for code in ("TRACER_UNEXPECTED", "FIELD_OF_VIEW_UNLIKE", "MODEL_SYNTHETIC"):
        assert code in warnings
    assert found["research_use_only"] is True
    assert found["model"]["synthetic"] is True
    low, high = found["interval"]
    assert low <= found["probability_long_pfs"] <= high
    assert found["group"] == ("long" if found["probability_long_pfs"] >= 0.5 else "short")
    assert set(found["lab_contributions"]) == {"ast", "alt", "ggt", "cga"}
    pet, written = load_pet(pair / "PET").volume, read_nrrd(saliency)
    assert written.shape == pet.shape
    np.testing.assert_allclose(written.ijk_to_lps, pet.ijk_to_lps, atol=1e-4)
    assert 0 <= written.array.min() < written.array.max() <= 1

    pytest.importorskip("slicer_core", reason="slicer-core is not installed")
    from PRRTPredictorLib.Scene import readScene

    content = readScene(scene)
    assert content.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 3
    assert content.saliency is not None
    np.testing.assert_allclose(content.saliency.ijk_to_lps, pet.ijk_to_lps, atol=1e-4)
    np.testing.assert_allclose(content.pet.array, load_pet(pair / "PET").volume.array, rtol=1e-6)


# --- the whole way on made patients -----------------------------------------------------------------------------------


def test_check_and_describe(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(cohort / "cohort.csv")
    assert main(["cohort", "check", table, "--json"]) == 0
    assert document(capsys)["violations"] == []
    assert main(["cohort", "describe", table]) == 0
    assert "CgA" in capsys.readouterr().out


def test_codes_name_each_row_by_its_study_code_alone(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = cohort / "cohort.csv"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    assert header.startswith("patient,")
    assert main(["cohort", "codes", str(table)]) == 0
    printed = capsys.readouterr().out
    assert all(row.split(",")[0] not in printed for row in rows)
    assert main(["cohort", "codes", str(table), "--json"]) == 0
    codes = document(capsys)["codes"]
    assert [one["row"] for one in codes] == list(range(2, len(rows) + 2))
    assert codes[0]["patient"] == study_code(rows[0].split(",")[0])
    assert f"2     {codes[0]['patient']}" in printed


def test_check_lists_violations_and_exits_3(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, first, *_ = (cohort / "cohort.csv").read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    cells["ast"], cells["pet"] = "-3", "nowhere"
    broken = tmp_path / "cohort.csv"
    broken.write_text("\n".join([header, ",".join(cells.values())]) + "\n", encoding="utf-8")
    assert main(["cohort", "check", str(broken), "--json"]) == 3
    found = document(capsys)
    assert {violation["code"] for violation in found["violations"]} >= {"LAB_NOT_POSITIVE", "COHORT_PATH"}
    assert all(violation["remedy"] for violation in found["violations"])
    assert found["error"]["code"] == "COHORT_REFUSED"
    assert main(train_line(tmp_path, tmp_path / "run")) == 3
    assert not (tmp_path / "run").exists()


def test_metrics_have_the_fixed_shape(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["models"]) == set(MODELS)
    for values in metrics["models"].values():
        assert set(values) == {"auroc", "auprc", "accuracy", "collapsed_folds"}
        assert set(values["auroc"]) == {"mean", "se", "per_repeat", "ci95"}
    assert 0 < metrics["prevalence_long"] < 1


def test_the_same_command_resumes_to_the_same_metrics(
    cohort: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "metrics.json").read_bytes()
    fold = run / "folds" / "pet_ct_labs" / "0-1"
    (fold / "done.json").unlink()
    assert main(train_line(cohort, run, "--progress", "jsonl")) == 0
    assert (fold / "done.json").is_file()
    assert (run / "metrics.json").read_bytes() == before
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in told)) == ["check", "prepare", "train", "results"]
    train = [(line["done"], line["total"], line["message"]) for line in told if line["stage"] == "train"]
    assert train == [(5, 6, "pet_ct_labs 0-1"), (6, 6, "")]


def test_a_run_as_json_is_its_metrics_and_what_was_noticed(
    cohort: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Notice("MEMORY_SHORT", "The GPU's memory did not hold 3 folds.")
    monkeypatch.setattr("PRRTPredictorCore.training.notices.run_notices", lambda _: (short,))
    assert main(train_line(cohort, run, "--json")) == 0
    printed = document(capsys)
    assert str(short) in printed.pop("warnings")
    assert printed == json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def test_another_seed_in_the_same_run_folder_is_refused(
    cohort: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*train_line(cohort, run), "--seed", "3"]) == 3
    assert "RUN_MISMATCH" in capsys.readouterr().err


def test_a_fifth_tabular_input_by_configuration_alone(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    assert main([*train_line(cohort, run, "--extra", "ki67"), "--models", "pet_ct_labs", "--folds", "2"]) == 0
    assert main(["fit", "--run", str(run), "--model", "pet_ct_labs", "--out", str(model)]) == 0
    capsys.readouterr()
    line = predict_line(model, *study(cohort), "--json")
    assert main(line) == 3
    assert "ki67" in document(capsys)["error"]["message"]
    assert main([*line, "--extra", "ki67=5"]) == 0
    assert set(document(capsys)["lab_contributions"]) == {"ast", "alt", "ggt", "cga", "ki67"}


def test_prrt_cycles_are_never_an_input(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train_line(cohort, tmp_path / "run", "--extra", "prrt_cycles")) == 3
    assert "FORBIDDEN_INPUT" in capsys.readouterr().err


def test_a_forest_answers_without_saliency(
    cohort: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert main(["fit", "--run", str(run), "--model", "rf_labs", "--out", str(model)]) == 0
    capsys.readouterr()
    line = predict_line(model, *study(cohort), "--json")
    assert main(line) == 0
    found = document(capsys)
    assert found["lab_contribution_method"] == "decision path"
    assert main([*line, "--saliency", str(tmp_path / "none.nrrd")]) == 3
    assert not (tmp_path / "none.nrrd").exists()


def test_nothing_is_written_where_one_of_the_maps_is_lacking(tmp_path: Path) -> None:
    saliency = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), "PT", "saliency")
    prediction = Prediction(0.6, (0.5, 0.7), {}, ModelIdentity("pet_labs", "0" * 64, True))
    result = PredictionResult(prediction, pet=None, ct=None, pet_saliency=saliency, ct_saliency=None)
    words = ("predict", "--model", "m", "--pet", "p", "--ct", "c", *LABS)
    maps = ("--saliency", str(tmp_path / "pet.nrrd"), "--saliency-ct", str(tmp_path / "ct.nrrd"))
    with pytest.raises(ModelRefused, match="sees no CT"):
        write_pictures(build_parser().parse_args([*words, *maps]), result)
    assert not list(tmp_path.iterdir())


def test_labs_in_another_unit_and_out_of_date(cohort: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = predict_line(model, *study(cohort), "--json")
    assert main([*line, "--ast", "28", "--ast-unit", "mg/dl"]) == 3
    assert document(capsys)["error"]["code"] == "LAB_UNIT"
    assert main([*line, "--labs-date", "2026-01-01", "--prrt-start", "2026-03-01"]) == 3
    assert document(capsys)["error"]["code"] == "LAB_DATE"


def test_a_series_handed_over_gives_the_same_answer_and_charts(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pet, ct = study(cohort)
    answers = []
    write_series(tmp_path / "pet.nrrd", load_pet(pet))
    write_series(tmp_path / "ct.nrrd", load_ct(ct))
    for place, images in enumerate(((pet, ct), (tmp_path / "pet.nrrd", tmp_path / "ct.nrrd"))):
        saliency = tmp_path / f"saliency-{place}.nrrd"
        more = ("--charts", str(tmp_path / f"charts-{place}"), "--charts-font", "14", "--saliency", str(saliency))
        assert main(predict_line(model, *images, "--json", *more)) == 0
        answers.append(document(capsys))
        charts = sorted(path.name for path in (tmp_path / f"charts-{place}").iterdir())
        assert charts == ["lab_contributions.png", "survival.png"]
    assert answers[0] == answers[1]
    assert read_document(answers[0]).synthetic_patient
    maps = [read_nrrd(tmp_path / f"saliency-{place}.nrrd") for place in (0, 1)]
    np.testing.assert_array_equal(maps[0].array, maps[1].array)
    np.testing.assert_allclose(maps[0].ijk_to_lps, maps[1].ijk_to_lps)
    assert main(predict_line(model, tmp_path / "ct.nrrd", tmp_path / "pet.nrrd", "--json")) == 3
    assert document(capsys)["error"]["code"] == "WRONG_MODALITY"


def test_swapped_folders_are_refused(cohort: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pet, ct = study(cohort)
    assert main(predict_line(model, ct, pet, "--json")) == 3
    assert document(capsys)["error"]["code"] == "WRONG_MODALITY"


def test_a_tampered_model_is_refused(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    member = next((copy / "models").glob("member-*.safetensors"))
    content = bytearray(member.read_bytes())
    content[-1] ^= 1
    member.write_bytes(content)
    assert main(predict_line(copy, *study(cohort), "--json")) == 3
    assert document(capsys)["error"]["code"] == "MODEL_TAMPERED"


def test_external_validation(cohort: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(cohort / "cohort.csv")
    assert main(["evaluate", "--model", str(model), table, "--jobs", "1", "--json"]) == 0
    found = document(capsys)
    assert found["patients"] == 12
    assert 0 <= found["auroc"]["value"] <= 1
    assert found["synthetic"] is True
    assert found["research_use_only"] is True


def test_report(run: Path) -> None:
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC" in page
    assert "Research use only" in page


def test_no_identity_leaves_in_run_model_or_report(cohort: Path, run: Path, model: Path) -> None:
    names = [path.name for path in (cohort / "dicom").iterdir()]
    assert names
    for file in (path for folder in (run, model) for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        leaked = [name for name in names if name.encode() in content]
        assert not leaked, (file, leaked)
