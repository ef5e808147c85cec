"""Lost or only hidden? Two models before and after the same short training on half of a benchmark, on the other half.

After Zheng et al., "Spurious Forgetting in Continual Learning of Language Models" (ICLR 2025, arXiv 2501.13453): a task
whose scores come back after a few steps was not forgotten; what went is how the model takes up the task.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from datakit.core.hashing import digest

if TYPE_CHECKING:
    from evalkit.log import EvalLog
    from evalkit.paired import Paired

__all__ = ["Recovery", "recovery", "recovery_facts", "training_half"]

Status = Literal["hidden", "lost", "partly", "unsure"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """One task.

    Attributes:
        task: Its name.
        trained: Items that both models were trained on.
        loss: Base to tuned model as they are, on the other items.
        left: The same after both were trained on the first half: what is still missing.
        back: The tuned model before its short training to after it.
        base: The base before its short training to after it: how much of the task these items teach anyway.
        status: ``hidden`` (nothing is missing any more), ``lost`` (what was missing did not come back), ``partly``
            (some came back, some is missing for certain), ``unsure`` (too few items to say).
    """

    task: str
    trained: int
    loss: Paired
    left: Paired
    back: Paired
    base: Paired
    status: Status

    @property
    def is_taught(self) -> bool:
        """Whether the base rose too: then what came back may be learnt anew rather than found again."""
        return self.base.interval[0] > 0

    @property
    def is_harmed(self) -> bool:
        """Whether the short training cost the base points: then it was too long or too fast to say much."""
        return self.base.interval[1] < 0


def training_half(log: EvalLog, task: str, *, seed: int = 0) -> tuple[set[str], set[str]]:
    """Item ids to train on and to measure on; items of one cluster or of equal documents stand on one side."""
    table = log.primary()
    sides: tuple[set[str], set[str]] = (set(), set())
    columns = (table.column(name).to_pylist() for name in ("task", "item_id", "cluster", "doc_hash"))
    for name, item, cluster, document in zip(*columns, strict=True):
        if name == task:
            tie = document if cluster in (None, item) else cluster
            sides[int(digest("recover", seed, tie)[:8], 16) % 2].add(item)
    return sides


def recovery(
    task: str,
    *,
    base: EvalLog,
    tuned: EvalLog,
    base_after: EvalLog,
    tuned_after: EvalLog,
    measured: Collection[str],
    trained: int,
    alpha: float = 0.05,
) -> Recovery:
    """Judges one task.

    Args:
        task: Its name.
        base: Log of the base as it is.
        tuned: Log of the tuned model as it is.
        base_after: Log of the base after the short training.
        tuned_after: Log of the tuned model after the same training.
        measured: Ids of the items that were not trained on.
        trained: Number of items that were.
        alpha: 1 - confidence.

    Raises:
        NotComparable: The logs are not of the same items.
    """
    logs = [_only(log, measured) for log in (base, tuned, base_after, tuned_after)]

    def pair(before: int, after: int) -> Paired:
        from evalkit.compare import compare

        return compare(logs[before], logs[after], alpha=alpha).row(task).paired

    loss, left, back = pair(0, 1), pair(2, 3), pair(1, 3)
    return Recovery(task, trained, loss, left, back, pair(0, 2), _status(left, back))


def _only(log: EvalLog, items: Collection[str]) -> EvalLog:
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = pc.is_in(log.items.column("item_id"), value_set=pa.array(sorted(items), pa.string()))
    return replace(log, items=log.items.filter(kept))


def _status(left: Paired, back: Paired) -> Status:
    came_back = back.interval[0] > 0
    if left.verdict in ("held", "gained"):
        return "hidden" if came_back else "unsure"
    if left.verdict == "regressed":
        return "partly" if came_back else "lost"
    return "unsure"


def recovery_facts(found: Recovery) -> dict[str, Any]:
    """The task as plain values for JSON."""
    pairs = {name: _pair(getattr(found, name)) for name in ("loss", "left", "back", "base")}
    start = {"task": found.task, "status": found.status, "trained_items": found.trained, "items": found.loss.n}
    return {**start, **pairs, "base_rose_too": found.is_taught, "base_fell": found.is_harmed}


def _pair(value: Paired) -> dict[str, Any]:
    names = ("before", "after", "difference", "interval", "p_value", "verdict", "lost", "gained", "margin")
    return {name: item for name, item in asdict(value).items() if name in names}
