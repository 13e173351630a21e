"""The slow scientific check (`make science`): no skill where there is no signal, skill where there is.

Five SYNTHETIC null cohorts (outcome independent of everything) must give every model a mean AUROC of 0.5 ± 0.06; on a
strong SYNTHETIC cohort the fusion of PET, CT and labs must beat the labs alone and reach 0.80. Everything runs through
the command line, as a user would; the result is written to science.json and README.md beside this file. Interrupted, it
goes on where it was: the work folder keeps the cohorts and runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from readme import write_section

HERE = Path(__file__).parent
PATIENTS = 116
NULL_TOLERANCE = 0.06
STRONG_FLOOR = 0.80
FUSION, LABS = "pet_ct_labs", "rf_labs"


def prrt(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "PRRTPredictorCore", *map(str, words)], check=True)


def run_protocol(
    work: Path, name: str, seed: int, preset: str, repeats: int, options: tuple[str, ...]
) -> dict[str, object]:
    """Make a cohort, train all seven models on it, and return the run's metrics with the seconds it took."""
    cohort, run = work / name / "cohort", work / name / f"run-{preset}"
    started = time.monotonic()
    if not (cohort / "cohort.csv").is_file():
        prrt("synth", "--out", cohort, "--patients", str(PATIENTS), "--seed", str(seed), *options)
    words = ("--preset", preset, "--repeats", str(repeats), "--seed", str(seed))
    prrt("train", cohort / "cohort.csv", "--out", run, *words)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    fitted = [json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in run.glob("folds/*/*/done.json")]
    return {
        "seed": seed,
        "preset": preset,
        "repeats": repeats,
        "auroc": {model: values["auroc"]["mean"] for model, values in metrics["models"].items()},
        "ci95": {model: values["auroc"]["ci95"] for model, values in metrics["models"].items()},
        "collapsed_folds": {model: values["collapsed_folds"] for model, values in metrics["models"].items()},
        "fit_seconds": round(sum(fitted), 1),
        "wall_seconds": round(time.monotonic() - started, 1),
    }


def verdicts(nulls: list[dict], strong: dict) -> dict[str, object]:
    means = {model: sum(null["auroc"][model] for null in nulls) / len(nulls) for model in nulls[0]["auroc"]}
    return {
        "null_mean_auroc": means,
        "null_within_tolerance": all(abs(mean - 0.5) <= NULL_TOLERANCE for mean in means.values()),
        "strong_auroc": strong["auroc"],
        "strong_fusion_reaches_floor": strong["auroc"][FUSION] >= STRONG_FLOOR,
        "strong_fusion_beats_labs": strong["auroc"][FUSION] > strong["auroc"][LABS],
    }


def table(result: dict) -> str:
    """The README's section, as Markdown."""
    verdict, nulls, strong = result["verdict"], result["null"], result["strong"]
    head = "| model | " + " | ".join(f"null {null['seed']}" for null in nulls) + " | null mean | strong [95 %] |"
    rows = [head, "|---" * (len(nulls) + 3) + "|"]
    for model, mean in verdict["null_mean_auroc"].items():
        low, high = strong["ci95"][model]
        cells = [f"{null['auroc'][model]:.3f}" for null in nulls]
        rows.append(
            f"| `{model}` | {' | '.join(cells)} | {mean:.3f} | {strong['auroc'][model]:.3f} [{low:.2f}, {high:.2f}] |"
        )
    collapsed = sum(sum(run["collapsed_folds"].values()) for run in (*nulls, strong))
    yes = {True: "yes", False: "**no**"}
    return "\n".join(
        [
            *rows,
            "",
            f"- Every model's null mean within 0.5 ± {NULL_TOLERANCE}: {yes[verdict['null_within_tolerance']]}",
            f"- Strong: `{FUSION}` reaches {STRONG_FLOOR}: {yes[verdict['strong_fusion_reaches_floor']]}; "
            f"beats `{LABS}`: {yes[verdict['strong_fusion_beats_labs']]}",
            f"- Presets: null `{nulls[0]['preset']}`, strong `{strong['preset']}`; {PATIENTS} SYNTHETIC patients each, "
            f"3 folds x {nulls[0]['repeats']} (null) or {strong['repeats']} (strong) repeats; "
            f"collapsed folds: {collapsed}",
            f"- Strong run: {strong['wall_seconds'] / 60:.0f} min wall with the cohort's making, "
            f"{strong['fit_seconds'] / 60:.0f} min of fits",
            f"- {result['date']}, {result['machine']}; `make science`",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("science"), help="keeps cohorts and runs; default: ./science")
    parser.add_argument("--null-seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--strong-seed", type=int, default=0)
    parser.add_argument("--null-preset", default="quick")
    parser.add_argument("--null-repeats", type=int, default=2)
    parser.add_argument("--strong-repeats", type=int, default=5)
    parser.add_argument("--strong-preset", default="tuned")
    arguments = parser.parse_args()
    strong = run_protocol(
        arguments.work, "strong", arguments.strong_seed, arguments.strong_preset, arguments.strong_repeats, ()
    )
    nulls = [
        run_protocol(arguments.work, f"null-{seed}", seed, arguments.null_preset, arguments.null_repeats, ("--null",))
        for seed in arguments.null_seeds
    ]
    result = {
        "synthetic": True,
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "null": nulls,
        "strong": strong,
        "verdict": verdicts(nulls, strong),
    }
    (HERE / "science.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    text = table(result)
    write_section("science", text)
    sys.stdout.write(text + "\n")
    verdict = result["verdict"]
    passed = [value for key, value in verdict.items() if isinstance(value, bool)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
