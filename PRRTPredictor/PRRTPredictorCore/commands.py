"""What each word of the command line does: reads the arguments, opens the rooms it needs, prints the result.

Every room is imported inside the command that needs it, so that ``prrt --help`` starts at once.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .console import print_json
from .errors import Code, CohortRefused, InputRefused, ModelRefused, RunFailed
from .progress import Progress
from .records import RESEARCH_USE_NOTICE, Labs, Notice, Volume

if TYPE_CHECKING:
    from .prediction.predictor import PredictionResult

Command = Callable[[Namespace, Progress], int]


def default_jobs() -> int:
    """One process a physical core, since a fit uses one thread."""
    import psutil

    return int(psutil.cpu_count(logical=False) or os.cpu_count() or 1)


def say(text: str = "") -> None:
    """Print one line for people on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # so that it stands before what a library writes to stderr meanwhile


def texts(notices: Sequence[Notice]) -> list[str]:
    """Notices as the JSON documents carry them."""
    return [str(notice) for notice in notices]


def say_notices(notices: Sequence[Notice]) -> None:
    """Print each notice on a line of its own."""
    for notice in notices:
        say(f"  ! {notice}")


# --- DICOM ------------------------------------------------------------------------------------------------------------


def index(arguments: Namespace, progress: Progress) -> int:
    """``prrt index``: PET/CT pairs, and why a series was left out."""
    from .dicom.index import index_source

    found = index_source(arguments.source, progress)
    if arguments.json:
        pairs = [
            {
                "patient": pair.patient,
                "study_uid": pair.study_uid,
                "pet_series_uid": pair.pet.series_uid,
                "ct_series_uid": pair.ct.series_uid,
                "pet_files": list(pair.pet.files),
                "ct_files": list(pair.ct.files),
                "same_frame_of_reference": pair.same_frame_of_reference,
                "warnings": texts(pair.notices),
            }
            for pair in found.pairs
        ]
        print_json({"pairs": pairs, "left_out": found.left_out})
        return 0
    say(f"{len(found.pairs)} PET/CT {'pair' if len(found.pairs) == 1 else 'pairs'}")
    for pair in found.pairs:
        day = f", {pair.pet.date}" if pair.pet.date else ""
        say(f"  patient {pair.patient}{day}")
        for series in (pair.pet, pair.ct):
            name = f"{series.modality}  {len(series.files):>4} files  {series.description or 'no description'}"
            say(f"    {name}  {series.series_uid}")
        say_notices(pair.notices)
    if found.left_out:
        say(f"{len(found.left_out)} series left out")
        for unused in found.left_out:
            say(f"  {unused.code}: {unused.reason} ({unused.series_uid or 'no series UID'})")
    return 0


def suv(arguments: Namespace, progress: Progress) -> int:
    """``prrt suv``: units, factor, range and geometry of a PET, or the refusal."""
    import numpy as np

    from .dicom.suv import load_pet

    loaded = load_pet(arguments.pet, progress)
    report, volume = loaded.suv, loaded.volume
    if report is None:
        raise RunFailed(Code.NOT_PET, "The series was read without an SUV report.", where=str(arguments.pet))
    document = {
        "units": report.units,
        "suv_type": report.suv_type,
        "factor": report.factor,
        "min": float(volume.array.min()),
        "median": float(np.median(volume.array)),
        "max": float(volume.array.max()),
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing_mm),
        "manufacturer": report.manufacturer,
        "tracer": report.tracer,
        "warnings": texts(loaded.notices),
    }
    if arguments.json:
        print_json(document)
        return 0
    factor = "differs by slice, or SUV already" if report.factor is None else f"{report.factor:.9g}"
    say(f"SUVbw from {report.path}")
    say(f"  units     {report.units} {report.suv_type}".rstrip())
    say(f"  factor    {factor}")
    say(f"  SUVbw     min {document['min']:.4g}  median {document['median']:.4g}  max {document['max']:.6g}")
    say(f"  voxels    {' x '.join(map(str, volume.shape))} [k, j, i]")
    say(f"  spacing   {' x '.join(f'{mm:.4g}' for mm in volume.spacing_mm)} mm")
    say(f"  scanner   {report.manufacturer or 'not named'}")
    say(f"  tracer    {report.tracer or 'not named'}")
    say_notices(loaded.notices)
    return 0


# --- cohorts ----------------------------------------------------------------------------------------------------------


def synth(arguments: Namespace, progress: Progress) -> int:
    """``prrt synth``: a made cohort as real DICOM files."""
    from .cohort.synthetic import SyntheticConfig, make_cohort

    config = SyntheticConfig(
        patients=arguments.patients,
        seed=arguments.seed,
        signal=arguments.signal,
        null=arguments.null,
        size=arguments.size,
    )
    made = make_cohort(arguments.out, config, progress=progress, jobs=arguments.jobs or default_jobs())
    if arguments.json:
        print_json(made)
        return 0
    say(f"{arguments.patients} SYNTHETIC patients in {arguments.out}")
    say("Bayes AUROC, the best that any model could reach on each set of inputs:")
    for name, value in made.bayes.by_inputs():
        say(f"  {name:<14} {value:.2f}")
    say(f"Next: prrt cohort check {made.table}")
    return 0


