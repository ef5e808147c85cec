"""What a comparison of two models holds: a row per task, the suite's mean, drift and flipped items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evalkit.errors import EvalError
from evalkit.paired import Paired

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.contamination import Clean
    from evalkit.drift import Drift
    from evalkit.noise import Noise
    from evalkit.set_pairs import SetMetric
    from evalkit.statistics import Verdict

__all__ = ["Comparison", "Row", "SuiteMean"]


@dataclass(frozen=True, slots=True)
class Row:
    """One task.

    Attributes:
        task: Name.
        kind: ``general`` or ``gain``.
        metric: Primary metric.
        filter: Primary filter.
        description: One line for the report.
        paired: All figures of the pair of score vectors.
        verdict: As ``paired.verdict``, but a general row is regressed only if Holm's adjusted p-value agrees.
        adjusted_p: Holm's adjusted p-value over the general rows; None for gain rows.
        statuses: Lost items by the way the later answer failed.
        metrics: Further metrics of the whole set: macro-F1 of gain rows with labels, and what the task asks for.
        in_gate: Whether the gate looks at the row.
        note: Why a row is to be read with care, else empty.
        differences: after - before of every item, in the order of item ids; what resampling over seeds needs. For a
            metric of the whole set these are the items' influences.
        clusters: Cluster of each item in that order; None where every item stands for itself.
        kl: Mean KL(before || after) per token on the items' prompts, where it was measured; a diagnostic.
        kl_interval: Its t interval, clustered as the items are.
        items: Hash of the item ids: rows of two comparisons with equal hashes are of the same items.
    """

    task: str
    kind: Literal["general", "gain"]
    metric: str
    filter: str
    description: str
    paired: Paired
    verdict: Verdict
    adjusted_p: float | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)
    metrics: tuple[SetMetric, ...] = ()
    in_gate: bool = True
    note: str = ""
    differences: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    clusters: tuple[str, ...] | None = field(default=None, repr=False, compare=False)
    kl: float | None = None
    kl_interval: tuple[float, float] | None = None
    items: str = field(default="", repr=False)

    @property
    def n(self) -> int:
        """Items."""
        return self.paired.n

    @property
    def before(self) -> float:
        """Mean score before."""
        return self.paired.before

    @property
    def after(self) -> float:
        """Mean score after."""
        return self.paired.after

    @property
    def difference(self) -> float:
        """Mean score after less mean score before."""
        return self.paired.difference

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the difference."""
        return self.paired.interval

    @property
    def margin(self) -> float:
        """Loss called tolerable."""
        return self.paired.margin

    @property
    def beyond_margin(self) -> Literal["certain", "possible"] | None:
        """For a regressed row, whether the loss is above the margin for certain."""
        return self.paired.beyond_margin if self.verdict == "regressed" else None


@dataclass(frozen=True, slots=True)
class SuiteMean:
    """Mean difference over the general tasks, every task weighing the same.

    Attributes:
        tasks: Number of tasks.
        difference: Mean of the tasks' differences.
        standard_error: Stratified: sqrt(sum of squared errors) / tasks.
        interval: The tasks' own errors added in squares (see :func:`evalkit.statistics.means.stratified`).
        margin: Mean of the tasks' margins.
        verdict: Its verdict; it stands outside Holm's adjustment.
        beyond_margin: For a regressed mean, whether the loss is above the margin for certain.
    """

    tasks: int
    difference: float
    standard_error: float
    interval: tuple[float, float]
    margin: float
    verdict: Verdict
    beyond_margin: Literal["certain", "possible"] | None

    @property
    def ruled_out(self) -> float:
        """The interval rules out every loss of the suite's mean larger than this."""
        return max(0.0, -self.interval[0])


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between two models.

    Attributes:
        before: Name of the model before.
        after: Name of the model after.
        suite: Suite (or suites, joined by ``+``).
        general: Rows of the general tasks.
        gains: Rows of the user's own tasks, outside Holm's adjustment.
        drift: Cross-entropy on text; diagnostics.
        suite_mean: None where there is no general task.
        flips: Flipped items, columns :data:`evalkit.flips.FLIPS`.
        dropped: Items that stood in one log only (``join="intersection"``), task to number.
        settings: Settings that differ (``prompts="differ"``).
        identical: Every score and answer is equal: the later model may be the earlier one.
        alpha: 1 - confidence.
        noise: What the model before differs from itself by in other batches; None where it was not measured.
        clean: Rows again without the items that stand in the training data; None was looked for where it is empty.
        notes: What was not verified and what the logs of other tools do not say; each a sentence.
    """

    before: str
    after: str
    suite: str
    general: tuple[Row, ...]
    gains: tuple[Row, ...]
    drift: tuple[Drift, ...]
    suite_mean: SuiteMean | None
    flips: pa.Table
    dropped: Mapping[str, int]
    settings: tuple[str, ...]
    identical: bool
    alpha: float
    noise: Noise | None = None
    clean: tuple[Clean, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """Gain rows, then general rows."""
        return self.gains + self.general

    def row(self, task: str) -> Row:
        """The row of a task.

        Raises:
            EvalError: No such task.
        """
        for row in self.rows:
            if row.task == task:
                return row
        raise EvalError(f"no task '{task}' in the comparison", hint=f"Tasks: {', '.join(r.task for r in self.rows)}")
