"""What a report is about: the arms of a run, each compared with one base, and what can be said of several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.gate import Gate, gate

if TYPE_CHECKING:
    from evalkit.classes import ClassRow
    from evalkit.comparison import Comparison, Row
    from evalkit.report.beside import Beside

__all__ = ["ArmResult", "ArmSummary", "Estimate", "Report", "main_gain", "summaries"]

MIN_SEEDS = 3  # a sentence about a method needs as many

_ORDER = {"pass": 0, "unsure": 1, "regressed": 2}


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One trained checkpoint beside the base.

    Attributes:
        name: Name of the arm.
        seed: Training seed; None where it is not known.
        comparison: base -> arm.
        train_facts: What train.json says: steps, losses, trainable parameters, seconds, ...; may be empty.
        classes: The user's task class by class, worst first; empty where it has no classes.
    """

    name: str
    seed: int | None
    comparison: Comparison
    train_facts: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[ClassRow] = ()

    @property
    def gate(self) -> Gate:
        """The gate's answer for this checkpoint."""
        return gate(self.comparison)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is reported.

    Attributes:
        title: Name of the run.
        base: Name of the model before.
        arms: One per arm and seed, in the recipe's order.
        data_facts: Rows per split, dropped by reason, ...; may be empty.
        reproduce: Command lines that make this again.
        private: A source is private: the texts of the user's own task stay out of every file.
        settings: Chat, generation and versions, for the reader who repeats it.
        margin_reason: Why the suite calls that loss tolerable.
        stages: Of a run whose tasks were trained one after another, the matrix of each cell (:mod:`evalkit.stages`).
        watched: Of every cell whose training looked at the suite, its course (:mod:`evalkit.report.watched`).
        beside: Further models on the user's task.
    """

    title: str
    base: str
    arms: Sequence[ArmResult]
    data_facts: Mapping[str, Any] = field(default_factory=dict)
    reproduce: Sequence[str] = ()
    private: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    margin_reason: str = ""
    stages: Sequence[Mapping[str, Any]] = ()
    watched: Sequence[Mapping[str, Any]] = ()
    beside: Sequence[Beside] = ()

    def label(self, arm: ArmResult) -> str:
        """The arm's name, with its seed where the arm was trained with several."""
        several = sum(other.name == arm.name for other in self.arms) > 1
        return f"{arm.name} (seed {arm.seed})" if several else arm.name

    def seeds(self, name: str) -> list[ArmResult]:
        """All results of an arm, one per seed."""
        return [arm for arm in self.arms if arm.name == name]

    def status(self, name: str) -> Literal["pass", "regressed", "unsure"]:
        """The gate of an arm: the worst of its seeds, so that no lucky seed stands for it."""
        return max((arm.gate.status for arm in self.seeds(name)), key=lambda status: _ORDER[status])

    def ranked(self) -> list[ArmResult]:
        """Results in the order they are shown: arms by their gate, then by mean gain, each arm's seeds together."""
        names = list(dict.fromkeys(arm.name for arm in self.arms))
        keys: dict[str, tuple[int, float, int]] = {}
        for at, name in enumerate(names):
            gains = [row.difference for arm in self.seeds(name) if (row := main_gain(arm.comparison)) is not None]
            keys[name] = (_ORDER[self.status(name)], -sum(gains) / len(gains) if gains else 0.0, at)
        return sorted(self.arms, key=lambda arm: keys[arm.name])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        value: Mean difference after - before.
        interval: Two-level bootstrap over seeds and items; None for fewer than three seeds.
        seed_share: Share of the variance that comes from the seeds.
    """

    value: float
    interval: tuple[float, float] | None = None
    seed_share: float | None = None


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm over its seeds.

    Attributes:
        name: Name of the arm.
        seeds: Its seeds.
        gain: On the user's task; None without one.
        general: Mean over the general tasks; None without any.
        statuses: Gate status of each seed.
        sentence: What the figures speak about: these checkpoints, or the method.
    """

    name: str
    seeds: tuple[int | None, ...]
    gain: Estimate | None
    general: Estimate | None
    statuses: tuple[str, ...]
    sentence: str


def main_gain(comparison: Comparison) -> Row | None:
    """The row that stands for the user's task: the first gain row."""
    return comparison.gains[0] if comparison.gains else None


def _estimate(rows: Sequence[Sequence[Row]], *, seed: int) -> Estimate | None:
    """``rows[s]`` are the rows of seed s; the same tasks for every seed."""
    import numpy as np

    if not rows or not rows[0] or any([row.task for row in own] != [row.task for row in rows[0]] for own in rows):
        return None
    value = float(np.mean([[row.difference for row in own] for own in rows]))
    sizes = {tuple(row.n for row in own) for own in rows}
    known = all(row.differences is not None for own in rows for row in own)
    if len(rows) < MIN_SEEDS or len(sizes) > 1 or not known:
        return Estimate(value)
    from evalkit.statistics import two_level

    strata = [np.array([own[task].differences for own in rows]) for task in range(len(rows[0]))]
    found = two_level(strata, clusters=[row.clusters for row in rows[0]], seed=seed)
    low, high = found.intervals[0]
    return Estimate(value, (float(low), float(high)), float(found.seed_share[0]))


def summaries(report: Report, *, seed: int = 0) -> list[ArmSummary]:
    """One entry per arm, in the recipe's order, its seeds taken together."""
    result = []
    for name in dict.fromkeys(arm.name for arm in report.arms):
        own = [arm for arm in report.arms if arm.name == name]
        general = _estimate([arm.comparison.general for arm in own], seed=seed)
        gain = _estimate([arm.comparison.gains[:1] for arm in own], seed=seed)
        if any(estimate is not None and estimate.interval is not None for estimate in (general, gain)):
            sentence = f"Over {len(own)} seeds and the items: the intervals speak about the method."
        elif len(own) > 1:
            sentence = (
                f"{len(own)} seeds: too few for a sentence about the method; each row speaks about its checkpoint."
            )
        else:
            sentence = "One seed: the intervals are over items and speak about this checkpoint, not about the method."
        result.append(
            ArmSummary(name, tuple(arm.seed for arm in own), gain, general, tuple(a.gate.status for a in own), sentence)
        )
    return result