def cohort_check(arguments: Namespace, _progress: Progress) -> int:
    """``prrt cohort check``: every violation with its remedy, and the exclusions."""
    from .cohort.table import check_cohort
    from .cohort.text import check_to_json, format_check

    cohort = check_cohort(arguments.cohort)
    refusal = CohortRefused(
        Code.COHORT_REFUSED,
        f"{len(cohort.violations)} violations.",
        where=arguments.cohort.name,
        remedy="Correct the rows listed, then check again.",
    )
    if arguments.json:
        print_json(check_to_json(cohort) | (refusal.to_json() if cohort.violations else {}))
    else:
        say(format_check(cohort))
    return refusal.exit_code if cohort.violations else 0


def cohort_describe(arguments: Namespace, _progress: Progress) -> int:
    """``prrt cohort describe``: the paper's Table 1."""
    from .cohort.describe import format_table_one, table_one
    from .cohort.table import read_cohort

    cohort = read_cohort(arguments.cohort)
    table = table_one(cohort.patients)
    if arguments.json:
        print_json(table)
    else:
        say(format_table_one(table))
    return 0


# --- training ---------------------------------------------------------------------------------------------------------


def train(arguments: Namespace, progress: Progress) -> int:
    """``prrt train``: repeated cross-validation into a run folder."""
    from .cohort.table import read_cohort, require_extras, require_trainable
    from .evaluation.summary import format_table_two, summarise_run
    from .imaging.cache import prepare_cohort
    from .imaging.notices import counted_notices
    from .models.device import resolve_device
    from .models.pretrained import resolve_weights
    from .training.config import RunConfig
    from .training.crossval import require_run_folder, run_crossval

    progress("check", 0, 1, "cohort")
    cohort = read_cohort(arguments.cohort)
    extras = require_extras(cohort, arguments.extra)
    require_trainable(cohort, arguments.folds)
    require_run_folder(arguments.out)
    resolve_device(arguments.device)
    jobs = arguments.jobs or default_jobs()
    config = RunConfig(
        models=tuple(arguments.models),
        folds=arguments.folds,
        repeats=arguments.repeats,
        preset=arguments.preset,
        seed=arguments.seed,
        device=arguments.device,
        jobs=jobs,
        extras=extras,
        pretrained_weights=resolve_weights(arguments.pretrained, progress),
    )
    prepared = prepare_cohort(cohort.patients, config.preprocess, jobs=jobs, progress=progress)
    run_crossval(cohort, prepared, config, arguments.out, progress)
    progress("results", 0, 1, "metrics and tests")
    summary = summarise_run(arguments.out)
    progress("results", 1, 1)
    if arguments.json:
        sys.stdout.write((arguments.out / "metrics.json").read_text(encoding="utf-8"))
        return 0
    say(format_table_two(summary))
    say_notices(counted_notices([prepared.study(code).notices for code in prepared.codes]))
    say(f"Run folder: {arguments.out}    Next: prrt report {arguments.out}")
    return 0


def report(arguments: Namespace, progress: Progress) -> int:
    """``prrt report``: figures and one self-contained page."""
    from .report.html import write_report
    from .report.publish import DOCUMENT_NAME
    from .report.request import ReportRequest

    request = ReportRequest(
        compare=tuple(arguments.compare) if arguments.compare else None,
        patients=tuple(arguments.patients),
        saliency=tuple(arguments.saliency),
        cohort=arguments.cohort,
        without=frozenset(arguments.without),
    )
    page = write_report(arguments.run, request, progress)
    if arguments.json:
        print_json({"report": page, "numbers": page.with_name(DOCUMENT_NAME)})
    else:
        say(f"Report: {page}")
    return 0


def fit(arguments: Namespace, progress: Progress) -> int:
    """``prrt fit``: the fold ensemble of a finished run as a model folder."""
    from .prediction.pack import pack_model

    identity = pack_model(arguments.run, arguments.model, arguments.out, progress)
    if arguments.json:
        print_json({"folder": arguments.out, "model": identity})
        return 0
    made = "  SYNTHETIC: trained on made patients" if identity.synthetic else ""
    say(f"Model: {arguments.out}  {identity.name}  sha256 {identity.sha256[:12]}{made}")
    return 0


# --- prediction -------------------------------------------------------------------------------------------------------


def predict(arguments: Namespace, progress: Progress) -> int:
    """``prrt predict``: one study and its labs."""
    from .prediction.document import document_of, to_json
    from .prediction.predictor import Patient
    from .prediction.predictor import predict as predict_study

    patient = Patient(labs=_labs(arguments), extras=_extras(arguments.extra))
    _require_targets(arguments)
    wants_maps = any((arguments.saliency, arguments.saliency_ct, arguments.scene, arguments.overlay))
    result = predict_study(
        arguments.model,
        arguments.pet,
        arguments.ct,
        patient,
        device=arguments.device,
        saliency=wants_maps,
        progress=progress,
    )
    document = document_of(result)
    write_pictures(arguments, result)
    if arguments.charts is not None:
        from .prediction.card import read_card
        from .report.charts import ChartLook, write_charts

        look = ChartLook(arguments.charts_font, dark=arguments.charts_dark)
        write_charts(arguments.charts, document, read_card(arguments.model), look)
    if arguments.json:
        print_json(to_json(document))
    else:
        _say_prediction(result)
    return 0


