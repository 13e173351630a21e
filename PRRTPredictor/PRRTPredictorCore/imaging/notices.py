"""The notices of many studies, told once each with the number of patients concerned."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Notice


def counted_notices(per_patient: Sequence[Sequence[Notice]]) -> tuple[Notice, ...]:
    """Join the notices of a cohort's patients by their code, the most frequent first.

    Parameters
    ----------
    per_patient : sequence of sequence of Notice
        One sequence a patient.

    Returns
    -------
    tuple of Notice
        "3 of 12 patients, for example: …".
    """
    found: dict[str, list[Notice]] = {}
    for notices in per_patient:
        for code, notice in {notice.code: notice for notice in notices}.items():
            found.setdefault(code, []).append(notice)
    frequent_first = sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return tuple(
        Notice(code, f"{len(notices)} of {len(per_patient)} patients, for example: {notices[0].message}")
        for code, notices in frequent_first
    )
