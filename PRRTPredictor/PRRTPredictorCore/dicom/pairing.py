"""Which PET belongs to which CT, and why every other series was left out.

The rules, in their order:

1. Only slices of PET and CT with a place in patient space count: no localizer, projection, screenshot, reformat.
2. A PET counts when its header proves SUVbw (:func:`suv_scale` on one slice): so NAC, PROPCNTS or a SPECT stored as
   PET are left out with the code of that refusal. What holds only between slices is found when the series is read.
3. A PET's CT comes from its own study; failing that, from the same patient within a day or with the same frame of
   reference (de-identification may tear a study apart), with a notice. Patients are never mixed.
4. Of several CT: the one that covers most of the PET from head to foot, then with the same frame of reference, near in
   time, original, soft kernel, wide field of view, made for attenuation correction, thin and many slices.
5. Of several PET of one acquisition (reconstructions) or on one CT, the original and larger one; acquisitions that
   have a CT of their own make pairs of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import Code, SuvRefused
from ..records import LeftOut, Notice, PetCtPair, StudyIndex
from .examination import examination_notices, identifier_of
from .index_facts import SeriesFacts, is_localizer
from .scan import PET_AND_CT_CLASSES
from .suv import suv_scale
from .values import text

_FEWEST_SLICES = 3
_PARALLEL = 0.9
_PART_COVERED = 0.9
_SAME_EXAMINATION_DAYS = 1
_SAME_ACQUISITION_S = 120.0
_NEAR_IN_TIME_S = 1800.0
_PROJECTIONS = frozenset({"MIP", "PROJECTION", "REPROJECTION", "PROJECTION IMAGE", "VOLUME RENDERING", "VRT"})
_PICTURES = frozenset({"SCREEN SAVE", "SCREENSHOT", "CAPTURE", "CSA REPORT", "CSAPARALLEL"})
_SHARP = re.compile(r"lung|bone|edge|sharp|\b[bi]r?[6-9]\d", re.IGNORECASE)
_FOR_ATTENUATION_CORRECTION = re.compile(r"(?<![a-z])(?:ctac|acct|ac|low[ _-]?dose)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class _Pet:
    """A PET whose header proves SUVbw."""

    facts: SeriesFacts
    notices: tuple[Notice, ...]


@dataclass(frozen=True, eq=False)
class _Match:
    pet: _Pet
    ct: SeriesFacts


def pair_series(series: Sequence[SeriesFacts], left_out: Iterable[LeftOut] = ()) -> StudyIndex:
    """Find the usable PET/CT pairs and say why every other series was left out.

    Parameters
    ----------
    series : sequence of SeriesFacts
    left_out : iterable of LeftOut
        What was left out before.
    """
    gone = list(left_out)
    images = []
    for facts in series:
        reason = _why_no_slices(facts)
        if reason is None:
            images.append(facts)
        else:
            gone.append(reason)
    pets = [pet for pet in (_judged(facts, gone) for facts in images if facts.record.modality == "PT") if pet]
    cts = [facts for facts in images if facts.record.modality == "CT"]
    matches = []
    for pet in pets:
        ct = _best_ct(pet.facts, cts)
        if ct is None:
            gone.append(_pet_without_ct(pet.facts, cts))
        else:
            matches.append(_Match(pet, ct))
    chosen = _one_each(matches, gone)
    gone += [_unused_ct(ct, chosen, pets) for ct in cts if all(match.ct is not ct for match in chosen)]
    pairs = tuple(_pair(match) for match in sorted(chosen, key=_listing_order))
    return StudyIndex(pairs, tuple(gone))


# --- what counts ------------------------------------------------------------------------------------------------------


def _why_no_slices(facts: SeriesFacts) -> LeftOut | None:
    modality, uid = facts.record.modality, facts.record.series_uid
    if modality not in ("PT", "CT"):
        return LeftOut(uid, "OTHER_MODALITY", f"{modality or 'A series without modality'} is neither PET nor CT.")
    if is_localizer(facts.words):
        return LeftOut(uid, "LOCALIZER", "A localizer (scout view), not slices.")
    series_type = text(facts.first_header, "SeriesType").upper()
    if facts.words & _PROJECTIONS or "REPROJECTION" in series_type:
        return LeftOut(uid, "PROJECTION", "A projection or rendering, not slices.")
    if PET_AND_CT_CLASSES.get(facts.sop_class) != modality or facts.words & _PICTURES:
        return LeftOut(uid, "NO_IMAGE_SLICES", "A picture, report or raw data, not image slices.")
    if facts.slices < _FEWEST_SLICES:
        return LeftOut(uid, "TOO_FEW_SLICES", f"{facts.slices} slice(s) make no volume.")
    if facts.box is None:
        return LeftOut(uid, Code.BAD_GEOMETRY.value, "The slices carry no usable position, orientation or spacing.")
    if modality == "CT" and abs(facts.box.normal[2]) < _PARALLEL and "AXIAL" not in facts.words:
        return LeftOut(uid, "REFORMAT", "Coronal, sagittal or oblique slices; the axial series is wanted.")
    return None


def _judged(facts: SeriesFacts, gone: list[LeftOut]) -> _Pet | None:
    try:
        scale = suv_scale((facts.first_header,))
    except SuvRefused as error:
        gone.append(LeftOut(facts.record.series_uid, error.code.value, error.message))
        return None
    return _Pet(facts, scale.notices)


# --- a CT for a PET ---------------------------------------------------------------------------------------------------


def _best_ct(pet: SeriesFacts, cts: Sequence[SeriesFacts]) -> SeriesFacts | None:
    covering = [ct for ct in cts if _same_patient(pet, ct) and _overlap(pet, ct)]
    at_home = [ct for ct in covering if ct.record.study_uid == pet.record.study_uid]
    elsewhere = [ct for ct in covering if _same_examination(pet, ct)]
    return max(at_home or elsewhere, key=lambda ct: _fitness(pet, ct), default=None)


def _fitness(pet: SeriesFacts, ct: SeriesFacts) -> tuple[float, ...]:
    if pet.box is None or ct.box is None:
        return ()
    wide, deep, tall = pet.box.share_inside(ct.box)
    apart_s = abs((pet.acquired - ct.acquired).total_seconds()) if pet.acquired and ct.acquired else 0.0
    names = f"{ct.record.description} {text(ct.first_header, 'ConvolutionKernel')}"
    return (
        round(float(tall), 1),
        _same_frame(pet, ct),
        -(apart_s // _NEAR_IN_TIME_S),
        "DERIVED" not in ct.words,
        not _SHARP.search(names),
        round(float(wide * deep), 1),
        bool(_FOR_ATTENUATION_CORRECTION.search(ct.record.description)),
        -ct.box.step_mm,
        ct.slices,
    )


def _same_patient(pet: SeriesFacts, ct: SeriesFacts) -> bool:
    same_study = bool(pet.record.study_uid) and pet.record.study_uid == ct.record.study_uid
    one, other = identifier_of(pet.patient), identifier_of(ct.patient)
    return one == other if one and other else same_study


def _same_frame(pet: SeriesFacts, ct: SeriesFacts) -> bool:
    uid = pet.record.frame_of_reference_uid
    return bool(uid) and uid == ct.record.frame_of_reference_uid


def _same_examination(pet: SeriesFacts, ct: SeriesFacts) -> bool:
    if _same_frame(pet, ct):
        return True
    if pet.record.date is None or ct.record.date is None:
        return False
    return abs((pet.record.date - ct.record.date).days) <= _SAME_EXAMINATION_DAYS


def _overlap(pet: SeriesFacts, ct: SeriesFacts) -> bool:
    return pet.box is not None and ct.box is not None and bool((pet.box.share_inside(ct.box) > 0).all())


def _pet_without_ct(pet: SeriesFacts, cts: Sequence[SeriesFacts]) -> LeftOut:
    uid = pet.record.series_uid
    if any(ct.record.study_uid == pet.record.study_uid and _same_patient(pet, ct) for ct in cts):
        return LeftOut(uid, Code.NO_OVERLAP.value, "No CT of the study shares a field of view with this PET.")
    return LeftOut(uid, Code.NO_CT.value, "No usable CT of the same examination was found beside this PET.")


# --- one pair an examination ------------------------------------------------------------------------------------------


def _one_each(matches: Sequence[_Match], gone: list[LeftOut]) -> list[_Match]:
    chosen: list[_Match] = []
    for match in sorted(matches, key=lambda match: _worth(match.pet.facts), reverse=True):
        rival = next((better for better in chosen if _compete(match, better)), None)
        if rival is None:
            chosen.append(match)
            continue
        reason = (
            "A delayed or partial acquisition on the CT of another PET, which covers more."
            if rival.ct is match.ct and not _same_acquisition(match.pet.facts, rival.pet.facts)
            else "Another reconstruction of the same PET acquisition was preferred."
        )
        gone.append(LeftOut(match.pet.facts.record.series_uid, "BETTER_SERIES", reason))
    return chosen


def _worth(pet: SeriesFacts) -> tuple[object, ...]:
    if pet.box is None:
        return ()
    tall = float(pet.box.high[2] - pet.box.low[2])
    return "DERIVED" not in pet.words, round(tall, -1), pet.slices, -(pet.box.step_mm), pet.record.series_uid


def _compete(one: _Match, other: _Match) -> bool:
    return one.ct is other.ct or _same_acquisition(one.pet.facts, other.pet.facts)


def _same_acquisition(one: SeriesFacts, other: SeriesFacts) -> bool:
    if one.record.study_uid != other.record.study_uid or not _overlap(one, other):
        return False
    if one.acquired is None or other.acquired is None:
        return True
    return abs((one.acquired - other.acquired).total_seconds()) <= _SAME_ACQUISITION_S


def _unused_ct(ct: SeriesFacts, chosen: Sequence[_Match], pets: Sequence[_Pet]) -> LeftOut:
    uid, study = ct.record.series_uid, ct.record.study_uid
    if any(match.pet.facts.record.study_uid == study for match in chosen):
        return LeftOut(uid, "BETTER_SERIES", "Another CT of the examination fits the PET better.")
    if any(pet.facts.record.study_uid == study for pet in pets):
        return LeftOut(uid, Code.NO_OVERLAP.value, "This CT shares no field of view with the PET of its study.")
    return LeftOut(uid, Code.NO_PET.value, "No usable PET of the same examination was found beside this CT.")


# --- the pair ---------------------------------------------------------------------------------------------------------


def _listing_order(match: _Match) -> tuple[str, str, str]:
    pet = match.pet.facts
    return pet.patient, str(pet.record.date or ""), pet.record.series_uid


def _pair(match: _Match) -> PetCtPair:
    pet, ct = match.pet.facts, match.ct
    same_frame = _same_frame(pet, ct)
    notices = list(match.pet.notices)
    if not same_frame:
        message = "PET and CT name different frames of reference; check on the fused image that they lie in register."
        notices.append(Notice("FRAME_OF_REFERENCE_DIFFERS", message))
    notices += examination_notices((pet.record.study_uid, pet.record.date), (ct.record.study_uid, ct.record.date))
    covered = float(pet.box.share_inside(ct.box)[2]) if pet.box and ct.box else 0.0
    if covered < _PART_COVERED:
        message = f"The CT covers {covered:.0%} of the PET from head to foot; only the overlap is used."
        notices.append(Notice("CT_COVERS_PART", message))
    if pet.repeated or ct.repeated:
        message = f"{pet.repeated + ct.repeated} file(s) hold an image that another file holds already; one was taken."
        notices.append(Notice("FILES_REPEATED", message))
    return PetCtPair(
        patient=pet.patient,
        study_uid=pet.record.study_uid,
        pet=pet.record,
        ct=ct.record,
        same_frame_of_reference=same_frame,
        patient_name=pet.patient_name,
        notices=tuple(notices),
    )
