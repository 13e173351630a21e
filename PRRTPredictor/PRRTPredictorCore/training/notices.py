"""What to tell of how a run's fits went: groups that memory did not hold, fits that stopped."""

from __future__ import annotations

from collections import Counter

from ..records import Notice
from .store import RunStore


def run_notices(store: RunStore) -> tuple[Notice, ...]:
    """Everything worth telling beside a run's results."""
    return (*_short_memory(store), *_stopped(store))


def _short_memory(store: RunStore) -> list[Notice]:
    notices = []
    for model, halvings in store.manifest.memory_short.items():
        size, times = store.manifest.folds_together.get(model, 1), sum(halvings.values())
        message = (
            f"The GPU's memory did not hold {size} folds of {model} side by side; groups of them were halved "
            f"{'once' if times == 1 else f'{times} times'}, which takes longer and gives the same results to rounding."
        )
        notices.append(Notice("MEMORY_SHORT", message))
    return notices


def _stopped(store: RunStore) -> list[Notice]:
    notices = []
    for model in store.manifest.models:
        finished = store.finished(model)
        reasons = [store.outcome(model, task.repeat, task.fold).reason for task in finished]
        if count := sum(map(bool, reasons)):
            (reason, _), *others = Counter(filter(None, reasons)).most_common()
            message = (
                f"{count} of {len(finished)} fits of {model} met numbers that are not finite; their answers come from "
                f"the last state that had some, or are the prevalence. {'Most often' if others else 'Reason'}: {reason}"
            )
            notices.append(Notice("FIT_STOPPED", message))
    return notices
