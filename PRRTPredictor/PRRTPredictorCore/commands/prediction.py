"""``prrt predict`` and ``evaluate``: what a model says of one patient, and how it does on another cohort."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import print_json, say, say_notices
from ..errors import Code, InputRefused, ModelRefused
from ..progress import Progress
from ..records import RESEARCH_USE_NOTICE, Labs, Volume
from . import default_jobs, serial_notices

if TYPE_CHECKING:
    from ..prediction.predictor import PredictionResult


def predict(arguments: Namespace, progress: Progress) -> int:
    """``prrt predict``: one study and its labs."""
    from ..prediction.document import document_of, to_json
    from ..prediction.predictor import Patient
    from ..prediction.predictor import predict as predict_study

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
        from ..prediction.card import read_card
        from ..report.charts import ChartLook, write_charts

        look = ChartLook(arguments.charts_font, dark=arguments.charts_dark)
        write_charts(arguments.charts, document, read_card(arguments.model), look)
    if arguments.json:
        print_json(to_json(document))
    else:
        _say_prediction(result)
    return 0


def _labs(arguments: Namespace) -> Labs:
    from ..cohort.labs import LabUnits, check_sampling_date, make_labs

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
    from ..files import require_file_target, require_folder_target

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
    from ..imaging.nrrd import write_nrrd

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
        from ..report.overlay import write_overlay

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
    from ..cohort.labs import input_title

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
    from ..prediction.external import format_validation, validate

    jobs = arguments.jobs or default_jobs()
    say_notices(serial_notices(jobs))
    validation = validate(
        arguments.model,
        arguments.cohort,
        device=arguments.device,
        jobs=jobs,
        progress=progress,
    )
    if arguments.json:
        print_json(validation)
    else:
        say(format_validation(validation))
    return 0