def _labs(arguments: Namespace) -> Labs:
    from .cohort.labs import LabUnits, check_sampling_date, make_labs

    units = LabUnits(arguments.ast_unit, arguments.alt_unit, arguments.ggt_unit, arguments.cga_unit)
    labs = make_labs(
        arguments.ast, arguments.alt, arguments.ggt, arguments.cga, units=units, sampled_on=arguments.labs_date
    )
    if arguments.labs_date and arguments.prrt_start:
        check_sampling_date(arguments.labs_date, arguments.prrt_start)
    return labs


def _extras(pairs: Sequence[str]) -> dict[str, float]:
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name.strip().lower()] = float(text)
        except ValueError:
            raise InputRefused(
                Code.COHORT_VALUE, f"'{pair}' is not NAME=NUMBER.", where="--extra", remedy="Write for example age=66."
            ) from None
    return values


def _require_targets(arguments: Namespace) -> None:
    """Refuse files that could not be written before the work that makes them."""
    from .files import require_file_target, require_folder_target

    if arguments.charts is not None:
        require_folder_target(arguments.charts)
    named: dict[str, Path | None] = {
        "--saliency": arguments.saliency,
        "--saliency-ct": arguments.saliency_ct,
        "--overlay": arguments.overlay,
        "--scene": arguments.scene,
    }
    suffixes = {"--overlay": ".png", "--scene": ".mrb"}
    seen: dict[Path, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        require_file_target(path, suffixes.get(option, ".nrrd"))
        other = seen.setdefault(path.absolute(), option)
        if other != option:
            raise InputRefused(
                Code.OUTPUT,
                f"{other} and {option} name the same file.",
                where=path.name,
                remedy="Name a file of its own for each.",
            )


def write_pictures(arguments: Namespace, result: PredictionResult) -> None:
    """Write the saliency, overlay and scene that were asked for.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` when the model has no saliency for one of them; nothing is written then.
    """
    from .imaging.nrrd import write_nrrd

    # All that is asked for is found before anything is written.
    maps = [
        (path, _existing(volume, image, result.prediction.model.name))
        for path, volume, image in (
            (arguments.saliency, result.pet_saliency or result.ct_saliency, "image"),
            (arguments.saliency_ct, result.ct_saliency, "CT"),
        )
        if path is not None
    ]
    for path, volume in maps:
        write_nrrd(path, volume)
    if arguments.overlay is not None:
        from .report.overlay import write_overlay

        write_overlay(
            arguments.overlay,
            result.pet.volume,
            result.ct.volume,
            result.pet_saliency or result.ct_saliency,
            title=_model_in_words(result),
            synthetic=result.synthetic_patient,
        )
    if arguments.scene is not None:
        from PRRTPredictorLib.Scene import writeScene

        writeScene(
            arguments.scene,
            result.pet.volume,
            result.ct.volume,
            result.pet_saliency or result.ct_saliency,
            synthetic=result.synthetic_patient,
        )


def _existing(saliency: Volume | None, image: str, model: str) -> Volume:
    if saliency is None:
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"The model {model} sees no {image}, so there is no saliency to write.",
            remedy="Leave the option out, or use a model with that image.",
        )
    return saliency


def _say_prediction(result: PredictionResult) -> None:
    from .cohort.labs import input_title

    prediction = result.prediction
    low, high = prediction.interval
    say(f"Probability of PFS > 1 year: {prediction.probability_long_pfs:.2f}  (ensemble 90 %: {low:.2f} to {high:.2f})")
    say(f"Group: {prediction.group} PFS")
    for name, value in prediction.lab_contributions.items():
        say(f"  {input_title(name):<4} {value:+.3f}")
    say_notices(prediction.notices)
    say(f"{_model_in_words(result)}, sha256 {prediction.model.sha256[:12]}. {RESEARCH_USE_NOTICE}")


def _model_in_words(result: PredictionResult) -> str:
    model = result.prediction.model
    return f"model {model.name}" + (", trained on SYNTHETIC patients" if model.synthetic else "")


def evaluate(arguments: Namespace, progress: Progress) -> int:
    """``prrt evaluate``: external validation."""
    from .prediction.external import format_validation, validate

    validation = validate(
        arguments.model,
        arguments.cohort,
        device=arguments.device,
        jobs=arguments.jobs or default_jobs(),
        progress=progress,
    )
    if arguments.json:
        print_json(validation)
    else:
        say(format_validation(validation))
    return 0


def demo(arguments: Namespace, progress: Progress) -> int:
    """``prrt demo``: everything on made patients."""
    from .demo import run_demo

    return run_demo(arguments.out, arguments.seed, progress)
