"""The front door: ``prrt …`` and ``python -m PRRTPredictorCore``.

Here are the words of the command line, their help and the exit codes; what each command does is in ``commands``.
Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TypeAlias

from . import __version__
from .commands import Command, data, prediction, runs
from .console import END_WITH_PARENT, abandon_stdout, end_with_parent, listening, print_refusal, steady_streams
from .errors import Cancelled, Code, PRRTError, RunFailed
from .explain.methods import METHOD_TITLES
from .models.registry import MODELS
from .records import RESEARCH_USE_NOTICE
from .report.chapters import CHAPTERS
from .shortage import is_out_of_memory, out_of_memory, require_address_space

EXIT_DONE, EXIT_USAGE, EXIT_REFUSED, EXIT_FAILED, EXIT_CANCELLED = 0, 2, 3, 4, 130

TRACEBACK = "PRRT_TRACEBACK"
"""Environment variable: set to 1, an unexpected failure also prints where it happened."""

MODEL_NAMES = tuple(MODELS)

EPILOG = f"""exit codes: 0 done, 2 wrong usage, 3 input refused, 4 the run failed, 130 cancelled
environment: {END_WITH_PARENT}=1 ends the command, and all that it started, when its standard input closes
             {TRACEBACK}=1 prints where an unexpected failure happened
{RESEARCH_USE_NOTICE}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    steady_streams()
    end_with_parent()
    arguments = build_parser().parse_args(argv)
    as_json = bool(getattr(arguments, "json", False))
    _quiet_libraries()
    try:
        require_address_space()
        with listening(arguments.progress) as progress:
            code = int(arguments.command(arguments, progress))
        sys.stdout.flush()  # so that a full disk or a reader who left shows here, not at the interpreter's exit
        return code
    except PRRTError as error:
        print_refusal(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        stopped = Cancelled(
            Code.CANCELLED, "Cancelled; what was finished is kept.", remedy="Give the same command again to go on."
        )
        print_refusal(stopped, as_json)
        return EXIT_CANCELLED
    except BrokenPipeError:  # the reader of stdout left: `prrt index … | head`
        abandon_stdout()
        return EXIT_DONE
    except Exception as error:  # noqa: BLE001  the last resort: whatever it is, the user gets one line
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exc()
        print_refusal(_failure(error), as_json)
        return EXIT_FAILED


def _failure(error: Exception) -> RunFailed:
    """What nobody turned into a typed error: the machine's fault most often, else one of this software."""
    if is_out_of_memory(error):
        return out_of_memory(error)
    if isinstance(error, OSError):
        return RunFailed(
            Code.OUTPUT,
            f"The machine gave up: {error.strerror or type(error).__name__}.",
            where=Path(str(error.filename or "")).name,
            remedy="Check the free space and the permissions, then run the same command again.",
        )
    return RunFailed(
        Code.INTERNAL,
        f"A fault of this software ({type(error).__name__}).",  # its message could name a patient's file
        remedy=f"Give the command again with {TRACEBACK}=1 in the environment, and report what it prints; look through "
        "it first, since it can name files.",
    )


def _quiet_libraries() -> None:
    # Remarks of libraries that mean nothing to a user: pydicom on headers that break the standard and are read all the
    # same, joblib on replacing a worker that has grown.
    warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode", category=UserWarning)  # a notice


def build_parser() -> argparse.ArgumentParser:
    """Describe the whole command line."""
    parser = argparse.ArgumentParser(
        prog="prrt",
        description="Predict progression-free survival (> 1 year or not) after 177Lu-PRRT from SR-PET/CT and labs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"prrt {__version__}. {RESEARCH_USE_NOTICE}")
    words = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(words)
    _add_dicom(words)
    _add_synth(words)
    _add_cohort(words)
    _add_train(words)
    _add_model(words)
    return parser


Words: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse keeps this type to itself


def _command(words: Words, name: str, run: Command, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = words.add_parser(name, help=summary, description=summary, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(command=run)
    parser.add_argument(
        "--progress",
        choices=("auto", "jsonl", "none"),
        default="auto",
        help="a bar on a terminal (auto), one JSON object a line on stderr (jsonl), or nothing",
    )
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: CUDA where there is"
    )


def _add_demo(words: Words) -> None:
    parser = _command(words, "demo", runs.demo, "the main job on made patients, end to end")
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: ./demo")
    parser.add_argument("--seed", type=_seed, default=1, metavar="S")


def _add_dicom(words: Words) -> None:
    index = _command(words, "index", data.index, "find PET/CT pairs in a folder or in Slicer's DICOM database")
    index.add_argument("source", type=Path, metavar="DICOM_DIR|ctkDICOM.sql")
    _json(index)

    suv = _command(words, "suv", data.suv, "read one PET series as SUVbw, or say why that cannot be proved")
    suv.add_argument("pet", type=Path, metavar="PET_DIR")
    _json(suv)


def _add_synth(words: Words) -> None:
    parser = _command(words, "synth", data.synth, "make a synthetic cohort: real DICOM files and a cohort.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--patients", type=_positive, default=116, metavar="N", help="default: 116, as in the paper")
    parser.add_argument("--seed", type=_seed, default=0, metavar="S")
    parser.add_argument("--null", action="store_true", help="an outcome that depends on nothing")
    parser.add_argument("--signal", choices=("strong", "weak"), default="strong")
    parser.add_argument("--size", choices=("small", "full"), default="small", help="matrix of the images")
    parser.add_argument("--jobs", type=_positive, default=None, metavar="N", help="processes; default: one a core")
    _json(parser)


def _add_cohort(words: Words) -> None:
    parser = words.add_parser("cohort", help="a cohort.csv: check it, describe it (Table 1), list its study codes")
    actions = parser.add_subparsers(metavar="check|describe|codes", required=True)
    for name, run, summary in (
        ("check", data.cohort_check, "list every violation with row and remedy, and count the exclusions"),
        ("describe", data.cohort_describe, "print Table 1"),
        ("codes", data.cohort_codes, "which row of the table has which study code, on this computer"),
    ):
        action = _command(actions, name, run, summary)
        action.add_argument("cohort", type=Path, metavar="cohort.csv")
        _json(action)


def _add_train(words: Words) -> None:
    train = _command(words, "train", runs.train, "repeated cross-validation; the same command again resumes")
    train.usage = "%(prog)s cohort.csv --out RUN [options]"
    train.add_argument("cohort", type=Path, metavar="cohort.csv", help="one line a patient, see Resources/cohort.md")
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder")
    train.add_argument(
        "--models", nargs="+", choices=MODEL_NAMES, default=MODEL_NAMES, metavar="NAME", help="default: all seven"
    )
    train.add_argument("--folds", type=_at_least_two, default=3, metavar="N")
    train.add_argument("--repeats", type=_positive, default=5, metavar="N")
    train.add_argument("--preset", choices=("paper", "tuned", "quick"), default="tuned")
    train.add_argument("--seed", type=_seed, default=0, metavar="S")
    train.add_argument(
        "--jobs",
        type=_positive,
        default=None,
        metavar="N",
        help="processes of this machine that prepare images and, without --scheduler, fit, a thread each; default: one "
        "a core",
    )
    train.add_argument(
        "--scheduler",
        default=None,
        metavar="tcp://HOST:PORT",
        help="fit on the workers of this Dask cluster instead, with the same results; they need the same software, a "
        "thread a worker, and the cache folder (PRRT_CACHE_DIR) and RUN under the same paths. tcp:// has no password "
        "and no encryption: whoever reaches the port can read what the fits are given and run code as you. Use it on a "
        "private network only, else tls:// with the certificates of Dask's own configuration; see Resources/cluster.md",
    )
    train.add_argument("--extra", nargs="+", default=(), metavar="COLUMN", help="further numeric columns as inputs")
    train.add_argument(
        "--pretrained",
        type=Path,
        default=None,
        metavar="FILE",
        help="weights of MONAI's wholeBody_ct_segmentation (model.pt or model_lowres.pt); 'download' fetches them; "
        "left out: an encoder pretrained here on made phantoms",
    )
    _device(train)
    _json(train)

    _add_report(words)


def _add_report(words: Words) -> None:
    report = _command(
        words, "report", runs.report, "the paper's tables and figures from a run, as one page: RUN/report.html"
    )
    report.usage = "%(prog)s RUN [options]"  # an option that takes several words would swallow a RUN behind it
    report.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a run, finished or not: prrt train's --out"
    )
    report.add_argument(
        "--compare",
        nargs=2,
        choices=MODEL_NAMES,
        metavar=("A", "B"),
        help=f"two models to compare in detail (default: pet_labs pet, the paper's pair): {', '.join(MODEL_NAMES)}",
    )
    report.add_argument(
        "--patients",
        nargs="+",
        default=(),
        metavar="CODE",
        help="study codes (prrt cohort codes) whose saliency is shown; default: highest, middle and lowest probability",
    )
    report.add_argument(
        "--saliency",
        nargs="+",
        choices=tuple(METHOD_TITLES),
        default=tuple(METHOD_TITLES)[:1],
        metavar="METHOD",
        help=f"{', '.join(METHOD_TITLES)}; default: the first; the others take minutes without a GPU",
    )
    report.add_argument(
        "--cohort",
        type=Path,
        default=None,
        metavar="cohort.csv",
        help="the run's own table: for saliency by organ, and for images that are no longer cached",
    )
    report.add_argument(
        "--without",
        nargs="+",
        choices=[entry.key for entry in CHAPTERS],
        default=(),
        metavar="CHAPTER",
        help=f"chapters to leave out: {', '.join(entry.key for entry in CHAPTERS)}",
    )
    _json(report)


def _add_model(words: Words) -> None:
    fit = _command(words, "fit", runs.fit, "pack a finished run's fold ensemble as the deployable model")
    fit.add_argument("--run", type=Path, required=True, metavar="RUN")
    fit.add_argument("--model", required=True, choices=MODEL_NAMES, metavar="NAME")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL")
    _json(fit)

    predict = _command(words, "predict", prediction.predict, "one study and its labs: prediction, saliency, scene")
    predict.add_argument("--model", type=Path, required=True, metavar="MODEL")
    for name in ("pet", "ct"):
        predict.add_argument(
            f"--{name}",
            type=Path,
            required=True,
            metavar="DIR|series.nrrd",
            help=f"folder of the {name.upper()}'s DICOM files, or the series as Slicer's module hands it over",
        )
    for name, unit, metavar in (("ast", "U/L", "U"), ("alt", "U/L", "U"), ("ggt", "U/L", "U"), ("cga", "ug/L", "UG")):
        predict.add_argument(f"--{name}", required=True, metavar=metavar, help=f"in the unit of --{name}-unit")
        predict.add_argument(f"--{name}-unit", default=unit, metavar="UNIT", help=f"default: {unit}")
    predict.add_argument("--extra", nargs="+", default=(), metavar="NAME=VALUE", help="further inputs of the model")
    predict.add_argument("--labs-date", type=_day, default=None, metavar="YYYY-MM-DD")
    predict.add_argument("--prrt-start", type=_day, default=None, metavar="YYYY-MM-DD", help="first cycle")
    predict.add_argument("--saliency", type=Path, default=None, metavar="out.nrrd", help="saliency of the PET")
    predict.add_argument("--saliency-ct", type=Path, default=None, metavar="out.nrrd", help="saliency of the CT")
    predict.add_argument("--scene", type=Path, default=None, metavar="out.mrb", help="scene for 3D Slicer")
    predict.add_argument("--overlay", type=Path, default=None, metavar="out.png", help="three planes with saliency")
    predict.add_argument(
        "--charts",
        type=Path,
        default=None,
        metavar="DIR",
        help="write lab_contributions.png and survival.png (training cohort, the patient's group marked), 720 pixels "
        "wide for twice as fine a screen",
    )
    predict.add_argument(
        "--charts-font", type=_font_points, default=9.0, metavar="POINTS", help="size of their letters; default: 9"
    )
    predict.add_argument("--charts-dark", action="store_true", help="light letters, for a dark ground")
    _device(predict)
    _json(predict)

    evaluate = _command(words, "evaluate", prediction.evaluate, "external validation of a model on another cohort")
    evaluate.add_argument("--model", type=Path, required=True, metavar="MODEL")
    evaluate.add_argument("cohort", type=Path, metavar="cohort.csv")
    evaluate.add_argument("--jobs", type=_positive, default=None, metavar="N")
    _device(evaluate)
    _json(evaluate)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number


def _font_points(text: str) -> float:
    points = float(text)
    if not 4 <= points <= 48:
        raise argparse.ArgumentTypeError(f"{text} is not a size from 4 to 48 points")
    return points


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a seed from 0 to {2**31 - 1}")
    return number


def _at_least_two(text: str) -> int:
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError("cross-validation needs at least 2 folds")
    return number


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date like 2026-03-31") from None


if __name__ == "__main__":
    sys.exit(main())
