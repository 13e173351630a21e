"""``prrt index``, ``suv``, ``synth`` and ``cohort check``, ``describe``, ``codes``: from DICOM files to a cohort."""

from __future__ import annotations

from argparse import Namespace

from ..console import notice_texts, print_json, say, say_notices
from ..errors import Code, CohortRefused, RunFailed
from ..progress import Progress
from . import default_jobs, serial_notices


def index(arguments: Namespace, progress: Progress) -> int:
    """``prrt index``: PET/CT pairs, and why a series was left out."""
    from ..dicom.index import index_source

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
                "warnings": notice_texts(pair.notices),
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

    from ..dicom.suv import load_pet

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
        "warnings": notice_texts(loaded.notices),
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


def synth(arguments: Namespace, progress: Progress) -> int:
    """``prrt synth``: a made cohort as real DICOM files."""
    from ..cohort.synthetic import SyntheticConfig, make_cohort

    config = SyntheticConfig(
        patients=arguments.patients,
        seed=arguments.seed,
        signal=arguments.signal,
        null=arguments.null,
        size=arguments.size,
    )
    jobs = arguments.jobs or default_jobs()
    made = make_cohort(arguments.out, config, progress=progress, jobs=jobs)
    if arguments.json:
        print_json(made)
        return 0
    say(f"{arguments.patients} SYNTHETIC patients in {arguments.out}")
    say("Bayes AUROC, the best that any model could reach on each set of inputs:")
    for name, value in made.bayes.by_inputs():
        say(f"  {name:<14} {value:.2f}")
    say_notices(serial_notices(jobs))
    say(f"Next: prrt cohort check {made.table}")
    return 0


def cohort_check(arguments: Namespace, _progress: Progress) -> int:
    """``prrt cohort check``: every violation with its remedy, and the exclusions."""
    from ..cohort.table import check_cohort
    from ..cohort.text import check_to_json, format_check

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
    from ..cohort.describe import format_table_one, table_one
    from ..cohort.table import read_cohort

    cohort = read_cohort(arguments.cohort)
    table = table_one(cohort.patients)
    if arguments.json:
        print_json(table)
    else:
        say(format_table_one(table))
    return 0


def cohort_codes(arguments: Namespace, _progress: Progress) -> int:
    """``prrt cohort codes``: which line of the table has which study code; identifiers are not printed."""
    from ..cohort.table import read_cohort

    codes = [{"row": patient.row, "patient": patient.code} for patient in read_cohort(arguments.cohort).patients]
    if arguments.json:
        print_json({"codes": codes})
        return 0
    say("row   study code")
    for one in codes:
        say(f"{one['row']:<5} {one['patient']}")
    return 0
