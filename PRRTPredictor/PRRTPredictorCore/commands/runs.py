"""``prrt train``, ``report``, ``fit`` and ``demo``: a run, and what is made of it."""

from __future__ import annotations

from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..console import notice_texts, print_json, say, say_notices
from ..progress import Progress
from . import default_jobs, serial_notices

if TYPE_CHECKING:
    from ..training.workers import FitWorkers


def train(arguments: Namespace, progress: Progress) -> int:
    """``prrt train``: repeated cross-validation into a run folder."""
    from ..cohort.table import read_cohort, require_extras, require_trainable
    from ..evaluation.summary import format_table_two, metrics_content, summarise_run
    from ..imaging.cache import prepare_cohort
    from ..imaging.notices import counted_notices
    from ..models.device import resolve_device
    from ..models.pretrained import resolve_weights
    from ..training.config import RunConfig
    from ..training.crossval import require_run_folder, run_crossval
    from ..training.notices import run_notices

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
    with _fit_workers(arguments.scheduler, jobs) as workers:
        prepared = prepare_cohort(cohort.patients, config.preprocess, jobs=jobs, progress=progress)
        store = run_crossval(cohort, prepared, config, arguments.out, progress, workers)
    progress("results", 0, 1, "metrics and tests")
    summary = summarise_run(arguments.out)
    progress("results", 1, 1)
    notices = (
        *counted_notices([prepared.study(code).notices for code in prepared.codes]),
        *run_notices(store),
        *serial_notices(jobs),
    )
    if arguments.json:
        print_json({**metrics_content(summary), "warnings": notice_texts(notices)})
        return 0
    say(format_table_two(summary))
    say_notices(notices)
    say(f"Run folder: {arguments.out}    Next: prrt report {arguments.out}")
    return 0


def _fit_workers(scheduler: str | None, jobs: int) -> AbstractContextManager[FitWorkers]:
    if scheduler is None:
        from ..training.workers import LocalWorkers

        return nullcontext(LocalWorkers(jobs))
    from ..training.cluster import cluster_workers

    return cluster_workers(scheduler)


def report(arguments: Namespace, progress: Progress) -> int:
    """``prrt report``: figures and one self-contained page."""
    from ..report.html import write_report
    from ..report.publish import DOCUMENT_NAME
    from ..report.request import ReportRequest

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
    from ..prediction.pack import pack_model

    identity = pack_model(arguments.run, arguments.model, arguments.out, progress)
    if arguments.json:
        print_json({"folder": arguments.out, "model": identity})
        return 0
    made = "  SYNTHETIC: trained on made patients" if identity.synthetic else ""
    say(f"Model: {arguments.out}  {identity.name}  sha256 {identity.sha256[:12]}{made}")
    return 0


def demo(arguments: Namespace, progress: Progress) -> int:
    """``prrt demo``: everything on made patients."""
    from ..demo import run_demo

    return run_demo(arguments.out, arguments.seed, progress)
